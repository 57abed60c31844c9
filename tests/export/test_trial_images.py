"""Images for models of any number of input channels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from yolean.engine.errors import InputError
from yolean.export.trial_images import find_images, read_images, spread
from yolean.models import demo_images


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 9])
def test_images_have_the_channels_of_the_model(channels: int, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    path = demo_images()[0]
    (frame,) = read_images([tmp_path / "broken.png", path], channels)
    image = cv2.imread(str(path))
    assert image is not None
    assert frame.image.shape == (*image.shape[:2], channels)
    assert frame.image.dtype == np.uint8
    assert frame.path == str(path)
    if channels == 1:
        np.testing.assert_array_equal(frame.image[..., 0], cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    else:
        planes = np.dstack((image, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)))
        np.testing.assert_array_equal(frame.image, planes[..., np.arange(channels) % 4])


def test_images_of_a_folder_are_found_below_it_too(tmp_path: Path) -> None:
    assert find_images(None) == demo_images()
    with pytest.raises(InputError, match="is no folder"):
        find_images(tmp_path / "none")
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(InputError, match="holds no images"):
        find_images(tmp_path)
    (tmp_path / "sub.jpg").mkdir()
    for name in ("b.PNG", "sub.jpg/a.jpeg"):
        (tmp_path / name).touch()
    assert find_images(tmp_path) == [tmp_path / "b.PNG", tmp_path / "sub.jpg" / "a.jpeg"]


def test_items_are_spread_evenly() -> None:
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert len(spread(range(100), 7)) == 7
