"""Arguments and results of the decoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .masks import Masks
from .types import ClassMap, Float, Int


@dataclass(frozen=True, slots=True)
class Options:
    """Thresholds and filters of one call.

    Comparisons are strict for every task and layout: a candidate is kept when `score > conf`, and suppresses
    another when `overlap > iou`.

    Attributes:
        conf: confidence threshold, 0 to 1.
        iou: overlap threshold of NMS, 0 to 1: IoU, or probIoU for rotated boxes.
        max_det: most objects for each image, from 1.
        classes: class ids to keep, or None for all; applied before NMS.
        agnostic_nms: let boxes of different classes suppress each other.
        retina_masks: masks at the size of the image instead of the tensor.
        multi_label: an anchor becomes a candidate for each of its classes that pass the threshold, not only
            for the best: Ultralytics predicts without it and validates with it. It has no effect on
            end-to-end heads.
    """

    conf: float = 0.25
    iou: float = 0.45
    max_det: int = 300
    classes: tuple[int, ...] | None = None
    agnostic_nms: bool = False
    retina_masks: bool = False
    multi_label: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """N candidates of one image, before or after NMS, in pixels of the input tensor.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2, or (N, 5) cx, cy, w, h, angle for OBB.
        scores: (N,) float32.
        classes: (N,) int64.
        extra: (N, extra) float32: mask coefficients, keypoints, or the angle.
    """

    boxes: Float
    scores: Float
    classes: Int
    extra: Float

    def __getitem__(self, rows: NDArray[Any]) -> Candidates:
        """The candidates at the given indices, or where a boolean array is True."""
        return Candidates(self.boxes[rows], self.scores[rows], self.classes[rows], self.extra[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The N objects of one image, by descending score, in pixels of the original image; or its dense map.

    Without objects the arrays are empty, such as (0, 4), never None; so they are in maps.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2 clipped to the image; for OBB (N, 5) cx, cy, w, h and
            angle in radians, not clipped. (0, 4) for classify.
        scores: (N,) float32 in 0 to 1.
        classes: (N,) int64.
        keypoints: (N, K, D) float32 for pose, x and y clipped to the image; else None.
        masks: the N instance masks for segment, else None.
        probs: (nc,) float32 class probabilities for classify, else None.
        class_map: (height, width) class ids for semantic, see `semantic.decode`, else None.
        depth: (height, width) float32 metres for depth, else None.
        depth_at_input: the same at the size of the input tensor, which no interpolation has changed.
    """

    boxes: Float
    scores: Float
    classes: Int
    keypoints: Float | None = None
    masks: Masks | None = None
    probs: Float | None = None
    class_map: ClassMap | None = None
    depth: Float | None = None
    depth_at_input: Float | None = None

    @classmethod
    def of_map(
        cls,
        *,
        class_map: ClassMap | None = None,
        depth: Float | None = None,
        depth_at_input: Float | None = None,
    ) -> Detections:
        """A dense map, which has no objects beside it."""
        none = np.zeros(0, np.float32)
        maps = {"class_map": class_map, "depth": depth, "depth_at_input": depth_at_input}
        return cls(none.reshape(0, 4), none, none.astype(np.int64), **maps)  # type: ignore[arg-type]
