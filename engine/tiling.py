"""Slices of an image at full resolution, for small objects: where they lie, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..postprocess.merging import MERGES, Merge
from ..postprocess.types import Size
from .errors import InputError, is_whole
from .images.frames import Frame
from .model.metadata import MAX_SIDE
from .model.spec import ModelSpec

MAX_SLICES = 10_000
"""Most slices of one image: minutes of work, on most machines."""


class Region(NamedTuple):
    """A rectangle of whole pixels in an image."""

    left: int
    top: int
    width: int
    height: int

    def of(self, frame: Frame) -> Frame:
        """The part of a frame that it covers; the pixels are not copied."""
        image = frame.image[self.top : self.top + self.height, self.left : self.left + self.width]
        return replace(frame, image=image, decode_ms=0.0)


@dataclass(frozen=True, slots=True)
class Tiling:
    """How images are sliced, and the objects of the slices merged.

    Attributes:
        tile: height and width of a slice, in image pixels.
        overlap: of neighbouring slices, as a share of the slice, from 0 to below 1.
        merge: see `merging.merge`.
        limit: most slices of an image.
    """

    tile: Size
    overlap: float = 0.2
    merge: Merge = "nmm"
    limit: int = MAX_SLICES

    def regions(self, image: Size) -> list[Region]:
        """The slices of an image, row by row, then the whole image; that alone, if one slice covers it.

        The last slice of a row or column ends with the image: it is moved, not cut, and so has the shape of
        the others.

        Raises:
            InputError: there are more than `limit`.
        """
        tops = list(self._starts(image.height, self.tile.height))
        lefts = list(self._starts(image.width, self.tile.width))
        count = len(tops) * len(lefts)
        if count > self.limit:
            raise InputError(
                f"tile={self.tile.height}x{self.tile.width}, overlap={self.overlap:g}: {count} slices of an "
                f"image of {image.height}x{image.width} (height x width), and at most {self.limit} are "
                "allowed; take a larger tile or less overlap"
            )
        whole = Region(0, 0, image.width, image.height)
        if count == 1:
            return [whole]
        height, width = min(self.tile.height, image.height), min(self.tile.width, image.width)
        return [Region(left, top, width, height) for top in tops for left in lefts] + [whole]

    def _starts(self, length: int, tile: int) -> Iterator[int]:
        step = tile - int(self.overlap * tile)
        yield from range(0, length - tile, step)
        yield max(length - tile, 0)


def check_tiling(tile: Any, overlap: Any, merge: Any, spec: ModelSpec) -> Tiling | None:
    """Check the arguments of a call that concern slices.

    Args:
        tile: one number for both sides, (height, width), or None for no slices.
        overlap: from 0 to below 1.
        merge: `nmm` or `nms`.
        spec: of the model.

    Returns:
        the slicing, None where the image is not sliced.

    Raises:
        InputError: one of them is out of range, or the model classifies whole images.
    """
    if isinstance(overlap, bool) or not isinstance(overlap, (int, float)) or not 0 <= overlap < 1:
        raise InputError(f"overlap={overlap!r}: expected a share of the tile, from 0 to below 1")
    if merge not in MERGES:
        raise InputError(f"merge={merge!r}: expected one of {', '.join(MERGES)}")
    if tile is None:
        return None
    if spec.task not in ("detect", "segment", "pose", "obb"):
        raise InputError(
            f"tile={tile!r}: slices are for models that find objects, and this one is for {spec.task}"
        )
    sides = tuple(tile) if isinstance(tile, (tuple, list)) else (tile, tile)
    if len(sides) != 2 or not all(is_whole(side) and side <= MAX_SIDE for side in sides):
        raise InputError(
            f"tile={tile!r}: expected a whole number of pixels to {MAX_SIDE}, or (height, width)"
        )
    if min(sides) < spec.stride:
        raise InputError(f"tile={tile!r}: expected at least the stride of the model, {spec.stride} pixels")
    return Tiling(Size(*map(int, sides)), float(overlap), merge)
