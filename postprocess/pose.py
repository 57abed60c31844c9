"""Pose: boxes with keypoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .detections import Detections, Options
from .geometry import Geometry
from .layout import Layout
from .select import select
from .types import Float


def decode(outputs: Sequence[Float], layout: Layout, geometry: Geometry, options: Options) -> Detections:
    """Decode the outputs of a pose model for one image.

    The graph gives x, y in tensor pixels and visibility from 0 to 1. Keypoints are clipped to the image, and
    kept whatever their visibility.
    """
    if layout.kpt_shape is None:
        raise ValueError("a pose layout needs kpt_shape")
    found = select(outputs, layout, options)
    points = found.extra.reshape(-1, *layout.kpt_shape)
    keypoints = np.concatenate((geometry.inverse(points[..., :2]), points[..., 2:]), axis=-1)
    return Detections(geometry.inverse_boxes(found.boxes), found.scores, found.classes, keypoints=keypoints)
