"""From the outputs of a model to the candidates that pass the threshold, the class filter and NMS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import lean_head as lean
from .boxes import xywh_to_xyxy
from .detections import Candidates, Options
from .layout import Layout
from .nms import nms
from .types import Float


def select(outputs: Sequence[Float], layout: Layout, options: Options) -> Candidates:
    """Select the objects of one image.

    Args:
        outputs: the outputs of the model without their batch axis, see `Layout` for their shapes.
        layout: of the model.
        options: thresholds and filters. `iou` has no effect where `layout.suppressed`.

    Returns:
        at most `options.max_det` candidates, by descending score.
    """
    match layout.kind:
        case "lean":
            found = lean.candidates(outputs, layout, options.conf)
        case "raw":
            found = _anchors(outputs[0], layout, options.conf)
        case _:
            found = _rows(outputs[0], layout, options.conf)
    if options.classes is not None:
        found = found[np.isin(found.classes, options.classes)]
    if layout.suppressed:
        return found[np.argsort(-found.scores, kind="stable")[: options.max_det]]
    return found[nms(found.boxes, found.scores, found.classes, options)]


def _anchors(output: Float, layout: Layout, conf: float) -> Candidates:
    """The anchors of a raw output (4 + nc + extra, anchors) whose best class passes the threshold."""
    scores = output[4 : 4 + layout.nc]
    passing = np.flatnonzero(scores.max(axis=0) > np.float32(conf))
    rows = _finite(np.ascontiguousarray(output[:, passing].T))
    classes = rows[:, 4 : 4 + layout.nc].argmax(axis=1)
    best = rows[np.arange(len(rows)), 4 + classes]
    extra = rows[:, 4 + layout.nc :]
    boxes = np.hstack((rows[:, :4], extra)) if layout.task == "obb" else xywh_to_xyxy(rows[:, :4])
    return Candidates(boxes, best, classes, extra)


def _rows(output: Float, layout: Layout, conf: float) -> Candidates:
    """The rows of an end-to-end output (rows, 6 + extra) that pass the threshold; padding has score 0."""
    rows = _finite(output[output[:, 4] > np.float32(conf)])
    extra = rows[:, 6:]
    boxes = np.hstack((rows[:, :4], extra)) if layout.task == "obb" else rows[:, :4]
    return Candidates(boxes, rows[:, 4], rows[:, 5].astype(np.int64), extra)


def _finite(rows: Float) -> Float:
    """The rows without infinity or NaN: values of half precision can overflow."""
    return rows[np.isfinite(rows).all(axis=1)]
