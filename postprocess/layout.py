"""Description of the outputs of a model, for the decoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Task = Literal["detect", "segment", "pose", "obb", "classify", "semantic", "depth"]
Kind = Literal["raw", "end2end", "nms", "rtdetr", "lean", "class_map"]
HeadKind = Literal["v8", "26"]

TASKS: tuple[Task, ...] = ("detect", "segment", "pose", "obb", "classify", "semantic", "depth")


@dataclass(frozen=True, slots=True)
class Head:
    """The part of a detection head that a lean file leaves to `lean_head`: all behind its last convolutions.

    Attributes:
        strides: pixels of the input tensor between neighbouring anchors, for each scale, in the order of the
            outputs.
        reg_max: bins of the distribution (DFL) over each distance from an anchor to a side of its box; 1
            when the graph gives the distance itself.
        kind: `26` for the pose and OBB heads of YOLO26, `v8` for all others: they encode keypoints and
            angles differently.
        limit: most anchors, and then most rows, that an end-to-end head keeps, without NMS; None for heads
            that need NMS.
        agnostic_nms: end-to-end heads keep only the best class of each anchor.
        sparse: the graph computes box and extra branches for surviving anchors alone where those are few; see
            `Layout` for what such a branch gives.
    """

    strides: tuple[int, ...]
    reg_max: int = 16
    kind: HeadKind = "v8"
    limit: int | None = None
    agnostic_nms: bool = False
    sparse: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of one model's outputs (per image, without the batch axis).

    ========  =========  ==================================================================
    task      kind       first output
    ========  =========  ==================================================================
    classify  raw        (nc,) probabilities
    semantic  class_map  (h, w) integer class ids; for one class, 1 where it is and 0 elsewhere
    semantic  raw        (nc, h, w) logits
    depth     raw        (1, h, w) or (h, w) metres
    others    raw        (4 + nc + extra, anchors): cx, cy, w, h, class scores, extra
    others    end2end    (rows, 6 + extra): x1, y1, x2, y2, score, class, extra
    others    nms        as end2end, zero-padded; suppressed by the graph itself
    detect    rtdetr     (rows, 6): cx, cy, w, h from 0 to 1, score, class; by score
    others    lean       the outputs of the last convolutions, see below
    ========  =========  ==================================================================

    Lean files have one output for each branch of the head and scale, all box branches first: distances to
    the sides (4 * reg_max, h, w), class logits (nc, h, w), and extra (extra, h, w) where the task has it.
    Sparse heads have one more output for each scale, at the end: K anchors (K,), ascending
    indices into h * w. A sparse branch is (channels, K), its values at these anchors; without anchors it may
    also be (channels, h * w), its values at all of them.

    OBB rows of every kind start with cx, cy, w, h and their one extra value is the angle in radians.
    Coordinates are pixels of the input tensor, except in `rtdetr`. Segment models have a second output (lean:
    a last one), the prototype masks (extra, h, w).

    Attributes:
        task: what the model predicts.
        kind: see the table.
        nc: number of classes.
        extra: number of values in each row after the classes or score: mask coefficients, keypoints
            (K * D), or the angle.
        kpt_shape: (K, D) of pose models: K keypoints of D = 2 (x, y) or 3 (x, y, visibility).
        head: of a lean file; else None.
    """

    task: Task
    kind: Kind
    nc: int
    extra: int = 0
    kpt_shape: tuple[int, int] | None = None
    head: Head | None = None

    @property
    def is_dense(self) -> bool:
        """Whether the model predicts a value for each pixel, and no objects."""
        return self.task in ("semantic", "depth")

    @property
    def suppressed(self) -> bool:
        """Whether the graph itself, or an end-to-end head, suppresses duplicates, so that no NMS follows."""
        end_to_end_head = self.head is not None and self.head.limit is not None
        return self.kind in ("end2end", "nms", "rtdetr") or end_to_end_head

    @property
    def prototypes(self) -> int:
        """Index of the output that holds a segment model's prototype masks."""
        return 1 if self.head is None else 3 * len(self.head.strides)

    @property
    def width(self) -> int:
        """Values in one row (or channels over one anchor) of the first output, in other kinds than lean."""
        if self.task in ("classify", "semantic"):
            return self.nc
        if self.task == "depth":
            return 1
        return (4 + self.nc if self.kind == "raw" else 6) + self.extra
