"""Non-maximum suppression: greedy for axis-aligned boxes, Fast NMS on probIoU for rotated ones.

Both process the candidates in blocks of descending score and stop once `max_det` boxes are kept: time grows
with the number of boxes kept, and memory with the size of a block, not with the square of the candidates.
"""

from __future__ import annotations

import numpy as np

from .boxes import gaussian, iou_exceeds, probiou, probiou_reach, with_area
from .detections import Options
from .types import Bool, Float, Index, Int

MAX_CANDIDATES = 30000
"""Most candidates, by score, that enter NMS, as in Ultralytics (`max_nms`)."""

BLOCK = 1024
"""Axis-aligned boxes that are processed at once."""

_ROTATED_BLOCK = 512  # of rotated boxes, where all pairs are compared
_STEP = 64  # boxes resolved at once: the bits of an integer
_SPARSE = 8  # where fewer than one pair in so many is of one class, only these are compared, one by one
_PAIRS = 1 << 17  # of rotated boxes, compared at once: 0.5 MB for each temporary array


def nms(boxes: Float, scores: Float, classes: Int, options: Options) -> Index:
    """Suppress duplicates.

    Boxes of different classes do not suppress each other unless `options.agnostic_nms`. Boxes of equal score
    keep the order of the input.

    Args:
        boxes: (N, 4) x1, y1, x2, y2 or (N, 5) cx, cy, w, h, angle.
        scores: (N,).
        classes: (N,).
        options: `iou`, `max_det` and `agnostic_nms` apply.

    Returns:
        indices of the boxes to keep, by descending score, at most `options.max_det`.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    boxes = boxes[order]
    groups = None if options.agnostic_nms else classes[order]
    suppress = _fast if boxes.shape[1] == 5 else _greedy
    return order[suppress(boxes, groups, options.iou, options.max_det)]


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _greedy(boxes: Float, groups: Int | None, threshold: float, max_det: int) -> Index:
    """Greedy NMS of boxes by descending score: each box that is kept suppresses all later ones it overlaps.

    First, the boxes kept so far suppress boxes of the next block; then the block itself is resolved a few
    boxes at a time: where many overlap, the first few suppress most of the block, and the pairs among those
    are never compared.
    """
    columns, limit = with_area(boxes), np.float32(threshold)
    if groups is not None:  # bytes, if they suffice, are compared four times as fast
        groups = groups.astype(np.min_scalar_type(groups.max(initial=0)))
    kept = np.empty(0, np.intp)
    for start in range(0, len(boxes), BLOCK):
        waiting = np.arange(start, min(start + BLOCK, len(boxes)))
        fresh = kept
        while len(waiting) and len(kept) < max_det:
            for at in range(0, len(fresh), _STEP):
                suppressed = _suppressed(columns, groups, fresh[at : at + _STEP], waiting, limit)
                waiting = waiting[~suppressed]
            if not len(waiting):
                break
            first, waiting = waiting[:_STEP], waiting[_STEP:]
            suppresses = iou_exceeds(columns, first[:, None], first, limit)
            if groups is not None:
                suppresses &= groups[first, None] == groups[first]
            fresh = first[_resolve(suppresses)]
            kept = np.concatenate((kept, fresh))
    return kept[:max_det]


def _suppressed(columns: Float, groups: Int | None, one: Index, other: Index, threshold: np.float32) -> Bool:
    """(M,) whether any box of the first set suppresses each of the M boxes of the second."""
    few, many, axis = (one, other, 0) if len(one) < len(other) else (other, one, 1)  # long rows are faster
    if groups is None:
        suppresses = iou_exceeds(columns, few[:, None], many, threshold)
    else:
        suppresses = groups[few, None] == groups[many]
        if np.count_nonzero(suppresses) * _SPARSE < suppresses.size:
            pairs = np.flatnonzero(suppresses)
            row = pairs // len(many)
            column = pairs - row * len(many)
            hit = iou_exceeds(columns, few[row], many[column], threshold)
            suppressed = np.zeros(len(other), np.bool_)
            suppressed[(row if axis else column)[hit]] = True
            return suppressed
        suppresses &= iou_exceeds(columns, few[:, None], many, threshold)
    return np.asarray(suppresses.any(axis))


def _resolve(suppresses: Bool) -> list[int]:
    """The rows to keep, by an (M, M) matrix of which box suppresses which, by descending score; M <= `_STEP`.

    Rows become bits of Python integers, so that one operation removes all boxes that a box suppresses, and
    the loop runs once for each box that is kept.
    """
    suppresses.reshape(-1)[:: len(suppresses) + 1] = (
        True  # the diagonal: a box that is kept is no longer waiting
    )
    packed = np.packbits(suppresses, axis=1, bitorder="little")
    bits = np.zeros((len(packed), _STEP // 8), np.uint8)
    bits[:, : packed.shape[1]] = packed
    allowed: list[int] = np.invert(bits).view("<u8").ravel().tolist()
    waiting = (1 << len(suppresses)) - 1
    kept = []
    while waiting:
        first = (waiting & -waiting).bit_length() - 1
        kept.append(first)
        waiting &= allowed[first]
    return kept


def _fast(boxes: Float, groups: Int | None, threshold: float, max_det: int) -> Index:
    """Fast NMS (YOLACT): every box suppresses all later ones it overlaps, also if it is suppressed itself.

    Ultralytics does this for rotated boxes. It differs from greedy NMS in chains of overlapping boxes. The
    boxes kept so far are compared first, then those of the block, then all others: few are left by then.
    """
    shapes = gaussian(boxes)
    everything = np.arange(len(boxes))
    kept = np.empty(0, np.intp)
    for start in range(0, len(boxes), _ROTATED_BLOCK):
        if len(kept) >= max_det:
            break
        block = everything[start : start + _ROTATED_BLOCK]
        for better in (kept, block, everything[:start]):
            block = _unsuppressed(shapes, groups, better, block, threshold)
        kept = np.concatenate((kept, block))
    return kept[:max_det]


def _unsuppressed(shapes: Float, groups: Int | None, better: Index, block: Index, threshold: float) -> Index:
    """The boxes of a block that no box of another set with a higher score overlaps."""
    reach = np.float32(probiou_reach(threshold))
    start = 0
    while start < len(better) and len(block):
        part = better[start : start + max(_PAIRS // len(block), 1)]
        start += len(part)
        x1, y1, a1, b1, _ = shapes[part].T[:, :, None]
        x2, y2, a2, b2, _ = shapes[block].T
        near = (x1 - x2) ** 2 <= reach * (a1 + a2)
        near &= (y1 - y2) ** 2 <= reach * (b1 + b2)
        near &= part[:, None] < block
        if groups is not None:
            near &= groups[part, None] == groups[block]
        i, j = np.nonzero(near)
        hit = probiou(shapes[part[i]], shapes[block[j]]) > np.float32(threshold)
        block = np.delete(block, j[hit])
    return block
