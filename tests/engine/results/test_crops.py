from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from yolean.engine.images.frames import Frame
from yolean.engine.results.crops import crops, save_crops
from yolean.engine.results.results import Results
from yolean.postprocess.detections import Detections
from yolean.postprocess.layout import Task
from yolean.postprocess.types import Size


def results(task: Task, boxes: Any, names: dict[int, str] | None = None) -> Results:
    """Objects of class 0 in an image of 200 x 100 whose red is the column and green the row."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[..., 2], image[..., 1] = np.arange(200), np.arange(100)[:, None]
    count = len(boxes)
    found = Detections(
        np.array(boxes, np.float32), np.full(count, 0.9, np.float32), np.zeros(count, np.int64)
    )
    return Results(Frame(image, "a.png", 0, None, 0.0), names or {0: "cat"}, task, found, {}, Size(64, 64))


def test_a_box_has_a_margin_and_ends_at_the_image() -> None:
    inner, border = crops(results("detect", [(50, 20, 150, 70), (150, 0, 200, 100)]))
    assert inner[0] == "cat"
    assert inner[1].shape == (61, 112, 3)  # 50 * 1.02 + 10, 100 * 1.02 + 10
    assert inner[1][0, 0].tolist() == [0, 14, 44]
    assert border[1].shape == (100, 56, 3)


def test_a_rotated_box_is_turned_upright() -> None:
    ((_, crop),) = crops(results("obb", [(100, 50, 60, 20, np.pi / 2)]))
    assert crop.shape == (20, 60, 3)
    assert abs(int(crop[10, 5, 2]) - int(crop[10, 55, 2])) <= 1  # along it, columns stay
    assert abs(int(crop[10, 5, 1]) - int(crop[10, 55, 1])) == 50


def test_files_have_numbers_and_stay_in_their_folder(tmp_path: Path) -> None:
    found = results("detect", [(50, 20, 150, 70), (10, 10, 20, 20)], {0: "../../up"})
    written = found.save_crop(tmp_path / "crops", "photo.png") + found.save_crop(tmp_path / "crops", "photo")
    assert [path.name for path in written] == ["photo.jpg", "photo-2.jpg", "photo-3.jpg", "photo-4.jpg"]
    assert {path.parent for path in written} == {tmp_path / "crops" / "_.._up"}
    image = cv2.imread(str(written[0]))
    assert image is not None
    assert image.shape == (61, 112, 3)
    with pytest.raises(yolean.InputError, match="cannot write"):
        save_crops(found, written[0], "below")
    assert results("classify", np.zeros((0, 4))).save_crop(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
