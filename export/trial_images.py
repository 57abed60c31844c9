"""Images to calibrate, compare and try models on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from ..engine.errors import InputError
from ..engine.images.decoding import IMAGE_SUFFIXES, Image
from ..engine.images.frames import Frame
from ..engine.images.sources import open_source
from ..models import demo_images

T = TypeVar("T")

FILE_CHANNELS = (1, 3)
"""Numbers of channels that image files are read with."""


def find_images(folder: Path | None) -> list[Path]:
    """The images in a folder and below it, by name; without a folder, the drawn ones of the demo.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if folder is None:
        return demo_images()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: expected one with images such as the model will see")
    files = (path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    found = sorted(path for path in files if path.is_file())
    if not found:
        raise InputError(f"{folder} holds no images: expected some such as the model will see")
    return found


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of the items, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def read_images(paths: Iterable[Path], channels: int) -> Iterator[Frame]:
    """Read images for a model with so many input channels; images that cannot be read are left out.

    Image files have 3 channels or 1. For a model with another number, such as one for infrared beside colour,
    the channels after the third are the image's brightness and its colours in turn: good enough to compare
    two files of one network, not to judge the network.
    """
    read = channels if channels in FILE_CHANNELS else 3
    for frame in open_source([str(path) for path in paths], read).frames(on_error=lambda error: None):
        yield frame if read == channels else replace(frame, image=_with_channels(frame.image, channels))


def _with_channels(image: Image, channels: int) -> Image:
    """An image (H, W, 3) as (H, W, channels)."""
    brightness = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None]
    planes = np.concatenate((image, brightness), axis=2)
    return np.ascontiguousarray(planes[..., np.arange(channels) % 4])
