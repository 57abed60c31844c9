"""Overlaps of N labelled with M predicted objects, all (N, M) float32 from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..postprocess.boxes import gaussian, probiou
from ..postprocess.types import Bool, Float, Index

_EPSILON = np.float32(1e-7)

COCO_SIGMAS = np.array(
    [0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
     0.087, 0.087, 0.089, 0.089], np.float32
)  # fmt: skip
"""COCO's constants of its 17 keypoints: the falloff of each (https://cocodataset.org/#keypoints-eval)."""

AREA_OF_BOX = np.float32(0.53)
"""Share of a box that an object covers, where only its box is known: as in Ultralytics and xtcocoapi."""


def box_iou(labels: Float, found: Float) -> Float:
    """IoU of (N, 4) with (M, 4) x1, y1, x2, y2."""
    low = np.maximum(labels[:, None, :2], found[None, :, :2])
    high = np.minimum(labels[:, None, 2:], found[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    shared = sides[..., 0] * sides[..., 1]
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (labels, found)]
    result: Float = shared / (areas[0][:, None] + areas[1][None] - shared + _EPSILON)
    return result


def rotated_iou(labels: Float, found: Float) -> Float:
    """ProbIoU of (N, 5) with (M, 5) cx, cy, w, h, angle: what Ultralytics matches oriented boxes by."""
    return probiou(gaussian(labels)[:, None], gaussian(found)[None])


def mask_iou(labels: Bool, crops: Sequence[Bool], corners: Index) -> Float:
    """IoU of (N, h, w) masks with M masks of which only the pixels inside their boxes are given.

    Args:
        labels: (N, h, w).
        crops: M arrays (h', w').
        corners: (M, 2) x and y of the top left pixel of each.
    """
    areas = labels.reshape(len(labels), -1).sum(axis=1)
    result = np.zeros((len(labels), len(crops)), np.float32)
    for column, (crop, (x, y)) in enumerate(zip(crops, corners, strict=True)):
        inside = labels[:, y : y + crop.shape[0], x : x + crop.shape[1]]
        shared = inside[:, crop].sum(axis=1).astype(np.float32)
        result[:, column] = shared / (areas + np.count_nonzero(crop) - shared + _EPSILON)
    return result


def keypoint_similarity(labels: Float, found: Float, areas: Float, sigmas: Float) -> Float:
    """Object keypoint similarity (OKS) of (N, K, 3) with (M, K, 2 or 3) points.

    The mean over the labelled points of exp(-d² / (2 s k²)), with d the distance, s the area of the object
    and k twice the constant of the point, as COCO defines it.

    Args:
        labels: x, y and visibility; points with visibility 0 do not count.
        found: x, y.
        areas: (N,) of the labelled objects, in the square of the same unit.
        sigmas: (K,) constants of the points.
    """
    offsets = labels[:, None, :, :2] - found[None, :, :, :2]
    squared = (offsets**2).sum(axis=-1)
    spread = (2 * sigmas) ** 2 * (areas[:, None, None] + _EPSILON) * 2
    labelled = labels[..., 2] != 0
    similar = (np.exp(-squared / spread) * labelled[:, None]).sum(axis=-1)
    result: Float = (similar / (labelled.sum(axis=-1)[:, None] + _EPSILON)).astype(np.float32)
    return result
