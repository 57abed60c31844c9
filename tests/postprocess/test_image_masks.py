from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.image_masks import decode_image_masks
from yolean.postprocess.types import Size


def by_definition(coefficients: Any, prototypes: Any, boxes: Any, geometry: Geometry, zoom: int) -> Any:
    """Enlarge all of it, cut the padding off, resize to the image, threshold, cut to the box."""
    _, height, width = prototypes.shape
    left, top = np.array(geometry.pad) * zoom // 4
    rows, columns = np.array(geometry.resized) * zoom // 4
    masks = []
    for row, (x1, y1, x2, y2) in zip(coefficients, boxes, strict=True):
        logits: Any = np.tensordot(row, prototypes, 1)
        logits = cv2.resize(logits, (width * zoom, height * zoom), interpolation=cv2.INTER_LINEAR)
        logits = logits[top : top + rows, left : left + columns]
        logits = cv2.resize(logits, geometry.original[::-1], interpolation=cv2.INTER_LINEAR)
        x, y = np.arange(geometry.original.width), np.arange(geometry.original.height)[:, None]
        masks.append((logits > 0) & (x >= x1) & (x < x2) & (y >= y1) & (y < y2))
    return np.array(masks).reshape(-1, *geometry.original)


@pytest.mark.parametrize(
    ("original", "zoom"),
    [((160, 160), 1), ((240, 320), 1), ((53, 40), 4), ((1000, 700), 1), ((300, 533), 4), ((200, 275), 2)],
)
def test_masks_equal_their_definition(original: tuple[int, int], zoom: int) -> None:
    rng = np.random.default_rng(3)
    geometry = Geometry.letterbox(Size(*original), Size(160, 160))
    assert zoom == 4 // np.gcd.reduce((4, *geometry.pad, *geometry.resized))
    noise = rng.normal(size=(40, 40, 8)).astype(np.float32)
    prototypes: Any = np.ascontiguousarray(cv2.GaussianBlur(noise, (0, 0), 2).transpose(2, 0, 1))
    coefficients: Any = rng.normal(size=(20, 8)).astype(np.float32)
    points = rng.uniform(0, 1, (20, 2, 2)) * np.array(original[::-1])
    boxes = np.concatenate((points.min(axis=1), points.max(axis=1)), axis=1).astype(np.float32)
    expected = by_definition(coefficients, prototypes, boxes, geometry, zoom)
    masks, filled = decode_image_masks(coefficients, prototypes, boxes, geometry)
    np.testing.assert_array_equal(filled, expected.any(axis=(1, 2)))
    assert (masks.dense() != expected[filled]).mean() < 1e-4
