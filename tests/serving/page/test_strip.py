"""Several images at once: the strip of thumbnails, and how the server is asked about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_tab import AT_ONCE, IMAGES, SHAPES, STAR, WIDE, Open, Tab, predict
from yolean.serving.settings import Settings

pytestmark = pytest.mark.browser

ALL = list(IMAGES.values())


def counts(tab: Tab, files: list[Path], model: str = "shapes", **fields: object) -> list[str]:
    """What the badges of these images have to say."""
    return [str(len(predict(tab.server, model, file.read_bytes(), **fields))) for file in files]


def test_every_image_keeps_its_results(tab: Tab) -> None:
    tab.page.set_input_files("#file", SHAPES)
    tab.settle(caption=SHAPES.name)
    assert tab.page.is_hidden("#strip")  # one image alone needs none
    tab.upload_all([WIDE, STAR])
    files = [SHAPES, WIDE, STAR]
    assert tab.badges == counts(tab, files)
    labels = tab.page.locator("#thumbs li").evaluate_all("all => all.map(one => one.ariaLabel)")
    for label, file in zip(labels, files, strict=True):
        assert label.startswith(f"{file.name}: ")
        assert "object" in label
    assert tab.most_at_once <= AT_ONCE

    asked = tab.answers
    for at in (2, 0, 1):
        tab.page.click(f"#thumbs li:nth-child({at + 1})")
        tab.settle(caption=files[at].name)
        assert tab.json["images"][0]["results"] == predict(tab.server, "shapes", files[at].read_bytes())
        assert tab.page.locator("#thumbs li[aria-selected=true]").count() == 1
        assert str(tab.count) == tab.badges[at]
    assert tab.answers == asked  # looking costs the server nothing

    # Thresholds and model hold for all.
    tab.slide("conf", 0.9)
    tab.wait_for_all()
    assert tab.badges == counts(tab, files, conf=0.9)
    tab.slide("conf", 0.1)
    tab.choose("shapes-cls")
    tab.wait_for_all()
    best = [predict(tab.server, "shapes-cls", file.read_bytes(), conf=0.1)[0] for file in files]
    assert tab.badges == [item["name"] for item in best]


def test_drag_of_a_slider_asks_about_the_image_in_view_alone(tab: Tab) -> None:
    """The others follow when it rests."""
    tab.upload_all(ALL)
    before = tab.answers
    tab.page.evaluate("""async () => {
      const slider = document.getElementById("conf");
      for (let value = 0.2; value < 0.6; value += 0.01) {
        slider.value = value.toFixed(2);
        slider.dispatchEvent(new Event("input", {bubbles: true}));
        await new Promise(resolve => setTimeout(resolve, 10));
      }
    }""")
    tab.settle()
    tab.wait_for_all()
    assert tab.answers - before < 40 + len(ALL)
    assert tab.badges == counts(tab, ALL, conf=0.59)
    assert tab.most_at_once <= AT_ONCE


def test_many_images_do_not_flood_a_server(
    open_page: Open, start_local: Callable[..., Any], tmp_path: Path
) -> None:
    """Of a server that lets one request wait, all get their answer, however often it is busy."""
    tab = open_page(start_local(Settings(max_queue=1)))
    tab.expected = ["status of 503"]
    files = []
    for number in range(15):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(ALL[number % len(ALL)].read_bytes())
        files.append(file)
    tab.page.context.set_default_timeout(60_000)
    tab.upload_all(files)
    assert tab.page.is_hidden("#problem")
    assert tab.badges == counts(tab, files)
    assert tab.most_at_once <= AT_ONCE


def test_one_bad_image_among_good_ones(tab: Tab, tmp_path: Path) -> None:
    tab.expected = ["status of 415"]
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    tab.upload_all([SHAPES, bad, STAR])
    assert tab.badges[1] == "!"
    assert tab.badges[::2] == counts(tab, [SHAPES, STAR])
    assert tab.page.is_hidden("#problem")  # that in view is fine
    tab.page.click("#thumbs li:nth-child(2)")
    tab.settle("error", "bad.jpg")
    assert tab.text("#error") == "The server cannot read this file as an image."
    assert tab.page.is_hidden("#save")
    tab.page.click("#thumbs li:nth-child(3)")
    tab.settle("done", STAR.name)
    assert tab.page.is_hidden("#problem")


def test_server_that_ends_amid_the_images(tab: Tab) -> None:
    """One problem is told, not one for each image; when it is over, the rest is asked about."""
    tab.expected = ["ERR_FAILED"]
    calls: list[str] = []

    def break_off(route: Any) -> None:
        calls.append(route.request.url)
        if len(calls) > 1:
            route.abort()
        else:
            route.continue_()

    tab.page.route("**/v1/predict/*", break_off)
    tab.page.route("**/livez", lambda route: route.abort())
    tab.page.set_input_files("#file", ALL)
    tab.settle("error")
    assert tab.text("#error") == "The server does not answer. Is it still running?"
    tab.page.wait_for_timeout(500)
    assert len(calls) <= AT_ONCE  # and not again and again
    assert " of 4 answered" in tab.text("#progresstext")
    tab.page.unroute("**/v1/predict/*")
    tab.page.click("#retry")
    tab.settle()
    tab.wait_for_all()
    assert tab.badges == counts(tab, ALL)
    assert tab.page.is_hidden("#problem")


def test_keyboard(tab: Tab) -> None:
    """Arrows show the images beside, Delete takes one away; the focus is never lost."""
    tab.upload_all(ALL)
    press = tab.page.keyboard.press
    tab.page.focus("#thumbs li[aria-selected=true]")
    selected = "() => Array.from(document.querySelectorAll('#thumbs li')).indexOf(document.activeElement)"
    for key, at in (("ArrowRight", 1), ("End", 3), ("ArrowRight", 3), ("ArrowLeft", 2), ("Home", 0)):
        press(key)
        tab.settle("done", ALL[at].name)
        assert tab.page.evaluate(selected) == at
        assert tab.css("#thumbs li:focus", "outlineStyle") == "solid"
    tabbable = "all => all.filter(one => one.tabIndex === 0).length"
    assert tab.page.eval_on_selector_all("#thumbs li", tabbable) == 1

    press("Delete")
    tab.settle("done", ALL[1].name)
    assert tab.page.evaluate(selected) == 0
    press("End")
    tab.settle("done", ALL[3].name)
    press("Delete")
    tab.settle("done", ALL[2].name)
    assert tab.badges == counts(tab, ALL[1:3])
    press("Tab")
    assert tab.focus == "remove"
    press("Tab")
    press("Enter")  # all of them
    tab.settle("empty")
    assert tab.focus == "drop"
    assert tab.page.is_visible("#drop")
    assert tab.page.is_hidden("#strip")
    assert tab.overlay()["share"] == 0
    tab.upload(SHAPES)
    assert tab.count > 0


def test_more_images_than_there_is_room_for(tab: Tab) -> None:
    tab.page.evaluate(
        """async () => {
          const blob = await fetch("/demo.jpg").then(reply => reply.blob());
          const file = number => new File([blob], `${number}.jpg`, {type: "image/jpeg"});
          await addImages(Array.from({length: 103}, (_, number) => file(number)));
        }"""
    )
    assert tab.page.locator("#thumbs li").count() == 100
    assert tab.text("#error") == "100 images at a time: 3 images left out."
    tab.page.click("#removeall")


def test_screen_reader_is_told_what_the_strip_holds(tab: Tab) -> None:
    tab.upload_all(ALL)
    session = tab.page.context.new_cdp_session(tab.page)
    nodes = [n for n in session.send("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
    named = [(n["role"]["value"], n["name"]["value"]) for n in nodes if "role" in n and "name" in n]
    assert ("listbox", "Images") in named
    options = [name for role, name in named if role == "option"]
    for file in ALL:
        assert any(name.startswith(f"{file.name}: ") for name in options)
