"""Segmentation: boxes with instance masks."""

from __future__ import annotations

from collections.abc import Sequence

from .detections import Detections, Options
from .geometry import Geometry
from .image_masks import decode_image_masks
from .layout import Layout
from .masks import decode_masks
from .select import select
from .types import Float


def decode(outputs: Sequence[Float], layout: Layout, geometry: Geometry, options: Options) -> Detections:
    """Decode the outputs of a segmentation model for one image.

    Objects with an empty mask are dropped, as in Ultralytics.
    """
    found = select(outputs, layout, options)
    prototypes, boxes = outputs[layout.prototypes], geometry.inverse_boxes(found.boxes)
    if options.retina_masks:
        masks, filled = decode_image_masks(found.extra, prototypes, boxes, geometry)
    else:
        masks, filled = decode_masks(found.extra, prototypes, found.boxes, geometry)
    return Detections(boxes[filled], found.scores[filled], found.classes[filled], masks=masks)
