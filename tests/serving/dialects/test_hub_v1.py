"""Answers in HUB v1: its exact format for all five tasks, with the numbers that `Results` have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.masks import InstanceMasks
from yolean.postprocess.types import Size
from yolean.serving.dialects.hub_items import HUB_TASKS
from yolean.serving.dialects.hub_v1 import HUB_V1

ITEMS: dict[str, list[str]] = {
    "detect": ["width", "height", "xcenter", "ycenter"],
    "segment": ["segment"],
    "pose": ["keypoints"],
    "obb": ["obb"],
    "classify": [],
}


def reference(results: Any, item: dict[str, Any], row: int) -> list[float]:
    """The numbers of an item by the definition: pixels of the upright image, divided by its size."""
    height, width = results.orig_shape
    if results.task == "detect":
        x1, y1, x2, y2 = results.boxes.xyxy[row]
        box = (x2 - x1) / width, (y2 - y1) / height, (x1 + x2) / 2 / width, (y1 + y2) / 2 / height
        return [float(number) for number in box]
    if results.task == "segment":
        return list((results.masks.xy[row] / (width, height)).ravel())
    if results.task == "pose":
        return list((results.keypoints.data[row] / (width, height, 1)).ravel())
    return list((results.obb.xyxyxyxy[row] / (width, height)).ravel())


@pytest.mark.parametrize("task", [task for task in HUB_TASKS if task != "classify"])
def test_objects_have_the_fields_and_numbers_of_the_contract(predict: Any, task: str) -> None:
    for image in ("shapes", "tall", "wide"):
        found, results = predict(HUB_V1, task, image)
        assert list(found) == ["success", "message", "data"]
        assert (found["success"], found["message"]) == (True, "Inference complete.")
        assert found["data"] or image != "shapes"
        objects = results.obb if results.boxes is None else results.boxes
        for row, (item, cls, conf) in enumerate(zip(found["data"], objects.cls, objects.conf, strict=True)):
            assert list(item) == ["class", "name", "confidence", *ITEMS[task]]
            assert (item["class"], item["name"]) == (int(cls), results.names[int(cls)])
            assert (type(item["class"]), type(item["confidence"])) == (int, float)
            assert item["confidence"] == pytest.approx(float(conf), abs=1e-5)
            numbers = np.hstack([item[name] for name in ITEMS[task]])
            assert numbers == pytest.approx(reference(results, item, row), abs=1e-6)
            assert task == "obb" or 0 <= numbers.min() <= numbers.max() <= 1


@pytest.mark.parametrize(
    ("probs", "conf", "classes"),
    [
        ([0.1, 0.6, 0.3], 0.25, [1, 2]),  # best first
        ([0.25, 0.5, 0.25], 0.25, [1, 0, 2]),  # at the threshold is in, and equals keep their order
        ([0.3, 0.7], 0.3, [1, 0]),  # also where float32 rounds 0.3
        ([0.2, 0.8], 0.80001, []),  # none reaches it
        ([0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.1], 0.01, [5, 4, 3, 2, 1]),  # at most five
        ([1.0], 1.0, [0]),  # the end of the range
    ],
)
def test_a_classification_lists_the_classes_from_the_threshold_on(
    made: Any, probs: list[float], conf: float, classes: list[int]
) -> None:
    results = made.results("classify", probs=np.array(probs, np.float32))
    assert made.answer(HUB_V1, results, conf)["data"] == [
        {"class": i, "name": f"n{i}", "confidence": pytest.approx(probs[i], abs=1e-5)} for i in classes
    ]


def test_a_classification_of_the_demo_model(predict: Any) -> None:
    found, results = predict(HUB_V1, "classify", "wide", conf=0.1)
    best = [i for i in results.probs.top5 if results.probs.data[i] >= 0.1]
    assert [item["class"] for item in found["data"]] == best
    assert len(best) == 3
    assert all(list(item) == ["class", "name", "confidence"] for item in found["data"])


def test_keypoints_without_visibility_are_visible(made: Any) -> None:
    points = np.array([[[20, 50], [200, 100], [0, 0]]], np.float32)
    results = made.results("pose", boxes=[[0, 0, 200, 100]], scores=[0.5], classes=[0], keypoints=points)
    (item,) = made.answer(HUB_V1, results)["data"]
    assert item["keypoints"] == pytest.approx([0.1, 0.5, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0])


def test_nothing_found_is_an_empty_list(made: Any) -> None:
    geometry = Geometry.letterbox(Size(100, 200), Size(64, 64))
    parts: list[tuple[str, dict[str, Any]]] = [
        ("detect", {}),
        ("segment", {"masks": InstanceMasks((), np.zeros((0, 2), np.intp), geometry)}),
        ("pose", {"keypoints": np.zeros((0, 5, 3), np.float32)}),
        ("pose", {"keypoints": np.zeros((0, 5, 2), np.float32)}),
        ("obb", {}),
    ]
    for task, more in parts:
        assert made.answer(HUB_V1, made.results(task, **more))["data"] == []


def test_a_mask_of_one_pixel_has_an_outline_of_one_point(made: Any) -> None:
    geometry = Geometry.letterbox(Size(64, 64), Size(64, 64))
    masks = InstanceMasks((np.ones((1, 1), np.uint8),), np.array([[8, 16]]), geometry)
    results = made.results("segment", (64, 64), [[8, 16, 9, 17]], [0.5], [0], masks=masks)
    (item,) = made.answer(HUB_V1, results)["data"]
    assert item["segment"] == pytest.approx([8 / 64, 16 / 64], abs=1 / 64)


def test_names_come_through_and_a_class_beyond_them_has_one_too(made: Any) -> None:
    names = {0: 'a "b" \\ \n 日本 😀 </script>'}
    boxes = [[0, 0, 10, 10], [20, 20, 30, 30]]
    results = made.results(boxes=boxes, scores=[0.5, 0.4], classes=[0, 80], names=names)
    found = made.answer(HUB_V1, results)["data"]
    assert [(item["class"], item["name"]) for item in found] == [(0, names[0]), (80, "class 80")]


def test_corners_of_a_rotated_box_may_lie_outside(made: Any) -> None:
    results = made.results("obb", (100, 100), [[0, 50, 100, 20, math.pi / 4]], [0.5], [0])
    (item,) = made.answer(HUB_V1, results)["data"]
    assert min(item["obb"][::2]) < 0
    assert item["obb"] == pytest.approx((results.obb.xyxyxyxy / 100).ravel().tolist(), abs=1e-6)
