"""The page at `/`, as people meet it: a real Chromium in front of a real server.

`YOLEAN_SCREENSHOT=docs/page.jpg` makes `test_screenshot` write the README's image.
"""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from browser_tab import AT_ONCE, IMAGES, KEY, SHAPES, STAR, WIDE, Open, Tab, predict
from yolean.engine.images.decoding import image_from_bytes
from yolean.engine.results.palette import colour
from yolean.models import DEMO_MODELS, demo_model
from yolean.serving.dialects.hub_items import HUB_TASKS
from yolean.serving.settings import ModelSource, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Route

pytestmark = pytest.mark.browser


# ---- Loading -----------------------------------------------------------------------------------------------


def test_page_loads_alone(tab: Tab) -> None:
    """Without a word on the console, and from the server only; a favicon is not even asked for."""
    tab.page.wait_for_load_state("networkidle")
    paths = [r.url.removeprefix(tab.server.url) for r in tab.asked if not r.url.startswith("data:")]
    assert paths == ["/", "/v1/models"]
    assert tab.state == "empty"
    assert tab.page.is_visible("#drop")
    assert tab.page.is_hidden("#keyrow")
    assert tab.page.locator("#model option").evaluate_all("all => all.map(one => one.value)") == list(
        tab.server.http.get("/health").json()["models"]
    )


def test_policy_holds(tab: Tab) -> None:
    """What somebody smuggled into the page could neither run nor call home; and the watch sees it try."""
    tab.expected = ["policy: ", "Content Security Policy", r"ERR_BLOCKED_BY_CSP|Fetch API cannot load"]
    told = tab.page.evaluate("""async () => {
      const script = document.createElement("script");
      script.textContent = "window.smuggled = true";
      document.body.append(script);
      const image = '<img src="https://192.0.2.1/" onerror="window.smuggled = true">';
      document.body.insertAdjacentHTML("beforeend", image);
      const called = await fetch("https://192.0.2.1/").then(() => true, () => false);
      return [Boolean(window.smuggled), called];
    }""")  # fmt: skip
    assert told == [False, False]
    for directive in ("script-src-elem", "script-src-attr", "img-src", "connect-src"):
        line = f"error: policy: {directive} "
        tab.wait_for(partial(lambda line: line in "\n".join(tab.said), line), directive)


# ---- Images in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", HUB_TASKS)
def test_overlay_is_what_the_server_found(tab: Tab, task: str) -> None:
    model, image = DEMO_MODELS[task], STAR if task == "classify" else SHAPES
    tab.choose(model)
    assert tab.overlay()["share"] == 0
    tab.upload(image)
    items = predict(tab.server, model, image.read_bytes())
    assert tab.count == len(items) > 0
    assert tab.json["images"][0]["results"] == items
    height, width = tab.json["images"][0]["shape"]
    assert tab.text("#caption") == f"{image.name} · {width} \u00d7 {height}"
    assert tab.page.locator("#results .name").all_text_contents() == [item["name"] for item in items]

    if task == "classify":
        assert tab.overlay()["share"] > 0.02
        return
    for rank, item in enumerate(items):
        box = item["box"]
        corners = [(box["x1"], box["y1"]), (box["x2"], box["y2"])]
        if task == "obb":
            corners += [(box["x3"], box["y3"]), (box["x4"], box["y4"])]
        else:
            corners[1:1], corners[3:] = [(box["x2"], box["y1"])], [(box["x1"], box["y2"])]
        pairs = zip(corners, corners[1:] + corners[:1], strict=True)
        points = [((a + c) / 2 / width, (b + d) / 2 / height) for (a, b), (c, d) in pairs]
        edges = np.array(tab.overlay(points)["colours"])
        assert (edges[:, 3] > 100).all(), f"no frame around object {rank}: {edges}"
        if rank == 0:  # it lies on top of all; tags may hide one of its sides
            own = np.abs(edges[:, :3] - colour(item["class"])[::-1]).max(1) < 10
            assert own.sum() >= 3, edges
    if task == "segment":
        middle = (sum(x for x, _ in corners) / 4 / width, sum(y for _, y in corners) / 4 / height)
        assert tab.overlay([middle])["colours"][0][3] > 50
    if task == "pose":
        seen = items[0]["keypoints"]
        points = [(x / width, y / height) for x, y in zip(seen["x"], seen["y"], strict=True)]
        assert all(alpha == 255 for *_, alpha in tab.overlay(points)["colours"])


