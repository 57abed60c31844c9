"""How far the answers of a candidate model agree with those of a reference model on the same images.

`agreement` tells how many objects both found and how far these lie apart on average: what INT8 or FP16 costs.
`differences` tells the largest difference in one image: whether two models are the same one.

Objects are partners when they have one class and an IoU of at least `MATCH_IOU`, one to one, the largest IoU
first. Not the best score first, as mAP has it: scores are what a quantised model changes most, and a changed
score would then also change who is compared with whom.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np

from ...engine.errors import InputError
from ...postprocess.layout import TASKS, Task
from .matching import Values, as_values, mask_ious, overlaps, partners

_ORDERS = np.array([np.roll(order, n) for order in ((0, 1, 2, 3), (3, 2, 1, 0)) for n in range(4)])
_NONE: Values = np.zeros(0)
_VISIBLE = 0.5  # visibility from which keypoints are drawn; where the others lie is noise


class Result(Protocol):
    """What is read of the answer to one image: yolean's `Results`, or Ultralytics' after `.cpu().numpy()`.

    The views hold numpy arrays under the names that both share; those that the task lacks are None.
    """

    @property
    def orig_shape(self) -> tuple[int, int]: ...

    boxes: Any
    obb: Any
    masks: Any
    keypoints: Any
    probs: Any


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a candidate agrees with a reference; None is what the task lacks, or a mean over nothing.

    Attributes:
        task: of both; `detect` where Ultralytics found no object anywhere, so that nothing tells.
        images: number of them, at least 1.
        objects: number of the reference's objects.
        found: number of the candidate's objects.
        recall: share of the reference's objects that have a partner, 0 to 1. Where it has no object: 1 if the
            candidate found none either, else 0.
        precision: likewise, of the candidate's objects.
        mean_iou: of the partners' boxes (obb: the rotated ones), `MATCH_IOU` to 1.
        confidence_change: mean of the candidate's minus the reference's score of partners, -1 to 1. For
            classify: of the probability of the reference's best class.
        confidence_error: mean size of these changes, 0 to 1.
        mask_iou: mean over the partners, 0 to 1.
        keypoint_distance: mean pixels between the partners' points that the reference calls visible (0.5 or
            more), or between all where it does not tell.
        keypoint_relative: the same in diagonals of the reference's box.
        corner_distance: mean pixels between the corners of oriented partners, whichever corner comes first.
        top1: share of the images with the same best class, 0 to 1.
    """

    task: Task
    images: int
    objects: int | None = None
    found: int | None = None
    recall: float | None = None
    precision: float | None = None
    mean_iou: float | None = None
    confidence_change: float | None = None
    confidence_error: float | None = None
    mask_iou: float | None = None
    keypoint_distance: float | None = None
    keypoint_relative: float | None = None
    corner_distance: float | None = None
    top1: float | None = None

    @property
    def score(self) -> float:
        """One number from 0 to 1: the smaller of recall and precision; for classify `top1`."""
        return min(share for share in (self.recall, self.precision, self.top1) if share is not None)

    @property
    def empty(self) -> bool:
        """Whether nothing was compared, as neither found an object: the score is 1 and tells nothing."""
        return self.objects == self.found == 0

    def as_dict(self) -> dict[str, Any]:
        """All fields, `score` and `empty`, ready for JSON: five decimals, None for what is not finite."""
        return _plain(asdict(self) | {"score": self.score, "empty": self.empty})


