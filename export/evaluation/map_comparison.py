"""Measures how far two maps of one image differ: class ids of its pixels, or their depths."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import InputError
from .matching import Float64, as_float64

Array = NDArray[Any]


def as_same_shape(one: Array, other: Array) -> tuple[Array, Array]:
    """Two maps as they are.

    Raises:
        InputError: they have different shapes.
    """
    if one.shape != other.shape:
        raise InputError(f"maps of different sizes: (height, width) {one.shape} and {other.shape}")
    return np.asarray(one), np.asarray(other)


def values_of_classes(one: Array, other: Array) -> dict[str, Float64]:
    """The share of pixels with the same class and that with another, of (height, width) class ids."""
    equal = float(np.count_nonzero(one == other)) / one.size
    return {"equal_pixels": as_float64([equal]), "other_class": as_float64([1 - equal])}


def overlaps_of_classes(one: Array, other: Array) -> dict[int, Float64]:
    """By class that occurs: (2,) numbers of pixels that both maps, and that either map, give to it."""
    ids = [np.asarray(each).astype(np.int64).ravel() for each in (one, other)]
    length = int(max(each.max(initial=0) for each in ids)) + 1
    both = np.bincount(ids[0][ids[0] == ids[1]], minlength=length)
    first, second = (np.bincount(each, minlength=length) for each in ids)
    union = first + second - both
    return {int(i): as_float64([both[i], union[i]]) for i in np.flatnonzero(union)}


def mean_iou_of_classes(overlaps: dict[int, Float64]) -> float | None:
    """The mean over the classes of pixels that both give to it, divided by those that either does."""
    return float(np.mean([both / union for both, union in overlaps.values()])) if overlaps else None


def values_of_depth(one: Array, other: Array) -> dict[str, Float64]:
    """The mean and the largest relative difference of (height, width) metres, where the reference has any.

    Of pixels where the reference has none, 1 is the difference, unless the candidate has none either.
    """
    one, other = as_float64(one), as_float64(other)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(other - one) / one
    relative[one <= 0] = other[one <= 0] > 0
    return {"depth_error": as_float64([relative.mean()]), "depth": as_float64([relative.max()])}
