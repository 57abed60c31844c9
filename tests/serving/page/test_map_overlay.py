"""Semantic masks and depth on the page: the overlay, its opacity, the legend, and what the pointer reads."""

from __future__ import annotations

import base64
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser_tab import SHAPES, WIDE, Tab
from numpy.typing import NDArray
from yolean.engine.results.palette import colour

pytestmark = pytest.mark.browser

FILTERS = (
    cv2.IMWRITE_PNG_FILTER_NONE,
    cv2.IMWRITE_PNG_FILTER_SUB,
    cv2.IMWRITE_PNG_FILTER_UP,
    cv2.IMWRITE_PNG_FILTER_AVG,
    cv2.IMWRITE_PNG_FILTER_PAETH,
    cv2.IMWRITE_PNG_ALL_FILTERS,
)
SEMANTIC, DEPTH = "shapes-sem", "shapes-depth"


def answer_of(tab: Tab, model: str, image: bytes, **fields: object) -> dict[str, Any]:
    """What the server answers about an image: the item of the image."""
    response = tab.server.http.post(f"/api/models/{model}/predict", files={"file": image}, data=fields)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()["images"][0]
    return found


def pixels_of(png: str) -> NDArray[Any]:
    """The values of a PNG in base64."""
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels


def reads(tab: Tab, metres: object) -> bool:
    """Whether the page tells this depth at the pointer."""
    text = tab.text("#readout").removesuffix(" m")
    return bool(text) and float(text) == metres


