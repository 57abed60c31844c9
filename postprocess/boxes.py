"""Box formats and overlaps: axis-aligned and rotated."""

from __future__ import annotations

import numpy as np

from .types import Bool, Float, Index


def xywh_to_xyxy(boxes: Float) -> Float:
    """(N, 4) float32 centre x, centre y, width, height to x1, y1, x2, y2."""
    half = boxes[:, 2:] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def xyxy_to_xywh(boxes: Float) -> Float:
    """(N, 4) float32 x1, y1, x2, y2 to centre x, centre y, width, height."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.concatenate(((low + high) / 2, high - low), axis=1)


def xywhr_to_corners(boxes: Float) -> Float:
    """(N, 5) cx, cy, w, h, angle (radians) to (N, 4, 2) corners.

    With v1 = (w cos, w sin) / 2 and v2 = (-h sin, h cos) / 2, the corners are c+v1+v2, c+v1-v2, c-v1-v2 and
    c-v1+v2, in the order of Ultralytics.
    """
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    half_w, half_h = boxes[:, 2] / 2, boxes[:, 3] / 2
    v1 = np.stack((half_w * cos, half_w * sin), axis=1)
    v2 = np.stack((-half_h * sin, half_h * cos), axis=1)
    centre = boxes[:, :2]
    return np.stack((centre + v1 + v2, centre + v1 - v2, centre - v1 - v2, centre - v1 + v2), axis=1)


def with_area(boxes: Float) -> Float:
    """(N, 4) x1, y1, x2, y2 to (5, N) x1, y1, x2, y2, area: contiguous rows are faster.

    Boxes with x2 < x1 or y2 < y1 get an infinite area, so that their IoU with any box is 0.
    """
    columns = np.empty((5, len(boxes)), np.float32)
    columns[:4] = boxes.T
    sides = columns[2:4] - columns[:2]
    columns[4] = sides[0] * sides[1]
    columns[4, sides.min(axis=0) < 0] = np.inf
    return columns


def iou_exceeds(columns: Float, one: Index, other: Index, threshold: np.float32) -> Bool:
    """Whether the IoU of pairs of boxes exceeds a threshold.

    Boxes without area have an IoU of 0 with every box. Their division by zero gives NaN, which compares as
    False: the caller silences the warning (`np.errstate`).

    Args:
        columns: (5, N) all boxes, as `with_area` makes them.
        one: indices of the first boxes, broadcast with `other`: (K, 1) and (M,) give (K, M).
        other: indices of the second boxes.
        threshold: from 0.
    """
    x1, y1, x2, y2, area = columns
    width = np.minimum(x2[one], x2[other])
    width -= np.maximum(x1[one], x1[other])
    height = np.minimum(y2[one], y2[other])
    height -= np.maximum(y1[one], y1[other])
    # Of disjoint boxes, only those with two negative sides get a positive product: checking one of the sides
    # is cheaper than clipping both.
    exceeds: Bool = width > 0
    width *= height
    intersection = width
    union = np.add(area[one], area[other], out=height)
    union -= intersection
    intersection /= union
    exceeds &= intersection > threshold
    return exceeds


def gaussian(boxes: Float) -> Float:
    """(N, 5) cx, cy, w, h, angle to (N, 5) cx, cy, a, b, c: the mean and covariance of a box as a Gaussian.

    A uniform distribution over the box has variances w²/12 and h²/12 along its axes; rotated by the angle,
    its covariance matrix is [[a, c], [c, b]] (Llerena et al., https://arxiv.org/abs/2106.06072).
    """
    w, h = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    a, b = w * cos**2 + h * sin**2, w * sin**2 + h * cos**2
    return np.stack((boxes[:, 0], boxes[:, 1], a, b, (w - h) * cos * sin), axis=1)


def probiou(one: Float, other: Float) -> Float:
    """ProbIoU of (..., 5) with (..., 5) boxes as `gaussian` makes them, broadcast; 0 to 1.

    One minus the Hellinger distance of two Gaussians, from their Bhattacharyya distance clipped to
    [1e-7, 100] (https://arxiv.org/abs/2106.06072, with the constants of Ultralytics). It differs from the
    IoU of the polygons.
    """
    eps = np.float32(1e-7)
    x1, y1, a1, b1, c1 = np.moveaxis(one, -1, 0)
    x2, y2, a2, b2, c2 = np.moveaxis(other, -1, 0)
    dx, dy = x1 - x2, y2 - y1
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    det = a * b - c**2
    mahalanobis = (a * dy**2 + b * dx**2 + 2 * c * dx * dy) / (det + eps)
    determinants = np.maximum(a1 * b1 - c1**2, 0) * np.maximum(a2 * b2 - c2**2, 0)
    ratio = np.maximum(det / (4 * np.sqrt(determinants) + eps) + eps, eps)
    distance = mahalanobis / 4 + np.log(ratio) / 2
    result: Float = 1 - np.sqrt(1 - np.exp(-np.clip(distance, eps, 100)) + eps)
    return result


def probiou_reach(threshold: float) -> float:
    """Bound on the distance of two boxes whose probIoU exceeds a threshold: a cheap test before `probiou`.

    ProbIoU > t needs a Bhattacharyya distance below d = -ln(1 - (1 - t)²). Its first term is at least
    dx² / (4 (a1 + a2)), and likewise in y with the variances b: pairs with dx² > reach * (a1 + a2) or
    dy² > reach * (b1 + b2) cannot exceed t. The factor of 4.01 instead of 4 allows for rounding.

    Args:
        threshold: t, 0 to 1.

    Returns:
        the reach, in units of a variance; infinite for a threshold of 0.
    """
    gap = 1 - (1 - threshold) ** 2
    return float("inf") if gap <= 0 else -4.01 * float(np.log(gap)) + 1e-3
