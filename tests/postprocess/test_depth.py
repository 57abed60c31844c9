from __future__ import annotations

import numpy as np
from yolean.postprocess.depth import decode
from yolean.postprocess.detections import Options
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.layout import Layout
from yolean.postprocess.types import Size

LAYOUT = Layout("depth", "raw", 1)


def test_the_whole_map_is_stretched_back_with_its_corners_in_place() -> None:
    plane = np.linspace(1, 5, 32, dtype=np.float32)[:, None] + np.linspace(0, 2, 64, dtype=np.float32)
    geometry = Geometry.stretch(Size(90, 50), Size(32, 64))
    expected = np.linspace(1, 5, 90)[:, None] + np.linspace(0, 2, 50)
    small = np.array([[1, 3], [5, 7]], np.float32)  # of a quarter of the size, or any other
    for output in (plane[None], plane, small):
        found = decode([output], LAYOUT, geometry, Options())
        assert found.depth is not None
        assert len(found.boxes) == 0
        assert found.depth.dtype == np.float32
        np.testing.assert_allclose(found.depth, expected, rtol=1e-5)


def test_the_map_does_not_share_the_memory_of_the_output() -> None:
    output = np.ones((1, 8, 8), np.float32)
    found = decode([output], LAYOUT, Geometry.stretch(Size(8, 8), Size(8, 8)), Options())
    assert found.depth is not None
    assert not np.shares_memory(found.depth, output)
