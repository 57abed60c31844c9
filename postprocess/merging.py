"""Merges the objects of several slices of one image, where they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np

from .boxes import xywhr_to_corners
from .detections import Detections, Options
from .masks import InstanceMasks
from .nms import MAX_CANDIDATES, nms
from .scattered_masks import gathered, united
from .types import Bool, Float, Index, Int, Size

Merge = Literal["nmm", "nms"]
MERGES: tuple[Merge, ...] = get_args(Merge)

SMALLER_SHARE = 0.5
"""Intersection over the smaller area above which greedy non-maximum merging joins two boxes, as in SAHI."""


def merge(parts: Sequence[Detections], image: Size, options: Options, how: Merge) -> Detections:
    """The objects of an image from those of its slices, in pixels of the image.

    `nms` is the suppression of `nms.nms`, with `options.iou`. `nmm` is greedy non-maximum merging as in SAHI
    (https://arxiv.org/abs/2202.06934): the best box takes in all others of its class that it shares more than
    half of the smaller area with, and grows to the box around them, its mask to the union. Rotated boxes and
    keypoints do not grow: those of the best score stay.

    Args:
        parts: the objects of each slice, at least one.
        image: size of the image.
        options: `iou`, `max_det` and `agnostic_nms` apply.
        how: see above.

    Returns:
        at most `options.max_det` objects, by descending score.
    """
    boxes, scores, classes = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "scores", "classes")
    )
    if how == "nms":
        kept = nms(boxes, scores, classes, options)
        groups = [np.array([row]) for row in kept]
    else:
        labels = np.zeros_like(classes) if options.agnostic_nms else classes
        groups = _grouped(boxes, labels, np.argsort(-scores, kind="stable")[:MAX_CANDIDATES])
        groups = sorted(groups, key=lambda group: -scores[group[0]])[: options.max_det]
        kept = np.array([group[0] for group in groups], np.intp)
        if boxes.shape[1] == 4:
            boxes = boxes.copy()
            for row, group in zip(kept, groups, strict=True):
                boxes[row] = _around(boxes[group])
    points = [part.keypoints for part in parts if part.keypoints is not None]
    keypoints = np.concatenate(points)[kept] if points else None
    found = [part.masks for part in parts if isinstance(part.masks, InstanceMasks)]
    masks = united(gathered(found, image), groups, boxes[kept]) if found else None
    return Detections(boxes[kept], scores[kept], classes[kept], keypoints, masks)


def _grouped(boxes: Float, labels: Int, order: Index) -> list[Index]:
    """The rows of the boxes that become one, the best of them first; of rotated boxes, only that one."""
    groups: list[Index] = []
    for label in np.unique(labels[order]):
        waiting = order[labels[order] == label]
        while len(waiting):
            best, rest = waiting[0], waiting[1:]
            near = _overlaps(boxes[best], boxes[rest])
            members, waiting = rest[near], rest[~near]
            group = [best]
            if boxes.shape[1] == 4:
                box = boxes[best]
                for row in members:
                    # A box that has grown may share less of its area than it did: SAHI asks again as well.
                    if _overlaps(box, boxes[row : row + 1])[0]:
                        box = _around(np.stack((box, boxes[row])))
                        group.append(row)
            groups.append(np.array(group))
    return groups


def _around(boxes: Float) -> Float:
    """The box (4,) around boxes (N, 4)."""
    return np.concatenate((boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)))


def _overlaps(one: Float, others: Float) -> Bool:
    """(N,) whether the intersection with each box is more than half of the smaller of the two areas."""
    if len(one) == 5:
        return _rotated_overlaps(one, others)
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    sides = np.maximum(high - low, 0)
    areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    smaller = np.minimum((one[2] - one[0]) * (one[3] - one[1]), areas)
    exceeds: Bool = sides[:, 0] * sides[:, 1] > SMALLER_SHARE * smaller
    return exceeds


def _rotated_overlaps(one: Float, others: Float) -> Bool:
    """The same of rotated boxes (5,) and (N, 5): polygons are cut where their enclosing boxes overlap."""
    corners = xywhr_to_corners(np.concatenate((one[None], others)))
    low, high = corners.min(axis=1), corners.max(axis=1)
    near = ((low[0] < high[1:]) & (low[1:] < high[0])).all(axis=1)
    exceeds = np.zeros(len(others), np.bool_)
    for row in np.flatnonzero(near):
        _, polygon = cv2.rotatedRectangleIntersection(_cv_rectangle(one), _cv_rectangle(others[row]))
        if polygon is not None:
            smaller = min(float(one[2] * one[3]), float(others[row, 2] * others[row, 3]))
            exceeds[row] = cv2.contourArea(cv2.convexHull(polygon)) > SMALLER_SHARE * smaller
    return exceeds


def _cv_rectangle(box: Float) -> tuple[tuple[float, float], tuple[float, float], float]:
    x, y, width, height, angle = box.tolist()
    return (x, y), (width, height), float(np.degrees(angle))
