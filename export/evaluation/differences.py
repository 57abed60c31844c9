"""Largest differences between the predictions of two models: whether the models are the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from .image_comparison import COMPLETE, NO_VALUES, Floors, compare_image, json_ready
from .predictions import Result


@dataclass(frozen=True, slots=True)
class Differences:
    """The largest differences between paired objects, in one image or, merged, in many.

    None where nothing of the kind was compared; infinite where a number is NaN.

    Attributes:
        images: number of images.
        matched: number of paired objects; 0 for tasks without objects.
        missing: scores of the reference's objects without a partner, descending.
        extra: scores of the candidate's objects without a partner, descending.
        box: pixels, of a coordinate; for obb of a corner's, whichever corner comes first.
        score: 0 to 1.
        keypoints: pixels, of a coordinate of any point, visible or not.
        visibility: of any point, 0 to 1.
        mask: 1 - IoU, 0 to 1.
        probs: of any class, 0 to 1.
        other_class: share of an image's pixels that have another class, 0 to 1.
        depth: of any pixel, relative to the reference's.
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
    other_class: float | None = None
    depth: float | None = None

    @property
    def compared(self) -> bool:
        """Whether there was anything to compare."""
        return bool(self.matched or self.missing or self.largest())

    def merge(self, other: Differences) -> Differences:
        """Those of the images of both; `Differences()` is neutral."""
        known = ([x for x in (getattr(self, f), getattr(other, f)) if x is not None] for f in _LARGEST)
        return Differences(
            self.images + other.images,
            self.matched + other.matched,
            _descending(self.missing + other.missing),
            _descending(self.extra + other.extra),
            *(max(values, default=None) for values in known),
        )

    def largest(self) -> dict[str, float]:
        """The differences that were measured, from `box` to `depth`, by name."""
        values = {name: getattr(self, name) for name in _LARGEST}
        return {name: value for name, value in values.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """All fields, ready for JSON: five decimals, None for what is not finite.

        `missing` and `extra` are counts here; `missing_score` and `extra_score` are the best scores or None.
        """
        plain = asdict(self)
        for name, scores in (("missing", self.missing), ("extra", self.extra)):
            plain |= {name: len(scores), f"{name}_score": max(scores, default=None)}
        return json_ready(plain)


_LARGEST = tuple(field.name for field in fields(Differences))[4:]


def differences(reference: Result, candidate: Result, *, floors: Floors = COMPLETE) -> Differences:
    """The largest differences between two predictions for one image.

    Objects without a partner keep their scores: one near the threshold may fall on either side of it.

    Args:
        floors: scores up to which the reference and the candidate may lack objects, because of a threshold
            or of a limit on their number; by default neither lacks any.

    Raises:
        InputError: the predictions are of different tasks, images or classes.
    """
    found = compare_image(reference, candidate, floors)
    values = (found.values.get(name, NO_VALUES) for name in _LARGEST)
    # A NaN is the largest difference of all, and must not get lost among numbers.
    largest = (float(v.max()) if v.size else None for v in (np.where(np.isnan(v), np.inf, v) for v in values))
    matched = len(found.values.get("mean_iou", NO_VALUES))
    return Differences(1, matched, _descending(found.missing), _descending(found.extra), *largest)


def _descending(scores: Iterable[float]) -> tuple[float, ...]:
    return tuple(sorted(scores, reverse=True))
