from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from yolean.postprocess import classify, detect, obb, pose, segment
from yolean.postprocess.detections import Options
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.layout import Layout
from yolean.postprocess.select import ScoreRangeError
from yolean.postprocess.types import Size

SAME = Geometry.letterbox(Size(320, 320), Size(320, 320))
DETECT = Layout("detect", "raw", 3)
EMPTY = np.zeros(0, np.float32)


def raw(rows: Any, anchors: Any = 50) -> Any:
    """A raw output (channels, anchors) with these columns, the other anchors silent."""
    output = np.zeros((len(rows[0]), anchors), np.float32)
    output[:, : len(rows)] = np.array(rows, np.float32).T
    return output


def test_raw_detect() -> None:
    output = raw([(50, 60, 20, 10, 0.1, 0.9, 0.2), (150, 60, 20, 10, 0.3, 0.1, 0.2)])
    found = detect.decode([output], DETECT, SAME, Options())
    np.testing.assert_array_equal(found.boxes, [[40, 55, 60, 65], [140, 55, 160, 65]])
    np.testing.assert_array_equal(found.classes, [1, 0])
    np.testing.assert_allclose(found.scores, [0.9, 0.3])


@pytest.mark.parametrize(("conf", "count"), [(0.5, 0), (0.4999, 1)])
def test_confidence_is_strictly_above(conf: Any, count: int) -> None:
    output = raw([(9, 9, 9, 9, 0.5, 0, 0)])
    assert len(detect.decode([output], DETECT, SAME, Options(conf=conf)).boxes) == count


def test_class_filter_comes_before_suppression() -> None:
    # The better box is of an unwanted class, so it must not strike out the wanted one.
    output = raw([(50, 50, 20, 20, 0.9, 0, 0), (50, 50, 20, 20, 0, 0.8, 0)])
    options = Options(classes=(1,), agnostic_nms=True)
    assert detect.decode([output], DETECT, SAME, options).classes.tolist() == [1]
    assert detect.decode([output], DETECT, SAME, Options(agnostic_nms=True)).classes.tolist() == [0]
    assert detect.decode([output], DETECT, SAME, Options()).classes.tolist() == [0, 1]


def test_max_det_keeps_the_best() -> None:
    output = raw([(20 * i, 50, 10, 10, 0.3 + i / 100, 0, 0) for i in range(1, 11)])
    found = detect.decode([output], DETECT, SAME, Options(max_det=3))
    np.testing.assert_allclose(found.scores, [0.4, 0.39, 0.38])


@pytest.mark.parametrize("kind", ["end2end", "nms"])
def test_rows_are_filtered_sorted_and_never_suppressed(kind: Any) -> None:
    rows = np.zeros((300, 6), np.float32)
    rows[:3] = [(10, 10, 30, 30, 0.4, 2), (10, 10, 30, 30, 0.9, 2), (5, 5, 9, 9, 0.2, 0)]
    found = detect.decode([rows], Layout("detect", kind, 3), SAME, Options())
    np.testing.assert_allclose(found.scores, [0.9, 0.4])
    np.testing.assert_array_equal(found.boxes, [[10, 10, 30, 30]] * 2)
    assert found.classes.tolist() == [2, 2]
    only = detect.decode([rows], Layout("detect", kind, 3), SAME, Options(conf=0.1, classes=(0,)))
    np.testing.assert_array_equal(only.boxes, [[5, 5, 9, 9]])


def test_raw_obb_keeps_angle_and_corners_outside() -> None:
    layout = Layout("obb", "raw", 2, extra=1)
    found = obb.decode([raw([(5, 5, 40, 10, 0.1, 0.9, 0.7)])], layout, SAME, Options())
    np.testing.assert_allclose(found.boxes, [[5, 5, 40, 10, 0.7]])
    assert found.classes.tolist() == [1]


def test_row_obb_is_centre_size_and_angle_last() -> None:
    rows = np.array([(50, 60, 40, 10, 0.8, 1, -0.3)], np.float32)
    found = obb.decode([rows], Layout("obb", "end2end", 2, extra=1), SAME, Options())
    np.testing.assert_allclose(found.boxes, [[50, 60, 40, 10, -0.3]])


