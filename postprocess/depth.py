"""Depth: the distance of each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .detections import Detections, Options
from .geometry import Geometry
from .layout import Layout
from .map_resizing import corner_aligned
from .types import Float


def decode(outputs: Sequence[Float], layout: Layout, geometry: Geometry, options: Options) -> Detections:
    """Decode the output of a depth model for one image.

    Args:
        outputs: (1, h, w) or (h, w) metres; of the size of the tensor, or smaller.
        layout: not used.
        geometry: of the image, which is stretched to the tensor.
        options: not used: every pixel has a depth.

    Returns:
        float32 metres at the size of the image, and at that of the tensor. Without a valid value a pixel
        is 0, if the model says so.
    """
    values = outputs[0].reshape(outputs[0].shape[-2:])
    at_input = corner_aligned(values, geometry.tensor)
    depth = corner_aligned(at_input, geometry.original)
    if np.shares_memory(depth, values):
        depth = np.array(depth, np.float32)
    return Detections.of_map(depth=depth, depth_at_input=at_input)