def metres_of(depth: dict[str, Any]) -> NDArray[np.float64]:
    """The depth of each pixel."""
    pixels = pixels_of(depth["data"])
    metres: NDArray[np.float64] = pixels.astype(np.float64) * depth["max"] / np.iinfo(pixels.dtype).max
    return metres


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_of_a_png_is_read(tab: Tab, dtype: type[np.unsignedinteger[Any]]) -> None:
    """With each of the filters that rows may have; a canvas would give 8 bits and change them."""
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(60) ** 2, np.arange(83) * 37)
    noise = rng.integers(0, np.iinfo(dtype).max, (60, 83))
    for image in (smooth.astype(dtype), noise.astype(dtype), (smooth // 7 + noise % 3).astype(dtype)):
        for strategy in (cv2.IMWRITE_PNG_STRATEGY_DEFAULT, cv2.IMWRITE_PNG_STRATEGY_FILTERED):
            options = [cv2.IMWRITE_PNG_STRATEGY, strategy]
            for chosen in FILTERS:
                encoded = cv2.imencode(".png", image, [*options, cv2.IMWRITE_PNG_FILTER, chosen])[1]
                text = base64.b64encode(encoded.tobytes()).decode()
                found = tab.page.evaluate(
                    "async text => { const {width, height, values} = await readPng(text);"
                    " return [width, height, Array.from(values)]; }",
                    text,
                )
                assert found[:2] == [83, 60]
                assert np.array_equal(np.array(found[2]).reshape(60, 83), image)


def test_classes(tab: Tab) -> None:
    """Each pixel in the colour of its class; the rows are the legend, the largest class first."""
    tab.choose(SEMANTIC)
    for name in ("#conf", "#iou"):
        assert tab.page.is_hidden(name)
    tab.upload(SHAPES)
    found = answer_of(tab, SEMANTIC, SHAPES.read_bytes())
    mask = pixels_of(found["semantic_mask"]["data"])
    items = sorted(found["results"], key=lambda item: -item["pixel_ratio"])
    rows = tab.page.locator("#results li")
    assert rows.locator(".name").all_text_contents() == [item["name"] for item in items]
    assert rows.locator(".score").all_text_contents() == [f"{item['pixel_ratio']:.1%}" for item in items]
    assert tab.text("#status").startswith(f"{len(items)} classes: {items[0]['name']} ")

    points = []
    for item in items:  # far from the borders of the class and of the image
        own_part = np.pad((mask == item["class"]).astype(np.uint8), 1)
        inside = cv2.distanceTransform(own_part, cv2.DIST_L2, 5)[1:-1, 1:-1]
        y, x = np.unravel_index(inside.argmax(), inside.shape)
        points.append(((x + 0.5) / mask.shape[1], (y + 0.5) / mask.shape[0]))
    for opacity in (0.6, 1, 0):
        tab.page.fill("#opacity", str(opacity))
        assert tab.text("#opacityvalue") == f"{opacity:.0%}"
        seen = np.array(tab.overlay(points)["colours"])
        assert np.abs(seen[:, 3] - 255 * opacity).max() < 3
        own = np.array([colour(item["class"])[::-1] for item in items])
        assert opacity == 0 or np.abs(seen[:, :3] - own).max() < 6

    # Pointing at a row makes its class stand out; pointing at the image chooses the row.
    tab.page.fill("#opacity", "1")
    rows.nth(1).hover()
    alphas = [alpha for *_, alpha in tab.overlay(points)["colours"]]
    assert alphas[1] == 255
    assert max(alphas[:1] + alphas[2:]) < 128
    box = tab.page.locator("#overlay").bounding_box()
    assert box is not None
    tab.page.mouse.move(box["x"] + points[0][0] * box["width"], box["y"] + points[0][1] * box["height"])
    tab.wait_for(lambda: rows.nth(0).get_attribute("aria-selected") == "true", "the row of the class")


def test_depth(tab: Tab) -> None:
    """Near is red and far is blue, as in `result.plot()`; the legend and the pointer tell the metres."""
    tab.choose(DEPTH)
    tab.upload(SHAPES)
    metres = metres_of(answer_of(tab, DEPTH, SHAPES.read_bytes(), bits=16)["depth"])
    near, far = np.quantile(metres[metres > 0], 0.01), metres.max()
    ticks = tab.page.locator("#ticks span").all_text_contents()
    numbers = [float(tick.strip("< m")) for tick in ticks]
    assert numbers == pytest.approx([near, 2 / (1 / near + 1 / far), far], rel=0.03)
    assert tab.text("#status") == f"Depth from {metres.min():.2f} m to {far:.{2 if far < 10 else 1}f} m."
    assert tab.page.is_visible("#gradient")
    assert tab.page.locator("#results li").count() == 0

    tab.page.fill("#opacity", "1")
    levels = ((1 / metres - 1 / far) * 255 / (1 / near - 1 / far)).clip(0, 255).astype(np.uint8)
    tints = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
    smooth = np.abs(metres - cv2.blur(metres, (9, 9)))  # where drawing it larger changes little
    box = tab.page.locator("#overlay").bounding_box()
    assert box is not None
    places = [np.unravel_index(at, metres.shape) for at in smooth.ravel().argsort()[:4000:400]]
    for y, x in places:
        part = ((x + 0.5) / metres.shape[1], (y + 0.5) / metres.shape[0])
        seen = np.array(tab.overlay([part])["colours"][0])
        assert np.abs(seen[:3] - tints[y, x][::-1]).max() < 20
        tab.page.mouse.move(box["x"] + part[0] * box["width"], box["y"] + part[1] * box["height"])
        right = pytest.approx(metres[y, x], rel=0.02)
        tab.wait_for(partial(reads, tab, right), f"{metres[y, x]} m at {x}, {y}")
    tab.page.mouse.move(1, 1)
    tab.page.wait_for_selector("#readout", state="hidden")


def test_legend_leaves_the_page_with_the_image(tab: Tab, tmp_path: Path) -> None:
    tab.choose(DEPTH)
    tab.upload(SHAPES)
    with tab.page.expect_download() as waiting:
        tab.page.click("#saveimage")
    waiting.value.save_as(tmp_path / "depth.png")
    image = cv2.imread(str(tmp_path / "depth.png"))
    assert image is not None
    assert image.shape[:2] == tuple(answer_of(tab, DEPTH, SHAPES.read_bytes())["shape"])
    corner = image[-80:, :320].astype(int)  # from red to blue, next to each other
    ends = [np.array(rgb[::-1]) for rgb in ((122, 4, 3), (48, 18, 59))]
    at = [np.argwhere(np.abs(corner - end).max(2) < 12) for end in ends]
    assert len(at[0]) > 0 < len(at[1])
    assert at[0][:, 1].min() + 100 < at[1][:, 1].max()


@pytest.mark.parametrize("model", [SEMANTIC, DEPTH])
def test_snippets_speak_the_dialect_that_has_maps(tab: Tab, tmp_path: Path, model: str) -> None:
    tab.choose(model)
    disabled = tab.page.locator("[name=dialect]").evaluate_all("all => all.map(one => one.disabled)")
    assert disabled == [True, True, False]
    assert tab.page.is_checked("[name=dialect][value=platform]")
    assert "HUB had no such task" in tab.text("#dialectnote")
    (tmp_path / "image.jpg").write_bytes(WIDE.read_bytes())
    for command in (["bash", "-euc", tab.text("#curl")], [sys.executable, "-c", tab.text("#python")]):
        ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert ("semantic_mask" if model == SEMANTIC else "'depth'") in ran.stdout.replace('"', "'")
    tab.choose("shapes")
    assert tab.page.is_checked("[name=dialect][value=v1]")  # what was chosen before
