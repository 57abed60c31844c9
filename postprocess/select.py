"""From the outputs of a model to the candidates that pass the threshold, the class filter and NMS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import lean_head as lean
from .boxes import xywh_to_xyxy
from .detections import Candidates, Options
from .layout import Layout
from .nms import nms
from .types import Float

_SCORE_ERROR = 0.01  # quantised outputs can exceed 1 by a step


class ScoreRangeError(ValueError):
    """The model gives scores that are not from 0 to 1."""


def select(outputs: Sequence[Float], layout: Layout, options: Options) -> Candidates:
    """Select the objects of one image.

    Args:
        outputs: the outputs of the model without their batch axis, see `Layout` for their shapes.
        layout: of the model.
        options: thresholds and filters. `iou` has no effect where `layout.suppressed`.

    Returns:
        at most `options.max_det` candidates, by descending score.

    Raises:
        ScoreRangeError: the model gives scores that are not from 0 to 1.
    """
    match layout.kind:
        case "lean":
            found = lean.candidates(outputs, layout, options.conf, options.multi_label)
        case "raw":
            found = _anchors(outputs[0], layout, options.conf, options.multi_label)
        case "rtdetr":
            found = _rows(outputs[0], layout, options.conf)
            found = replace(found, boxes=xywh_to_xyxy(found.boxes))
        case _:
            found = _rows(outputs[0], layout, options.conf)
    if options.classes is not None:
        found = found[np.isin(found.classes, options.classes)]
    if layout.suppressed:
        return found[np.argsort(-found.scores, kind="stable")[: options.max_det]]
    return found[nms(found.boxes, found.scores, found.classes, options)]


def _anchors(output: Float, layout: Layout, conf: float, multi_label: bool) -> Candidates:
    """The anchors of a raw output (4 + nc + extra, anchors) whose best class passes the threshold.

    With `multi_label` an anchor is given once for each class that passes.
    """
    best_scores = output[4 : 4 + layout.nc].max(axis=0)
    check_scores(best_scores)
    passing = np.flatnonzero(best_scores > np.float32(conf))
    rows = _finite(np.ascontiguousarray(output[:, passing].T))
    if multi_label:
        chosen, classes = np.nonzero(rows[:, 4 : 4 + layout.nc] > np.float32(conf))
        rows = rows[chosen]
    else:
        classes = rows[:, 4 : 4 + layout.nc].argmax(axis=1)
    best = rows[np.arange(len(rows)), 4 + classes]
    extra = rows[:, 4 + layout.nc :]
    boxes = np.hstack((rows[:, :4], extra)) if layout.task == "obb" else xywh_to_xyxy(rows[:, :4])
    return Candidates(boxes, best, classes, extra)


def _rows(output: Float, layout: Layout, conf: float) -> Candidates:
    """The rows of an end-to-end output (rows, 6 + extra) that pass the threshold; padding has score 0."""
    scores = output[:, 4]
    check_scores(scores)
    rows = _finite(output[scores > np.float32(conf)])
    extra = rows[:, 6:]
    boxes = np.hstack((rows[:, :4], extra)) if layout.task == "obb" else rows[:, :4]
    return Candidates(boxes, rows[:, 4], rows[:, 5].astype(np.int64), extra)


def check_scores(scores: Float) -> None:
    """Check that scores (N,) are probabilities, up to rounding; infinity and NaN are left to `_finite`.

    Raises:
        ScoreRangeError: they are not: the outputs have another layout, or are logits.
    """
    low, high = np.fmin.reduce(scores, initial=0), np.fmax.reduce(scores, initial=0)
    if low < -_SCORE_ERROR or high > 1 + _SCORE_ERROR:
        finite = scores[np.isfinite(scores)]
        low, high = finite.min(initial=0), finite.max(initial=0)
        if low < -_SCORE_ERROR or high > 1 + _SCORE_ERROR:
            raise ScoreRangeError(f"scores from {low:g} to {high:g}")


def _finite(rows: Float) -> Float:
    """The rows without infinity or NaN: values of half precision can overflow."""
    return rows[np.isfinite(rows).all(axis=1)]
