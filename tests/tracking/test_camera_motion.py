"""The motion of the camera over a textured ground."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from yolean.tracking.camera_motion import SparseFlow


@pytest.fixture(scope="module")
def ground() -> NDArray[np.uint8]:
    noise = np.random.default_rng(3).integers(0, 256, (400, 500, 3), np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 4) // 2 + 60, np.uint8)


def test_a_pan_is_found_in_pixels_of_the_image(ground: NDArray[np.uint8]) -> None:
    flow = SparseFlow()
    np.testing.assert_array_equal(flow.estimate(ground[20:320, 20:420]), np.eye(2, 3))
    motion = flow.estimate(ground[14:314, 28:428])  # the camera moves right and up, the ground left and down
    np.testing.assert_allclose(motion, [[1, 0, -8], [0, 1, 6]], atol=0.3)


def test_a_turn_is_found(ground: NDArray[np.uint8]) -> None:
    turn = cv2.getRotationMatrix2D((250, 200), 3, 1.02)
    flow = SparseFlow()
    grey = ground[:, :, :1]  # as models of one channel get it
    flow.estimate(grey)
    motion = flow.estimate(np.asarray(cv2.warpAffine(grey, turn, (500, 400)), np.uint8))
    np.testing.assert_allclose(motion[:, :2], turn[:, :2], atol=0.02)


def test_what_cannot_be_compared_is_still(ground: NDArray[np.uint8]) -> None:
    flow = SparseFlow()
    images = (ground, ground[:200], np.zeros((200, 500, 3), np.uint8), ground[:200], ground[:200, :, :2])
    for image in images:
        np.testing.assert_array_equal(flow.estimate(image), np.eye(2, 3))
    flow.estimate(ground)
    flow.reset()
    np.testing.assert_array_equal(flow.estimate(ground[5:, 5:]), np.eye(2, 3))
