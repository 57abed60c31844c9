"""From a model's first output to the rows that survive confidence, class filter and NMS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import xywh_to_xyxy
from .detections import Int, Options
from .geometry import Float
from .layout import Layout
from .nms import nms


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """N surviving rows, score-descending, still in pixels of the input tensor.

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


def select(output: Float, layout: Layout, options: Options) -> Selection:
    """Pick the objects of one image.

    Args:
        output: the first output without its batch axis, see `Layout` for its shape.

    Returns:
        at most `options.max_det` rows. End-to-end and nms layouts are filtered by score and class
        alone: their graph has already suppressed what overlaps.
    """
    if layout.kind == "raw":
        found = _candidates(output, layout, options)
        keep = nms(found.boxes, found.scores, found.classes, options)
    else:
        found = _rows(output, layout, options)
        keep = np.argsort(-found.scores, kind="stable")[: options.max_det]
    return Selection(found.boxes[keep], found.scores[keep], found.classes[keep], found.extra[keep])


def _candidates(output: Float, layout: Layout, options: Options) -> Selection:
    """Anchors of a raw output (4 + nc + extra, anchors) whose best class passes the threshold."""
    scores = output[4 : 4 + layout.nc]
    passing = np.flatnonzero(scores.max(axis=0) > np.float32(options.conf))
    rows = np.ascontiguousarray(output[:, passing].T)
    classes = rows[:, 4 : 4 + layout.nc].argmax(axis=1)
    wanted = _wanted(rows, classes, options)
    rows, classes = rows[wanted], classes[wanted]
    best = rows[np.arange(len(rows)), 4 + classes]
    extra = rows[:, 4 + layout.nc :]
    boxes = np.hstack((rows[:, :4], extra)) if layout.task == "obb" else xywh_to_xyxy(rows[:, :4])
    return Selection(boxes, best, classes, extra)


def _rows(output: Float, layout: Layout, options: Options) -> Selection:
    """Rows of an end-to-end output (rows, 6 + extra) that pass the threshold; padding has score 0."""
    rows = output[output[:, 4] > np.float32(options.conf)]
    rows = rows[_wanted(rows, rows[:, 5], options)]
    extra = rows[:, 6:]
    boxes = np.hstack((rows[:, :4], extra)) if layout.task == "obb" else rows[:, :4]
    return Selection(boxes, rows[:, 4], rows[:, 5].astype(np.int64), extra)


def _wanted(rows: Float, classes: NDArray[Any], options: Options) -> NDArray[np.bool_]:
    """(N,): rows of the classes asked for, with finite values: half precision can overflow."""
    finite = np.asarray(np.isfinite(rows).all(axis=1))
    return finite if options.classes is None else finite & np.isin(classes, options.classes)
