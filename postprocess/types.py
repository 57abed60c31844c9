"""Types that the whole package shares: arrays by their dtype, and the size of an image."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
"""Coordinates, scores, logits, coefficients."""

Int = NDArray[np.int64]
"""Class ids."""

Index = NDArray[np.intp]
"""Indices into an array, and whole pixels."""

Bool = NDArray[np.bool_]
"""True or False for each element: what numpy calls a boolean mask."""

Mask = NDArray[np.uint8]
"""The pixels of one object or of N: 1 inside, 0 outside."""

ClassMap = NDArray[np.integer[Any]]
"""The class id of each pixel."""


class Size(NamedTuple):
    """Height and width of an image, a tensor or a mask, in pixels, in the order of an array's axes.

    OpenCV, Pillow and points take (width, height): say `size.width, size.height` there.
    """

    height: int
    width: int

    @classmethod
    def of(cls, image: NDArray[Any]) -> Self:
        """The size of an image (height, width, ...)."""
        return cls(image.shape[0], image.shape[1])
