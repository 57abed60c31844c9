from __future__ import annotations

import numpy as np
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.masks import InstanceMasks
from yolean.postprocess.scattered_masks import gathered, united
from yolean.postprocess.types import Size

IMAGE = Size(400, 600)


def test_masks_of_slices_lie_where_their_slices_do() -> None:
    """A slice of 100 x 200 at (300, 200), run at a quarter of its size with padding."""
    geometry = Geometry(Size(100, 200), Size(50, 50), Size(25, 50), (0, 12), (300, 200))
    masks = InstanceMasks((np.ones((5, 10), np.uint8),), np.array([[10, 12]]), geometry)
    found = gathered([masks], IMAGE)
    expected = np.zeros(IMAGE, np.uint8)
    expected[200:220, 340:380] = 1
    np.testing.assert_array_equal(found.dense()[0], expected)
    np.testing.assert_array_equal(found.outlines()[0].min(axis=0), (340, 200))
    assert len(found[np.array([], np.intp)].dense()) == 0


def test_unions_take_no_more_pixels_along_a_side_than_a_tensor_has() -> None:
    image = Size(3000, 4000)
    geometry = Geometry(image, Size(48, 64), Size(48, 64), (0, 0))
    masks = InstanceMasks(
        (np.ones((48, 40), np.uint8), np.ones((10, 64), np.uint8)), np.zeros((2, 2), np.intp), geometry
    )
    found = united(gathered([masks], image), [np.array([0, 1])], np.array([[0, 0, 4000, 3000]], np.float32))
    assert max(found.masks[0].crops[0].shape) <= 64
    covered = found.dense()[0].mean()
    assert abs(covered - (1 - 24 / 64 * 38 / 48)) < 0.02
