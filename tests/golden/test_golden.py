"""Yolean's answers against those of Ultralytics, for the demo models and, where there are any, for real ones.

`<model>.json` holds the answers of Ultralytics with the plain export in `plain/` of each demo model. Real
models, images and answers are read from `../shared` beside the repository, or from `YOLEAN_SHARED`: one image
for one model of each task, and all of them with the marker `slow`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from yolean.benchmarks import answers, reference_runner
from yolean.models import demo_model
from yolean.postprocess.types import Bool, Float, Size

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("YOLEAN_SHARED", HERE.parents[2] / "shared"))
DEMO = demo_model().parent
ONE_OF_EACH_TASK = ("yolov8n", "yolov8n-seg", "yolov8n-pose", "yolov8n-obb", "yolov8n-cls")

# What "equal" means: pixels, score, IoU of filled outlines; and of maps.
PIXELS, SCORE, OUTLINE = 1.0, 2e-3, 0.97
OTHER_CLASS, DEPTH = 1e-3, 1e-3  # share of an image's pixels; relative


def real_models() -> list[Any]:
    """The reference files of real models, each with the number of images to compare."""
    files = sorted((SHARED / "reference").glob("*.json"))
    quick = [pytest.param(file, 1, id=file.stem) for file in files if file.stem in ONE_OF_EACH_TASK]
    return quick + [pytest.param(file, None, id=f"{file.stem}-all", marks=pytest.mark.slow) for file in files]


@pytest.mark.parametrize("reference", sorted(HERE.glob("*.json")), ids=lambda path: path.stem)
def test_demo_models_equal_ultralytics(reference: Path) -> None:
    compare(reference, DEMO, DEMO, None)


@pytest.mark.slow
@pytest.mark.parametrize(("reference", "count"), real_models())
def test_real_models_equal_ultralytics(reference: Path, count: int | None) -> None:
    compare(reference, SHARED / "models", SHARED / "images", count)


def compare(reference: Path, models: Path, images: Path, count: int | None) -> None:
    """Assert that the answers for the first images, or for all, are those in the file."""
    expected = json.loads(reference.read_text())
    model = yolean.load(models / expected["model"], device="cpu")
    options = {key: expected[key] for key in ("conf", "iou", "max_det")}
    for name, answer in list(expected["images"].items())[:count]:
        found = model(images / name, **options)[0]
        assert list(found.orig_shape) == answer["shape"]
        if "semantic_mask" in answer or "depth_map" in answer:
            same_map(found, answer)
        else:
            (same_classification if "top5" in answer else same_objects)(found, answer)


def test_every_demo_model_has_its_answers() -> None:
    assert {path.stem for path in HERE.glob("*.json")} == {path.stem for path in DEMO.glob("*.onnx")}


def same_map(found: yolean.Results, answer: dict[str, Any]) -> None:
    """All pixels have the same class, but for a thousandth, and a depth within a thousandth."""
    most = answers.compare(answer, reference_runner.answer(found))
    assert (most.other_class is None) == ("depth_map" in answer)
    assert (most.other_class or 0.0) <= OTHER_CLASS
    assert (most.depth or 0.0) <= DEPTH


def same_classification(found: yolean.Results, answer: dict[str, Any]) -> None:
    assert found.probs is not None
    assert found.probs.top5 == answer["top5"]
    np.testing.assert_allclose(found.probs.top5conf, answer["top5conf"], atol=SCORE)


def same_objects(found: yolean.Results, answer: dict[str, Any]) -> None:
    objects = found.boxes if found.obb is None else found.obb
    assert objects is not None
    assert objects.cls.tolist() == answer["cls"]
    if not answer["cls"]:
        return
    np.testing.assert_allclose(objects.conf, answer["conf"], atol=SCORE)
    if found.obb is not None:
        np.testing.assert_allclose(found.obb.xyxyxyxy.reshape(-1, 8), answer["obb"], atol=PIXELS)
        return
    np.testing.assert_allclose(objects.xyxy, answer["xyxy"], atol=PIXELS)
    if found.keypoints is not None:
        points = found.keypoints.data.reshape(len(objects), -1, found.keypoints.data.shape[-1])
        wanted = np.array(answer["keypoints"]).reshape(points.shape)
        np.testing.assert_allclose(points[..., :2], wanted[..., :2], atol=PIXELS)
        np.testing.assert_allclose(points[..., 2:], wanted[..., 2:], atol=SCORE)
    if found.masks is not None:
        for ours, theirs in zip(found.masks.xy, answer["segments"], strict=True):
            assert filled_iou(ours, np.reshape(theirs, (-1, 2)), found.orig_shape) >= OUTLINE


def filled_iou(one: Float, other: Float, size: Size) -> float:
    """IoU of two outlines (P, 2), filled."""

    def painted(outline: Float) -> Bool:
        canvas = np.zeros(size, np.uint8)
        cv2.fillPoly(canvas, [np.rint(outline).astype(np.int32)], (1,))
        return canvas.astype(np.bool_)

    first, second = painted(one), painted(other)
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0
