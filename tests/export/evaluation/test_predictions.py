"""Predictions as plain arrays."""

from __future__ import annotations

import numpy as np
from yolean.export.evaluation.predictions import PackedMasks


def test_masks_are_packed() -> None:
    masks = np.random.default_rng(0).integers(0, 2, (3, 5, 13), np.uint8)
    packed = PackedMasks(masks)
    np.testing.assert_array_equal(packed.data, masks)
    np.testing.assert_array_equal(packed[1:2].data, masks[1:2])
    assert PackedMasks(masks[:0]).data.shape == (0, 5, 13)
