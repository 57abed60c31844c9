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
        float32 metres at the size of the image. Without a valid value a pixel is 0, if the model says so.
    """
    values = outputs[0].reshape(outputs[0].shape[-2:])
    depth = corner_aligned(corner_aligned(values, geometry.tensor), geometry.original)
    return Detections.of_map(depth=np.array(depth, np.float32) if np.shares_memory(depth, values) else depth)
