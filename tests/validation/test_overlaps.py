"""Overlaps, on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
from yolean.validation.overlaps import box_iou, keypoint_similarity, mask_iou, rotated_iou


def test_boxes() -> None:
    one = np.array([[0, 0, 10, 10]], np.float32)
    other = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30]], np.float32)
    np.testing.assert_allclose(box_iou(one, other), [[1, 1 / 3, 0]], atol=1e-6)


def test_rotated_boxes_do_not_depend_on_the_form() -> None:
    one = np.array([[50, 50, 40, 20, 0.3]], np.float32)
    same = np.array([[50, 50, 20, 40, 0.3 + np.pi / 2]], np.float32)
    assert rotated_iou(one, same)[0, 0] > 0.99


def test_masks_of_which_only_crops_are_known() -> None:
    label = np.zeros((1, 8, 8), np.bool_)
    label[0, 2:6, 2:6] = True
    crops = [np.ones((4, 4), np.bool_), np.ones((4, 2), np.bool_), np.zeros((0, 0), np.bool_)]
    corners = np.array([[2, 2], [2, 2], [0, 0]])
    np.testing.assert_allclose(mask_iou(label, crops, corners), [[1, 0.5, 0]], atol=1e-6)


def test_keypoints_without_a_label_do_not_count() -> None:
    label = np.array([[[10, 10, 2], [0, 0, 0]]], np.float32)
    found = np.array([[[10, 10], [500, 500]], [[500, 500], [0, 0]]], np.float32)
    similar = keypoint_similarity(label, found, np.array([100], np.float32), np.full(2, 0.5, np.float32))
    np.testing.assert_allclose(similar, [[1, 0]], atol=1e-6)
