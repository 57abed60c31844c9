"""The tracks that a tracker knows, as columns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..postprocess.types import Bool, Int
from .kalman import Double


@dataclass(slots=True, eq=False)
class TrackTable:
    """N tracks, in the order in which they are associated.

    Attributes:
        means: (N, 8) float64, states of the filter.
        covariances: (N, 8, 8) float64 of them.
        angles: (N,) float64 radians, for oriented boxes.
        ids: (N,) int64 from 1.
        first: (N,) int64, the frame in which the track began.
        last: (N,) int64, the frame in which it was seen last.
        rows: (N,) int64, the detection that it was seen as then.
        lost: (N,) whether it is looked for instead of seen.
        confirmed: (N,) whether it was seen twice, or began with the video.
        expired: (N,) whether it was lost for longer than the buffer once.
    """

    means: Double
    covariances: Double
    angles: Double
    ids: Int
    first: Int
    last: Int
    rows: Int
    lost: Bool
    confirmed: Bool
    expired: Bool

    @classmethod
    def empty(cls) -> Self:
        """No track."""
        whole, truth = np.zeros(0, np.int64), np.zeros(0, np.bool_)
        return cls(
            np.zeros((0, 8)),
            np.zeros((0, 8, 8)),
            np.zeros(0),
            whole,
            whole,
            whole,
            whole,
            truth,
            truth,
            truth,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: NDArray[Any]) -> Self:
        """A copy of the tracks at the given indices, or where a boolean array is True."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __add__(self, other: Self) -> Self:
        """These tracks, then the others."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return type(self)(*(np.concatenate(pair) for pair in pairs))