def test_demo_image(tab: Tab) -> None:
    tab.page.click("#demo")
    tab.settle(caption="demo.jpg")
    assert tab.count == len(predict(tab.server, "shapes", SHAPES.read_bytes()))


def test_example_for_models_of_ones_own(open_page: Open, start_local: Callable[..., Any]) -> None:
    """It is offered, too; where they find nothing in it, that is no wonder, and said so."""
    tab = open_page(start_local(Settings(models=(ModelSource(demo_model("detect"), "mine"),))))
    tab.page.click("#demo")
    tab.settle(caption="demo.jpg")
    assert tab.count == len(predict(tab.server, "mine", SHAPES.read_bytes()))
    assert "example" not in tab.text("#status")
    tab.slide("conf", 1)
    assert tab.text("#status").endswith(" The example shows drawn shapes: try an image of your own.")


def test_turned_image_is_shown_upright(tab: Tab, tmp_path: Path) -> None:
    """A phone's image: its pixels lie on their side, and a tag says so."""
    from PIL import Image

    with Image.open(SHAPES) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        turned = tmp_path / "turned.jpg"
        image.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif, quality=95)
        size = image.size
    tab.upload(turned)
    assert tab.count == len(predict(tab.server, "shapes", SHAPES.read_bytes()))
    assert tab.text("#caption") == "turned.jpg · {} \u00d7 {}".format(*size)
    shown = tab.page.eval_on_selector("#image", "({width, height}) => [width, height]")
    assert shown == list(size)
    box = tab.page.locator("#overlay").bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(size[0] / size[1], rel=0.01)


def test_paste(tab: Tab) -> None:
    """An image from the clipboard, with Ctrl+V."""
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    png = cv2.imencode(".png", image_from_bytes(WIDE.read_bytes()))[1].tobytes()
    tab.page.evaluate(
        """async text => {
          const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt());
          const blob = new Blob([bytes], {type: "image/png"});
          await navigator.clipboard.write([new ClipboardItem({"image/png": blob})]);
        }""",
        base64.b64encode(png).decode(),
    )
    tab.page.keyboard.press("Control+V")
    tab.settle(caption=".png")
    assert tab.count == len(predict(tab.server, "shapes", png)) > 0


def test_drop(tab: Tab) -> None:
    """A file that is let go over the page, as the browser itself sees it."""
    session = tab.page.context.new_cdp_session(tab.page)
    is_dragging = "wanted => document.body.classList.contains('dragging') === wanted"

    def drag(*steps: str) -> None:
        data = {"items": [], "files": [str(WIDE)], "dragOperationsMask": 1}
        for step in steps:
            session.send("Input.dispatchDragEvent", {"type": step, "x": 300, "y": 300, "data": data})

    drag("dragEnter", "dragOver")
    tab.page.wait_for_function(is_dragging, arg=True)
    # What it fires when the file is carried out of the window, which cannot be done from here.
    tab.page.dispatch_event("main", "dragleave")
    assert tab.page.evaluate(is_dragging, False)
    drag("dragOver", "drop")
    tab.settle(caption="wide.jpg")
    assert tab.page.url == tab.server.url + "/"
    assert not tab.page.evaluate(is_dragging, True)
    assert tab.count == len(predict(tab.server, "shapes", WIDE.read_bytes())) > 0


# ---- Settings ----------------------------------------------------------------------------------------------


