from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from yolean.engine.images.frames import Frame
from yolean.engine.results.results import Results
from yolean.postprocess.detections import Detections
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.layout import Task
from yolean.postprocess.masks import InstanceMasks
from yolean.postprocess.types import Size

NAMES = {0: "cat", 1: "fox", 2: "dog"}
SCORES = np.array([0.9, 0.8, 0.7], np.float32)
CLASSES = np.array([1, 0, 1])
XYXY = np.array([[10, 20, 50, 40], [0, 0, 200, 100], [5, 5, 6, 7]], np.float32)


def results(task: Task = "detect", boxes: Any = XYXY, **views: Any) -> Any:
    """Three objects (or as many as given) in an image of 200 x 100."""
    frame = Frame(np.zeros((100, 200, 3), np.uint8), "folder/film.mp4", 7, 25.0, 1.5)
    found = Detections(boxes, SCORES[: len(boxes)], CLASSES[: len(boxes)], **views)
    return Results(frame, NAMES, task, found, {"inference": 1.0}, Size(64, 64))


def masks(count: int = 3) -> Any:
    geometry = Geometry.letterbox(Size(100, 200), Size(64, 64))
    crops = tuple(np.ones((4, 5 + i), np.uint8) for i in range(count))
    return InstanceMasks(crops, np.array([[10, 20 + i] for i in range(count)]), geometry)


def test_boxes_in_every_format() -> None:
    boxes = results().boxes
    np.testing.assert_array_equal(boxes.xywh[0], [30, 30, 40, 20])
    np.testing.assert_allclose(boxes.xyxyn[0], [0.05, 0.2, 0.25, 0.4])
    np.testing.assert_allclose(boxes.xywhn[0], [0.15, 0.3, 0.2, 0.2])
    np.testing.assert_allclose(boxes.data[0], [10, 20, 50, 40, 0.9, 1])
    assert boxes.data.shape == (3, 6)
    assert boxes.cls.dtype == np.int64


@pytest.mark.parametrize("view", ["boxes", "keypoints", "masks"])
def test_indexing_keeps_the_first_axis(view: Any) -> None:
    points = np.arange(18, dtype=np.float32).reshape(3, 2, 3)
    found = getattr(results("pose", keypoints=points, masks=masks()), view)
    assert len(found) == 3
    assert [len(one) for one in found] == [1, 1, 1]
    assert len(found[1:]) == 2
    assert len(found[np.array([True, False, True])]) == 2
    np.testing.assert_array_equal(found[-1].data, found.data[2:])
    np.testing.assert_array_equal(found[1].data, found.data[1:2])
    with pytest.raises(IndexError, match="out of range for 3"):
        found[3]
    assert found.cpu().numpy() is found


def test_obb() -> None:
    boxes = np.array([[100, 50, 40, 20, np.pi / 2]], np.float32)
    found = results("obb", boxes)
    assert found.boxes is None
    np.testing.assert_allclose(found.obb.xyxy, [[90, 30, 110, 70]], atol=1e-4)
    np.testing.assert_allclose(found.obb.xyxyxyxyn, found.obb.xyxyxyxy / (200, 100), rtol=1e-6)
    np.testing.assert_allclose(found.obb.data[0], [100, 50, 40, 20, np.pi / 2, 0.9, 1], rtol=1e-6)
    assert len(found.obb[0]) == 1
    box = found.summary(decimals=2)[0]["box"]
    assert box == {"x1": 90, "y1": 70, "x2": 110, "y2": 70, "x3": 110, "y3": 30, "x4": 90, "y4": 30}


def test_masks_are_cut_out_by_index_and_scaled() -> None:
    found = results("segment", masks=masks()).masks
    assert found.data.shape == (3, 64, 64)
    assert found.data.sum(axis=(1, 2)).tolist() == [20, 24, 28]
    np.testing.assert_array_equal(found[2].data[0], found.data[2])
    # Tensor column 10 is image column 31.25, row 20 is (20 - 16) / 0.32 = 12.5.
    np.testing.assert_allclose(found.xy[0].min(axis=0), [31.25, 12.5])
    np.testing.assert_allclose(found.xyn[0], found.xy[0] / (200, 100), rtol=1e-6)
    assert len(found[1:].xy) == 2


@pytest.mark.parametrize(("values", "conf"), [(3, True), (2, False)])
def test_keypoints_with_and_without_visibility(values: Any, conf: Any) -> None:
    data = np.tile(np.array([20, 50, 0.5][:values], np.float32), (3, 4, 1))
    found = results("pose", keypoints=data)
    assert found.keypoints.has_visible is conf
    assert (found.keypoints.conf is not None) is conf
    np.testing.assert_allclose(found.keypoints.xyn[0, 0], [0.1, 0.5])
    assert ("visible" in found.summary()[0]["keypoints"]) is conf


def test_probs() -> None:
    probs = np.array([0.1, 0.2, 0.7], np.float32)
    found = results("classify", np.zeros((0, 4), np.float32), probs=probs)
    assert (found.probs.top1, found.probs.top5) == (2, [2, 1, 0])
    assert found.probs.top1conf == pytest.approx(0.7)
    assert len(found) == 1
    assert found.verbose() == "dog 0.70, fox 0.20, cat 0.10"
    assert [item["name"] for item in found.summary()] == ["dog", "fox", "cat"]


def test_arrays_answer_like_torch_tensors() -> None:
    """As code written for Ultralytics calls them, supervision 0.27 to 0.30 among it."""
    points = np.zeros((3, 2, 3), np.float32)
    found = results("pose", keypoints=points, masks=masks(), probs=SCORES)
    obb = results("obb", np.array([[100, 50, 40, 20, 0.5]], np.float32)).obb
    arrays = [
        getattr(found.boxes, name) for name in ("conf", "cls", "xyxy", "xywh", "xyxyn", "xywhn", "data")
    ]
    arrays += [
        getattr(obb, name) for name in ("conf", "cls", "xywhr", "xyxyxyxy", "xyxyxyxyn", "xyxy", "data")
    ]
    arrays += [getattr(found.keypoints, name) for name in ("xy", "xyn", "conf", "data")]
    arrays += [found.masks.data, found.probs.data, found.probs.top5conf]
    for array in arrays:
        assert array.cpu() is array
        assert type(array.cpu().numpy()) is np.ndarray
        assert array.numel() == array.size
        assert np.shares_memory(array.numpy(), array) or not array.size
    assert results("pose", XYXY[:0], keypoints=points[:0]).keypoints.xy.numel() == 0
