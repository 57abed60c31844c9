from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.masks import InstanceMasks, decode_masks, joined
from yolean.postprocess.types import Size

SQUARE = Geometry.letterbox(Size(160, 160), Size(160, 160))


def full_frame(coefficients: Any, prototypes: Any, boxes: Any, size: Any) -> Any:
    """The definition: enlarge everything, threshold, then cut to the box on its float edges."""
    masks = []
    for row, (x1, y1, x2, y2) in zip(coefficients, boxes, strict=True):
        logits = np.tensordot(row, prototypes, 1)
        enlarged = cv2.resize(logits, size[::-1], interpolation=cv2.INTER_LINEAR)
        x, y = np.arange(size[1]), np.arange(size[0])[:, None]
        masks.append((enlarged > 0) & (x >= x1) & (x < x2) & (y >= y1) & (y < y2))
    return np.array(masks).reshape(-1, *size)


def smooth_prototypes(rng: Any, channels: Any, height: Any, width: Any) -> Any:
    noise = rng.normal(size=(height, width, channels)).astype(np.float32)
    return np.ascontiguousarray(cv2.GaussianBlur(noise, (0, 0), 2).transpose(2, 0, 1))


def test_crops_equal_the_full_frame() -> None:
    for size in [(160, 160), (96, 224)]:
        for count in [0, 1, 7, 150]:
            rng = np.random.default_rng(count)
            prototypes = smooth_prototypes(rng, 8, size[0] // 4, size[1] // 4)
            coefficients = rng.normal(size=(count, 8)).astype(np.float32)
            corner = rng.uniform(-20, 1.1, (count, 2)) * 1 + rng.uniform(0, 1, (count, 2)) * np.array(
                size[::-1]
            )
            boxes = np.hstack((corner, corner + rng.uniform(0, 90, (count, 2)))).astype(np.float32)
            expected = full_frame(coefficients, prototypes, boxes, size)
            masks, filled = decode_masks(
                coefficients, prototypes, boxes, Geometry.letterbox(Size(*size), Size(*size))
            )
            np.testing.assert_array_equal(filled, expected.any(axis=(1, 2)))
            np.testing.assert_array_equal(masks.dense(), expected[filled])


def test_boxes_without_pixels_have_no_mask() -> None:
    for box in [
        (10, 10, 10, 50),  # no width
        (50, 50, 20, 20),  # inside out
        (200, 200, 300, 300),  # outside the tensor
        (10.2, 10.2, 10.9, 10.9),  # between two pixels' corners
    ]:
        ones = np.ones((1, 40, 40), np.float32)
        masks, filled = decode_masks(np.ones((1, 1), np.float32), ones, np.array([box], np.float32), SQUARE)
        assert filled.tolist() == [False]
        assert masks.dense().shape == (0, 160, 160)
        assert masks.parts() == []


def filled_polygon(points: Any, shape: Any) -> Any:
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], 1)
    return canvas


def outline(mask: Any) -> Any:
    """Of one mask at the size of its image."""
    geometry = Geometry.letterbox(Size.of(mask), Size.of(mask))
    (joint,) = InstanceMasks((mask,), np.array([[0, 0]]), geometry).outlines()
    return joint


def test_parts_are_joined_before_they_are_clipped() -> None:
    # All three parts reach beyond the image; clipped first, their nearest vertices would be others.
    geometry = Geometry(Size(40, 40), Size(40, 60), Size(40, 40), (0, 0))
    mask = np.zeros((40, 60), np.uint8)
    mask[2:8, 30:58], mask[14:20, 36:59], mask[30:34, 20:50] = 1, 1, 1
    masks = InstanceMasks((mask,), np.array([[0, 0]]), geometry)
    wide = Geometry(Size(40, 60), Size(40, 60), Size(40, 60), (0, 0))
    (unclipped,) = InstanceMasks((mask,), np.array([[0, 0]]), wide).outlines()
    np.testing.assert_array_equal(masks.outlines()[0], np.minimum(unclipped, (40, 40)))
    assert [len(part) for part in masks.parts()[0]] == [4, 4, 4]


def test_outline_of_several_parts_fills_to_the_mask() -> None:
    mask = np.zeros((80, 120), np.uint8)
    cv2.circle(mask, (20, 20), 14, 1, -1)
    cv2.rectangle(mask, (60, 30), (110, 70), 1, -1)
    mask[75, 5] = 1  # a part of one pixel
    painted = filled_polygon(outline(mask), mask.shape)
    assert (painted[mask == 1] == 1).all()
    # Beyond the mask lie only the two bridges, lines of no width.
    assert painted.sum() - mask.sum() < 120


def test_outline_leaves_holes_out() -> None:
    mask = np.zeros((50, 50), np.uint8)
    mask[10:40, 10:40] = 1
    mask[20:30, 20:30] = 0
    assert filled_polygon(outline(mask), mask.shape).sum() == 900


def test_bridges_lead_from_part_to_next_part_and_back() -> None:
    a = np.array([[0, 0], [10, 0], [10, 10]], np.float32)
    b = np.array([[30, 0], [12, 0], [30, 9]], np.float32)
    c = np.array([[60, 0], [33, 0]], np.float32)
    np.testing.assert_array_equal(joined([a]), a)
    there = [[0, 0], [10, 0], [12, 0], [30, 9], [30, 0], [12, 0], [10, 0], [10, 10]]
    np.testing.assert_array_equal(joined([a, b]), there)
    # The way to c leaves b at (30, 0), which the walk round b comes to last.
    longer = [*there[:5], [33, 0], [60, 0], [33, 0], [30, 0], *there[5:]]
    np.testing.assert_array_equal(joined([a, b, c]), longer)


def test_joined_parts_enclose_the_sum_of_their_areas() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        parts = [rng.integers(0, 50, (rng.integers(1, 9), 2)).astype(np.float32) for _ in range(6)]
        both_ways = sum(signed_area(part) for part in parts)
        assert signed_area(joined(parts)) == pytest.approx(both_ways, abs=1e-3)


def signed_area(points: Any) -> Any:
    x, y = points.T.astype(float)
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def test_a_noisy_mask_of_many_parts_is_joined_in_time() -> None:
    mask = (np.random.default_rng(0).random((160, 160)) > 0.7).astype(np.uint8)
    geometry = Geometry.letterbox(Size.of(mask), Size.of(mask))
    (parts,) = InstanceMasks((mask,), np.array([[0, 0]]), geometry).parts()
    assert len(parts) > 500
    assert len(joined(parts)) == sum(map(len, parts)) + 2 * (len(parts) - 1)


def test_outlines_are_in_image_pixels_and_clipped() -> None:
    geometry = Geometry.letterbox(Size(50, 100), Size(64, 64))  # 0.64 of the size, 16 rows of padding
    crop = np.ones((64, 64), np.uint8)  # a mask that covers the padding as well
    masks = InstanceMasks((crop,), np.array([[0, 0]]), geometry)
    ((contour,),) = masks.parts()
    assert contour.min() == 0
    assert contour[:, 1].max() == 50
    assert contour[:, 0].max() == pytest.approx(63 / 0.64)
