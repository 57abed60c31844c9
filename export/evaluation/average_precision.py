"""Average precision of a candidate model with a reference model's objects as ground truth.

Recall and precision at one threshold are decided by the few objects whose scores lie next to it. Average
precision ranks all objects of the candidate by score instead, as COCO's evaluation does, and the change of
scores is measured on all objects that matter. Both come with an interval, because a few dozen images are a
small sample.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .image_comparison import json_ready
from .matching import Float64, as_float64, match, pairwise_iou
from .predictions import Result

TRUE_SCORE = 0.25
"""Score above which an object of the reference is ground truth. Fainter ones do not count."""

FAINT_SCORE = 0.1
"""Score above which an object of the reference counts for the change of scores."""

MIN_SCORE = 0.01
"""Score above which both models' objects are needed: fainter ones have no influence that matters."""

_IOUS = np.arange(10) * 0.05 + 0.5
_RESAMPLES, _COVERED = 400, 0.95
_INPUT_SIDE = 640  # pixels, roughly: boxes thinner than one of them are widened

Interval = tuple[float, float]
"""Ends of a 95% bootstrap interval over images."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a candidate reproduces a reference's objects.

    Attributes:
        images: number of images.
        objects: number of the reference's objects above `TRUE_SCORE`, the ground truth.
        ap50: average precision at IoU 0.5, 0 to 1, of all classes together.
        ap50_interval: its interval.
        ap: mean of the average precisions at IoU 0.5, 0.55, ..., 0.95.
        ap_interval: its interval.
        scored: number of the reference's objects above `FAINT_SCORE` that the candidate finds too.
        score_mean: mean change of their scores, candidate minus reference; None without any.
        score_deviation: standard deviation of that change.
        deviation_interval: its interval.
    """

    images: int
    objects: int
    ap50: float
    ap50_interval: Interval
    ap: float
    ap_interval: Interval
    scored: int
    score_mean: float | None
    score_deviation: float | None
    deviation_interval: Interval | None

    def as_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON: five decimals."""
        pairs = {name: value for name, value in asdict(self).items() if isinstance(value, tuple)}
        return json_ready(asdict(self)) | {
            name: [round(end, 5) for end in value] for name, value in pairs.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """What is kept of an image.

    Attributes:
        objects: number of ground-truth objects.
        scores: (N,) scores of the candidate's objects.
        hits: (N, 10), 1 for a hit at an IoU of `_IOUS`, 0 for a false alarm, -1 for what does not count.
        changes: (M,) changes of scores.
    """

    objects: int
    scores: Float64
    hits: NDArray[np.int8]
    changes: Float64


class QualityMeasurement:
    """Collects images, and computes the `Quality` of all."""

    def __init__(self) -> None:
        self._images: list[_Image] = []

    def add(self, reference: Result, candidate: Result) -> None:
        """Add two predictions for one image, with all objects that score above `MIN_SCORE`."""
        oriented = reference.obb is not None
        views = [result.obb if oriented else result.boxes for result in (reference, candidate)]
        name, corners = ("xyxyxyxy", 4) if oriented else ("xyxy", 2)
        one, other = (as_float64(getattr(view, name)).reshape(-1, corners, 2) for view in views)
        scores = [as_float64(view.conf) for view in views]
        same_class = np.equal.outer(*(as_float64(view.cls) for view in views))
        pixel = max(1.0, max(reference.orig_shape) / _INPUT_SIDE)
        iou = pairwise_iou(one, other, same_class, pixel)
        rows, columns = match(iou, scores)
        certain = scores[0][rows] > FAINT_SCORE
        changes = (scores[1][columns] - scores[0][rows])[certain]
        self._images.append(_Image(
            objects=int((scores[0] > TRUE_SCORE).sum()),
            scores=scores[1],
            hits=_hits(iou, scores[0] > TRUE_SCORE, scores[1]),
            changes=changes,
        ))  # fmt: skip

    def loss(self) -> float:
        """Lost average precision plus the root mean square change of scores; 0 is best."""
        changes = _changes(self._images)
        change = float(np.sqrt(np.square(changes).mean())) if changes.size else 0.0
        return 1 - float(_average_precisions(self._images).mean()) + change

    def result(self) -> Quality:
        """The quality over all images added, at least one."""
        images = self._images
        changes = _changes(images)
        precisions = _average_precisions(images)
        # Seeded: the same comparison gives the same report.
        chosen = np.random.default_rng(0).integers(len(images), size=(_RESAMPLES, len(images)))
        samples = [[images[i] for i in row] for row in chosen.tolist()]
        resampled = np.stack([_average_precisions(sample) for sample in samples])
        deviations = [found.std() for found in map(_changes, samples) if found.size]
        return Quality(
            images=len(images),
            objects=sum(image.objects for image in images),
            ap50=float(precisions[0]),
            ap50_interval=_interval(resampled[:, 0]),
            ap=float(precisions.mean()),
            ap_interval=_interval(resampled.mean(axis=1)),
            scored=len(changes),
            score_mean=float(changes.mean()) if changes.size else None,
            score_deviation=float(changes.std()) if changes.size else None,
            deviation_interval=_interval(as_float64(deviations)) if changes.size else None,
        )


def objects_needed(least: float) -> int:
    """The number of ground-truth objects that a verdict on `least` needs, 0 to 1.

    Where none of n objects is lost, the share that the model loses elsewhere may still be 3 / n (the rule of
    three, for 95% confidence): with fewer than 3 / (1 - least) not even a perfect result shows that it is
    less than 1 - least. At most 300, else 1 could not be asked for.
    """
    return min(300, math.ceil(round(3 / max(1 - least, 1e-9), 6)))


def _hits(iou: Float64, is_true: NDArray[np.bool_], scores: Float64) -> NDArray[np.int8]:
    """Assign each of the candidate's objects, by descending score, to the closest one that is still free."""
    hits = np.zeros((iou.shape[1], len(_IOUS)), np.int8)
    order = np.argsort(-scores, kind="stable")
    order = order[iou.max(axis=0, initial=0)[order] >= _IOUS[0]]
    for level, least in enumerate(_IOUS):
        free = np.ones(len(iou), np.bool_)
        for column in order:
            # As COCO does: an object that does not count is assigned only where no other is left.
            for of_kind, value in ((is_true, 1), (~is_true, -1)):
                overlaps = np.where(free & of_kind, iou[:, column], 0)
                best = int(overlaps.argmax())
                if overlaps[best] >= least - 1e-9:
                    free[best], hits[column, level] = False, value
                    break
    return hits


def _average_precisions(images: list[_Image]) -> Float64:
    """Average precision at each IoU of `_IOUS`: the area below the envelope of precision over recall."""
    objects = sum(image.objects for image in images)
    scores = np.concatenate([image.scores for image in images])
    hits = np.concatenate([image.hits for image in images])[np.argsort(-scores, kind="stable")]
    if not objects:  # of nothing all is found, unless there are confident inventions
        return np.full(len(_IOUS), float(not (scores > TRUE_SCORE).any()))
    true, false = np.cumsum(hits == 1, axis=0), np.cumsum(hits == 0, axis=0)
    precision = true / np.maximum(true + false, 1)
    envelope = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    return as_float64((envelope * (hits == 1)).sum(axis=0) / objects)


def _changes(images: list[_Image]) -> Float64:
    return np.concatenate([image.changes for image in images])


def _interval(values: Float64) -> Interval:
    outside = (1 - _COVERED) / 2
    low, high = np.quantile(values, (outside, 1 - outside))
    return float(low), float(high)
