"""Detection: boxes."""

from __future__ import annotations

from collections.abc import Sequence

from .detections import Detections, Options
from .geometry import Geometry
from .layout import Layout
from .select import select
from .types import Float


def decode(outputs: Sequence[Float], layout: Layout, geometry: Geometry, options: Options) -> Detections:
    """Decode the outputs of a detection model for one image."""
    found = select(outputs, layout, options)
    return Detections(geometry.inverse_boxes(found.boxes), found.scores, found.classes)
