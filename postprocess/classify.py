"""Classification: one probability for each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .detections import Detections, Options
from .geometry import Geometry
from .layout import Layout
from .select import check_scores
from .types import Float


def decode(outputs: Sequence[Float], layout: Layout, geometry: Geometry, options: Options) -> Detections:
    """The probabilities of one image, as the graph gives them: softmax is part of it.

    Args:
        outputs: (nc,) probabilities.
        layout: of the model.
        geometry: not used.
        options: not used: every class keeps its probability.
    """
    check_scores(outputs[0])
    empty = np.zeros((0, 4), np.float32)
    return Detections(
        empty, np.zeros(0, np.float32), np.zeros(0, np.int64), probs=outputs[0].astype(np.float32)
    )
