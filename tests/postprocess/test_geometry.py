from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.types import Size

sides = st.integers(1, 5000)
sizes = st.builds(Size, sides, sides)
tensors = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(lambda t: Size(t[0] * 32, t[1] * 32))
unit = st.floats(0, 1, width=32)


def test_letterbox() -> None:
    for original, tensor, resized, pad in [
        ((1080, 810), (640, 640), (640, 480), (80, 0)),  # portrait
        ((720, 1280), (640, 640), (360, 640), (0, 140)),  # landscape
        ((640, 640), (640, 640), (640, 640), (0, 0)),  # fits as it is
        ((480, 639), (640, 640), (481, 640), (0, 79)),  # odd padding: 159 rows, the larger half below
        ((100, 50), (640, 640), (640, 320), (160, 0)),  # small images are enlarged
        ((3, 1000), (640, 640), (2, 640), (0, 319)),  # 1.92 rows are rounded
        ((1, 1000), (64, 64), (1, 64), (0, 31)),  # 0.064 rows: at least one
        ((50, 100), (32, 640), (32, 64), (288, 0)),  # a static export that is not square
    ]:
        expected = Geometry(Size(*original), Size(*tensor), Size(*resized), pad)
        assert Geometry.letterbox(Size(*original), Size(*tensor)) == expected


def test_rectangle() -> None:
    for original, limit, stride, tensor, pad in [
        ((1080, 810), (640, 640), 32, (640, 480), (0, 0)),  # 480 is a multiple already
        ((720, 1280), (640, 640), 32, (384, 640), (0, 12)),  # 360 -> 384
        ((480, 639), (640, 640), 32, (512, 640), (0, 15)),  # 481 -> 512: 15 above, 16 below
        ((10, 10), (64, 64), 32, (64, 64), (0, 0)),
        ((1, 1000), (640, 640), 32, (32, 640), (0, 15)),  # one row in a whole stride
    ]:
        geometry = Geometry.rectangle(Size(*original), Size(*limit), stride)
        assert (geometry.tensor, geometry.pad) == (tensor, pad)


def test_centre_crop() -> None:
    for original, tensor, resized, pad in [
        ((1080, 810), (224, 224), (298, 224), (0, -37)),  # 298.67 is cut, not rounded
        ((480, 639), (224, 224), (224, 298), (-37, 0)),
        ((100, 100), (224, 224), (224, 224), (0, 0)),
        ((224, 231), (224, 224), (224, 231), (-4, 0)),  # 3.5 rounds half to even: 4
        ((224, 229), (224, 224), (224, 229), (-2, 0)),  # 2.5 rounds half to even: 2
        ((300, 500), (200, 400), (200, 400), (0, 0)),  # not square: squeezed, nothing cut
    ]:
        expected = Geometry(Size(*original), Size(*tensor), Size(*resized), pad)
        assert Geometry.centre_crop(Size(*original), Size(*tensor)) == expected


@given(sizes, tensors, st.lists(st.tuples(unit, unit), min_size=1, max_size=8))
def test_inverse_undoes_forward(original: Any, tensor: Any, where: Any) -> None:
    points = np.array(where, np.float32) * np.array(original[::-1], np.float32)
    for geometry in (Geometry.letterbox(original, tensor), Geometry.rectangle(original, tensor, 32)):
        there = geometry.forward(points)
        assert (there >= -1e-3).all()
        assert (there <= np.array(geometry.tensor[::-1]) + 1e-3).all()
        # One float32 step in the tensor is worth 1/scale steps in the image.
        tolerance = 2e-4 / min(geometry.scale) + 1e-3
        assert np.abs(geometry.inverse(there) - points).max() <= tolerance


@given(sizes, tensors)
def test_letterboxed_image_lies_within_the_tensor(original: Any, tensor: Any) -> None:
    for geometry in (Geometry.letterbox(original, tensor), Geometry.rectangle(original, tensor, 32)):
        (height, width), (left, top) = geometry.resized, geometry.pad
        below, right = geometry.tensor[0] - top - height, geometry.tensor[1] - left - width
        assert min(left, top) >= 0
        assert 0 <= right - left <= 1  # the odd pixel goes to the right
        assert 0 <= below - top <= 1
        assert all(1 <= side <= limit for side, limit in zip(geometry.tensor, tensor, strict=True))


def test_boxes_are_clipped_and_rotated_ones_are_not() -> None:
    geometry = Geometry.letterbox(Size(100, 200), Size(64, 64))
    boxes = geometry.inverse_boxes(np.array([[-10, 0, 80, 64]], np.float32))
    np.testing.assert_array_equal(boxes, [[0, 0, 200, 100]])
    rotated = geometry.inverse_rotated(np.array([[-16, 32, 32, 16, 0.5]], np.float32))
    np.testing.assert_allclose(rotated, [[-50, 50, 100, 50, 0.5]], rtol=1e-6)


def test_axes_scale_apart() -> None:
    # 481 rows for 480 and 640 columns for 639: one common scale would put the corner elsewhere.
    geometry = Geometry.letterbox(Size(480, 639), Size(640, 640))
    corner = geometry.inverse(np.array([[640, 79 + 481]], np.float32))
    np.testing.assert_allclose(corner, [[639, 480]], rtol=1e-6)


def test_boxes_are_scaled_back_by_the_factors_that_the_image_was_resized_with() -> None:
    """A deliberate difference from Ultralytics 8.4.190, in one size of 150: see `Geometry.rectangle`.

    The short side, 480.4, is rounded down to a multiple of the stride. From that, Ultralytics' `scale_boxes`
    derives a gain of 480 / 4504, by which the image would have 639 columns, though its letterbox made 640.
    """
    geometry = Geometry.rectangle(Size(4504, 6000), Size(640, 640), 32)
    assert (geometry.tensor, geometry.resized, geometry.pad) == ((480, 640), (480, 640), (0, 0))
    box = geometry.inverse_boxes(np.array([[0, 0, 600, 450]], np.float32))
    np.testing.assert_allclose(box, [[0, 0, 5625, 4222.5]], rtol=1e-6)
    ultralytics = 600 * 6000 / 639
    assert ultralytics - box[0, 2] == pytest.approx(8.8, abs=0.01)
