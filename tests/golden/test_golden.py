"""Yolean's answers against Ultralytics', for the demo models and, where they are, for real ones.

`<model>.json` is what Ultralytics answered, with the plain export in `plain/` of each demo model:
`benchmarks/peers/reference.py` asked it. Real models, images and answers are looked for in `../shared`
beside the repository, or where `YOLEAN_SHARED` says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import yolean
from yolean.models import demo_model

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("YOLEAN_SHARED", HERE.parents[2] / "shared"))
DEMO = demo_model().parent

# What "equal" means: pixels, score, and IoU of filled outlines.
PIXELS, SCORE, OUTLINE = 1.0, 2e-3, 0.97


def references():
    found = [(path, DEMO, DEMO) for path in sorted(HERE.glob("*.json"))]
    real = [
        (path, SHARED / "models", SHARED / "images") for path in sorted((SHARED / "reference").glob("*.json"))
    ]
    return [pytest.param(*row, id=f"{row[1].parent.name}-{row[0].stem}") for row in found + real]


@pytest.mark.parametrize(("reference", "models", "images"), references())
def test_answers_equal_ultralytics(reference, models, images):
    expected = json.loads(reference.read_text())
    model = yolean.load(models / expected["model"], device="cpu")
    for name, answer in expected["images"].items():
        options = {key: expected[key] for key in ("conf", "iou", "max_det")}
        found = model(images / name, **options)[0]
        assert list(found.orig_shape) == answer["shape"]
        compare = same_classification if "top5" in answer else same_objects
        compare(found, answer)


def test_every_demo_model_has_its_answers():
    assert {path.stem for path in HERE.glob("*.json")} == {path.stem for path in DEMO.glob("*.onnx")}


def same_classification(found, answer):
    assert found.probs.top5 == answer["top5"]
    np.testing.assert_allclose(found.probs.top5conf, answer["top5conf"], atol=SCORE)


def same_objects(found, answer):
    objects = found.boxes if found.obb is None else found.obb
    assert objects.cls.tolist() == answer["cls"]
    if not answer["cls"]:
        return
    np.testing.assert_allclose(objects.conf, answer["conf"], atol=SCORE)
    if found.obb is not None:
        np.testing.assert_allclose(objects.xyxyxyxy.reshape(-1, 8), answer["obb"], atol=PIXELS)
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


def filled_iou(one, other, shape):
    painted = []
    for outline in (one, other):
        canvas = np.zeros(shape, np.uint8)
        cv2.fillPoly(canvas, [np.rint(outline).astype(np.int32)], 1)
        painted.append(canvas.astype(bool))
    union = (painted[0] | painted[1]).sum()
    return (painted[0] & painted[1]).sum() / union if union else 1.0
