"""Antialiased bilinear resizing, bit by bit as Pillow 13 does it: the preprocessing of classification models.

Pillow (`ImagingResample`) computes each axis in a pass of its own and rounds to 8 bits after each. An output
pixel is a weighted sum of input pixels, by a triangle filter as wide as two output pixels, or as two input
pixels when enlarging. The weights are normalised and rounded to multiples of 2^-22 (`PRECISION_BITS`); sums
are rounded half up. Since Pillow 13 the vertical pass comes first where it removes more than twice as many
rows as the horizontal one removes columns; before, the horizontal pass always came first.

`cv2.resize` has no antialiasing filter, which costs classification models several points of accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...postprocess.masks import ONE_THREAD
from ...postprocess.types import Index, Int, Size
from .decoding import Image

_WIDE = 16  # input pixels of an output pixel from which on a matrix product computes 8 output pixels, not 16
_DOUBLE = 1 << 19  # values of an image up to which sums are taken in float64, which are exact
_PRECISION_BITS = 22
_FRACTION_BITS = np.uint32(15)  # of a float32 from 256 to 512
_FRACTION = np.uint32((1 << 15) - 1)

Block = tuple[int, int, slice, NDArray[Any]]
"""First input pixel and the one behind the last, output pixels, (outputs, inputs) weights."""


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    """The weights of the output pixels along one axis.

    Attributes:
        blocks: for matrix products.
        starts: (N,) first input pixel of each output pixel.
        taps: (N, K) weights of the input pixels from there on, in units of 2^-22.
        doubt: bound on the error of sums in float32, in units of 2^-15; 0 where they are exact. (1,) where it
            is the same for all output pixels, else (N,) uint32.
    """

    blocks: tuple[Block, ...]
    starts: Index
    taps: Int
    doubt: NDArray[np.uint32]

    @property
    def first(self) -> int:
        """The first input pixel that is needed."""
        return self.blocks[0][0]

    @property
    def last(self) -> int:
        """The input pixel behind the last that is needed."""
        return self.blocks[-1][1]


def resample(image: Image, resized: Size, crop: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Resize an image and crop it; only the pixels of the crop are computed.

    Large images are summed in float32, in half the time of float64. Sums so near to a half that the error of
    float32 could round them to the wrong side are computed again with integers.

    Args:
        image: (h, w, channels).
        resized: size of the whole image after resizing.
        crop: (left, top, width, height) in pixels of the resized image.

    Returns:
        (channels, height, width).
    """
    size = Size.of(image)
    left, top, width, height = crop
    dtype = np.float64 if image.size <= _DOUBLE else np.float32
    across = _weights(size.width, resized.width, left, width, dtype)
    down = _weights(size.height, resized.height, top, height, dtype)
    rows_removed, columns_removed = size.height - resized.height, size.width - resized.width
    if rows_removed > max(2 * columns_removed, 0):
        planes = _split(image[:, across.first : across.last])
        return _horizontal(_vertical(planes, down, 0), across, across.first)
    planes = _split(image[down.first : down.last])
    return _vertical(_horizontal(planes, across, 0), down, down.first)


def _split(image: Image) -> NDArray[np.uint8]:
    """(h, w, channels) to (channels, h, w), contiguous."""
    planes = np.empty((image.shape[2], *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))
    return planes


