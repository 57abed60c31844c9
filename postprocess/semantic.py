"""Semantic segmentation: the class of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .detections import Detections, Options
from .geometry import Geometry
from .layout import Layout
from .map_resizing import half_pixel, nearest
from .types import ClassMap, Float

IGNORED = 255
"""The id of pixels whose class was not asked for."""


def decode(
    outputs: Sequence[NDArray[Any]], layout: Layout, geometry: Geometry, options: Options
) -> Detections:
    """Decode the output of a semantic segmentation model for one image.

    Args:
        outputs: (h, w) integer class ids or (nc, h, w) float32 logits, see `Layout`. Ids have the size of
            the tensor; logits may be smaller.
        layout: of the model.
        geometry: of the image.
        options: of these, only `classes` is used.

    Returns:
        the ids at the size of the image: uint8 to 256 classes, int16 to 32768, then int32. Pixels of
        classes outside `options.classes` are `IGNORED`. With one class, ids are 1 where it is, 0 elsewhere,
        and there is nothing to choose, unless `classes` is empty.
    """
    if layout.kind == "class_map":
        ids = _without_padding(outputs[0], geometry)
        if ids.dtype != np.uint8:  # a caller may have named fewer classes than there are
            ids = ids.astype(_dtype(max(layout.nc, int(ids.max()) + 1)))
        class_map = nearest(_chosen(ids, layout, options), geometry.original)
    else:
        class_map = _chosen(_best(outputs[0], layout.nc, geometry), layout, options)
    return Detections.of_map(class_map=class_map)


def _best(logits: Float, nc: int, geometry: Geometry) -> ClassMap:
    """The class with the highest of (nc, h, w) logits at the size of the image.

    One class after the other is resized: all at once would take 76 bytes a pixel for 19 classes.
    """
    highest = _enlarged(logits[0], geometry)
    if nc == 1:
        return (highest > 0).astype(np.uint8)
    ids = np.zeros(geometry.original, _dtype(nc))
    for class_id in range(1, nc):
        values = _enlarged(logits[class_id], geometry)
        np.copyto(ids, class_id, where=values > highest)
        np.maximum(highest, values, out=highest)
    return ids


def _enlarged(logits: Float, geometry: Geometry) -> Float:
    """(h, w) logits at the size of the image: padding can only be removed exactly at that of the tensor."""
    return half_pixel(_without_padding(half_pixel(logits, geometry.tensor), geometry), geometry.original)


def _without_padding(values: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
    (left, top), (height, width) = geometry.pad, geometry.resized
    return values[top : top + height, left : left + width]


def _chosen(ids: ClassMap, layout: Layout, options: Options) -> ClassMap:
    """The ids, with `IGNORED` in place of those that were not asked for."""
    if options.classes is None or (layout.nc == 1 and options.classes):
        return ids
    if ids.dtype == np.uint8:
        table = np.full(256, IGNORED, np.uint8)
        table[list(options.classes)] = options.classes
        return cv2.LUT(ids, table)  # type: ignore[return-value]
    return np.where(np.isin(ids, options.classes), ids, ids.dtype.type(IGNORED))


def _dtype(nc: int) -> type[np.integer[Any]]:
    """The dtype of the ids of `nc` classes, and of `IGNORED`."""
    return np.uint8 if nc <= 256 else np.int16 if nc <= 1 << 15 else np.int32
