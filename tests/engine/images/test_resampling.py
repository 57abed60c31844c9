"""Resizing equals the installed Pillow's bit by bit: these tests fail when Pillow changes it again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from yolean.engine.images.resampling import resample
from yolean.models import demo_images
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.types import Size

Pixels = NDArray[np.uint8]


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def photo(size: Size) -> Pixels:
    """One of the demo images, stretched: smooth, unlike noise."""
    image = cv2.imread(str(demo_images()[0]))
    assert image is not None
    return np.asarray(cv2.resize(image, (size.width, size.height)), np.uint8)


def pillow(image: Pixels, resized: Size, crop: tuple[int, int, int, int]) -> Pixels:
    left, top, width, height = crop
    size = resized.width, resized.height
    # Each channel by itself: Pillow multiplies the alpha channel of four into the others.
    planes = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))
        for plane in np.ascontiguousarray(image.transpose(2, 0, 1))
    ]
    return np.stack(planes)[:, top : top + height, left : left + width]


def check(image: Pixels, resized: Size, crop: tuple[int, int, int, int]) -> None:
    np.testing.assert_array_equal(resample(image, resized, crop), pillow(image, resized, crop))


def check_classify(image: Pixels, side: int = 224) -> None:
    """Check the centre crop of a classification model."""
    geometry = Geometry.centre_crop(Size.of(image), Size(side, side))
    left, top = geometry.pad
    check(image, geometry.resized, (-left, -top, side, side))


@pytest.mark.parametrize(
    "size",
    [
        Size(300, 200),
        Size(37, 91),  # enlarged: many sums are exact halves
        Size(64, 1000),
        Size(424, 640),
        Size(448, 448),  # 2:1, halves again
        Size(900, 1100),  # large: summed in float32, doubtful sums again with integers
        Size(1000, 500),  # the tallest whose horizontal pass comes first
        Size(1001, 500),
        Size(2600, 300),
        Size(300, 2600),
        Size(3000, 64),
        Size(1, 1),
    ],
    ids=str,
)
def test_a_classification_is_resized_as_by_pillow(size: Size) -> None:
    check_classify(noise(*size, 3))
    check_classify(photo(size))


def test_random_sizes_are_resized_as_by_pillow() -> None:
    """All four of height and width, before and after, small: 200 of them take a second."""
    rng = np.random.default_rng(13)
    for height, width, *resized in rng.integers(2, 130, (200, 4)).tolist():
        check(noise(height, width, 3), Size(*resized), (0, 0, resized[1], resized[0]))


def test_parts_and_other_channels() -> None:
    for channels in (1, 3, 4, 5):
        check(noise(50, 90, channels), Size(64, 64), (8, 4, 40, 50))


@pytest.mark.slow
def test_a_thousand_random_photographs_are_resized_as_by_pillow() -> None:
    rng = np.random.default_rng(1)
    for sides in (2 ** rng.uniform(1, 11, (1000, 2))).astype(int).tolist():
        if max(sides) < 50 * min(sides):  # beyond, the resized image alone has hundreds of megapixels
            check_classify(photo(Size(*sides)))
