"""From predictions and labels of images to average precision, precision and recall of each class.

Matching is COCO's: in the order of their scores, predictions take the free label of their class that they
overlap most, separately for each of ten thresholds. The area below precision over recall is computed as
Ultralytics does, which differs from COCO's: see `average_precision`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..postprocess.types import Bool, Float, Int

Float64 = NDArray[np.float64]

THRESHOLDS = np.linspace(0.5, 0.95, 10, dtype=np.float32)
"""The overlaps from which a prediction counts as right: mAP50 is of the first, mAP50-95 the mean over all."""

LEVELS = np.linspace(0, 1, 1000)
"""Confidences, and recalls, at which the curves are given."""

_RECALLS = np.linspace(0, 1, 101)
_SMOOTHED = 0.1  # share of the levels that the F1 curve is averaged over before its maximum is taken


@dataclass(frozen=True, slots=True, eq=False)
class RankedImage:
    """What the figures need of one image.

    Attributes:
        labels: (N,) class ids of the labelled objects.
        classes: (M,) class ids of the predictions.
        scores: (M,) their scores.
        hits: by kind of overlap (`box`, `mask`, `keypoints`): (M, 10), whether a prediction is right at each
            of `THRESHOLDS`.
    """

    labels: Int
    classes: Int
    scores: Float
    hits: dict[str, Bool]


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """The C classes that have labels, by ascending id.

    Attributes:
        classes: (C,) class ids.
        ap: (C, 10) average precision at each of `THRESHOLDS`.
        precision: (C,) at the confidence where the mean F1 of all classes is best.
        recall: (C,) there.
        f1: (C,) there.
        confidence: that confidence.
        precision_by_confidence: (C, 1000) at `LEVELS`, at IoU 0.5.
        recall_by_confidence: (C, 1000).
        f1_by_confidence: (C, 1000).
        precision_by_recall: (C, 1000), its envelope, at IoU 0.5.
    """

    classes: Int
    ap: Float64
    precision: Float64
    recall: Float64
    f1: Float64
    confidence: float
    precision_by_confidence: Float64
    recall_by_confidence: Float64
    f1_by_confidence: Float64
    precision_by_recall: Float64


def match(labels: Int, classes: Int, overlaps: Float) -> Bool:
    """Which predictions are right.

    Args:
        labels: (N,) class ids of the labelled objects.
        classes: (M,) class ids of the predictions, by descending score.
        overlaps: (N, M).

    Returns:
        (M, 10): for each of `THRESHOLDS`.
    """
    hits = np.zeros((len(classes), len(THRESHOLDS)), np.bool_)
    if not len(labels) or not len(classes):
        return hits
    overlaps = np.where(labels[:, None] == classes, overlaps, np.float32(0))
    free = np.ones((len(labels), len(THRESHOLDS)), np.bool_)
    levels = np.arange(len(THRESHOLDS))
    for column in np.flatnonzero(overlaps.max(axis=0) >= THRESHOLDS[0]):
        open_to = np.where(free, overlaps[:, column, None], np.float32(0))
        best = open_to.argmax(axis=0)
        hits[column] = open_to[best, levels] >= THRESHOLDS
        free[best[hits[column]], levels[hits[column]]] = False
    return hits


def average_precision(recall: Float64, precision: Float64) -> tuple[float, Float64]:
    """The area below the envelope of precision over recall, and the envelope at `LEVELS`.

    The curve starts at precision 1 for recall 0 and drops to 0 behind the highest recall that is reached. The
    envelope is interpolated linearly at 101 recalls, and the trapezoids between them are added: Ultralytics'
    definition. COCO's own takes the mean of 101 precisions, each that of the next higher recall: with a
    hundred objects they differ by some thousandths, with ten by hundredths.

    Args:
        recall: (M,) after each prediction, ascending.
        precision: (M,).
    """
    x = np.concatenate(([0.0], recall, [recall[-1] if len(recall) else 1.0, 1.0]))
    y = np.concatenate(([1.0], precision, [0.0, 0.0]))
    envelope = np.maximum.accumulate(y[::-1])[::-1]
    heights = np.interp(_RECALLS, x, envelope)
    area = float((heights[1:] + heights[:-1]).sum() / 2 / (len(_RECALLS) - 1))
    return area, np.interp(LEVELS, x, envelope)


def curves_of(images: Sequence[RankedImage], kind: str) -> Curves:
    """Rank the predictions of all images together, class by class.

    Args:
        images: at least one.
        kind: of overlap.
    """
    labels, classes = (np.concatenate([getattr(i, name) for i in images]) for name in ("labels", "classes"))
    scores = np.concatenate([image.scores for image in images])
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate([image.hits[kind] for image in images])[order]
    scores, classes = scores[order].astype(np.float64), classes[order]
    ids, numbers = np.unique(labels, return_counts=True)
    shape = len(ids), len(LEVELS)
    ap = np.zeros((len(ids), len(THRESHOLDS)))
    precisions, recalls, envelopes = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, (class_id, number) in enumerate(zip(ids, numbers, strict=True)):
        own = classes == class_id
        if not own.any():
            continue
        right = np.cumsum(hits[own], axis=0)
        recall = right / number
        precision = right / np.arange(1, len(right) + 1)[:, None]
        # Ascending: by negative scores.
        recalls[row] = np.interp(-LEVELS, -scores[own], recall[:, 0], left=0)
        precisions[row] = np.interp(-LEVELS, -scores[own], precision[:, 0], left=1)
        for level in range(len(THRESHOLDS)):
            ap[row, level], envelope = average_precision(recall[:, level], precision[:, level])
            if level == 0:
                envelopes[row] = envelope
    f1 = 2 * precisions * recalls / (precisions + recalls + 1e-16)
    best = int(smoothed(f1.mean(axis=0)).argmax()) if len(ids) else 0
    at_best = precisions[:, best], recalls[:, best], f1[:, best], float(LEVELS[best])
    return Curves(ids, ap, *at_best, precisions, recalls, f1, envelopes)


def smoothed(curve: Float64) -> Float64:
    """A curve (P,), each point the mean of a tenth around it: Ultralytics finds the best F1 so."""
    width = round(len(curve) * _SMOOTHED * 2) // 2 + 1
    padded = np.pad(curve, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")
