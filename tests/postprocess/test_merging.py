from __future__ import annotations

from typing import Any

import numpy as np
from yolean.postprocess.detections import Detections, Options
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.masks import InstanceMasks
from yolean.postprocess.merging import merge
from yolean.postprocess.types import Size

IMAGE = Size(1000, 1000)


def slice_of(boxes: Any, scores: Any, classes: Any = None, **views: Any) -> Detections:
    return Detections(
        np.array(boxes, np.float32),
        np.array(scores, np.float32),
        np.zeros(len(scores), np.int64) if classes is None else np.array(classes),
        **views,
    )


def filled(*boxes: tuple[int, int, int, int]) -> InstanceMasks:
    """Masks that fill boxes, in image pixels."""
    crops = tuple(np.ones((y2 - y1, x2 - x1), np.uint8) for x1, y1, x2, y2 in boxes)
    corners = np.array([box[:2] for box in boxes]).reshape(-1, 2)
    return InstanceMasks(crops, corners, Geometry(IMAGE, IMAGE, IMAGE, (0, 0)))


def test_a_fragment_joins_the_box_it_is_part_of() -> None:
    whole, fragment, far = (100, 100, 300, 200), (90, 110, 150, 190), (500, 500, 600, 600)
    parts = [slice_of([whole, far], [0.9, 0.5]), slice_of([fragment], [0.6])]
    found = merge(parts, IMAGE, Options(), "nmm")
    np.testing.assert_array_equal(found.boxes, [(90, 100, 300, 200), far])
    np.testing.assert_array_equal(found.scores, np.array([0.9, 0.5], np.float32))
    kept = merge(parts, IMAGE, Options(), "nms")  # their IoU is low: suppression keeps the fragment
    np.testing.assert_array_equal(kept.boxes, [whole, fragment, far])


def test_classes_are_merged_apart_unless_asked() -> None:
    parts = [slice_of([(0, 0, 100, 100)], [0.9], [1]), slice_of([(0, 0, 100, 90)], [0.8], [2])]
    for how in ("nmm", "nms"):
        assert merge(parts, IMAGE, Options(), how).classes.tolist() == [1, 2]
        assert merge(parts, IMAGE, Options(agnostic_nms=True), how).classes.tolist() == [1]


def test_merging_is_greedy() -> None:
    """The second belongs to the first, and does not take the third in, which the first has no share of."""
    parts = [slice_of([(0, 0, 100, 10), (45, 0, 145, 10), (95, 0, 195, 10)], [0.9, 0.8, 0.7])]
    found = merge(parts, IMAGE, Options(), "nmm")
    np.testing.assert_array_equal(found.boxes, [(0, 0, 145, 10), (95, 0, 195, 10)])


def test_half_of_the_smaller_area_is_not_more_than_half() -> None:
    parts = [slice_of([(0, 0, 100, 10), (50, 0, 150, 10), (0, 0, 0, 10)], [0.9, 0.8, 0.7])]
    assert len(merge(parts, IMAGE, Options(), "nmm").boxes) == 3


def test_the_best_of_all_classes_are_kept() -> None:
    boxes = [(i * 20, 0, i * 20 + 10, 10) for i in range(9)]
    scores = [0.5, 0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4]
    found = merge([slice_of(boxes, scores, range(9))], IMAGE, Options(max_det=3), "nmm")
    assert found.classes.tolist() == [1, 3, 5]


def test_rotated_boxes_are_compared_as_polygons() -> None:
    """Two parallel boats at 45 degrees: the boxes around them share most, the boats nothing."""
    boats = [(500, 500, 200, 20, np.pi / 4), (520, 480, 200, 20, np.pi / 4)]
    fragment = (550, 550, 60, 20, np.pi / 4)
    found = merge([slice_of(boats, [0.9, 0.8]), slice_of([fragment], [0.7])], IMAGE, Options(), "nmm")
    np.testing.assert_allclose(found.boxes, np.array(boats, np.float32))


def test_keypoints_are_those_of_the_best() -> None:
    points = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    parts = [
        slice_of([(0, 0, 50, 50)], [0.4], keypoints=points[:1]),
        slice_of([(0, 0, 60, 60)], [0.8], keypoints=points[1:]),
    ]
    found = merge(parts, IMAGE, Options(), "nmm")
    assert found.keypoints is not None
    np.testing.assert_array_equal(found.keypoints, points[1:])


def test_masks_of_merged_objects_are_united() -> None:
    one, other, far = (100, 100, 300, 200), (200, 100, 400, 220), (600, 0, 700, 50)
    parts = [
        slice_of([one, far], [0.9, 0.3], masks=filled(one, far)),
        slice_of([other], [0.6], masks=filled(other)),
        slice_of(np.zeros((0, 4)), [], masks=filled()),
    ]
    parts[0].boxes[0] = (100, 100, 360, 200)  # more than half of the other
    found = merge(parts, IMAGE, Options(), "nmm")
    assert found.masks is not None
    expected = np.zeros((2, *IMAGE), np.uint8)
    expected[0, 100:200, 100:300] = expected[0, 100:220, 200:400] = expected[1, 0:50, 600:700] = 1
    np.testing.assert_array_equal(found.masks.dense(), expected)
    np.testing.assert_array_equal(found.masks.outlines()[0].min(axis=0), (100, 100))


def test_nothing_found_is_nothing() -> None:
    empty = slice_of(np.zeros((0, 4)), [])
    for how in ("nmm", "nms"):
        assert merge([empty, empty], IMAGE, Options(), how).boxes.shape == (0, 4)
