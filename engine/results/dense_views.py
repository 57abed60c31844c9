"""Views of results that have a value for each pixel: semantic masks and depth maps."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from ...postprocess.types import ClassMap, Float, Size
from .views import Array, Arrays


class _DenseView(Arrays):
    """Base of the maps of an image: one result, or none after an index that selects none.

    Attributes:
        data: (height, width), of the image.
        orig_shape: (height, width) of the image.
    """

    def __init__(self, data: ClassMap | Float, orig_shape: Size) -> None:
        self.data, self.orig_shape = Array.of(data), orig_shape

    def __len__(self) -> int:
        return int(len(self.data) > 0)

    def __getitem__(self, index: Any) -> Self:
        chosen = np.arange(len(self))[index]
        return self if chosen.size else type(self)(self.data[:0], self.orig_shape)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {' x '.join(map(str, self.shape))}>"

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) of `data`."""
        shape: tuple[int, ...] = self.data.shape
        return shape


class SemanticMask(_DenseView):
    """The class id of each pixel; 255 where the class was not asked for.

    With one class, it is 1 where that class is, and 0 elsewhere.

    Attributes:
        data: (height, width) uint8 to 256 classes, int16 to 32768, then int32.
    """

    @cached_property
    def shares(self) -> dict[int, float]:
        """The share of all pixels that each id in `data` has, by id: 0 to 1."""
        counts = np.bincount(self.data.numpy().ravel())
        return {int(i): float(counts[i]) / self.data.size for i in np.flatnonzero(counts)}


class DepthMap(_DenseView):
    """The distance of each pixel in metres.

    Attributes:
        data: (height, width) float32, metres; 0 where there is none.
        at_input: the same at the size of the model's input, as the model gave it; `data` itself where that
            is not known.
    """

    def __init__(self, data: Float, orig_shape: Size, at_input: Float | None = None) -> None:
        super().__init__(data, orig_shape)
        self.at_input = self.data if at_input is None else Array.of(at_input)

    @cached_property
    def range(self) -> tuple[float, float] | None:
        """The least and the greatest depth above 0, in metres; None where there is none."""
        values = self.data.numpy()
        low, high = float(values.min(initial=np.inf)), float(values.max(initial=0))
        if low <= 0:
            low = float(values.min(initial=np.inf, where=values > 0))
        return (low, high) if high > 0 else None

    def verbose(self) -> str:
        """One line such as "depth 0.82-31.40 m"."""
        if self.range is None:
            return "depth without valid pixels"
        low, high = self.range
        return f"depth {low:.2f}-{high:.2f} m"
