"""What the decoders need to know about a model's outputs, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["detect", "segment", "pose", "obb", "classify"]
Kind = Literal["raw", "end2end", "nms"]

TASKS: tuple[Task, ...] = ("detect", "segment", "pose", "obb", "classify")


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one model's outputs (per image, without the batch axis).

    ========  =========  ==================================================================
    task      kind       first output
    ========  =========  ==================================================================
    classify  raw        (nc,) probabilities
    others    raw        (4 + nc + extra, anchors): cx, cy, w, h, class scores, extra
    others    end2end    (rows, 6 + extra): x1, y1, x2, y2, score, class, extra
    others    nms        as end2end, zero-padded; suppressed by the graph itself
    ========  =========  ==================================================================

    OBB rows of every kind start with cx, cy, w, h and their one extra value is the angle in radians.
    Coordinates are pixels of the input tensor. Segment models have a second output, the prototype
    masks (extra, h, w).

    Attributes:
        task: what the model predicts.
        kind: how the rows are laid out, see the table.
        nc: number of classes.
        extra: values a row carries after classes or score: mask coefficients, keypoints
            (K * D), or the angle.
        kpt_shape: (K, D) of pose models: K keypoints of D = 2 (x, y) or 3 (x, y, visibility).
    """

    task: Task
    kind: Kind
    nc: int
    extra: int = 0
    kpt_shape: tuple[int, int] | None = None

    @property
    def width(self) -> int:
        """Values in one row (or channels over one anchor) of the first output."""
        if self.task == "classify":
            return self.nc
        return (4 + self.nc if self.kind == "raw" else 6) + self.extra
