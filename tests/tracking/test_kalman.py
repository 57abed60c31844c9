"""The filter against its textbook form with whole matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from yolean.tracking import kalman
from yolean.tracking.kalman import Double, Space

MOTION = np.eye(8) + np.eye(8, k=4)


def deviations(space: Space, box: NDArray[Any], share: float, of_aspect: float) -> Double:
    w, h = box[2:4] if space == "xywh" else (box[3], box[3])
    return np.array([w, h, w if space == "xywh" else of_aspect / share, h]) * share


@pytest.mark.parametrize("space", ["xyah", "xywh"])
def test_it_equals_the_textbook(space: Space) -> None:
    rng = np.random.default_rng(1)
    boxes = rng.uniform(20, 200, (5, 4))
    means, covariances = kalman.start(space, boxes)
    expected = [(mean.copy(), covariance.copy()) for mean, covariance in zip(means, covariances, strict=True)]
    for _ in range(4):
        boxes = boxes + rng.normal(0, 3, boxes.shape)
        means, covariances = kalman.predict(space, means, covariances)
        means, covariances = kalman.update(space, means, covariances, boxes)
        for row, (mean, covariance) in enumerate(expected):
            step = np.hstack((deviations(space, mean, 1 / 20, 1e-2), deviations(space, mean, 1 / 160, 1e-5)))
            mean, covariance = MOTION @ mean, MOTION @ covariance @ MOTION.T + np.diag(step**2)
            noise = np.diag(deviations(space, mean, 1 / 20, 1e-1) ** 2)
            gain = covariance[:, :4] @ np.linalg.inv(covariance[:4, :4] + noise)
            expected[row] = (
                mean + gain @ (boxes[row] - mean[:4]),
                covariance - gain @ covariance[:4],
            )
        np.testing.assert_allclose(means, [mean for mean, _ in expected], rtol=1e-9)
        np.testing.assert_allclose(covariances, [c for _, c in expected], rtol=1e-6, atol=1e-9)


def test_a_steady_object_is_followed() -> None:
    means, covariances = kalman.start("xywh", np.array([[50.0, 50, 20, 40]]))
    for frame in range(1, 30):
        means, covariances = kalman.predict("xywh", means, covariances)
        means, covariances = kalman.update(
            "xywh", means, covariances, np.array([[50.0 + 3 * frame, 50, 20, 40]])
        )
    np.testing.assert_allclose(means[0], [137, 50, 20, 40, 3, 0, 0, 0], atol=0.3)
