"""Non-maximum suppression: greedy for axis-aligned boxes, Fast-NMS on probIoU for rotated ones.

Both walk the candidates in blocks of descending score and stop once `max_det` boxes stand, so the cost
follows the number of boxes kept, and memory the size of a block, not the square of the candidates.
"""

from __future__ import annotations

import numpy as np

from .boxes import gaussian, iou_exceeds, probiou, probiou_reach, with_area
from .detections import Options
from .types import Bool, Float, Index, Int

MAX_CANDIDATES = 30000
"""Most candidates, best first, that enter NMS (T7 of Ultralytics' behaviour)."""

_BLOCK = 1024
_ROTATED = 512  # block of rotated boxes, of which every pair is looked at
_FEW = 64  # also the bits of an integer
_RARE = 8  # where no more than one pair in so many is of one class, they are picked out: each costs more
_PAIRS = 1 << 17  # pairs of rotated boxes compared at once: 0.5 MB a temporary


def nms(boxes: Float, scores: Float, classes: Int, options: Options) -> Index:
    """Suppress (N, 4) x1, y1, x2, y2 or (N, 5) cx, cy, w, h, angle boxes.

    Boxes of different classes ignore each other unless `options.agnostic_nms`. Ties in score keep the order
    of the input.

    Returns:
        indices into the input, score-descending, at most `options.max_det`.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    boxes = boxes[order]
    groups = None if options.agnostic_nms else classes[order]
    suppress = _fast if boxes.shape[1] == 5 else _greedy
    return order[suppress(boxes, groups, options.iou, options.max_det)]


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _greedy(boxes: Float, groups: Int | None, threshold: float, max_det: int) -> Index:
    """Standing boxes of a score-descending list: each suppresses all later ones that it overlaps.

    A block is first cleared of what the boxes kept so far suppress, then resolved a few boxes at a time:
    in a crowd the first few strike out most of the block, and no pair among those is ever looked at.
    """
    columns, limit = with_area(boxes), np.float32(threshold)
    if groups is not None:  # of one byte, if that is enough: those are compared four times as fast
        groups = groups.astype(np.min_scalar_type(groups.max(initial=0)))
    kept = np.empty(0, np.intp)
    for start in range(0, len(boxes), _BLOCK):
        waiting = np.arange(start, min(start + _BLOCK, len(boxes)))
        fresh = kept
        while len(waiting) and len(kept) < max_det:
            for at in range(0, len(fresh), _FEW):
                struck = _struck(columns, groups, fresh[at : at + _FEW], waiting, limit)
                waiting = waiting[~struck]
            if not len(waiting):
                break
            first, waiting = waiting[:_FEW], waiting[_FEW:]
            suppresses = iou_exceeds(columns, first[:, None], first, limit)
            if groups is not None:
                suppresses &= groups[first, None] == groups[first]
            fresh = first[_resolve(suppresses)]
            kept = np.concatenate((kept, fresh))
    return kept[:max_det]


def _struck(columns: Float, groups: Int | None, one: Index, other: Index, threshold: np.float32) -> Bool:
    """(M,): which boxes of another set any box of one set suppresses."""
    few, many, axis = (one, other, 0) if len(one) < len(other) else (other, one, 1)  # long rows are faster
    if groups is None:
        suppresses = iou_exceeds(columns, few[:, None], many, threshold)
    else:
        suppresses = groups[few, None] == groups[many]
        if np.count_nonzero(suppresses) * _RARE < suppresses.size:
            pairs = np.flatnonzero(suppresses)
            row = pairs // len(many)
            column = pairs - row * len(many)
            hit = iou_exceeds(columns, few[row], many[column], threshold)
            struck = np.zeros(len(other), np.bool_)
            struck[(row if axis else column)[hit]] = True
            return struck
        suppresses &= iou_exceeds(columns, few[:, None], many, threshold)
    return np.asarray(suppresses.any(axis))


def _resolve(suppresses: Bool) -> list[int]:
    """Walk an (M, M) suppression matrix of a score-descending block, M at most `_FEW`; returns what stays.

    Rows become Python integers, so that one box strikes out all its victims in one operation; the loop
    runs once a box kept, not once a candidate.
    """
    suppresses.reshape(-1)[:: len(suppresses) + 1] = True  # a box that stands is no longer waiting
    packed = np.packbits(suppresses, axis=1, bitorder="little")
    bits = np.zeros((len(packed), _FEW // 8), np.uint8)
    bits[:, : packed.shape[1]] = packed
    spares: list[int] = np.invert(bits).view("<u8").ravel().tolist()
    waiting = (1 << len(suppresses)) - 1
    standing = []
    while waiting:
        first = (waiting & -waiting).bit_length() - 1
        standing.append(first)
        waiting &= spares[first]
    return standing


def _fast(boxes: Float, groups: Int | None, threshold: float, max_det: int) -> Index:
    """Fast-NMS: a box falls to any better one that it overlaps, even one that fell itself.

    That is what Ultralytics does for rotated boxes, and it differs from greedy NMS in chains. Boxes that
    stand are asked first, then those of the block, then all others: in a crowd few are left by then.
    """
    shapes = gaussian(boxes)
    everything = np.arange(len(boxes))
    kept = np.empty(0, np.intp)
    for start in range(0, len(boxes), _ROTATED):
        if len(kept) >= max_det:
            break
        block = everything[start : start + _ROTATED]
        for better in (kept, block, everything[:start]):
            block = _standing(shapes, groups, better, block, threshold)
        kept = np.concatenate((kept, block))
    return kept[:max_det]


def _standing(shapes: Float, groups: Int | None, better: Index, block: Index, threshold: float) -> Index:
    """What is left of a block when every box falls that an earlier one of another set overlaps."""
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
