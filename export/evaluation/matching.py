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

_SAME = 0.01  # pixels


def as_float64(array: Any) -> Float64:
    """Any numbers as float64."""
    return np.asarray(array, np.float64)


def pairwise_iou(one: Float64, other: Float64, comparable: NDArray[np.bool_]) -> Float64:
    """IoU of every box with every other.

    Args:
        one, other: corners (N, P, 2) and (M, P, 2) in pixels; P is 2 for upright boxes (top left and bottom
            right) and 4 for oriented ones.
        comparable: (N, M), which pairs are of interest.

    Returns:
        (N, M) IoU, 0 to 1; 0 for pairs that are not comparable.
    """
    sides = np.minimum(one.max(1)[:, None], other.max(1)) - np.maximum(one.min(1)[:, None], other.min(1))
    shared = np.where(comparable, sides.clip(0).prod(axis=2), 0)
    areas = [np.ptp(corners, axis=1).prod(axis=1) for corners in (one, other)]
    if one.shape[1] == 4:
        # Not cv2.intersectConvexConvex: of pairs that nearly coincide, 4 in 1000 came out as half or nothing.
        rectangles = [
            [cv2.minAreaRect(box.astype(np.float32)) for box in corners] for corners in (one, other)
        ]
        areas = [as_float64([width * height for _, (width, height), _ in side]) for side in rectangles]
        for i, j in np.argwhere(shared):
            _, points = cv2.rotatedRectangleIntersection(rectangles[0][i], rectangles[1][j])
            shared[i, j] = 0 if points is None else cv2.contourArea(cv2.convexHull(points))
    union = np.add.outer(*areas) - shared
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    # Boxes of next to no area, which the image's border cut off, equal themselves as well.
    iou[comparable & (np.abs(one[:, None] - other) <= _SAME).all(axis=(2, 3))] = 1
    return as_float64(np.minimum(iou, 1))


def match(iou: Float64, scores: list[Float64]) -> tuple[Indices, Indices]:
    """Pair objects one to one, the largest IoU first.

    Args:
        iou: (N, M); pairs need at least `MATCH_IOU`.
        scores: (N,) and (M,), which decide between pairs of equal IoU.

    Returns:
        rows and columns of the pairs, (pairs,) each.
    """
    rows, columns = np.nonzero(iou >= MATCH_IOU)
    one, other = scores[0][rows], scores[1][columns]
    # Objects that a model reports twice overlap equally: their order must not decide.
    order = np.lexsort((-other, -one, np.abs(other - one), -iou[rows, columns]))
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


def _filled(outlines: list[NDArray[Any]]) -> list[NDArray[np.bool_]]:
    """Outlines (P, 2) in pixels of the image, filled on canvases that are no larger than they need."""
    pixels = [np.rint(outline).astype(np.int32) for outline in outlines]
    left, top, width, height = cv2.boundingRect(np.concatenate(pixels))
    canvases = [np.zeros((height, width), np.uint8) for _ in pixels]
    for canvas, points in zip(canvases, pixels, strict=True):
        if len(points):  # the outline of an empty mask has none
            cv2.fillPoly(canvas, [points], 1, offset=(-left, -top))
    return [canvas.astype(np.bool_) for canvas in canvases]