def test_sliders_change_what_is_found(tab: Tab) -> None:
    image = WIDE.read_bytes()
    tab.upload(WIDE)
    before, drawn = tab.count, tab.overlay()["sum"]
    tab.slide("conf", 0.9)
    assert (
        tab.count
        == len(tab.json["images"][0]["results"])
        == len(predict(tab.server, "shapes", image, conf=0.9))
    )
    assert tab.count < before
    assert tab.overlay()["sum"] != drawn
    assert tab.json["metadata"]["conf"] == 0.9
    assert tab.text("#confvalue") == "0.90"
    for snippet in ("#curl", "#python"):
        assert "0.9" in tab.text(snippet)

    tab.slide("conf", 0.95)
    assert tab.count == 0
    assert tab.overlay()["share"] == 0
    assert tab.text("#status").startswith("Nothing at 0.95 or above. The model knows ")

    tab.slide("conf", 0.01)
    many = []
    for iou in (0, 0.95):
        tab.slide("iou", iou)
        many.append(tab.count)
        assert tab.count == len(predict(tab.server, "shapes", image, conf=0.01, iou=iou))
        assert tab.json["metadata"]["iou"] == iou
    assert many[0] < many[1]


def test_drag_of_a_slider_ends_at_its_last_value(tab: Tab) -> None:
    """However fast it moves: never two questions at once, and the last one is about where it stopped."""
    tab.upload(WIDE)
    tab.page.evaluate("""async () => {
      const slider = document.getElementById("conf");
      for (let value = 0.2; value < 0.9; value += 0.01) {
        slider.value = value.toFixed(2);
        slider.dispatchEvent(new Event("input", {bubbles: true}));
        await new Promise(resolve => setTimeout(resolve, 10));
      }
    }""")
    tab.settle()
    assert tab.json["metadata"]["conf"] == 0.89
    assert tab.most_at_once == 1


def test_model_and_image_may_change_at_any_time(tab: Tab) -> None:
    """What is shown belongs together, in the end and on the way."""
    tab.upload(SHAPES)
    tab.page.evaluate("""() => {
      window.wrong = [];
      const check = () => {
        const text = ui.json.textContent, shown = text[0] === "{" && JSON.parse(text).metadata.model;
        if (shown && shown !== ui.model.value) wrong.push(`${shown} as ${ui.model.value}`);
      };
      new MutationObserver(check).observe(ui.json, {childList: true});
    }""")
    tab.page.select_option("#model", "shapes-obb")
    tab.page.select_option("#model", "shapes-pose")
    tab.page.set_input_files("#file", WIDE)
    tab.page.set_input_files("#file", STAR)
    tab.page.select_option("#model", "shapes-seg")
    tab.settle(caption="star.jpg")
    assert tab.page.evaluate("() => wrong") == []
    assert tab.json["metadata"]["model"] == "shapes-seg"
    assert tab.json["images"][0]["results"] == predict(tab.server, "shapes-seg", STAR.read_bytes())
    assert tab.most_at_once <= AT_ONCE


def test_keyboard_alone(tab: Tab) -> None:
    press = tab.page.keyboard.press
    order: list[str] = []
    while (not order or tab.focus != "iou") and len(order) < 20:
        press("Tab")
        order.append(tab.focus)
    assert order[1:] == ["drop", "file", "camera", "demo", "model", "conf", "iou"]

    with tab.page.expect_file_chooser() as chooser:
        for _ in order[:-2]:
            press("Shift+Tab")
        assert tab.focus == "drop"
        press("Enter")
    chooser.value.set_files(WIDE)
    tab.settle(caption="wide.jpg")
    while tab.focus != "demo":
        press("Tab")
    press("Enter")
    tab.settle(caption="demo.jpg")
    before = tab.count

    press("Tab")
    press("ArrowDown")
    tab.settle()
    assert tab.json["metadata"]["model"] != "shapes"
    press("ArrowUp")
    tab.settle()
    assert tab.json["metadata"]["model"] == "shapes"
    press("Tab")
    assert tab.focus == "conf"
    assert tab.css("#conf", "outlineStyle") == "solid"
    press("ArrowRight")
    tab.settle()
    assert tab.text("#confvalue") == "0.26"
    assert tab.json["metadata"]["conf"] == 0.26
    press("End")
    tab.settle()
    assert tab.count == 0
    press("Home")
    tab.settle()
    assert tab.json["metadata"]["conf"] == 0.01
    press("Tab")
    press("ArrowLeft")
    tab.settle()
    assert tab.json["metadata"]["iou"] == pytest.approx(0.4)
    assert tab.count >= before

    plain = tab.overlay()["sum"]
    press("Tab")  # the link to these settings
    press("Tab")  # into the list: the object that is pointed at stands out in the image
    press("ArrowDown")
    selected = "#results li[aria-selected=true]"
    assert tab.page.locator(selected).count() == 1
    assert tab.page.locator("#results li").nth(1).get_attribute("aria-selected") == "true"
    assert tab.overlay()["sum"] != plain
    press("Tab")
    assert tab.page.locator(selected).count() == 0
    assert tab.overlay()["sum"] == plain


