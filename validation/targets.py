"""Labels and predictions of one image in the pixels of the input tensor, where they are compared."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..postprocess.boxes import xywh_to_xyxy
from ..postprocess.detections import Candidates
from ..postprocess.layout import Task
from ..postprocess.masks import mask_logits
from ..postprocess.types import Bool, Float, Index, Int, Size
from .labels import Labels
from .placement import Placement

_POINTS = 1000
"""Points of an outline before it is drawn, as in Ultralytics: its coordinates are cut to whole pixels, so
that points between the corners move the edge of a mask."""

MASK_RATIO = 4
"""Tensor pixels for each pixel of the masks that are compared: Ultralytics' prototypes have that size."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """N labelled objects in tensor pixels.

    Attributes:
        classes: (N,) class ids.
        boxes: (N, 4) x1, y1, x2, y2; for obb (N, 5) cx, cy, w, h, angle.
        masks: (N, h, w), a quarter of the tensor, without what smaller objects cover; None without masks.
        keypoints: (N, K, 3); None without keypoints.
    """

    classes: Int
    boxes: Float
    masks: Bool | None = None
    keypoints: Float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FoundMasks:
    """M predicted masks at the size of the prototypes, of which only the pixels inside the boxes are stored.

    Attributes:
        crops: M arrays (h, w).
        corners: (M, 2) x and y of the top left pixel of each.
    """

    crops: tuple[Bool, ...]
    corners: Index


def targets_of(labels: Labels, placement: Placement, task: Task) -> Targets:
    """Map labels into the tensor."""
    corners = placement.forward(xywh_to_xyxy(labels.boxes).reshape(-1, 2, 2))
    boxes = corners.reshape(-1, 4).astype(np.float32)
    outlines = [placement.forward(outline).astype(np.float32) for outline in labels.outlines]
    if task == "obb":
        return Targets(labels.classes, _rectangles(outlines))
    if task == "segment" and len(labels):
        masks, order = _masks(outlines, placement.geometry.tensor)
        return Targets(labels.classes[order], boxes[order], masks)
    if task == "pose" and labels.keypoints is not None:
        places = placement.forward(labels.keypoints[..., :2])
        points = np.concatenate((places, labels.keypoints[..., 2:]), axis=2).astype(np.float32)
        return Targets(labels.classes, boxes, keypoints=points)
    return Targets(labels.classes, boxes)


def found_masks(found: Candidates, prototypes: Float, tensor: Size) -> FoundMasks:
    """The masks of N candidates at the size of the prototypes, cropped to their boxes.

    For prediction, masks are enlarged to the tensor first; validation compares them as they are.

    Args:
        found: with mask coefficients as extra values.
        prototypes: (C, h, w).
        tensor: size of the input tensor.
    """
    _, height, width = prototypes.shape
    scale = np.array((width / tensor.width, height / tensor.height) * 2, np.float32)
    bounds = np.clip(np.ceil(found.boxes * scale), 0, (width, height) * 2).astype(np.intp)
    crops = tuple(
        mask[y1 : max(y1, y2), x1 : max(x1, x2)] > 0
        for mask, (x1, y1, x2, y2) in zip(mask_logits(found.extra, prototypes), bounds.tolist(), strict=True)
    )
    return FoundMasks(crops, bounds[:, :2])


def _rectangles(outlines: list[Float]) -> Float:
    """(N, 5) cx, cy, w, h, angle in radians of the smallest rectangles around outlines (P, 2)."""
    boxes = np.zeros((len(outlines), 5), np.float32)
    for box, outline in zip(boxes, outlines, strict=True):
        (x, y), (width, height), degrees = cv2.minAreaRect(outline)
        box[:] = x, y, width, height, np.deg2rad(degrees)
    return boxes


def _masks(outlines: list[Float], tensor: Size) -> tuple[Bool, Index]:
    """Masks (N, h, w) of outlines in tensor pixels, largest first, and that order of them.

    Where several cover a pixel, the smallest has it.
    """
    size = tensor.width // MASK_RATIO, tensor.height // MASK_RATIO
    longest = max(map(len, outlines))
    number = _POINTS if longest <= _POINTS else longest + 1
    masks = np.zeros((len(outlines), size[1], size[0]), np.bool_)
    for mask, outline in zip(masks, outlines, strict=True):
        canvas = np.zeros(tensor, np.uint8)
        cv2.fillPoly(canvas, [_resampled(outline, number).astype(np.int32)], 1)
        mask[:] = cv2.resize(canvas, size).astype(np.bool_)
    order = np.argsort(-masks.reshape(len(masks), -1).sum(axis=1), kind="stable")
    masks = masks[order]
    covered = np.zeros(masks.shape[1:], np.bool_)
    for mask in masks[::-1]:
        mask &= ~covered
        covered |= mask
    return masks, order


def _resampled(outline: Float, number: int) -> Float:
    """An outline (P, 2), closed, with points between its corners until they are `number` in all."""
    if len(outline) == number:
        return outline
    closed = np.concatenate((outline, outline[:1]))
    corners = np.arange(len(closed))
    few = len(closed) < number
    places = np.linspace(0, len(closed) - 1, number - len(closed) if few else number)
    if few:
        places = np.sort(np.concatenate((places, corners)))
    points = [np.interp(places, corners, closed[:, axis]) for axis in (0, 1)]
    return np.stack(points, axis=1).astype(np.float32)
