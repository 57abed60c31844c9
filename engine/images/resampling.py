"""Antialiased bilinear resizing, as Pillow does it: what classification models were trained with."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...postprocess.types import Float, Size

_BLOCK = 16  # output rows or columns computed by one small matrix product
_ONE_THREAD = 1 << 18  # multiplications from which on OpenBLAS calls its threads: see masks.py
_EXACT = 1 << 19  # values of an image up to which sums are taken in float64
_UNIT = 1 << 22  # Pillow's weights are whole multiples of 2^-22

Bands = list[tuple[int, int, slice, NDArray[Any]]]


def resample(image: NDArray[np.uint8], resized: Size, crop: tuple[int, int, int, int]) -> Float:
    """Resize, cut out a part, and hand it over plane by plane.

    A triangle filter as wide as two output pixels on each axis; `cv2.resize` samples without it, which
    costs classification models several points of accuracy. As in Pillow, rows come first and are rounded
    to whole values before the columns: classifiers are so sensitive that leaving that out moves
    confidences by 0.02. (From Pillow 13 on, some tall images have their columns done first.) Only what the
    crop needs is computed.

    Float64 makes every sum exact, so that halves round as in Pillow too: they are frequent where small
    images are enlarged. Large ones are summed in float32, in half the time; one pixel in 10,000
    then differs by 1, and confidences by less than 0.0005.

    Args:
        image: (h, w, channels) uint8.
        resized: (height, width) that the whole image would get.
        crop: (left, top, width, height) of the part, in pixels of the resized image.

    Returns:
        (channels, height, width) float32 of whole values from 0 to 255.
    """
    left, top, width, height = crop
    dtype = np.float64 if image.size <= _EXACT else np.float32
    across = _bands(image.shape[1], resized[1], left, width, dtype)
    down = _bands(image.shape[0], resized[0], top, height, dtype)
    first, last = down[0][0], down[-1][1]
    planes = np.empty((image.shape[2] * (last - first), image.shape[1]), np.uint8)
    cv2.split(image[first:last], list(planes.reshape(image.shape[2], last - first, -1)))
    rows = np.empty((len(planes), width), np.uint8)
    step = max(_ONE_THREAD // max(weights.size for *_, weights in across), 1)
    sums = np.empty((min(step, len(planes)), width), dtype)
    for low in range(0, len(planes), step):
        part = planes[low : low + step].astype(dtype)
        for start, stop, pixels, weights in across:
            np.matmul(part[:, start:stop], weights.T, out=sums[: len(part), pixels])
        sums += 0.5
        rows[low : low + step] = sums[: len(part)]  # cuts the fraction off: halves are rounded up
    stacked = rows.reshape(image.shape[2], last - first, width)
    result = np.empty((image.shape[2], height, width), np.float32)
    for start, stop, pixels, weights in down:
        block = weights @ stacked[:, start - first : stop - first].astype(dtype)
        block += 0.5
        np.floor(block, out=result[:, pixels], casting="same_kind")
    return result


@lru_cache(maxsize=64)
def _bands(size: int, resized: int, start: int, count: int, dtype: type[np.floating[Any]]) -> Bands:
    """Weights of `count` output pixels from `start` on, in blocks.

    Returns:
        for each block the first and past-the-last input pixel it needs, its own output pixels, and its
        (pixels, inputs) weights.
    """
    scale = size / resized
    support = max(scale, 1.0)
    bands = []
    for low in range(0, count, _BLOCK):
        pixels = slice(low, min(low + _BLOCK, count))
        centres = (np.arange(pixels.start, pixels.stop) + start + 0.5) * scale
        firsts = np.maximum((centres - support + 0.5).astype(int), 0)
        lasts = np.minimum((centres + support + 0.5).astype(int), size)
        inputs = np.arange(firsts[0], lasts[-1])
        weights = np.maximum(1 - np.abs(inputs + 0.5 - centres[:, None]) / support, 0)
        weights[(inputs < firsts[:, None]) | (inputs >= lasts[:, None])] = 0
        weights /= weights.sum(axis=1, keepdims=True)
        exact = np.floor(weights * _UNIT + 0.5) / _UNIT
        bands.append((int(firsts[0]), int(lasts[-1]), pixels, exact.astype(dtype)))
    return bands