# ---- When something goes wrong -----------------------------------------------------------------------------


def test_refusal_is_shown_in_plain_words_and_those_of_the_server(tab: Tab, tmp_path: Path) -> None:
    tab.expected = ["status of 415"]
    notes = tmp_path / "notes.jpg"
    notes.write_text("no image at all\n")
    tab.upload(SHAPES)
    tab.upload(notes, state="error")
    refused = tab.server.http.post("/v1/predict/shapes", files={"file": notes.read_bytes()})
    assert refused.status_code == 415
    assert tab.page.is_visible("#error")
    assert tab.text("#error") == "The server cannot read this file as an image."
    assert tab.text("#detail") == refused.json()["message"]
    assert tab.count == 0
    tab.upload(SHAPES)
    assert tab.page.is_hidden("#error")
    assert tab.count > 0


def test_server_that_is_gone(open_page: Open, start_server: Callable[..., Any]) -> None:
    """What is shown stays, marked as old; when the server is back, so is the page."""
    server = start_server()
    tab = open_page(server)
    tab.expected = ["ERR_CONNECTION_REFUSED"]
    tab.upload(SHAPES)
    before = tab.count
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    tab.page.fill("#conf", "0.3")
    tab.settle("error")
    assert tab.text("#error") == "The server does not answer. Is it still running?"
    assert tab.text("#detail") == ""
    assert tab.text("#status") == "What is shown is from before."
    assert tab.count == before
    assert float(tab.css("#overlay", "opacity")) < 0.5
    start_server(command=("-m", "yolean", "serve", "--port", str(server.port)), port=server.port)
    tab.page.click("#retry")
    tab.settle()
    assert tab.page.is_hidden("#error")
    assert tab.json["metadata"]["conf"] == 0.3
    assert tab.css("#overlay", "opacity") == "1"


def test_key(open_page: Open, locked: Any) -> None:
    tab = open_page(locked)
    tab.expected = ["status of 401"]
    assert tab.page.is_visible("#key")
    assert tab.page.get_attribute("#key", "type") == "password"
    tab.upload(SHAPES, state="error")
    assert tab.focus == "key"
    assert tab.text("#error").startswith("The server needs an API key")
    for key, error in (("wrong", "does not take this API key"), ("schlüssel", "characters that no key has")):
        tab.page.keyboard.type(key)
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_function(
            "error => document.getElementById('error').textContent.includes(error)"
            " || document.getElementById('detail').textContent.includes(error)",
            arg=error,
        )
        assert tab.focus == "key"  # and all of it is selected, so that typing replaces it
    tab.page.keyboard.type(KEY)
    tab.page.keyboard.press("Enter")
    tab.settle()
    assert tab.count > 0
    assert tab.page.is_hidden("#error")

    # It goes nowhere but into the header of a prediction.
    for snippet in ("#curl", "#python"):
        assert "API_KEY" in tab.text(snippet)
    assert KEY not in tab.page.content()
    carried = {r.url.rpartition("/v1/")[2] for r in tab.asked if KEY in r.all_headers().values()}
    assert carried == {"predict/shapes"}
    assert not any(KEY in r.url for r in tab.asked)
    assert KEY not in locked.log
    assert tab.page.evaluate("() => [localStorage.length, document.cookie]") == [0, ""]
    tab.page.reload()
    tab.page.wait_for_selector("#model option", state="attached")
    assert tab.page.input_value("#key") == KEY
    tab.upload(SHAPES)
    fresh = open_page(locked)
    assert fresh.page.input_value("#key") == ""


