"""Non-maximum suppression: greedy for axis-aligned boxes, Fast-NMS on probIoU for rotated ones.

Both walk the candidates in blocks of descending score and stop once `max_det` boxes stand, so the cost
follows the number of boxes kept, and memory the size of a block, not the square of the candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .boxes import gaussian, iou_exceeds, probiou, probiou_reach
from .detections import Int, Options
from .geometry import Float

Index = NDArray[np.intp]

MAX_CANDIDATES = 30000
"""Most candidates, best first, that enter NMS (T7 of Ultralytics' behaviour)."""

_BLOCK = 512
_FEW = 64
_PAIRS = 1 << 17  # pairs of rotated boxes compared at once: 0.5 MB a temporary


def nms(boxes: Float, scores: Float, classes: Int, options: Options) -> Index:
    """Suppress (N, 4) x1, y1, x2, y2 or (N, 5) cx, cy, w, h, angle boxes.

    Boxes of different classes ignore each other unless `options.agnostic`. Ties in score keep the order
    of the input.

    Returns:
        indices into the input, score-descending, at most `options.max_det`.
    """
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    boxes = boxes[order]
    groups = None if options.agnostic else classes[order]
    suppress = _fast if boxes.shape[1] == 5 else _greedy
    return order[suppress(boxes, groups, options.iou, options.max_det)]


def _greedy(boxes: Float, groups: Int | None, threshold: float, max_det: int) -> Index:
    """Standing boxes of a score-descending list: each suppresses all later ones that it overlaps.

    A block is first cleared of what the boxes kept so far suppress, then resolved a few boxes at a time:
    in a crowd the first few strike out most of the block, and no pair among those is ever looked at.
    """
    kept = np.empty(0, np.intp)
    for start in range(0, len(boxes), _BLOCK):
        waiting = np.arange(start, min(start + _BLOCK, len(boxes)))
        fresh = kept
        while len(waiting) and len(kept) < max_det:
            if len(fresh):
                waiting = waiting[~_overlaps(boxes, groups, fresh, waiting, threshold).any(axis=0)]
            first, waiting = waiting[:_FEW], waiting[_FEW:]
            fresh = first[_resolve(_overlaps(boxes, groups, first, first, threshold))]
            kept = np.concatenate((kept, fresh))
    return kept[:max_det]


def _overlaps(
    boxes: Float, groups: Int | None, one: Index, other: Index, threshold: float
) -> NDArray[np.bool_]:
    """(K, M): which boxes of one set suppress which of the other."""
    result = iou_exceeds(boxes[one], boxes[other], threshold)
    if groups is not None:
        result &= groups[one, None] == groups[other]
    return result


def _resolve(suppresses: NDArray[np.bool_]) -> list[int]:
    """Walk an (M, M) suppression matrix of a score-descending block; returns what stays.

    Rows become Python integers, so that one box strikes out all its victims in one operation; the loop
    runs once a box kept, not once a candidate.
    """
    rows = np.packbits(suppresses, axis=1, bitorder="little")
    waiting = (1 << len(suppresses)) - 1
    standing = []
    while waiting:
        first = (waiting & -waiting).bit_length() - 1
        standing.append(first)
        waiting &= ~(int.from_bytes(rows[first].tobytes(), "little") | 1 << first)
    return standing


def _fast(boxes: Float, groups: Int | None, threshold: float, max_det: int) -> Index:
    """Fast-NMS: a box falls to any better one that it overlaps, even one that fell itself.

    That is what Ultralytics does for rotated boxes, and it differs from greedy NMS in chains. Boxes that
    stand are asked first, then those of the block, then all others: in a crowd few are left by then.
    """
    shapes = gaussian(boxes)
    everything = np.arange(len(boxes))
    kept = np.empty(0, np.intp)
    for start in range(0, len(boxes), _BLOCK):
        if len(kept) >= max_det:
            break
        block = everything[start : start + _BLOCK]
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
