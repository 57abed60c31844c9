"""A model's prediction for one image as plain arrays, which can be compared and sent to another process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

Rows = slice | NDArray[np.bool_]
"""Some of the objects: a range, or for each whether it is meant."""


class Result(Protocol):
    """What a comparison reads of a prediction for one image.

    `Prediction`, yolean's `Results`, and Ultralytics' `Results` after `.cpu().numpy()` all have these
    attributes. Their views hold numpy arrays under the same names; a view that the task lacks is None.
    """

    @property
    def orig_shape(self) -> tuple[int, int]:
        """(height, width) of the image in pixels."""

    @property
    def boxes(self) -> Any:
        """Upright boxes with `xyxy`, `conf` and `cls`."""

    @property
    def obb(self) -> Any:
        """Oriented boxes with `xyxyxyxy`, `conf` and `cls`."""

    @property
    def masks(self) -> Any:
        """Masks with `data`, or with outlines `xy` where `data` is None."""

    @property
    def keypoints(self) -> Any:
        """Keypoints with `data`."""

    @property
    def probs(self) -> Any:
        """Probabilities with `data`."""

    @property
    def semantic_mask(self) -> Any:
        """Class ids of the image's pixels with `data`."""

    @property
    def depth(self) -> Any:
        """Metres of the image's pixels with `data`."""


@dataclass(frozen=True, eq=False)
class Boxes:
    """N boxes, upright or oriented.

    Attributes:
        conf: (N,) scores, 0 to 1.
        cls: (N,) class ids.
        xyxy: (N, 4) x1, y1, x2, y2 in pixels of the image; None for oriented boxes.
        xyxyxyxy: (N, 4, 2) corners in pixels of the image; None for upright boxes.
    """

    conf: Array
    cls: Array
    xyxy: Array | None = None
    xyxyxyxy: Array | None = None

    def __len__(self) -> int:
        return len(self.conf)

    def __getitem__(self, rows: Rows) -> Boxes:
        parts = (None if each is None else each[rows] for each in (self.xyxy, self.xyxyxyxy))
        return Boxes(self.conf[rows], self.cls[rows], *parts)


class PackedMasks:
    """N masks, one bit a pixel: as bytes, those of an image with many objects take 100 MB."""

    def __init__(self, masks: Array) -> None:
        """Pack (N, height, width) masks of 0 and 1."""
        self._bits, self._width = np.packbits(masks.astype(np.bool_), axis=2), masks.shape[2]

    def __getitem__(self, rows: Rows) -> PackedMasks:
        chosen = PackedMasks.__new__(PackedMasks)
        chosen._bits, chosen._width = self._bits[rows], self._width
        return chosen

    @property
    def data(self) -> Array:
        """(N, height, width) uint8 of 0 and 1."""
        return np.unpackbits(self._bits, axis=2, count=self._width)


@dataclass(frozen=True, eq=False)
class Outlines:
    """N masks of which only the outlines are known: `xy`, (P, 2) pixels of the image each."""

    xy: list[NDArray[np.float64]]
    data: None = None

    def __getitem__(self, rows: Rows) -> Outlines:
        return Outlines([self.xy[row] for row in np.arange(len(self.xy))[rows]])


@dataclass(frozen=True, eq=False)
class Keypoints:
    """`data` (N, K, 2 or 3): x and y in pixels of the image, and visibility from 0 to 1 where it is known."""

    data: Array

    def __getitem__(self, rows: Rows) -> Keypoints:
        return Keypoints(self.data[rows])


@dataclass(frozen=True, eq=False)
class Probs:
    """`data` (classes,): probabilities, 0 to 1."""

    data: Array


@dataclass(frozen=True, eq=False)
class Map:
    """`data` (height, width): the class id of each pixel of the image, or its depth in metres."""

    data: Array


@dataclass(frozen=True, eq=False)
class Prediction:
    """The part of a result that is compared; a view that the task lacks is None.

    Attributes:
        orig_shape: (height, width) of the image in pixels.
    """

    orig_shape: tuple[int, int]
    boxes: Boxes | None = None
    obb: Boxes | None = None
    masks: PackedMasks | Outlines | None = None
    keypoints: Keypoints | None = None
    probs: Probs | None = None
    semantic_mask: Map | None = None
    depth: Map | None = None

    @classmethod
    def from_result(cls, result: Result) -> Prediction:
        """Copy yolean's `Results`, or Ultralytics' after `.cpu().numpy()`."""
        boxes, obb, masks = result.boxes, result.obb, result.masks
        points, probs = result.keypoints, result.probs
        # Ultralytics has them since 8.4.190.
        classes, depth = getattr(result, "semantic_mask", None), getattr(result, "depth", None)
        # Compared with None: a view without objects is false.
        return cls(
            orig_shape=(int(result.orig_shape[0]), int(result.orig_shape[1])),
            boxes=None if boxes is None else Boxes(boxes.conf, boxes.cls, xyxy=boxes.xyxy),
            obb=None if obb is None else Boxes(obb.conf, obb.cls, xyxyxyxy=obb.xyxyxyxy),
            masks=None if masks is None else PackedMasks(masks.data),
            keypoints=None if points is None else Keypoints(points.data),
            probs=None if probs is None else Probs(probs.data),
            semantic_mask=None if classes is None else Map(classes.data),
            depth=None if depth is None else Map(depth.data),
        )

    @property
    def scores(self) -> Array:
        """(N,) scores of the objects; (0,) for a classification."""
        boxes = self.obb if self.boxes is None else self.boxes
        return np.zeros(0) if boxes is None else boxes.conf


def has_objects(result: Result) -> bool:
    """Whether a prediction is of a task that finds objects, even if it holds none."""
    return result.boxes is not None or result.obb is not None
