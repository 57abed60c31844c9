"""Results as files: what the server answered, and the image with what was found on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browser_tab import SHAPES, STAR, WIDE, Tab, predict
from yolean.engine.results.palette import colour

pytestmark = pytest.mark.browser


def download(tab: Tab, button: str, folder: Path) -> Path:
    """The file that a button gives."""
    with tab.page.expect_download() as waiting:
        tab.page.click(button)
    file = folder / waiting.value.suggested_filename
    waiting.value.save_as(file)
    return file


def test_json(tab: Tab, tmp_path: Path) -> None:
    tab.choose("shapes-seg")
    tab.upload(WIDE)
    tab.slide("conf", 0.6)
    file = download(tab, "#savejson", tmp_path)
    assert file.name == "wide-shapes-seg.json"
    answer = json.loads(file.read_text())
    assert answer["images"][0]["results"] == predict(tab.server, "shapes-seg", WIDE.read_bytes(), conf=0.6)
    assert answer["metadata"]["conf"] == 0.6
    assert tab.page.is_hidden("#saveall")


def test_annotated_image(tab: Tab, tmp_path: Path) -> None:
    """The image at its own size, with frames in the colours of the classes, and as it was elsewhere."""
    tab.upload(SHAPES)
    file = download(tab, "#saveimage", tmp_path)
    assert file.name == "shapes-shapes.png"
    assert file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    image, plain = cv2.imread(str(file)), cv2.imread(str(SHAPES))
    assert image is not None
    assert plain is not None
    assert image.shape == plain.shape
    items = predict(tab.server, "shapes", SHAPES.read_bytes())
    for item in items:
        x1, y1, x2, y2 = (round(item["box"][name]) for name in ("x1", "y1", "x2", "y2"))
        middles = [(x1, (y1 + y2) // 2), (x2, (y1 + y2) // 2), ((x1 + x2) // 2, y1), ((x1 + x2) // 2, y2)]
        near = [image[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].reshape(-1, 3) for x, y in middles]
        own = [(np.abs(each.astype(int) - colour(item["class"])).max(1) < 40).any() for each in near]
        assert sum(own) >= 2, item  # names may lie over the others
    changed = np.abs(image.astype(int) - plain).max(2) > 12
    assert 0.002 < changed.mean() < 0.2


def test_large_image_is_saved_at_its_own_size(tab: Tab, tmp_path: Path) -> None:
    """Lines and names grow with it, so that they can be seen."""
    large = cv2.resize(np.asarray(cv2.imread(str(SHAPES))), (3200, 2400))
    cv2.imwrite(str(tmp_path / "large.jpg"), large)
    tab.upload(tmp_path / "large.jpg")
    image = cv2.imread(str(download(tab, "#saveimage", tmp_path)))
    assert image is not None
    assert image.shape == (2400, 3200, 3)
    item = predict(tab.server, "shapes", (tmp_path / "large.jpg").read_bytes())[0]
    middle = round((item["box"]["y1"] + item["box"]["y2"]) / 2)
    row = np.abs(image[middle].astype(int) - colour(item["class"])).max(1) < 12
    left = round(item["box"]["x1"])
    assert row[left - 8 : left + 9].sum() >= 5


def test_image_that_the_browser_cannot_show(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "shapes.tif"
    cv2.imwrite(str(file), np.asarray(cv2.imread(str(SHAPES))))
    tab.upload(file)
    assert tab.count > 0
    tab.page.click("#saveimage")
    tab.settle("error")
    assert tab.text("#error").startswith("This browser cannot show the image")
    answer = json.loads(download(tab, "#savejson", tmp_path).read_text())
    assert len(answer["images"][0]["results"]) == tab.count


def test_all_at_once(tab: Tab, tmp_path: Path) -> None:
    tab.expected = ["status of 415"]
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    tab.upload_all([SHAPES, bad, STAR])
    file = download(tab, "#saveall", tmp_path)
    assert file.name == "images-shapes.json"
    saved: dict[str, Any] = json.loads(file.read_text())
    assert saved["model"] == "shapes"
    assert [each["file"] for each in saved["images"]] == [SHAPES.name, "bad.jpg", STAR.name]
    for each, image in zip(saved["images"], (SHAPES, None, STAR), strict=True):
        if image is None:
            assert each["error"].startswith("The server cannot read this file as an image. ")
            assert "answer" not in each
        else:
            found = each["answer"]["images"][0]["results"]
            assert found == predict(tab.server, "shapes", image.read_bytes())
