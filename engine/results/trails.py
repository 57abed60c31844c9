"""Draws where tracked objects came from."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from ..images.decoding import Image
from .drawing import annotate
from .lettering import Style
from .palette import colour
from .results import Results

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates
_FAR = 1 << 20  # coordinates are clipped to this: they would overflow an int32


class Trails:
    """The centres of tracked objects in the last frames; `plot` draws those of the objects that are seen.

    Memory is bounded: what was not seen within the length of a trail is forgotten.
    """

    def __init__(self, length: int = 30) -> None:
        """Begin without trails.

        Args:
            length: of a trail in frames, from 1.
        """
        self._length = length
        self._now = 0
        self._centres: dict[int, deque[tuple[int, float, float]]] = {}

    def clear(self) -> None:
        """Forget all trails: another video begins, in which ids mean other objects."""
        self._centres.clear()

    def plot(self, result: Results) -> Image:
        """The annotated image of the next frame, (height, width, 3) uint8 BGR, with trails."""
        seen = self._add(result)
        canvas = annotate(result, boxes=False, labels=False, masks=False, keypoints=False)
        style = Style(canvas, len(result), None)
        for number in seen:
            points = np.array([centre[1:] for centre in self._centres[number]]).clip(-_FAR, _FAR)
            fixed = np.rint(points * (1 << _SHIFT)).astype(np.int32).tolist()
            for age, (one, other) in enumerate(zip(fixed[-2::-1], fixed[:0:-1], strict=True)):
                # Thinner where it is older.
                width = max(1, round(1.5 * style.line * (1 - age / self._length)))
                cv2.line(canvas, one, other, colour(number), width, cv2.LINE_AA, _SHIFT)
        return annotate(result, canvas)

    def _add(self, result: Results) -> list[int]:
        """Add the centres of this frame, forget those that are too old, and return the ids in this frame."""
        self._now += 1
        seen: list[int] = []
        objects = result.boxes if result.obb is None else result.obb
        if objects is not None and objects.id is not None:
            corners = objects.xyxy
            centres = (corners[:, :2] + corners[:, 2:]) / 2
            seen = objects.id.tolist()
            for number, (x, y) in zip(seen, centres.tolist(), strict=True):
                self._centres.setdefault(number, deque()).append((self._now, x, y))
        for number, past in list(self._centres.items()):
            while past and past[0][0] <= self._now - self._length:
                past.popleft()
            if not past:
                del self._centres[number]
        return seen
