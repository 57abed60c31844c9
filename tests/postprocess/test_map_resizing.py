"""Coordinates of the resizing of maps, against formulas that are written out pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from yolean.postprocess.map_resizing import corner_aligned, half_pixel, nearest
from yolean.postprocess.types import Float, Size

SIDES = st.integers(1, 60)


def values(height: int, width: int) -> Float:
    return np.random.default_rng(height * 100 + width).uniform(0.1, 80, (height, width)).astype(np.float32)


@given(SIDES, SIDES, SIDES, SIDES)
def test_nearest_takes_the_pixel_below_the_scaled_position(h: int, w: int, height: int, width: int) -> None:
    def sources(inputs: int, outputs: int) -> list[int]:
        scale = np.float32(inputs) / np.float32(outputs)
        return [min(math.floor(np.float32(i) * scale), inputs - 1) for i in range(outputs)]

    ids = (values(h, w) * 300).astype(np.int32)
    found = nearest(ids, Size(height, width))
    assert found.dtype == np.int32
    assert np.array_equal(found, [[ids[r, c] for c in sources(w, width)] for r in sources(h, height)])
    assert not np.shares_memory(found, ids)


@given(SIDES, SIDES, SIDES, SIDES)
def test_corner_aligned_interpolates_between_corners_that_stay(
    h: int, w: int, height: int, width: int
) -> None:
    def axis(inputs: int, outputs: int) -> NDArray[np.float64]:
        """(outputs, inputs) weights in double precision."""
        matrix = np.zeros((outputs, inputs))
        for i in range(outputs):
            at = i * (inputs - 1) / (outputs - 1) if outputs > 1 else 0.0
            low = min(int(at), inputs - 1)
            matrix[i, low] += 1 - (at - low)
            matrix[i, min(low + 1, inputs - 1)] += at - low
        return matrix

    image = values(h, w)
    found = corner_aligned(image, Size(height, width))
    assert found.shape == (height, width)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, axis(h, height) @ image @ axis(w, width).T, atol=1e-3)
    assert found[0, 0] == pytest.approx(image[0, 0])
    if height > 1 and width > 1:
        # In single precision, as PyTorch has it, the last place lies a little before the last corner.
        assert found[-1, -1] == pytest.approx(image[-1, -1], abs=1e-3)


def test_large_maps_are_resized_in_parts() -> None:
    rows, columns = (
        np.linspace(0, 1, 700, dtype=np.float32)[:, None],
        np.linspace(0, 9, 900, dtype=np.float32),
    )
    for size in (Size(1400, 1800), Size(90, 120)):
        expected = np.linspace(0, 1, size.height)[:, None] + np.linspace(0, 9, size.width)
        np.testing.assert_allclose(corner_aligned(rows + columns, size), expected, atol=1e-5)


def test_half_pixel_repeats_what_lies_beyond_the_outer_centres() -> None:
    found = half_pixel(np.array([[0, 4]], np.float32), Size(1, 8))
    assert found.tolist() == [[0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]]
    same = values(3, 5)
    assert half_pixel(same, Size(3, 5)) is same
    assert corner_aligned(same, Size(3, 5)) is same