@dataclass(frozen=True, slots=True)
class Differences:
    """The largest differences between partners, in one image or, merged, in many.

    None where nothing of the kind was compared; infinite where a number is NaN.

    Attributes:
        images: number of them.
        matched: number of pairs of partners; 0 for classify.
        missing: scores of the reference's objects without a partner, descending.
        extra: scores of the candidate's objects without a partner, descending.
        box: pixels, of a coordinate; for obb of a corner's, whichever corner comes first.
        score: 0 to 1.
        keypoints: pixels, of a coordinate of any point, visible or not.
        visibility: of any point, 0 to 1.
        mask: 1 - IoU, 0 to 1.
        probs: of any class, 0 to 1.
    """

    images: int = 0
    matched: int = 0
    missing: tuple[float, ...] = ()
    extra: tuple[float, ...] = ()
    box: float | None = None
    score: float | None = None
    keypoints: float | None = None
    visibility: float | None = None
    mask: float | None = None
    probs: float | None = None

    def merge(self, other: Differences) -> Differences:
        """Those of the images of both; `Differences()` is what to begin with."""
        known = ([x for x in (getattr(self, f), getattr(other, f)) if x is not None] for f in _LARGEST)
        return Differences(
            self.images + other.images,
            self.matched + other.matched,
            _descending(self.missing + other.missing),
            _descending(self.extra + other.extra),
            *(max(values, default=None) for values in known),
        )

    def as_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON: five decimals, None for what is not finite.

        `missing` and `extra` are counts here; `missing_score` and `extra_score` are the best scores or None.
        """
        plain = asdict(self)
        for name, scores in (("missing", self.missing), ("extra", self.extra)):
            plain |= {name: len(scores), f"{name}_score": max(scores, default=None)}
        return _plain(plain)


# The fields that `_compare` gives values for.
_MEANS = tuple(field.name for field in fields(Agreement))[6:]
_LARGEST = tuple(field.name for field in fields(Differences))[4:]


def agreement(pairs: Iterable[tuple[Result, Result]]) -> Agreement:
    """How far a candidate agrees with a reference over all images.

    Args:
        pairs: answers of reference and candidate, image by image; none is kept.

    Raises:
        InputError: there is no image, or two answers are of different tasks, images or classes.
    """
    tasks, images, missing, extra = frozenset(TASKS), 0, 0, 0
    columns: dict[str, list[Values]] = defaultdict(list)
    for reference, candidate in pairs:
        found = _compare(reference, candidate)
        tasks = _common(tasks, found.tasks)
        images, missing, extra = images + 1, missing + len(found.missing), extra + len(found.extra)
        for name in _MEANS:
            columns[name].append(found.values.get(name, _NONE))
    if not images:
        raise InputError("no images to compare: expected at least one pair of answers")
    joined = (np.concatenate(columns[name]) for name in _MEANS)
    means = (float(values.mean()) if values.size else None for values in joined)
    task = next(task for task in TASKS if task in tasks)
    if task == "classify":
        return Agreement(task, images, None, None, None, None, *means)
    matched = sum(map(len, columns["mean_iou"]))
    recall, precision = _share(matched, missing, extra), _share(matched, extra, missing)
    return Agreement(task, images, matched + missing, matched + extra, recall, precision, *means)


def differences(reference: Result, candidate: Result) -> Differences:
    """The largest differences between two answers to one image.

    Objects without a partner keep their scores, for one near the threshold may fall on either side of it.

    Raises:
        InputError: the answers are of different tasks, images or classes.
    """
    found = _compare(reference, candidate)
    values = (found.values.get(name, _NONE) for name in _LARGEST)
    # A NaN is the largest difference of all, and must not get lost among numbers.
    largest = (float(v.max()) if v.size else None for v in (np.where(np.isnan(v), np.inf, v) for v in values))
    return Differences(1, len(found.values.get("mean_iou", _NONE)), found.missing, found.extra, *largest)


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """One image: scores without a partner, and by name of a field what it is the mean or the largest of."""

    tasks: frozenset[Task]
    values: dict[str, Values]
    missing: tuple[float, ...] = ()
    extra: tuple[float, ...] = ()


@np.errstate(invalid="ignore")  # a broken model's infinite coordinates: they have no IoU, so no partner
def _compare(reference: Result, candidate: Result) -> _Compared:
    tasks = _common(_tasks(reference), _tasks(candidate))
    sizes = [tuple(map(int, result.orig_shape)) for result in (reference, candidate)]
    if sizes[0] != sizes[1]:
        raise InputError(f"answers to different images: (height, width) {sizes[0]} and {sizes[1]}")
    if "classify" in tasks:
        return _Compared(tasks, _of_probs(reference, candidate))
    views = [result.boxes if result.obb is None else result.obb for result in (reference, candidate)]
    name, corners = ("xyxyxyxy", 4) if "obb" in tasks else ("xyxy", 2)
    one, other = (as_values(getattr(view, name)).reshape(-1, corners, 2) for view in views)
    scores = [as_values(view.conf) for view in views]
    iou = overlaps(one, other, np.equal.outer(*(as_values(view.cls) for view in views)))
    rows, columns = partners(iou, scores)
    one, other, change = one[rows], other[columns], scores[1][columns] - scores[0][rows]
    values = {"mean_iou": iou[rows, columns], "confidence_change": change, "box": np.abs(other - one)}
    values["confidence_error"] = values["score"] = np.abs(change)
    if "obb" in tasks:
        offsets = np.abs(other[:, None] - one[:, _ORDERS])
        values["corner_distance"] = np.linalg.norm(offsets, axis=3).mean(axis=2).min(axis=1)
        values["box"] = offsets.max(axis=(2, 3)).min(axis=1)
    elif "segment" in tasks and len(rows):
        values["mask_iou"] = mask_ious((reference.masks, candidate.masks), rows, columns)
        values["mask"] = 1 - values["mask_iou"]
    elif "pose" in tasks and len(rows):
        points = as_values(reference.keypoints.data)[rows], as_values(candidate.keypoints.data)[columns]
        values |= _of_points(*points, np.linalg.norm(one[:, 1] - one[:, 0], axis=1))
    unmatched = (np.delete(*pair).tolist() for pair in zip(scores, (rows, columns), strict=True))
    return _Compared(tasks, values, *map(_descending, unmatched))


def _of_probs(reference: Result, candidate: Result) -> dict[str, Values]:
    one, other = as_values(reference.probs.data), as_values(candidate.probs.data)
    if one.shape != other.shape:
        raise InputError(f"answers of different models: {len(one)} and {len(other)} classes")
    best = one.argmax()
    change = (other - one)[[best]]
    values = {"confidence_change": change, "confidence_error": np.abs(change), "probs": np.abs(other - one)}
    return values | {"top1": as_values([other.argmax() == best])}


def _of_points(one: Values, other: Values, diagonals: Values) -> dict[str, Values]:
    """Of the (M, K, 2 or 3) keypoints of partners, with (M,) diagonals of the reference's boxes."""
    if one.shape != other.shape:
        raise InputError(f"answers of different models: keypoints {one.shape[1:]} and {other.shape[1:]}")
    offsets = np.abs(other - one)
    visible = one[..., 2] >= _VISIBLE if one.shape[2] == 3 else np.full(one.shape[:2], True)
    distances = np.linalg.norm(offsets[..., :2], axis=2)
    # At least a pixel: a box that the image's border cuts off may have no size.
    relative = distances / np.maximum(diagonals, 1)[:, None]
    values = {"keypoints": offsets[..., :2], "visibility": offsets[..., 2:]}
    return values | {"keypoint_distance": distances[visible], "keypoint_relative": relative[visible]}


def _tasks(result: Result) -> frozenset[Task]:
    """What tasks an answer can be of: Ultralytics gives no masks where it found no object."""
    views: dict[Task, Any] = {"classify": result.probs, "obb": result.obb}
    views |= {"pose": result.keypoints, "segment": result.masks}
    told = frozenset(task for task, view in views.items() if view is not None)
    if not told and result.boxes is not None:
        return frozenset(("detect",) if len(result.boxes) else ("detect", "segment", "pose"))
    return told


def _common(one: frozenset[Task], other: frozenset[Task]) -> frozenset[Task]:
    if not one & other:
        texts = [" or ".join(sorted(tasks)) or "none known" for tasks in (one, other)]
        raise InputError(f"answers of different tasks: {texts[0]}, and {texts[1]}")
    return one & other


def _descending(scores: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted(scores, reverse=True))


def _share(matched: int, alone: int, others: int) -> float:
    """Of `matched` and `alone` objects; of none, whether the other side's `others` are none either."""
    return matched / (matched + alone) if matched + alone else float(not others)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    floats = {key: value for key, value in values.items() if isinstance(value, float)}
    return values | {
        key: round(value, 5) + 0.0 if math.isfinite(value) else None for key, value in floats.items()
    }
