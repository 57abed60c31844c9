"""Answers in HUB v2: its exact format for all five tasks, with the numbers that `Results` have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yolean
from yolean.models import DEMO_MODELS
from yolean.serving.dialects.hub_items import HUB_TASKS
from yolean.serving.dialects.hub_v1 import HUB_V1
from yolean.serving.dialects.hub_v2 import HUB_V2

ITEMS: dict[str, list[str]] = {
    "detect": ["box"],
    "segment": ["box", "segments"],
    "pose": ["box", "keypoints"],
    "obb": ["box"],
}
CORNERS = ["x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"]


@pytest.mark.parametrize("task", ITEMS)
def test_objects_have_the_fields_and_pixels_of_the_contract(predict: Any, task: str) -> None:
    for stem in ("shapes", "tall"):
        found, results = predict(HUB_V2, task, stem)
        assert list(found) == ["images", "metadata"]
        (image,) = found["images"]
        assert list(image) == ["results", "shape", "speed"]
        assert image["shape"] == list(results.orig_shape)
        objects = results.obb if results.boxes is None else results.boxes
        boxes = results.obb.xyxyxyxy.reshape(-1, 8) if task == "obb" else results.boxes.xyxy
        for row, item in enumerate(image["results"]):
            cls = int(objects.cls[row])
            assert set(item) == {"class", "name", "confidence", *ITEMS[task]}
            assert (item["class"], item["name"]) == (cls, results.names[cls])
            assert item["confidence"] == pytest.approx(float(objects.conf[row]), abs=1e-5)
            assert list(item["box"]) == CORNERS[: boxes.shape[1]]
            assert list(item["box"].values()) == pytest.approx(boxes[row], abs=1e-4)
            if task == "segment":
                assert list(item["segments"]) == ["x", "y"]
                points = np.transpose(list(item["segments"].values()))
                np.testing.assert_allclose(points, results.masks.xy[row], atol=1e-4)
            if task == "pose":
                assert list(item["keypoints"]) == ["x", "y", "visible"]
                points = np.transpose(list(item["keypoints"].values()))
                np.testing.assert_allclose(points, results.keypoints.data[row], atol=1e-4)
        assert len(image["results"]) == len(results) > 0


@pytest.mark.parametrize("task", HUB_TASKS)
@pytest.mark.parametrize("size", [None, 200])
def test_metadata_is_what_was_in_effect(predict: Any, task: str, size: int | None) -> None:
    found, _ = predict(HUB_V2, task, "star", conf=0.3, size=size)
    own = 128 if task == "classify" else 320
    rounded = 200 if task == "classify" else 224  # to the stride
    assert found["metadata"] == {
        "model": DEMO_MODELS[task],
        "task": task,
        "imgsz": [own, own] if size is None else [rounded, rounded],
        "conf": 0.3,
        "iou": 0.45,
        "provider": "CPUExecutionProvider",
        "version": yolean.__version__,
    }


def test_a_classification_is_the_same_as_in_hub_v1(predict: Any, made: Any) -> None:
    for conf in (0.05, 0.9):
        first, _ = predict(HUB_V1, "classify", "star", conf=conf)
        second, _ = predict(HUB_V2, "classify", "star", conf=conf)
        assert second["images"][0]["results"] == first["data"]
    results = made.results("classify", probs=np.array([0.25, 0.5, 0.25], np.float32))
    items = made.answer(HUB_V2, results, 0.25)["images"][0]["results"]
    assert [item["class"] for item in items] == [1, 0, 2]


def test_keypoints_without_visibility_have_none(made: Any) -> None:
    points = np.array([[[20, 50], [200, 100], [0, 0]]], np.float32)
    results = made.results("pose", boxes=[[0, 0, 200, 100]], scores=[0.5], classes=[0], keypoints=points)
    (item,) = made.answer(HUB_V2, results)["images"][0]["results"]
    assert item["keypoints"] == {"x": [20, 200, 0], "y": [50, 100, 0]}


def test_nothing_found_is_an_empty_list(predict: Any, made: Any) -> None:
    assert made.answer(HUB_V2, made.results())["images"][0]["results"] == []
    for task in ITEMS:
        assert predict(HUB_V2, task, conf=1.0)[0]["images"][0]["results"] == []


def test_the_speed_is_that_of_the_results(made: Any) -> None:
    found = made.answer(HUB_V2, made.results())
    assert found["images"][0]["speed"] == {"preprocess": 2.0, "inference": 3.0, "postprocess": 4.0}
    assert found["metadata"]["imgsz"] == [64, 96]  # of a static export
