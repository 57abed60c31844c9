"""Instance masks of one image that come from several tensors, each stored in pixels of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from .geometry import Geometry
from .masks import InstanceMasks
from .types import Float, Index, Mask, Size


@dataclass(frozen=True, slots=True, eq=False)
class ScatteredMasks:
    """N binary masks of slices of an image.

    They take memory for their boxes in pixels of the tensors: at the size of a large image, a few hundred
    would take gigabytes. `dense` makes them that large when it is asked to.

    Attributes:
        masks: N times one mask.
        image: size of the image.
    """

    masks: tuple[InstanceMasks, ...]
    image: Size

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, rows: Index) -> ScatteredMasks:
        """The masks at the given indices."""
        return ScatteredMasks(tuple(self.masks[i] for i in rows), self.image)

    def dense(self) -> Mask:
        """(N, H, W) uint8 of 0 and 1 at the size of the image."""
        result = np.zeros((len(self.masks), *self.image), np.uint8)
        for full, mask in zip(result, self.masks, strict=True):
            _paint(full, mask, Geometry(self.image, self.image, self.image, (0, 0)))
        return result

    def parts(self) -> list[list[Float]]:
        """N lists, one for each mask, of the outer contours (P, 2) of its parts in image pixels."""
        return list(chain.from_iterable(mask.parts() for mask in self.masks))

    def outlines(self) -> list[Float]:
        """N outlines (P, 2) in image pixels: the parts of each mask joined into one."""
        return list(chain.from_iterable(mask.outlines() for mask in self.masks))


def gathered(groups: Sequence[InstanceMasks], image: Size) -> ScatteredMasks:
    """The masks of several slices, one after the other."""
    single = [
        InstanceMasks((crop,), group.corners[i : i + 1], group.geometry)
        for group in groups
        for i, crop in enumerate(group.crops)
    ]
    return ScatteredMasks(tuple(single), image)


def united(masks: ScatteredMasks, groups: Sequence[Index], boxes: Float) -> ScatteredMasks:
    """One mask for each group of masks: where any of them is 1.

    A union has the pixels of the image inside its box, or larger ones where it would have more pixels along
    one side than any tensor has.

    Args:
        masks: of all objects.
        groups: the indices of the masks of each group, at least one.
        boxes: (N, 4) x1, y1, x2, y2 around each group, in image pixels.
    """
    limit = max((max(mask.geometry.tensor) for mask in masks.masks), default=0)
    made = []
    for group, box in zip(groups, boxes, strict=True):
        mask = masks.masks[group[0]]
        made.append(mask if len(group) == 1 else _union([masks.masks[i] for i in group], box, limit))
    return ScatteredMasks(tuple(made), masks.image)


def _union(masks: Sequence[InstanceMasks], box: Float, limit: int) -> InstanceMasks:
    low, high = np.floor(box[:2]).astype(int), np.ceil(box[2:]).astype(int)
    width, height = np.maximum(high - low, 1).tolist()
    shrink = min(1.0, limit / max(width, height))
    grid = Size(max(round(height * shrink), 1), max(round(width * shrink), 1))
    geometry = Geometry(Size(height, width), grid, grid, (0, 0), (int(low[0]), int(low[1])))
    crop = np.zeros(grid, np.uint8)
    for mask in masks:
        _paint(crop, mask, geometry)
    return InstanceMasks((crop,), np.zeros((1, 2), np.intp), geometry)


def _paint(canvas: Mask, mask: InstanceMasks, geometry: Geometry) -> None:
    """Set the pixels of a canvas, which `geometry` maps the image to, whose centres lie in a mask."""
    (crop,), (corner,) = mask.crops, mask.corners
    size = np.array(crop.shape[::-1])
    edges = mask.geometry.inverse(np.array((corner, corner + size), np.float32))
    (x1, y1), (x2, y2) = np.rint(geometry.forward(edges)).astype(int).tolist()
    limit = Size.of(canvas)
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, limit.width), min(y2, limit.height)
    if x2 <= x1 or y2 <= y1:
        return
    ys, xs = np.arange(y1, y2, dtype=np.float32) + 0.5, np.arange(x1, x2, dtype=np.float32) + 0.5
    columns = _taken(np.stack((xs, np.full_like(xs, y1)), axis=1), 0, mask, geometry)
    rows = _taken(np.stack((np.full_like(ys, x1), ys), axis=1), 1, mask, geometry)
    area = canvas[y1:y2, x1:x2]
    np.bitwise_or(area, crop[rows[:, None], columns], out=area)


def _taken(points: Float, axis: int, mask: InstanceMasks, geometry: Geometry) -> Index:
    """For the centres of pixels of a canvas along one axis: the pixels of the mask that they lie in."""
    own = mask.geometry.forward(geometry.inverse(points))[:, axis] - mask.corners[0, axis]
    taken: Index = np.clip(np.floor(own), 0, mask.crops[0].shape[1 - axis] - 1).astype(np.intp)
    return taken
