"""Pairs the objects of two predictions, and measures how far their boxes and masks overlap."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Indices = NDArray[np.intp]

MATCH_IOU = 0.5
"""Least IoU of two objects that are paired, 0 to 1."""

NEAR_IOU = 0.9
"""IoU from which two boxes can be the same box, computed twice: their scores tell which belong together."""

_SAME = 0.01  # pixels


def as_float64(array: Any) -> Float64:
    """Any numbers as float64."""
    return np.asarray(array, np.float64)


def pairwise_iou(
    one: Float64, other: Float64, comparable: NDArray[np.bool_], least_side: float = 0.0
) -> Float64:
    """IoU of every box with every other.

    Args:
        one, other: corners (N, P, 2) and (M, P, 2) in pixels; P is 2 for upright boxes (two opposite corners)
            and 4 for oriented ones.
        comparable: (N, M), which pairs are of interest.
        least_side: pixels; thinner boxes are widened to this about their centre. A box that the image's
            border cuts off may have no width, and would have no IoU with the same box after rounding.

    Returns:
        (N, M) IoU, 0 to 1; 0 for pairs that are not comparable.
    """
    (low, high), (other_low, other_high) = (_bounds(corners, least_side) for corners in (one, other))
    sides = np.minimum(high[:, None], other_high) - np.maximum(low[:, None], other_low)
    shared = np.where(comparable, sides.clip(0).prod(axis=2), 0)
    areas = [(high - low).prod(axis=1), (other_high - other_low).prod(axis=1)]
    if one.shape[1] == 4:
        # Not cv2.intersectConvexConvex: of pairs that nearly coincide, 4 in 1000 came out as half or nothing.
        rectangles = [[_rectangle(box, least_side) for box in corners] for corners in (one, other)]
        areas = [as_float64([width * height for _, (width, height), _ in side]) for side in rectangles]
        for i, j in np.argwhere(shared):
            _, points = cv2.rotatedRectangleIntersection(rectangles[0][i], rectangles[1][j])
            shared[i, j] = 0 if points is None else cv2.contourArea(cv2.convexHull(points))
    union = np.add.outer(*areas) - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    # The intersection of two rectangles that coincide is not quite the rectangle.
    iou[comparable & (np.abs(one[:, None] - other) <= _SAME).all(axis=(2, 3))] = 1
    return as_float64(np.minimum(iou, 1))


def match(iou: Float64, scores: list[Float64]) -> tuple[Indices, Indices]:
    """Pair objects one to one, the closest first.

    Boxes that nearly coincide are ordered by IoU and difference of scores together, so that two objects in
    almost one place are not exchanged. All others are ordered by IoU alone: scores are what a quantised
    model changes most, and must not change who is compared with whom.

    Args:
        iou: (N, M); pairs need at least `MATCH_IOU`.
        scores: (N,) and (M,), which also decide between pairs of equal IoU.

    Returns:
        rows and columns of the pairs, (pairs,) each.
    """
    rows, columns = np.nonzero(iou >= MATCH_IOU)
    one, other, overlap = scores[0][rows], scores[1][columns], iou[rows, columns]
    change = np.abs(other - one)
    distance = 1 - overlap + np.where(overlap >= NEAR_IOU, change, 1)
    order = np.lexsort((-other, -one, change, distance))
    taken: tuple[set[int], set[int]] = set(), set()
    chosen = []
    for pair, row, column in zip(order, rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken[0] and column not in taken[1]:
            taken[0].add(row)
            taken[1].add(column)
            chosen.append(pair)
    return rows[chosen], columns[chosen]


def mask_ious(masks: tuple[Any, Any], rows: Indices, columns: Indices) -> Float64:
    """IoU of the masks of paired objects.

    Masks of one size are compared pixel by pixel, at the model's resolution; otherwise their outlines are
    filled in the image.

    Args:
        masks: `masks` of two results.
        rows, columns: (pairs,) indices into the first and the second.

    Returns:
        (pairs,) 0 to 1; two empty masks have 1.
    """
    first = [view[:1].data for view in masks]
    same_size = all(data is not None for data in first) and len({data.shape[1:] for data in first}) == 1
    ious = []
    for indices in zip(rows.tolist(), columns.tolist(), strict=True):
        pair = list(zip(masks, indices, strict=True))
        if same_size:
            # One mask at a time: yolean's `data` keeps all that it made, and 300 take 120 MB.
            one, other = (np.asarray(view[i : i + 1].data[0], np.bool_) for view, i in pair)
        else:
            one, other = _filled([view.xy[i] for view, i in pair])
        union = np.count_nonzero(one | other)
        ious.append(np.count_nonzero(one & other) / union if union else 1.0)
    return as_float64(ious)


def _bounds(corners: Float64, least_side: float) -> tuple[Float64, Float64]:
    """Lowest and highest x and y (N, 2) of boxes, at least so far apart."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    grow = np.maximum(least_side - (high - low), 0) / 2
    return low - grow, high + grow


def _rectangle(corners: Float64, least_side: float) -> cv2.typing.RotatedRect:
    """OpenCV's centre, (width, height) and angle of a rectangle given by its corners (4, 2)."""
    centre, (width, height), angle = cv2.minAreaRect(corners.astype(np.float32))
    return centre, (max(width, least_side), max(height, least_side)), angle


def _filled(outlines: list[NDArray[Any]]) -> list[NDArray[np.bool_]]:
    """Outlines (P, 2) in pixels of the image, filled on canvases that are no larger than they need."""
    pixels = [np.rint(outline).astype(np.int32) for outline in outlines]
    left, top, width, height = cv2.boundingRect(np.concatenate(pixels))
    canvases = [np.zeros((height, width), np.uint8) for _ in pixels]
    for canvas, points in zip(canvases, pixels, strict=True):
        if len(points):  # the outline of an empty mask has none
            cv2.fillPoly(canvas, [points], 1, offset=(-left, -top))
    return [canvas.astype(np.bool_) for canvas in canvases]