@pytest.mark.parametrize("points", [2, 3])  # with and without visibility
def test_pose_points_follow_their_box_and_are_clipped(points: Any) -> None:
    layout = Layout("pose", "raw", 2, extra=2 * points, kpt_shape=(2, points))
    low = (50, 50, 20, 20, 0, 0.3, *range(1, 2 * points + 1))
    high = (150, 50, 20, 20, 0.9, 0, *((-5, 400, 0.1)[:points] + (20, 30, 0.9)[:points]))
    found = pose.decode([raw([low, high])], layout, SAME, Options())
    assert found.keypoints is not None
    assert found.keypoints.shape == (2, 2, points)
    np.testing.assert_allclose(found.keypoints[0, :, :2], [[0, 320], [20, 30]])
    if points == 3:  # a point of low visibility keeps its place
        np.testing.assert_allclose(found.keypoints[0, :, 2], [0.1, 0.9])


def test_segment_drops_objects_with_empty_masks() -> None:
    layout = Layout("segment", "raw", 1, extra=2)
    prototypes = np.stack((np.ones((80, 80)), -np.ones((80, 80)))).astype(np.float32)
    output = raw([(50, 50, 20, 20, 0.9, 0, 1), (150, 50, 20, 20, 0.8, 1, 0)])
    found = segment.decode([output, prototypes], layout, SAME, Options())
    np.testing.assert_array_equal(found.boxes, [[140, 40, 160, 60]])
    assert found.masks is not None
    assert found.masks.dense().sum() == 400


def test_classify_keeps_every_class() -> None:
    probs = np.array([0.1, 0.7, 0.2], np.float32)
    found = classify.decode([probs], Layout("classify", "raw", 3), SAME, Options(conf=0.5))
    np.testing.assert_array_equal(found.probs, probs)


@pytest.mark.parametrize(
    ("decode", "layout", "shape", "width"),
    [
        (detect.decode, DETECT, (7, 50), 4),
        (obb.decode, Layout("obb", "raw", 2, extra=1), (7, 50), 5),
        (pose.decode, Layout("pose", "raw", 1, extra=6, kpt_shape=(2, 3)), (11, 50), 4),
        (segment.decode, Layout("segment", "raw", 1, extra=2), (7, 50), 4),
        (detect.decode, Layout("detect", "end2end", 3), (300, 6), 4),
        (segment.decode, Layout("segment", "nms", 3, extra=2), (300, 8), 4),
    ],
)
def test_nothing_found_keeps_its_shapes(decode: Any, layout: Any, shape: Any, width: Any) -> None:
    for value in [0.0, np.nan, np.inf]:
        outputs = [np.full(shape, value, np.float32), np.zeros((2, 80, 80), np.float32)]
        found = decode(outputs, layout, SAME, Options())
        assert found.boxes.shape == (0, width)
        assert found.scores.shape == found.classes.shape == (0,)
        assert found.classes.dtype == np.int64
        if layout.task == "pose":
            assert found.keypoints.shape == (0, 2, 3)
        if layout.task == "segment":
            assert found.masks.dense().shape == (0, 320, 320)


def test_scores_that_are_no_probabilities_are_an_error() -> None:
    """Logits, or boxes of another layout read as scores: never a result."""
    logits = raw([(50, 50, 20, 20, 7.5, -3.0, -2.0)])
    rows = np.zeros((300, 6), np.float32)
    rows[0] = (10, 10, 30, 30, 42.0, 0)
    negative = raw([(50, 50, 20, 20, -5.0, -3.0, -2.0)])
    for output, layout in (
        (logits, DETECT),
        (negative, DETECT),
        (rows, Layout("detect", "end2end", 3)),
        (rows, Layout("detect", "nms", 3)),
        (rows, Layout("detect", "rtdetr", 3)),
    ):
        with pytest.raises(ScoreRangeError, match="scores from"):
            detect.decode([output], layout, SAME, Options())
    with pytest.raises(ScoreRangeError):
        classify.decode([np.array([3, -1], np.float32)], Layout("classify", "raw", 2), SAME, Options())
    rounded = raw([(50, 50, 20, 20, 1.004, 0, -0.004)])  # a step of a quantised output
    assert len(detect.decode([rounded], DETECT, SAME, Options()).boxes) == 1


def test_rtdetr_rows_are_fractions_of_the_image() -> None:
    rows = np.zeros((300, 6), np.float32)
    rows[:2] = [(0.5, 0.5, 0.2, 0.4, 0.9, 2), (1.0, 0.25, 0.2, 0.5, 0.4, 1)]
    geometry = Geometry.stretch(Size(100, 200), Size(320, 320))
    found = detect.decode([rows], Layout("detect", "rtdetr", 3), geometry, Options())
    # Not clipped to the 200 x 100 image, as in Ultralytics.
    np.testing.assert_allclose(found.boxes, [[80, 30, 120, 70], [180, 0, 220, 50]], atol=1e-4)
    assert found.classes.tolist() == [2, 1]
