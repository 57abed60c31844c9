"""supervision, in an environment of its own, reads results unmodified: objects, keypoints, drawing."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from yolean.models import demo_images, demo_model

pytestmark = pytest.mark.supervision


@pytest.fixture(scope="module")
def sv() -> Any:
    return pytest.importorskip("supervision", reason="needs the package supervision")


def found(task: str, **options: Any) -> yolean.Results:
    image = next(path for path in demo_images() if path.stem == ("star" if task == "classify" else "shapes"))
    return yolean.load(demo_model(task), device="cpu")(image, **options)[0]


@pytest.mark.parametrize(
    "options", [{}, {"retina_masks": True}, {"tile": 320}], ids=["plain", "retina", "tile"]
)
@pytest.mark.parametrize("task", ["detect", "segment", "obb"])
def test_objects(sv: Any, task: str, options: dict[str, Any]) -> None:
    if task != "segment" and "retina_masks" in options:
        options = {}
    result = found(task, **options)
    detections = sv.Detections.from_ultralytics(result)
    objects = result.boxes if result.obb is None else result.obb
    assert objects is not None
    assert len(detections) == len(result) > 1
    np.testing.assert_allclose(detections.xyxy, objects.xyxy)
    np.testing.assert_allclose(detections.confidence, objects.conf)
    assert detections.class_id.tolist() == objects.cls.tolist()
    if result.masks is not None:
        assert np.asarray(detections.mask).shape == (len(result), *result.orig_shape)
    annotators = [sv.BoxAnnotator(), sv.LabelAnnotator(), sv.MaskAnnotator(), sv.OrientedBoxAnnotator()]
    kinds = {"detect": annotators[:2], "segment": annotators[:3], "obb": [annotators[1], annotators[3]]}
    for annotator in kinds[task]:
        drawn = annotator.annotate(result.orig_img.copy(), detections)
        assert (drawn != result.orig_img).any()


def test_nothing_found(sv: Any) -> None:
    for task in ("detect", "segment", "obb"):
        assert len(sv.Detections.from_ultralytics(found(task, classes=[]))) == 0


def test_keypoints_and_classes(sv: Any) -> None:
    pose = found("pose")
    assert pose.keypoints is not None
    points = sv.KeyPoints.from_ultralytics(pose)
    np.testing.assert_allclose(points.xy, pose.keypoints.xy)
    star = found("classify")
    assert star.probs is not None
    classes = sv.Classifications.from_ultralytics(star)
    assert classes.get_top_k(1)[0].tolist() == [star.probs.top1]


def test_its_own_slicer(sv: Any) -> None:
    model, image = yolean.load(demo_model(), device="cpu"), cv2.imread(str(demo_images()[0]))

    def run(part: Any) -> Any:
        return sv.Detections.from_ultralytics(model(part)[0])

    assert len(sv.InferenceSlicer(run, slice_wh=320, overlap_wh=64)(image)) > 1
