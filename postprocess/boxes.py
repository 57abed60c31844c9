"""Box formats and overlaps: axis-aligned and rotated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .geometry import Float


def xywh_to_xyxy(boxes: Float) -> Float:
    """(N, 4) centre x, centre y, width, height to x1, y1, x2, y2."""
    half = boxes[:, 2:] / 2
    return np.concatenate((boxes[:, :2] - half, boxes[:, :2] + half), axis=1)


def xyxy_to_xywh(boxes: Float) -> Float:
    """(N, 4) x1, y1, x2, y2 to centre x, centre y, width, height."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.concatenate(((low + high) / 2, high - low), axis=1)


def xywhr_to_corners(boxes: Float) -> Float:
    """(N, 5) cx, cy, w, h, angle (radians) to (N, 4, 2) corners.

    With v1 half the width along the angle and v2 half the height across it, the corners are
    c+v1+v2, c+v1-v2, c-v1-v2, c-v1+v2, the order that Ultralytics gives.
    """
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    half_w, half_h = boxes[:, 2] / 2, boxes[:, 3] / 2
    v1 = np.stack((half_w * cos, half_w * sin), axis=1)
    v2 = np.stack((-half_h * sin, half_h * cos), axis=1)
    centre = boxes[:, :2]
    return np.stack((centre + v1 + v2, centre + v1 - v2, centre - v1 - v2, centre - v1 + v2), axis=1)


def iou_exceeds(one: Float, other: Float, threshold: float) -> NDArray[np.bool_]:
    """Whether the IoU of each of (K, 4) with each of (M, 4) boxes, x1, y1, x2, y2, exceeds the threshold.

    Returns (K, M) bool. Boxes without area overlap nothing.
    """
    a, b = one[:, :, None], other.T
    width = np.minimum(a[:, 2], b[2])
    width -= np.maximum(a[:, 0], b[0])
    np.maximum(width, 0, out=width)
    height = np.minimum(a[:, 3], b[3])
    height -= np.maximum(a[:, 1], b[1])
    np.maximum(height, 0, out=height)
    width *= height
    intersection = width
    union = np.add(_area(one)[:, None], _area(other), out=height)
    union -= intersection
    np.maximum(union, np.finfo(np.float32).tiny, out=union)
    intersection /= union
    exceeds: NDArray[np.bool_] = intersection > np.float32(threshold)
    return exceeds


def _area(boxes: Float) -> Float:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def gaussian(boxes: Float) -> Float:
    """(N, 5) cx, cy, w, h, angle to (N, 5) cx, cy and the covariance a, b, c of the box as a Gaussian.

    The box is taken as uniform: variances w²/12 and h²/12 along its axes, turned by the angle into
    [[a, c], [c, b]] (Llerena et al., https://arxiv.org/abs/2106.06072).
    """
    w, h = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    a, b = w * cos**2 + h * sin**2, w * sin**2 + h * cos**2
    return np.stack((boxes[:, 0], boxes[:, 1], a, b, (w - h) * cos * sin), axis=1)


def probiou(one: Float, other: Float) -> Float:
    """ProbIoU of (..., 5) with (..., 5) boxes given as `gaussian` makes them, broadcast; 0 to 1.

    One minus the Hellinger distance of two Gaussians, from their Bhattacharyya distance clamped to
    [1e-7, 100] (https://arxiv.org/abs/2106.06072, with the constants that Ultralytics uses). It is not
    the IoU of the polygons.
    """
    eps = np.float32(1e-7)
    x1, y1, a1, b1, c1 = np.moveaxis(one, -1, 0)
    x2, y2, a2, b2, c2 = np.moveaxis(other, -1, 0)
    dx, dy = x1 - x2, y2 - y1
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    det = a * b - c**2
    mahalanobis = (a * dy**2 + b * dx**2 + 2 * c * dx * dy) / (det + eps)
    spread = np.maximum(a1 * b1 - c1**2, 0) * np.maximum(a2 * b2 - c2**2, 0)
    ratio = np.maximum(det / (4 * np.sqrt(spread) + eps) + eps, eps)
    distance = mahalanobis / 4 + np.log(ratio) / 2
    result: Float = 1 - np.sqrt(1 - np.exp(-np.clip(distance, eps, 100)) + eps)
    return result


def probiou_reach(threshold: float) -> float:
    """How far apart two boxes can be and still exceed a probIoU threshold.

    Probiou > t needs a Bhattacharyya distance below d = -ln(1 - (1 - t)²). Its first term alone is at
    least dx²/4(a1 + a2), and as much in y, with a and b the variances: so pairs with
    dx² > reach * (a1 + a2) or dy² > reach * (b1 + b2) need no closer look. The factor of 4.01
    leaves room for rounding.
    """
    gap = 1 - (1 - threshold) ** 2
    return float("inf") if gap <= 0 else -4.01 * float(np.log(gap)) + 1e-3
