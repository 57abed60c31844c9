"""Resizes dense maps to other sizes, with the coordinates of PyTorch's `interpolate`.

OpenCV has nothing equal: its nearest neighbour computes coordinates in double precision, and none of its
interpolations aligns the corners exactly in all releases (`warpAffine` rounds positions to 1/32 pixel before
version 5).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from .masks import ONE_THREAD
from .types import Float, Index, Size

_TOGETHER = 16
"""Output pixels of one matrix product. More would multiply more zeros, fewer would make more calls."""

Block = tuple[slice, slice, Float]
"""Input pixels, output pixels, and the weights (outputs, inputs) between them."""

Ids = TypeVar("Ids", bound=NDArray[Any])


def nearest(ids: Ids, size: Size) -> Ids:
    """Resize (h, w) integers by nearest neighbour: pixel i is the input's floor(i * inputs / outputs).

    Returns:
        (height, width), never a view of `ids`.
    """
    rows, columns = _nearest(ids.shape[0], size.height), _nearest(ids.shape[1], size.width)
    # Whole rows are copied, which is five times as fast as gathering single pixels along them.
    transposed = np.ascontiguousarray(ids.T).take(columns, axis=0)
    return np.ascontiguousarray(transposed.T).take(rows, axis=0)  # type: ignore[return-value]


def half_pixel(values: Float, size: Size) -> Float:
    """Resize (h, w) values bilinearly between pixel centres, without antialiasing (`align_corners=False`)."""
    if Size.of(values) == size:
        return values
    return cv2.resize(values, (size.width, size.height), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def corner_aligned(values: Float, size: Size) -> Float:
    """Resize (h, w) values bilinearly, with the centres of the corners kept in place (`align_corners=True`).

    Each axis is resized by products with blocks of a band matrix, whose rows have two weights.

    Returns:
        (height, width) float32; `values` itself where it has that size.
    """
    if Size.of(values) == size:
        return values
    across, down = _blocks(values.shape[1], size.width), _blocks(values.shape[0], size.height)
    wide = np.empty((len(values), size.width), np.float32)
    step = max(ONE_THREAD // max(weights.size for *_, weights in across), 1)
    for low in range(0, len(values), step):
        rows = slice(low, low + step)
        for inputs, outputs, weights in across:
            np.matmul(values[rows, inputs], weights.T, out=wide[rows, outputs])
    result = np.empty(size, np.float32)
    step = max(ONE_THREAD // max(weights.size for *_, weights in down), 1)
    for inputs, outputs, weights in down:
        for low in range(0, size.width, step):
            columns = slice(low, low + step)
            np.matmul(weights, wide[inputs, columns], out=result[outputs, columns])
    return result


@lru_cache(maxsize=64)
def _nearest(inputs: int, outputs: int) -> Index:
    """The input pixel of each output pixel; in float32, whose rounding decides where pixels meet."""
    if inputs == outputs:
        return np.arange(inputs)
    if outputs == 2 * inputs:
        return np.arange(outputs) // 2
    scale = np.float32(inputs) / np.float32(outputs)
    return np.minimum((np.arange(outputs, dtype=np.float32) * scale).astype(np.intp), inputs - 1)


@lru_cache(maxsize=64)
def _blocks(inputs: int, outputs: int) -> tuple[Block, ...]:
    """The blocks of the band matrix that resizes an axis with its corners aligned."""
    scale = np.float32(inputs - 1) / np.float32(outputs - 1) if outputs > 1 else np.float32(0)
    positions = np.arange(outputs, dtype=np.float32) * scale
    firsts = np.minimum(positions.astype(np.intp), inputs - 1)
    seconds = np.minimum(firsts + 1, inputs - 1)
    fractions = positions - firsts.astype(np.float32)
    blocks = []
    for low in range(0, outputs, _TOGETHER):
        high = min(low + _TOGETHER, outputs)
        first, last = int(firsts[low]), int(seconds[high - 1]) + 1
        weights = np.zeros((high - low, last - first), np.float32)
        rows = np.arange(high - low)
        weights[rows, firsts[low:high] - first] += 1 - fractions[low:high]
        weights[rows, seconds[low:high] - first] += fractions[low:high]
        blocks.append((slice(first, last), slice(low, high), weights))
    return tuple(blocks)
