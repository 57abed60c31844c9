"""Oriented boxes: centre, size and angle."""

from __future__ import annotations

from collections.abc import Sequence

from .detections import Detections, Options
from .geometry import Geometry
from .layout import Layout
from .select import select
from .types import Float


def decode(outputs: Sequence[Float], layout: Layout, geometry: Geometry, options: Options) -> Detections:
    """Decode the outputs of an OBB model for one image.

    Boxes are (N, 5) cx, cy, w, h, angle in radians as the graph gives them: neither clipped to the image
    nor normalised to one of the equivalent forms, so compare them by their corners.
    """
    found = select(outputs, layout, options)
    return Detections(geometry.inverse_rotated(found.boxes), found.scores, found.classes)
