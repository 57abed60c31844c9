"""How measurements are summed up and kept."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..export.files import write_whole
from ..measurement.machine import this_machine


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, and the quarter and three-quarter marks; of a single value, three times itself."""
    known = list(values)
    low, middle, high = statistics.quantiles(known, n=4) if len(known) > 1 else known * 3
    return {"median": middle, "quarter": low, "three_quarters": high}


def ratios(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Spread of `one` divided by `other`, pair by pair: both were measured in turn."""
    return spread(a / b for a, b in zip(one, other, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, between neighbours in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def write(target: Path | None, what: dict[str, Any], how: dict[str, Any]) -> None:
    """Keep figures as JSON, with the machine and how they were taken; without a target, nothing.

    Raises:
        InputError: the file cannot be written; what it was before stays.
    """
    if target is not None:
        text = json.dumps({"machine": asdict(this_machine()), "how": how} | what, indent=1)
        write_whole(target, text.encode() + b"\n")
