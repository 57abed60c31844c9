"""The motion of the camera between two frames, by sparse optical flow."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .kalman import Double

_DOWNSCALE = 2
_CORNERS: dict[str, Any] = {"maxCorners": 400, "qualityLevel": 0.01, "minDistance": 0, "blockSize": 3}
_LEAST_POINTS = 5  # from which on a similarity with four unknowns is estimated


class SparseFlow:
    """Follows corners from frame to frame (Shi and Tomasi; pyramidal Lucas-Kanade) at half the resolution.

    The constants are those of Ultralytics.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last frame."""
        self._grey: NDArray[np.uint8] | None = None
        self._corners: NDArray[Any] | None = None

    def estimate(self, image: NDArray[np.uint8]) -> Double:
        """The similarity that moves the last frame onto this one.

        Args:
            image: (H, W, 3) BGR or (H, W) grey. Images of other channels are not compensated.

        Returns:
            (2, 3) float64; the identity for the first frame, after a change of size, and where too few
            corners can be followed.
        """
        grey = _small_grey(image)
        before, known = self._grey, self._corners
        self._grey = grey
        self._corners = None if grey is None else cv2.goodFeaturesToTrack(grey, mask=None, **_CORNERS)
        still = np.eye(2, 3)
        if before is None or known is None or grey is None or before.shape != grey.shape:
            return still
        moved, status, _ = cv2.calcOpticalFlowPyrLK(before, grey, known, None)  # type: ignore[call-overload]
        followed = status.ravel().astype(bool)
        if followed.sum() < _LEAST_POINTS:
            return still
        found = cv2.estimateAffinePartial2D(known[followed], moved[followed], None, cv2.RANSAC)[0]
        if found is None:
            return still
        found[:, 2] *= _DOWNSCALE
        return np.asarray(found, np.float64)


def _small_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """(H / 2, W / 2) grey; None for images of other than 1 or 3 channels, or smaller than two pixels."""
    height, width = image.shape[0] // _DOWNSCALE, image.shape[1] // _DOWNSCALE
    if image.ndim == 3 and image.shape[2] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)  # type: ignore[assignment]
    elif image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim != 2 or not height or not width:
        return None
    return np.asarray(cv2.resize(image, (width, height)), np.uint8)
