"""Instance masks: from prototype masks to binary crops, and from these to outlines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from .geometry import Geometry
from .types import Bool, Float, Index, Mask, Size

_CHUNK = 64  # objects whose prototype-sized masks exist at once: 6.5 MB at 160 x 160

# OpenBLAS uses threads from this many multiplications on. They then spin for 25 ms and take the cores from
# the next run; on a busy machine, waiting for them took 30 ms for 50 objects, against 1.4 ms on one thread.
ONE_THREAD = 1 << 18


class Masks(Protocol):
    """N binary masks of one image, wherever they are stored."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Index) -> Masks:
        """The masks at the given indices."""

    def dense(self) -> Mask:
        """(N, H, W) uint8 of 0 and 1."""

    def parts(self) -> list[list[Float]]:
        """N lists, one for each mask, of the outer contours (P, 2) of its parts in image pixels, clipped."""

    def outlines(self) -> list[Float]:
        """N outlines (P, 2) in image pixels, clipped to the image: the parts of each mask joined into one."""


@dataclass(frozen=True, slots=True, eq=False)
class InstanceMasks:
    """N binary masks, of which only the pixels inside the boxes are stored, in pixels of the input tensor.

    Attributes:
        crops: N arrays (h, w) uint8 of 0 and 1.
        corners: (N, 2) x and y of the top left pixel of each crop in the tensor.
        geometry: of the image in the tensor.
    """

    crops: tuple[Mask, ...]
    corners: Index
    geometry: Geometry

    def __len__(self) -> int:
        return len(self.crops)

    def __getitem__(self, rows: Index) -> InstanceMasks:
        """The masks at the given indices."""
        return InstanceMasks(tuple(self.crops[i] for i in rows), self.corners[rows], self.geometry)

    def dense(self) -> Mask:
        """(N, H, W) uint8 of 0 and 1 at the size of the tensor, padding included, as in Ultralytics."""
        result = np.zeros((len(self.crops), *self.geometry.tensor), np.uint8)
        for full, crop, (x, y) in zip(result, self.crops, self.corners, strict=True):
            full[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        return result

    def parts(self) -> list[list[Float]]:
        """N lists, one for each mask, of the outer contours (P, 2) of its parts in image pixels, clipped."""
        return self._in_image([_contours(crop) for crop in self.crops])

    def outlines(self) -> list[Float]:
        """N outlines (P, 2) in image pixels, clipped to the image: the parts of each mask joined into one.

        They are joined before they are clipped, as in Ultralytics: clipping moves many points to the border
        of the image, and other vertices would then be the nearest.
        """
        return [outline for (outline,) in self._in_image([[joined(_contours(crop))] for crop in self.crops])]

    def _in_image(self, outlines: list[list[Float]]) -> list[list[Float]]:
        """Contours in pixels of the crops to image pixels, by one inverse mapping for all: N are slow."""
        if not outlines:
            return []
        points = np.concatenate([part for mask in outlines for part in mask])
        lengths = [sum(map(len, mask)) for mask in outlines]
        points += np.repeat(self.corners, lengths, axis=0).astype(np.float32)
        ends = np.cumsum([len(part) for mask in outlines for part in mask])
        pieces = iter(np.split(self.geometry.inverse(points), ends[:-1]))
        return [[next(pieces) for _ in mask] for mask in outlines]


def decode_masks(
    coefficients: Float, prototypes: Float, boxes: Float, geometry: Geometry
) -> tuple[InstanceMasks, Bool]:
    """The masks of N objects, from the prototype masks that they share (YOLACT, https://arxiv.org/abs/1904.02689).

    A mask is 1 where coefficients @ prototypes, bilinearly enlarged to the size of the tensor (half-pixel
    centres), is above zero and inside the box. Only the box and a margin of one prototype pixel are
    enlarged: bilinear interpolation depends on nothing else.

    Args:
        coefficients: (N, C) float32.
        prototypes: (C, h, w) float32; height and width of the tensor are whole multiples of h and w.
        boxes: (N, 4) float32 x1, y1, x2, y2 in tensor pixels.
        geometry: of the image.

    Returns:
        the masks that are not empty, and (N,) whether each mask is one of them.
    """
    _, height, width = prototypes.shape
    bounds = pixel_bounds(boxes, geometry.tensor)
    factors = geometry.tensor.width // width, geometry.tensor.height // height
    logits = mask_logits(coefficients, prototypes)
    crops = [_crop(mask, box, factors) for mask, box in zip(logits, bounds, strict=True)]
    filled = np.array([bool(crop.any()) for crop in crops], np.bool_)
    kept = tuple(crop for crop, full in zip(crops, filled, strict=True) if full)
    return InstanceMasks(kept, bounds[filled, :2], geometry), filled


def mask_logits(coefficients: Float, prototypes: Float) -> Iterator[Float]:
    """The mask of each object, (h, w) logits at the size of the prototypes (C, h, w)."""
    channels, height, width = prototypes.shape
    flat = prototypes.reshape(channels, -1)
    for start in range(0, len(coefficients), _CHUNK):
        yield from _product(coefficients[start : start + _CHUNK], flat).reshape(-1, height, width)


def _product(one: Float, other: Float) -> Float:
    """(N, C) @ (C, P), in blocks of columns that OpenBLAS computes on one thread."""
    result = np.empty((len(one), other.shape[1]), np.float32)
    step = max(ONE_THREAD // one.size, 16)
    for start in range(0, other.shape[1], step):
        columns = slice(start, start + step)
        np.matmul(one, other[:, columns], out=result[:, columns])
    return result


def pixel_bounds(boxes: Float, size: Size) -> Index:
    """(N, 4) first pixel and the one behind the last of each box: pixel p is inside when x1 <= p < x2."""
    limit = np.array((size.width, size.height) * 2)
    return np.clip(np.ceil(boxes), 0, limit).astype(np.intp)


def _crop(logits: Float, box: Index, factors: tuple[int, int]) -> Mask:
    """The (h, w) uint8 mask of the pixels of a box, from logits of the size of the prototypes."""
    x1, y1, x2, y2 = box.tolist()
    if x2 <= x1 or y2 <= y1:
        return np.zeros((0, 0), np.uint8)
    fx, fy = factors
    left, top = max(x1 // fx - 1, 0), max(y1 // fy - 1, 0)
    part = logits[top : -(-y2 // fy) + 1, left : -(-x2 // fx) + 1]
    size = (part.shape[1] * fx, part.shape[0] * fy)
    enlarged = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    x, y = left * fx, top * fy
    inside = enlarged[y1 - y : y2 - y, x1 - x : x2 - x]
    return (inside > 0).view(np.uint8)


def joined(parts: Sequence[Float]) -> Float:
    """One outline (P, 2) from the contours of a mask, each joined to the next by a bridge of zero width.

    A bridge is the line between the two nearest vertices, in both directions, as in Ultralytics' outlines.
    Its cost grows with the number of points of two neighbouring parts, not of the whole mask.
    """
    *rest, outline = parts
    following, at, added = outline, 0, 0  # `outline` is `following` with `added` points inserted behind `at`
    for part in reversed(rest):
        i, j = _nearest(part, following)
        entry = j if j <= at else j + added
        detour = np.concatenate((outline[entry:], outline[: entry + 1]))
        outline = np.concatenate((part[: i + 1], detour, part[i:]))
        following, at, added = part, i, len(detour) + 1
    return outline


def _contours(mask: Mask) -> list[Float]:
    """Outer contours (P, 2) of the parts of a mask that is not empty, in pixels of the crop."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [contour.reshape(-1, 2).astype(np.float32) for contour in contours]


def _nearest(one: Float, other: Float) -> tuple[int, int]:
    """The indices of the nearest two vertices of two outlines."""
    squared = np.subtract.outer(one[:, 0], other[:, 0]) ** 2
    squared += np.subtract.outer(one[:, 1], other[:, 1]) ** 2
    i, j = divmod(int(squared.argmin()), len(other))
    return i, j
