"""Medians, quartiles and paired ratios of repeated measurements."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Quartiles:
    """Median and quartiles of repeated measurements; the IQR is `q3 - q1`."""

    median: float
    q1: float
    q3: float


def quartiles(values: Iterable[float]) -> Quartiles:
    """Quartiles by linear interpolation between the values, as numpy's; of a single value, that value.

    Raises:
        ValueError: there is no value.
    """
    known = list(values)
    if not known:
        raise ValueError("no values")
    if len(known) == 1:
        return Quartiles(known[0], known[0], known[0])
    q1, median, q3 = statistics.quantiles(known, n=4, method="inclusive")
    return Quartiles(median, q1, q3)


def paired_ratios(one: Sequence[float], other: Sequence[float]) -> Quartiles:
    """Quartiles of `one` divided by `other`, repetition by repetition; both of one length."""
    return quartiles(a / b for a, b in zip(one, other, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share`, 0 to 1, of the values lie, by linear interpolation."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
