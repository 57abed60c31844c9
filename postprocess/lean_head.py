"""The part of the head that lean files leave out: from the last convolutions to candidates.

A head spends most of its time on anchors of which nothing remains: sigmoids for 80 classes and softmaxes
for four sides over 8400 of them, where five survive. Here the threshold is applied to the logits, and the
rest is computed for the survivors alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .detections import Candidates
from .layout import Head, Layout
from .types import Float, Index

_MARGIN = 1e-3  # of a logit: more than rounding; the threshold itself is applied to the score


def candidates(outputs: Sequence[Float], layout: Layout, conf: float) -> Candidates:
    """Anchors whose best class passes the threshold; of end-to-end heads, the rows that they keep.

    Args:
        outputs: of one image, see `Layout`; (channels, h, w) a branch and scale.
        conf: objects need a score above this, 0 to 1.

    Returns:
        candidates in the order of the anchors, scale by scale, row by row; end-to-end: by score.
    """
    head = _head(layout)
    scales = len(head.strides)
    logits = [branch.reshape(layout.nc, -1) for branch in outputs[scales : 2 * scales]]
    best = [branch.max(axis=0) if layout.nc > 1 else branch[0] for branch in logits]
    floor = _logit(conf) - _MARGIN
    if head.limit is not None:
        floor = max(floor, _nth_largest(best, head.limit))
    passing = [np.flatnonzero(branch > floor) for branch in best]
    columns = [branch[:, anchors] for branch, anchors in zip(logits, passing, strict=True)]
    with np.errstate(invalid="ignore", over="ignore"):
        found = _decoded(outputs, layout, passing)
    chosen = np.concatenate(columns, axis=1)
    if head.limit is None or head.agnostic_nms:
        classes = chosen.argmax(axis=0)
        rows = np.arange(len(classes))
    else:  # an anchor may pass with several classes
        rows, classes = np.nonzero(floor < chosen.T)
    scores = sigmoid(chosen[classes, rows])
    order = np.flatnonzero(scores > np.float32(conf))
    if head.limit is not None:
        order = order[np.argsort(-scores[order], kind="stable")[: head.limit]]
    boxes, extra = found[0][rows[order]], found[1][rows[order]]
    # Half precision can overflow.
    finite = np.asarray(np.isfinite(boxes).all(axis=1) & np.isfinite(extra).all(axis=1))
    return Candidates(boxes, scores[order], classes[order].astype(np.int64), extra)[finite]


def dense(outputs: Sequence[Float], layout: Layout) -> tuple[Float, Float, Float]:
    """Every anchor decoded, as the graph did before it was cut: to check a cut.

    Returns:
        boxes (anchors, 4) x1, y1, x2, y2 or (anchors, 5) cx, cy, w, h, angle; scores (anchors, nc); and
        extra (anchors, extra).
    """
    scales = len(_head(layout).strides)
    logits = [branch.reshape(layout.nc, -1) for branch in outputs[scales : 2 * scales]]
    boxes, extra = _decoded(outputs, layout, [np.arange(branch.shape[1]) for branch in logits])
    return boxes, sigmoid(np.concatenate(logits, axis=1).T), extra


def sigmoid(logits: Float) -> Float:
    """Logits to 0 to 1."""
    with np.errstate(over="ignore"):  # exp of a large number is inf, and its inverse the 0 that it should be
        result: Float = np.float32(1) / (np.float32(1) + np.exp(-logits))
    return result


def _head(layout: Layout) -> Head:
    if layout.head is None:
        raise ValueError("a lean layout needs its head")
    return layout.head


def _logit(score: float) -> float:
    """The inverse of `sigmoid`; infinite at 0 and 1."""
    if score <= 0 or score >= 1:
        return -math.inf if score <= 0 else math.inf
    return math.log(score / (1 - score))


def _nth_largest(values: list[Float], number: int) -> float:
    """A number that fewer than `number` of the values exceed by more than rounding."""
    together = np.concatenate(values)
    if len(together) <= number:
        return -math.inf
    return float(np.nextafter(np.partition(together, -number)[-number], -np.inf, dtype=np.float32))


def _decoded(outputs: Sequence[Float], layout: Layout, anchors: list[Index]) -> tuple[Float, Float]:
    """Boxes and extra values of the anchors given for each scale; see `dense` for their shapes."""
    head = _head(layout)
    scales = len(head.strides)
    boxes, extras = [], []
    for scale, (stride, chosen) in enumerate(zip(head.strides, anchors, strict=True)):
        branch = outputs[scale]
        width = branch.shape[2]
        centres = np.stack((chosen % width, chosen // width)).astype(np.float32) + np.float32(0.5)
        sides = _sides(branch.reshape(4, head.reg_max, -1)[..., chosen])
        extra = np.zeros((0, len(chosen)), np.float32)
        if layout.extra:
            extra = outputs[2 * scales + scale].reshape(layout.extra, -1)[:, chosen]
        if layout.task == "pose":
            extra = _keypoints(extra, centres, stride, layout)
        elif layout.task == "obb":
            extra = _angles(extra, head)
        boxes.append(_boxes(sides, centres, extra, layout.task == "obb", stride))
        extras.append(extra)
    return np.concatenate(boxes, axis=1).T, np.concatenate(extras, axis=1).T


def _sides(bins: Float) -> Float:
    """(4, reg_max, N) to the distances (4, N) to left, top, right and bottom, in strides.

    Each is the mean of a distribution over whole distances from 0 (Distribution Focal Loss, Li et al.,
    https://arxiv.org/abs/2006.04388), or the value itself where there is one bin.
    """
    if bins.shape[1] == 1:
        return bins[:, 0]
    weights = np.exp(bins - bins.max(axis=1, keepdims=True))
    distances = np.arange(bins.shape[1], dtype=np.float32)
    result: Float = np.einsum("srn,r->sn", weights, distances) / weights.sum(axis=1)
    return result


def _boxes(sides: Float, centres: Float, angles: Float, rotated: bool, stride: int) -> Float:
    """Distances (4, N) around anchors (2, N) to boxes in pixels, (4, N), or with an angle, (5, N)."""
    near, far = sides[:2], sides[2:]
    if not rotated:
        return np.concatenate((centres - near, centres + far)) * np.float32(stride)
    cos, sin = np.cos(angles[0]), np.sin(angles[0])
    x, y = (far - near) / 2
    centre = np.stack((x * cos - y * sin, x * sin + y * cos)) + centres
    return np.concatenate((np.concatenate((centre, near + far)) * np.float32(stride), angles))


def _keypoints(values: Float, centres: Float, stride: int, layout: Layout) -> Float:
    """(K * D, N) as the convolutions give them to x, y in pixels and visibility in 0 to 1, same shape."""
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
    """(1, N) to radians: from -pi/4 to 3/4 pi, or as they are and unbounded from YOLO26."""
    return logits if head.kind == "26" else (sigmoid(logits) - np.float32(0.25)) * np.float32(math.pi)
