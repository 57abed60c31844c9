"""A Kalman filter with constant velocity, for the boxes of N tracks at once.

A state is (8,): four values of a box, and the velocity of each a frame. `xyah` is the centre, the aspect
ratio (width over height) and the height, with the uncertainties of DeepSORT (Wojke et al.,
https://arxiv.org/abs/1703.07402), which ByteTrack uses; `xywh` is the centre, the width and the height, as in
BoT-SORT (https://arxiv.org/abs/2206.14651).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Double = NDArray[np.float64]
"""States and covariances: differences of squares, which float32 would lose."""

Space = Literal["xyah", "xywh"]

_POSITION = 1 / 20  # standard deviation of a length, as a share of the box
_VELOCITY = 1 / 160
_DIAGONAL = np.arange(8)


def start(space: Space, boxes: Double) -> tuple[Double, Double]:
    """States of new tracks: their boxes at rest, with twice and ten times the usual uncertainty.

    Args:
        space: what the four values of a box are.
        boxes: (N, 4).

    Returns:
        (N, 8) means, (N, 8, 8) covariances.
    """
    deviations = np.hstack(
        (_deviations(space, boxes, 2 * _POSITION, 1e-2), _deviations(space, boxes, 10 * _VELOCITY, 1e-5))
    )
    covariances = np.zeros((len(boxes), 8, 8))
    covariances[:, _DIAGONAL, _DIAGONAL] = deviations**2
    return np.hstack((boxes, np.zeros_like(boxes))), covariances


def predict(space: Space, means: Double, covariances: Double) -> tuple[Double, Double]:
    """States one frame later.

    With the covariance in blocks [[A, B], [B^T, D]] of values and velocities, a step makes A + B + B^T + D of
    A, and B + D of B; then the uncertainty of a step is added.
    """
    deviations = np.hstack(
        (_deviations(space, means, _POSITION, 1e-2), _deviations(space, means, _VELOCITY, 1e-5))
    )
    moved = means.copy()
    moved[:, :4] += means[:, 4:]
    after = covariances.copy()
    after[:, :4] += covariances[:, 4:]
    after[:, :, :4] += after[:, :, 4:]
    after[:, _DIAGONAL, _DIAGONAL] += deviations**2
    return moved, after


def update(space: Space, means: Double, covariances: Double, boxes: Double) -> tuple[Double, Double]:
    """States corrected by the boxes that were measured.

    Args:
        space: what the four values of a box are.
        means: (N, 8) predicted.
        covariances: (N, 8, 8) of them.
        boxes: (N, 4) measured.
    """
    residual_covariances = covariances[:, :4, :4].copy()
    four = _DIAGONAL[:4]
    residual_covariances[:, four, four] += _deviations(space, means, _POSITION, 1e-1) ** 2
    # The gain K solves K S = P H^T; both are symmetric, so its transpose solves S K^T = H P.
    gain_transposed = np.linalg.solve(residual_covariances, covariances[:, :4])
    residuals = boxes - means[:, :4]
    corrected = means + np.matmul(residuals[:, None], gain_transposed)[:, 0]
    gain = gain_transposed.transpose(0, 2, 1)
    return corrected, covariances - gain @ residual_covariances @ gain_transposed


def _deviations(space: Space, boxes: NDArray[Any], share: float, of_aspect: float) -> Double:
    """(N, 4) standard deviations: a share of the sides of each box, and a constant for the aspect ratio."""
    if space == "xywh":
        return share * boxes[:, [2, 3, 2, 3]]
    deviations = np.repeat(share * boxes[:, 3:4], 4, axis=1)
    deviations[:, 2] = of_aspect
    return deviations
