"""Ranges of the values that a network's tensors take on real images, for eight bits to cover."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ...engine.runtime.session import Session

Range = tuple[float, float]

_BINS = 4096
_LEVELS = 255  # steps of an unsigned byte


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often a tensor took which values.

    Attributes:
        low, high: the smallest and the largest value; 0 lies between or on them.
        counts: (bins,) int64, of equal width from low to high.
    """

    low: float
    high: float
    counts: NDArray[np.int64]


def observe(
    model: onnx.ModelProto,
    tensors: list[str],
    inputs: Callable[[], Iterable[NDArray[Any]]],
    threads: int | None = None,
) -> dict[str, Histogram]:
    """Histograms of tensors over all inputs, in two passes: one for the ranges, one for the counts.

    Args:
        tensors: names of float tensors that the graph computes.
        inputs: gives the model's input tensors anew at every call.
    """
    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    del open_model.graph.output[:]
    open_model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    session = Session(open_model.SerializeToString(), "cpu", threads=threads)
    ranges = np.zeros((len(tensors), 2))
    for tensor in inputs():
        for span, values in zip(ranges, session.run(tensor), strict=True):
            span[:] = min(span[0], values.min()), max(span[1], values.max())
    counts = np.zeros((len(tensors), _BINS), np.int64)
    for tensor in inputs():
        for (low, high), bins, values in zip(ranges, counts, session.run(tensor), strict=True):
            if high > low:
                scale = np.float32(_BINS / (high - low))
                places = ((values.ravel() - np.float32(low)) * scale).astype(np.int32)
                bins += np.bincount(np.clip(places, 0, _BINS - 1, out=places), minlength=_BINS)
    return {
        name: Histogram(float(low), float(high), bins)
        for name, (low, high), bins in zip(tensors, ranges, counts, strict=True)
    }


def whole(values: Histogram) -> Range:
    """From the smallest to the largest value."""
    return values.low, values.high


def percentile(values: Histogram, share: float) -> Range:
    """Without the largest and the smallest values: of each, so small a share lies outside."""
    total = values.counts.sum()
    if not total:
        return whole(values)
    width = (values.high - values.low) / _BINS
    below = np.searchsorted(np.cumsum(values.counts), total * share)
    above = np.searchsorted(np.cumsum(values.counts[::-1]), total * share)
    return min(0.0, values.low + int(below) * width), max(0.0, values.high - int(above) * width)


def least_error(values: Histogram) -> Range:
    """Of ranges cut off on both sides by the same share, the one with the least squared error.

    Rounding to steps of s costs s²/12 for each value, clipping the squared distance to the edge.
    """
    width = (values.high - values.low) / _BINS
    centres = values.low + (np.arange(_BINS) + 0.5) * width
    best, least = whole(values), np.inf
    for part in np.linspace(1.0, 0.2, 81):
        low, high = values.low * part, values.high * part
        outside = np.maximum(centres - high, 0) + np.maximum(low - centres, 0)
        step = (high - low) / _LEVELS
        error = float((values.counts * np.where(outside > 0, outside**2, step**2 / 12)).sum())
        if error < least:
            best, least = (low, high), error
    return best


METHODS: dict[str, Callable[[Histogram], Range]] = {
    "min-max": whole,
    "percentile 99.999": lambda values: percentile(values, 1e-5),
    "percentile 99.99": lambda values: percentile(values, 1e-4),
    "least squared error": least_error,
}
"""Calibration methods: from a histogram to the range that eight bits cover."""