def test_no_network(tab: Tab) -> None:
    tab.expected = ["ERR_INTERNET_DISCONNECTED"]
    tab.upload(SHAPES)
    tab.page.context.set_offline(True)
    tab.page.fill("#conf", "0.3")
    tab.settle("error")
    assert tab.text("#error") == "You are offline: there is no network."
    tab.page.context.set_offline(False)
    tab.page.click("#retry")
    tab.settle()
    assert tab.json["metadata"]["conf"] == 0.3


def test_image_that_is_too_large(open_page: Open, start_local: Callable[..., Any], tmp_path: Path) -> None:
    """Whether the server's 413 comes through or the connection ends while the image is still on its way."""
    tab = open_page(start_local(Settings(max_body=100_000)))
    tab.expected = ["status of 413", "ERR_CONNECTION_RESET", "ERR_CONNECTION_ABORTED"]
    for size in (150_000, 20_000_000):
        large = tmp_path / f"{size}.jpg"
        large.write_bytes(SHAPES.read_bytes() + b"\0" * size)
        tab.upload(large, state="error")
        assert "too large" in tab.text("#error")
    tab.upload(SHAPES)
    assert tab.page.is_hidden("#error")


def test_busy_server(tab: Tab) -> None:
    """It is asked again once, after the time that it names; then it is for the user to say when."""
    tab.expected = ["status of 503"]
    answers = iter([503, 503])

    def busy(route: Route) -> None:
        status = next(answers, None)
        if status is None:
            return route.continue_()
        body = json.dumps({"success": False, "message": "64 requests wait already, send it again in 1 s"})
        return route.fulfill(status=status, body=body, headers={"retry-after": "0.2"})

    tab.page.route("**/v1/predict/*", busy)
    tab.upload(SHAPES, state="error")
    assert tab.text("#error") == "The server is busy. Try again in a moment."
    assert tab.text("#detail") == "64 requests wait already, send it again in 1 s"
    tab.page.click("#retry")
    tab.settle()
    assert tab.count == len(predict(tab.server, "shapes", SHAPES.read_bytes()))


# ---- The snippets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["v1", "v2", "platform"])
@pytest.mark.parametrize("snippet", ["curl", "python"])
@pytest.mark.parametrize("which", ["server", "locked"])
def test_snippets_run(
    open_page: Open, request: pytest.FixtureRequest, tmp_path: Path, which: str, snippet: str, dialect: str
) -> None:
    """As they stand there, beside an image.jpg, and with the key filled in."""
    tab = open_page(request.getfixturevalue(which), permissions=["clipboard-read", "clipboard-write"])
    tab.choose("shapes-seg")
    if which == "locked":
        tab.page.fill("#key", KEY)
    tab.upload(WIDE)
    tab.slide("conf", 0.6)
    tab.slide("iou", 0.3)
    tab.page.check(f"[name=dialect][value={dialect}]")
    tab.page.click(f"[data-copy={snippet}]")
    tab.page.wait_for_function(
        "name => document.querySelector(`[data-copy=${name}]`).textContent === 'Copied'", arg=snippet
    )
    text = str(tab.page.evaluate("() => navigator.clipboard.readText()"))
    assert text == tab.text(f"#{snippet}")
    assert ("API_KEY" in text) == (which == "locked")
    (tmp_path / "image.jpg").write_bytes(WIDE.read_bytes())
    command = ["bash", "-euc", text] if snippet == "curl" else [sys.executable, "-Werror", "-c", text]
    command[-1] = command[-1].replace("API_KEY", KEY)
    ran = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=30, env={**os.environ, "NO_PROXY": "*"}
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout) if snippet == "curl" else ast.literal_eval(ran.stdout)
    items = found["data"] if dialect == "v1" else found["images"][0]["results"]
    assert ("imageCount" in found.get("metadata", {})) == (dialect == "platform")
    assert [item["name"] for item in items] == tab.page.locator("#results .name").all_text_contents()
    assert len(items) == tab.count > 0


