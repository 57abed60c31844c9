"""What a model answered to an image, as plain arrays that can be sent to another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Objects:
    """N objects: `xyxy` (N, 4) or oriented `xyxyxyxy` (N, 4, 2) in pixels, (N,) scores and class ids."""

    conf: Array
    cls: Array
    xyxy: Array | None = None
    xyxyxyxy: Array | None = None

    def __len__(self) -> int:
        return len(self.conf)


class Masks:
    """N masks, held as bits: as bytes, those of a crowded image take 100 MB."""

    def __init__(self, masks: Array) -> None:
        """Keep (N, height, width) masks of 0 and 1."""
        self._bits, self._width = np.packbits(masks.astype(np.bool_), axis=2), masks.shape[2]

    def __getitem__(self, rows: slice) -> Masks:
        chosen = Masks.__new__(Masks)
        chosen._bits, chosen._width = self._bits[rows], self._width
        return chosen

    @property
    def data(self) -> Array:
        """(N, height, width) uint8 of 0 and 1."""
        return np.unpackbits(self._bits, axis=2, count=self._width)


@dataclass(frozen=True, eq=False)
class Rows:
    """(N, ...) `data`: the keypoints of objects, or the probabilities of classes."""

    data: Array


@dataclass(eq=False)
class Answer:
    """The part of a result that `agreement` reads; what the task lacks is None."""

    orig_shape: tuple[int, int]
    boxes: Objects | None = None
    obb: Objects | None = None
    masks: Masks | None = None
    keypoints: Rows | None = None
    probs: Rows | None = None

    @property
    def scores(self) -> Array:
        """(N,) scores of the objects, none for a classification."""
        objects = self.obb if self.boxes is None else self.boxes
        return np.zeros(0) if objects is None else objects.conf


def answer(result: Any) -> Answer:
    """The plain form of yolean's `Results`, or of Ultralytics' after `.cpu().numpy()`."""
    boxes, obb, masks, points, probs = (
        getattr(result, name) for name in ("boxes", "obb", "masks", "keypoints", "probs")
    )
    # Compared with None: what holds no object is false.
    return Answer(
        orig_shape=(int(result.orig_shape[0]), int(result.orig_shape[1])),
        boxes=None if boxes is None else Objects(boxes.conf, boxes.cls, xyxy=boxes.xyxy),
        obb=None if obb is None else Objects(obb.conf, obb.cls, xyxyxyxy=obb.xyxyxyxy),
        masks=None if masks is None else Masks(masks.data),
        keypoints=None if points is None else Rows(points.data),
        probs=None if probs is None else Rows(probs.data),
    )
