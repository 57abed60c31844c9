"""Reads one entry of a source: an encoded image, an array, a PIL image, a video or a stream."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Self

import cv2
import numpy as np

from ...postprocess.types import Float
from ..errors import InputError
from .decoding import Image, image_from_array, image_from_bytes, image_from_pil, is_pil, quiet_opencv
from .live import newest


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image to run a model on.

    Attributes:
        image: (H, W, channels) uint8, upright and C-contiguous: BGR for 3 channels, grey for 1.
        path: path of the file, address of the stream (without user and password) or number of the camera.
            What has no name is called `image0.jpg`, `image1.jpg`, ... by its position in the source, as
            Ultralytics calls it.
        index: number of the frame in a video or stream, from 0, those that were dropped included; 0 for an
            image.
        fps: frames a second of a video or stream; None for an image, or where the file does not tell.
        decode_ms: milliseconds that reading and decoding took.
        tensor: (channels, H, W) float32, RGB from 0 to 1: what the caller has made of the image for the
            model, which is run as it is; `image` then only has its size. None where there is an image.
    """

    image: Image
    path: str
    index: int
    fps: float | None
    decode_ms: float
    tensor: Float | None = None

    @classmethod
    def of_tensor(cls, tensor: Float, name: str) -> Self:
        """A frame that needs no preprocessing, whose results are in the pixels of the tensor.

        Args:
            tensor: see the attribute; of a size that the model runs at.
            name: for messages.
        """
        channels, height, width = tensor.shape
        image = np.broadcast_to(np.uint8(0), (height, width, channels))  # of one byte
        return cls(image, name, 0, None, 0.0, tensor)

    @property
    def input(self) -> Image | Float:
        """What the input tensor is written from."""
        return self.image if self.tensor is None else self.tensor


class TruncatedVideo(InputError):
    """A video that ends long before the length in its header."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceItem:
    """One entry of a source before it is read.

    Attributes:
        kind: an image `file`, encoded or decoded image `data`, a `video` file, a `live` camera or stream, or
            the `error` that was found in place of it.
        value: a path, address or camera number; the data; or the error.
        name: for `Frame.path` and messages; None for what has none.
    """

    kind: Literal["file", "data", "video", "live", "error"]
    value: Any
    name: str | None = None


def read_frames(item: SourceItem, name: str, channels: int) -> Generator[Frame, None, None]:
    """The frames of an entry, one for an image.

    Frames of cameras and streams that come while nobody asks for one are dropped, rather than falling behind.

    Args:
        item: the entry.
        name: for `Frame.path` and messages.
        channels: colour channels of the model's input.

    Raises:
        InputError: it cannot be read or decoded.
        TruncatedVideo: after the last frame, where many are missing.
    """
    if item.kind == "error":
        raise item.value
    if item.kind in ("video", "live"):
        yield from _read_video(item, name, channels)
        return
    start = perf_counter()
    image = _decode(item.value, name, channels)
    yield Frame(image, name, 0, None, (perf_counter() - start) * 1e3)


def count_frames(item: SourceItem) -> int | None:
    """How many frames an entry has: None if unknown, approximate for a video, which is opened for that."""
    if item.kind == "live":
        return None
    if item.kind == "error":
        return 0
    if item.kind != "video":
        return 1
    capture = _open_capture(item)
    try:
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT) if capture.isOpened() else 0.0
    finally:
        capture.release()
    return int(count) if math.isfinite(count) and count >= 0 else None


def _decode(value: Any, name: str, channels: int) -> Image:
    if isinstance(value, np.ndarray):
        return image_from_array(value, name, channels)
    if is_pil(value):
        return image_from_pil(value, name, channels)
    try:
        if isinstance(value, str):
            value = Path(value).read_bytes()
        elif hasattr(value, "read"):
            value = value.read()
    except (OSError, ValueError) as exc:  # ValueError: the file object is closed
        raise InputError(f"{name}: cannot be read ({exc})") from exc
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InputError(f'{name}: read() gave {type(value).__name__}; open the file in binary mode ("rb")')
    return image_from_bytes(value, name, channels)


def _read_video(item: SourceItem, name: str, channels: int) -> Generator[Frame, None, None]:
    capture = _open_capture(item)
    try:
        if not capture.isOpened():
            what = "camera or stream" if item.kind == "live" else "video"
            raise InputError(f"{name}: this {what} cannot be opened; check that it is there and plays")
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        frames = _captured(capture, name, channels)
        index = 0
        with closing(newest(frames) if _keeps_its_pace(item, announced) else frames) as read:
            for frame in read:
                yield frame
                index = frame.index + 1
        if index == 0:
            raise InputError(f"{name}: not one frame of this video can be decoded; check that it plays")
        if item.kind != "video" or not math.isfinite(announced):
            return
        if index < announced * 0.9 - 5:  # headers miscount by a few
            raise TruncatedVideo(f"{name}: ends after {index} of about {announced:.0f} frames; copy it again")
    finally:
        capture.release()


def _captured(capture: cv2.VideoCapture, name: str, channels: int) -> Generator[Frame, None, None]:
    """All frames of an open video or stream."""
    rate = capture.get(cv2.CAP_PROP_FPS)
    fps = rate if math.isfinite(rate) and rate > 0 else None
    for index in count():
        start = perf_counter()
        read, image = capture.read()
        if not read:
            return
        upright = image_from_array(image, name, channels)
        yield Frame(upright, name, index, fps, (perf_counter() - start) * 1e3)


def _keeps_its_pace(item: SourceItem, announced: float) -> bool:
    """Whether frames come when they are made, not when they are read: those of cameras and streams.

    What has a length is a video on a server, and whoever writes into a pipe waits for its reader.
    """
    if item.kind != "live" or announced > 0:
        return False
    return not (isinstance(item.value, str) and Path(item.value).is_fifo())


def _open_capture(item: SourceItem) -> cv2.VideoCapture:
    with quiet_opencv:
        capture = cv2.VideoCapture(item.value)
        if item.kind == "live":
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # else old frames queue up while the model runs
    return capture