# ---- Webcam ------------------------------------------------------------------------------------------------


def test_webcam(tab: Tab) -> None:
    page = tab.page
    tab.upload(STAR)

    def answered(more: int) -> None:
        limit = tab.answers + more
        tab.wait_for(lambda: tab.answers >= limit, f"{more} more answers")

    page.click("#camera")
    tab.settle("live")
    assert tab.focus == "stop"
    answered(3)
    page.wait_for_function("() => parseFloat(document.getElementById('fps').textContent) > 1")
    page.evaluate("() => { window.lent = document.getElementById('video').srcObject.getTracks(); }")
    seen = page.evaluate("() => [ui.overlay.dataset.count, ui.overlay.clientWidth, ui.image.width]")
    assert int(seen[0]) > 0, "the webcam is shown the demo image"
    assert tab.overlay()["share"] > 0
    assert page.is_visible("#image")
    assert tab.text("#status") == "The webcam is running."  # said once, not with every frame

    page.fill("#conf", "1")  # the next frames are asked about with it
    page.wait_for_function("() => document.getElementById('overlay').dataset.count === '0'")
    page.fill("#conf", "0.25")
    page.select_option("#model", "shapes-pose")
    answered(3)
    assert any(r.url.endswith("/shapes-pose") for r in tab.asked)
    assert tab.most_at_once == 1
    page.select_option("#model", "shapes")

    # Stopped, it gives the camera back and asks no more; the image from before is shown again.
    page.click("#stop")
    tab.settle(caption="star.jpg")
    asked = len(tab.asked)
    page.wait_for_timeout(300)
    assert len(tab.asked) == asked
    assert page.evaluate("() => lent.map(track => track.readyState)") == ["ended"]
    assert tab.count == len(predict(tab.server, "shapes", STAR.read_bytes()))

    # One frame of it can be kept; Escape stops it, too.
    page.click("#camera")
    tab.settle("live")
    page.click("#use")  # waits until there is a frame
    tab.settle(caption="webcam.jpg")
    assert tab.count > 0
    page.click("#camera")
    tab.settle("live")
    page.keyboard.press("Escape")
    tab.settle(caption="webcam.jpg")
    assert tab.focus == "camera"


def test_webcam_that_is_refused(open_page: Open) -> None:
    tab = open_page()
    tab.page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia ="
        " async () => { throw new DOMException('no', 'NotAllowedError'); } }"
    )
    tab.page.click("#camera")
    tab.settle("error")
    assert tab.text("#error") == "This page may not use the webcam."


# ---- Looks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [360, 320])
def test_phone(open_page: Open, tmp_path: Path, width: int) -> None:
    """Nothing sticks out to the side, whatever is shown; the overlay has the screen's own pixels."""
    tab = open_page(
        viewport={"width": width, "height": 740}, device_scale_factor=2, has_touch=True, is_mobile=True
    )
    tab.expected = ["status of 415"]

    def fits() -> None:
        sizes = tab.page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth, innerWidth]"
        )
        assert sizes == [width, width, width]

    fits()
    long = tmp_path / f"{'very-long-name-without-blanks' * 4}.jpg"
    long.write_bytes(WIDE.read_bytes())
    tab.upload(long)
    tab.page.tap("#answer summary")
    for model in DEMO_MODELS.values():
        tab.choose(model)
        tab.settle()
        fits()
    assert tab.page.eval_on_selector("#overlay", "({width, clientWidth}) => width / clientWidth") == 2
    long.write_text("no image")
    tab.page.set_input_files("#file", long)
    tab.settle("error")
    fits()


