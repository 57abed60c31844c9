"""The part of a detection head that lean files leave out: from the last convolutions to candidates.

In the graph, a head computes sigmoids of 80 classes and softmaxes of four sides for 8400 anchors, most of
which are below the confidence threshold. Here the threshold is applied to the logits first, and the rest is
computed for the anchors that pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .detections import Candidates
from .layout import Head, Layout
from .types import Float, Index

_MARGIN = 1e-3  # on logits, more than rounding errors; the exact threshold is applied to the scores


def candidates(
    outputs: Sequence[Float], layout: Layout, conf: float, multi_label: bool = False
) -> Candidates:
    """Anchors whose best class passes the threshold; for end-to-end heads, the rows that they keep.

    Args:
        outputs: of one image: (channels, h, w) for each branch and scale, see `Layout`.
        layout: of the model.
        conf: confidence threshold, 0 to 1: scores have to be above it.
        multi_label: as in `Options`.

    Returns:
        candidates in the order of the anchors, scale by scale, row by row; for end-to-end heads by
        descending score.
    """
    head = _head(layout)
    scales = len(head.strides)
    logits = [branch.reshape(layout.nc, -1) for branch in outputs[scales : 2 * scales]]
    best = [branch.max(axis=0) if layout.nc > 1 else branch[0] for branch in logits]
    floor = floor_of(conf)
    if head.limit is not None:
        floor = max(floor, _nth_largest(best, head.limit))
    passing = [np.flatnonzero(branch > floor) for branch in best]
    columns = [branch[:, anchors] for branch, anchors in zip(logits, passing, strict=True)]
    with np.errstate(invalid="ignore", over="ignore"):
        found = _decoded(outputs, layout, passing)
    chosen = np.concatenate(columns, axis=1)
    if head.agnostic_nms or (head.limit is None and not multi_label):
        classes = chosen.argmax(axis=0)
        rows = np.arange(len(classes))
    else:  # several classes of one anchor may pass
        rows, classes = np.nonzero(floor < chosen.T)
    scores = sigmoid(chosen[classes, rows])
    order = np.flatnonzero(scores > np.float32(conf))
    if head.limit is not None:
        order = order[np.argsort(-scores[order], kind="stable")[: head.limit]]
    boxes, extra = found[0][rows[order]], found[1][rows[order]]
    # Values of half precision can overflow.
    finite = np.asarray(np.isfinite(boxes).all(axis=1) & np.isfinite(extra).all(axis=1))
    return Candidates(boxes, scores[order], classes[order].astype(np.int64), extra)[finite]


def dense(outputs: Sequence[Float], layout: Layout) -> tuple[Float, Float, Float]:
    """Decode every anchor, as the graph did before its head was cut off: to verify a cut.

    Args:
        outputs: of one image, as for `candidates`.
        layout: of the model.

    Returns:
        boxes (anchors, 4) x1, y1, x2, y2 or (anchors, 5) cx, cy, w, h, angle, in tensor pixels; scores
        (anchors, nc), 0 to 1; and extra (anchors, extra).
    """
    scales = len(_head(layout).strides)
    logits = [branch.reshape(layout.nc, -1) for branch in outputs[scales : 2 * scales]]
    boxes, extra = _decoded(outputs, layout, [np.arange(branch.shape[1]) for branch in logits])
    return boxes, sigmoid(np.concatenate(logits, axis=1).T), extra


def floor_of(conf: float) -> float:
    """The class logit above which an anchor may have a score above `conf`, 0 to 1; infinite at 0 and 1."""
    return _logit(conf) - _MARGIN


def sigmoid(logits: Float) -> Float:
    """1 / (1 + exp(-x)), 0 to 1."""
    with np.errstate(over="ignore"):  # exp overflows to inf, whose inverse is the right 0
        result: Float = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return result


def _head(layout: Layout) -> Head:
    if layout.head is None:
        raise ValueError("a lean layout needs its head")
    return layout.head


def _logit(score: float) -> float:
    """The inverse of `sigmoid`: infinite at 0 and 1."""
    if score <= 0 or score >= 1:
        return -math.inf if score <= 0 else math.inf
    return math.log(score / (1 - score))


def _nth_largest(values: list[Float], number: int) -> float:
    """A value just below the `number`-th largest; minus infinity where there are no more than that."""
    together = np.concatenate(values)
    if len(together) <= number:
        return -math.inf
    return float(np.nextafter(np.partition(together, -number)[-number], -np.inf, dtype=np.float32))


def _decoded(outputs: Sequence[Float], layout: Layout, anchors: list[Index]) -> tuple[Float, Float]:
    """Boxes (N, 4 or 5) and extra values (N, extra) of the given anchors of each scale; see `dense`."""
    head = _head(layout)
    scales = len(head.strides)
    boxes, extras = [], []
    for scale, (stride, chosen) in enumerate(zip(head.strides, anchors, strict=True)):
        height, width = outputs[scales + scale].shape[1:]
        known = outputs[len(outputs) - scales + scale] if head.sparse else None
        centres = np.stack((chosen % width, chosen // width)).astype(np.float32) + np.float32(0.5)
        sides = _sides(_at(outputs[scale], chosen, known, height * width).reshape(4, head.reg_max, -1))
        extra = np.zeros((0, len(chosen)), np.float32)
        if layout.extra:
            extra = _at(outputs[2 * scales + scale], chosen, known, height * width)
        if layout.task == "pose":
            extra = _keypoints(extra, centres, stride, layout)
        elif layout.task == "obb":
            extra = _angles(extra, head)
        boxes.append(_boxes(sides, centres, extra, layout.task == "obb", stride))
        extras.append(extra)
    return np.concatenate(boxes, axis=1).T, np.concatenate(extras, axis=1).T


def _at(branch: Float, chosen: Index, known: Float | None, anchors: int) -> Float:
    """Values (channels, N) of a branch at the anchors that are chosen.

    Args:
        branch: (channels, h, w), or of a sparse head (channels, K) at the K known anchors, or at all.
        anchors: h * w.

    Raises:
        ValueError: the graph ran with a higher threshold and has not computed one of them.
    """
    values = branch.reshape(len(branch), -1)
    if known is None or branch.ndim == 3 or (not len(known) and values.shape[1] == anchors):
        return values[:, chosen]
    places = np.searchsorted(known, chosen)
    if len(chosen) and (places[-1] >= len(known) or not np.array_equal(known[places], chosen)):
        raise ValueError("the graph ran with a higher threshold than its outputs are decoded with")
    return values[:, places]


def _sides(bins: Float) -> Float:
    """(4, reg_max, N) logits to the distances (4, N) to left, top, right and bottom, in strides.

    Each is the expectation of a softmax over the distances 0, 1, ... (Distribution Focal Loss, Li et al.,
    https://arxiv.org/abs/2006.04388), or the value itself where there is one bin.
    """
    if bins.shape[1] == 1:
        return bins[:, 0]
    weights = np.exp(bins - bins.max(axis=1, keepdims=True))
    distances = np.arange(bins.shape[1], dtype=np.float32)
    result: Float = np.einsum("srn,r->sn", weights, distances) / weights.sum(axis=1)
    return result


def _boxes(sides: Float, centres: Float, angles: Float, rotated: bool, stride: int) -> Float:
    """Distances (4, N) from anchors (2, N), in strides, to boxes in pixels: (4, N), or (5, N) with angles."""
    near, far = sides[:2], sides[2:]
    if not rotated:
        return np.concatenate((centres - near, centres + far)) * np.float32(stride)
    cos, sin = np.cos(angles[0]), np.sin(angles[0])
    x, y = (far - near) / 2
    centre = np.stack((x * cos - y * sin, x * sin + y * cos)) + centres
    return np.concatenate((np.concatenate((centre, near + far)) * np.float32(stride), angles))


def _keypoints(values: Float, centres: Float, stride: int, layout: Layout) -> Float:
    """(K * D, N) outputs of the convolutions to x, y in tensor pixels and visibility from 0 to 1."""
    if layout.kpt_shape is None:
        raise ValueError("a pose layout needs kpt_shape")
    points = values.reshape(*layout.kpt_shape, -1)
    if _head(layout).kind == "26":
        places = points[:, :2] + centres
    else:
        places = points[:, :2] * 2 + (centres - np.float32(0.5))
    decoded = np.concatenate((places * np.float32(stride), sigmoid(points[:, 2:])), axis=1)
    return decoded.reshape(values.shape)


def _angles(logits: Float, head: Head) -> Float:
    """(1, N) outputs to radians: -pi/4 to 3/4 pi; those of YOLO26 are radians already, unbounded."""
    return logits if head.kind == "26" else (sigmoid(logits) - np.float32(0.25)) * np.float32(math.pi)
