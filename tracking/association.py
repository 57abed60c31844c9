"""Which detection belongs to which track: costs of pairs, and the assignment of least cost."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..postprocess.boxes import gaussian, probiou
from ..postprocess.types import Float, Index

Solver = Callable[[NDArray[Any], float], tuple[Index, Index]]


def overlap_cost(one: Float, other: Float) -> Float:
    """(N, M) costs 1 - overlap of all pairs of boxes.

    The overlap is the IoU of (N, 4) x1, y1, x2, y2, or the probIoU of (N, 5) centre x, centre y, width,
    height, angle.
    """
    if one.shape[1] == 5:
        similar = probiou(gaussian(one)[:, None], gaussian(other)[None])
        return np.asarray(1 - similar, np.float32)
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    sides = (np.minimum(one[:, None, 2:], other[None, :, 2:]) - low).clip(0)
    intersection = sides[..., 0] * sides[..., 1]
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1] - intersection
    return np.asarray(1 - intersection / (union + np.float32(1e-7)), np.float32)


def with_scores(costs: Float, scores: Float) -> Float:
    """Costs of which the overlap is multiplied with the score of the detection, as ByteTrack fuses them."""
    return np.asarray(1 - (1 - costs) * scores, np.float32)


def assign(costs: NDArray[Any], limit: float) -> tuple[Index, Index]:
    """The pairs of least total cost, where each pair costs less than leaving both out, `limit`.

    Args:
        costs: (N, M) of all pairs of rows and columns.
        limit: pairs of a greater cost are not made.

    Returns:
        rows and columns of the pairs, by row.
    """
    if not costs.size:
        none = np.zeros(0, np.intp)
        return none, none
    return solver()(costs, limit)


@cache
def solver() -> Solver:
    """The solver of `assign`: lap's, or scipy's where lap is not installed.

    Raises:
        ModuleNotFoundError: neither is there.
    """
    try:
        import lap
    except ModuleNotFoundError:
        from scipy.optimize import linear_sum_assignment

        return lambda costs, limit: _with_scipy(linear_sum_assignment, costs, limit)
    return lambda costs, limit: _with_lap(lap.lapjv, costs, limit)


def _with_lap(lapjv: Callable[..., Any], costs: NDArray[Any], limit: float) -> tuple[Index, Index]:
    _, columns, _ = lapjv(costs, extend_cost=True, cost_limit=limit)
    rows = np.flatnonzero(columns >= 0)
    return rows, np.asarray(columns[rows], np.intp)


def _with_scipy(
    linear_sum_assignment: Callable[..., Any], costs: NDArray[Any], limit: float
) -> tuple[Index, Index]:
    """scipy pairs as many as it can: pairs beyond the limit cost nothing, and are taken out afterwards."""
    rows, columns = linear_sum_assignment(np.minimum(costs.astype(np.float64) - limit, 0))
    kept = costs[rows, columns] < limit
    return rows[kept], columns[kept]