def luminance(colour: str) -> float:
    """WCAG's relative luminance of what the browser calls rgb(1, 2, 3)."""
    rgb = np.array([float(part) for part in re.findall(r"[\d.]+", colour)[:3]]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours(open_page: Open, tmp_path: Path, scheme: str) -> None:
    """The scheme is the system's, and every text stands out from its ground by 4.5 to 1."""
    tab = open_page(color_scheme=scheme)
    tab.expected = ["status of 415"]
    ground = luminance(tab.css("body", "backgroundColor"))
    assert ground < 0.05 if scheme == "dark" else ground > 0.8
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    tab.upload(bad, state="error")
    pairs = {
        ".card": ["#status", "#about", "#confhint", "#caption", "h2", "#camera"],
        "body": ["h1", "header a"],
        "#problem": ["#error", "#retry"],
        "pre": ["#curl"],
        "label[for=file]": ["label[for=file]"],
        "select": ["select"],
    }
    for behind, texts in pairs.items():
        back = luminance(tab.css(behind, "backgroundColor"))
        for text in texts:
            light, dark = sorted((luminance(tab.css(text, "color")), back), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{text} on {behind}"


def test_what_a_screen_reader_is_told(tab: Tab) -> None:
    """As Chromium tells it: all that can be operated has a name, and news are announced."""
    tab.upload(SHAPES)
    unlabelled = tab.page.eval_on_selector_all(
        "input, select, textarea",
        "all => all.filter(one => !one.labels.length && !one.ariaLabel).map(one => one.id)",
    )
    assert not unlabelled
    assert tab.page.get_attribute("html", "lang") == "en"
    session = tab.page.context.new_cdp_session(tab.page)
    nodes = [n for n in session.send("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]

    def properties(node: dict[str, Any]) -> dict[str, Any]:
        return {p["name"]: p["value"].get("value") for p in node.get("properties", [])}

    def name(node: dict[str, Any]) -> str:
        return str(node.get("name", {}).get("value", ""))

    focusable = [n for n in nodes if properties(n).get("focusable") and n["role"]["value"] != "RootWebArea"]
    assert {name(n) for n in focusable} >= {"Model", "Confidence", "IoU", "Choose images", "Webcam"}
    assert all(name(n) for n in focusable), [n["role"] for n in focusable if not name(n)]
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    for selector, live in (("#status", "polite"), ("#alert", "assertive")):
        found = session.send("DOM.querySelector", {"nodeId": root, "selector": selector})
        (node,) = session.send("Accessibility.getPartialAXTree", {**found, "fetchRelatives": False})["nodes"]
        assert node["ignored"] or properties(node)["live"] == live  # hidden as long as there is no error
        assert not (node["ignored"] and selector == "#status")
    status = tab.text("#status")
    assert status.startswith(f"{tab.count} objects: ")
    images = [name(n) for n in nodes if n["role"]["value"] in ("image", "img")]
    assert images == [status], "the overlay tells in words what it shows"
    assert tab.page.get_attribute("#alert", "role") == "alert"


def test_screenshot(open_page: Open, tmp_path: Path) -> None:
    """The README's image, down to the end of the strip; YOLEAN_SCREENSHOT=docs/page.jpg keeps it."""
    tab = open_page(color_scheme="light")
    tab.choose("shapes-seg")
    tab.upload_all(list(IMAGES.values()))
    for conf in (0.3, 0.25):  # the model is warm now
        tab.slide("conf", conf)
    tab.wait_for_all()
    tab.page.evaluate("() => document.activeElement.blur()")
    stage = tab.page.locator(".stage").bounding_box()
    assert stage is not None
    height = round(stage["y"] + stage["height"]) + 8
    path = Path(os.environ.get("YOLEAN_SCREENSHOT") or tmp_path / "page.jpg")
    tab.page.mouse.move(640, 1)
    clip: Any = {"x": 0, "y": 0, "width": 1280, "height": height}
    tab.page.screenshot(path=path, type="jpeg", quality=80, clip=clip)
    assert path.stat().st_size < 300_000
    assert image_from_bytes(path.read_bytes()).shape == (height, 1280, 3)