def _horizontal(planes: NDArray[np.uint8], across: _Weights, offset: int) -> NDArray[np.uint8]:
    """(C, h, w) to (C, h, outputs), where `planes` begin at the input pixel `offset`."""
    channels, height, width = planes.shape
    rows = planes.reshape(channels * height, width)
    dtype = across.blocks[0][3].dtype
    result = np.empty((len(rows), len(across.starts)), np.uint8)
    step = min(max(ONE_THREAD // max(weights.size for *_, weights in across.blocks), 1), len(rows))
    values, sums = np.empty((step, width), dtype), np.empty((step, result.shape[1]), dtype)
    scratch = np.empty(sums.shape, np.uint32)
    doubtful = []
    for low in range(0, len(rows), step):
        high = min(low + step, len(rows))
        part, found = values[: high - low], sums[: high - low]
        part[...] = rows[low:high]
        for start, stop, outputs, weights in across.blocks:
            np.matmul(part[:, start - offset : stop - offset], weights.T, out=found[:, outputs])
        uncertain = _round(found, scratch[: high - low], result[low:high], across.doubt)
        doubtful.append(uncertain + low * result.shape[1])
    row, output = np.divmod(np.concatenate(doubtful), result.shape[1])
    if len(row):
        inputs = (across.starts[output] - offset)[:, None] + np.arange(across.taps.shape[1])
        result[row, output] = _exact(rows[row[:, None], inputs], across.taps[output])
    return result.reshape(channels, height, -1)


def _vertical(planes: NDArray[np.uint8], down: _Weights, offset: int) -> NDArray[np.uint8]:
    """(C, h, w) to (C, outputs, w), where `planes` begin at the input pixel `offset`."""
    channels, _, width = planes.shape
    dtype = down.blocks[0][3].dtype
    result = np.empty((channels, len(down.starts), width), np.uint8)
    step = max(ONE_THREAD // max(weights.size for *_, weights in down.blocks), 1)
    sums, scratch = np.empty(result.shape[1:], dtype), np.empty(result.shape[1:], np.uint32)
    doubt = down.doubt if len(down.doubt) == 1 else down.doubt[:, None]
    for plane, target in zip(planes, result, strict=True):
        for start, stop, outputs, weights in down.blocks:
            values = plane[start - offset : stop - offset].astype(dtype)
            for low in range(0, width, step):
                columns = slice(low, min(low + step, width))
                np.matmul(weights, values[:, columns], out=sums[outputs, columns])
        output, column = np.divmod(_round(sums, scratch, target, doubt), width)
        if len(output):
            inputs = (down.starts[output] - offset)[:, None] + np.arange(down.taps.shape[1])
            target[output, column] = _exact(plane[inputs, column[:, None]], down.taps[output])
    return result


def _round(
    sums: NDArray[Any], scratch: NDArray[np.uint32], out: NDArray[np.uint8], doubt: NDArray[np.uint32]
) -> Index:
    """Round sums half up into `out`.

    Args:
        sums: float64, which is exact, or float32; overwritten.
        scratch: of the same shape; overwritten.
        out: of the same shape.
        doubt: bound on the error of float32 sums, as in `_Weights`, broadcast.

    Returns:
        flat indices of the sums whose error may have changed the result.
    """
    if sums.dtype == np.float64:
        sums += 0.5
        out[...] = sums  # truncates
        return np.empty(0, np.intp)
    # From 256 on, the mantissa holds the whole part above the fraction of 15 bits. Sums are rounded up by the
    # bound first, which leaves the doubtful ones with a fraction below twice the bound.
    rounding, limit = (doubt * 2.0**-15 + 256.5).astype(np.float32), np.uint32(2) * doubt
    uniform = doubt.size == 1
    sums += rounding.flat[0] if uniform else rounding
    bits = sums.view(np.uint32)
    np.right_shift(bits, _FRACTION_BITS, out=scratch)
    out[...] = scratch  # the low byte
    if not doubt.any():
        return np.empty(0, np.intp)
    np.bitwise_and(bits, _FRACTION, out=scratch)
    return np.flatnonzero(scratch < (limit.flat[0] if uniform else limit))


def _exact(pixels: NDArray[np.uint8], taps: Int) -> Int:
    """The weighted sums of pixels (N, K), as Pillow computes them with integers."""
    sums: Int = (pixels * taps).sum(axis=1)
    return (sums + (1 << _PRECISION_BITS - 1)) >> _PRECISION_BITS


@lru_cache(maxsize=64)
def _weights(size: int, resized: int, start: int, count: int, dtype: type[np.floating[Any]]) -> _Weights:
    """The weights of `count` output pixels from `start` on, of an axis resized from `size` to `resized`."""
    scale = size / resized
    support = max(scale, 1.0)
    centres = (np.arange(start, start + count) + 0.5) * scale
    firsts = np.maximum((centres - support + 0.5).astype(np.intp), 0)
    lasts = np.minimum((centres + support + 0.5).astype(np.intp), size)
    length = int((lasts - firsts).max())
    starts = np.minimum(firsts, size - length)  # so that the last pixels have as many taps, of zero
    inputs = starts[:, None] + np.arange(length)
    weights = np.maximum(1 - np.abs((inputs - centres[:, None] + 0.5) * (1 / support)), 0)
    weights[(inputs < firsts[:, None]) | (inputs >= lasts[:, None])] = 0
    weights *= 1 / weights.sum(axis=1, keepdims=True)
    taps = np.floor(weights * (1 << _PRECISION_BITS) + 0.5).astype(np.int64)
    blocks = []
    together = 8 if length > _WIDE else 16
    for low in range(0, count, together):
        outputs = slice(low, min(low + together, count))
        first, last = int(starts[low]), int(starts[outputs.stop - 1]) + length
        matrix = np.zeros((outputs.stop - low, last - first), dtype)
        for row, at in enumerate(starts[outputs] - first):
            matrix[row, at : at + length] = taps[low + row] / (1 << _PRECISION_BITS)
        blocks.append((first, last, outputs, matrix))
    exact = (taps % (1 << _PRECISION_BITS - 15) == 0).all(axis=1)
    error = (length + 2) * 255 * 2.0**-24  # each of the products and additions rounds to 24 bits
    doubt = np.where(exact, 0, np.ceil(error * 2.0**15) + 1).astype(np.uint32)
    return _Weights(tuple(blocks), starts, taps, doubt[:1] if (doubt == doubt[0]).all() else doubt)
