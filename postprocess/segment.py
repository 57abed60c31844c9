"""Segmentation: boxes with instance masks."""

from __future__ import annotations

from collections.abc import Sequence

from .detections import Detections, Options
from .geometry import Geometry
from .layout import Layout
from .masks import decode_masks
from .select import select
from .types import Float


def decode(outputs: Sequence[Float], layout: Layout, geometry: Geometry, options: Options) -> Detections:
    """Decode the outputs of a segmentation model for one image.

    Objects with an empty mask are dropped, as in Ultralytics.
    """
    found = select(outputs, layout, options)
    masks, filled = decode_masks(found.extra, outputs[layout.prototypes], found.boxes, geometry)
    boxes = geometry.inverse_boxes(found.boxes[filled])
    return Detections(boxes, found.scores[filled], found.classes[filled], masks=masks)
