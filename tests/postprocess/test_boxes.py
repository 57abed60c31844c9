from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yolean.postprocess.boxes import iou_exceeds, with_area, xywh_to_xyxy, xywhr_to_corners, xyxy_to_xywh


def test_formats_convert_there_and_back() -> None:
    boxes = np.array([[10, 20, 4, 6], [0, 0, 0, 0]], np.float32)
    corners = xywh_to_xyxy(boxes)
    np.testing.assert_array_equal(corners, [[8, 17, 12, 23], [0, 0, 0, 0]])
    np.testing.assert_array_equal(xyxy_to_xywh(corners), boxes)


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        ((10, 10, 8, 4, 0), [(14, 12), (14, 8), (6, 8), (6, 12)]),  # upright: right bottom first
        ((10, 10, 8, 4, np.pi / 2), [(8, 14), (12, 14), (12, 6), (8, 6)]),  # a quarter turn
    ],
)
def test_corners(box: Any, corners: Any) -> None:
    np.testing.assert_allclose(xywhr_to_corners(np.array([box], np.float32))[0], corners, atol=1e-5)


@given(st.floats(-3.2, 3.2), st.floats(1, 100), st.floats(1, 100))
def test_corners_keep_size_and_centre(angle: Any, width: Any, height: Any) -> None:
    corners = xywhr_to_corners(np.array([[50, 60, width, height, angle]], np.float32))[0]
    np.testing.assert_allclose(corners.mean(axis=0), (50, 60), atol=1e-3)
    assert np.linalg.norm(corners[0] - corners[3]) == pytest.approx(width, abs=1e-3)
    assert np.linalg.norm(corners[0] - corners[1]) == pytest.approx(height, abs=1e-3)


def test_iou_of_disjoint_touching_and_empty_boxes() -> None:
    one = np.array([[0, 0, 10, 10], [5, 5, 5, 5], [9, 9, 2, 2]], np.float32)  # the last is inside out
    other = np.array([[10, 0, 20, 10], [20, 20, 30, 30], [5, 5, 5, 5], [0, 0, 10, 10]], np.float32)
    columns = with_area(np.vstack((one, other)))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = iou_exceeds(columns, np.arange(3)[:, None], np.arange(3, 7), np.float32(0))
    np.testing.assert_array_equal(found, [[False, False, False, True], [False] * 4, [False] * 4])


def test_boxes_apart_on_both_axes_overlap_nothing() -> None:
    # Both sides of their intersection are negative, and its area positive: as large as the union is negative.
    columns = with_area(np.array([[0, 0, 10, 10], [100, 100, 110, 110], [20, 20, 30, 30]], np.float32))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = iou_exceeds(columns, np.arange(3)[:, None], np.arange(3), np.float32(0))
    np.testing.assert_array_equal(found, np.eye(3, dtype=bool))
