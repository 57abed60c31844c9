"""Detection: boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .detections import Detections, Options
from .geometry import Geometry
from .layout import Layout
from .select import select
from .types import Float


def decode(outputs: Sequence[Float], layout: Layout, geometry: Geometry, options: Options) -> Detections:
    """Decode the outputs of a detection model for one image."""
    found = select(outputs, layout, options)
    if (
        layout.kind == "rtdetr"
    ):  # fractions of the tensor, which holds the whole image; Ultralytics does not clip
        boxes = found.boxes * np.array((geometry.original.width, geometry.original.height) * 2, np.float32)
        boxes += np.array(geometry.origin * 2, np.float32)
        return Detections(boxes, found.scores, found.classes)
    return Detections(geometry.inverse_boxes(found.boxes), found.scores, found.classes)
