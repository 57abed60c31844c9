"""Reads the frames of an uploaded video, within limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import cv2

from ..engine.errors import InputError
from ..engine.images.decoding import quiet_opencv
from ..engine.images.frames import Frame, SourceItem, read_frames
from ..postprocess.types import Size
from .image_guard.limits import area


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """How much of a video is answered.

    Attributes:
        frames: most frames in an answer.
        seconds: longest duration.
        pixels: most pixels of a frame, width times height.
    """

    frames: int
    seconds: float
    pixels: int

    def check(self, field: str, size: Size, rate: float, count: float, stride: int) -> None:
        """Check what a header says of a video; 0 stands for what it does not say.

        Raises:
            InputError: it is too long or too large.
        """
        if area(size) > self.pixels:
            raise InputError(
                f"{field}: a frame has {size.width}x{size.height} pixels: expected at most {self.pixels:,}"
            )
        if rate and count / rate > self.seconds:
            raise InputError(
                f"{field}: the video takes {count / rate:.0f} s: expected at most {self.seconds:g} s"
            )
        self.check_count(field, math.ceil(count / stride))

    def check_count(self, field: str, frames: int) -> None:
        """Check a number of frames to answer.

        Raises:
            InputError: there are too many.
        """
        if frames > self.frames:
            raise InputError(
                f"{field}: the video has more than {self.frames} frames to answer: cut it, or ask for fewer "
                "with vid_stride"
            )


def every_frame(
    path: Path, field: str, channels: int, stride: int, limits: VideoLimits, is_wanted: Callable[[], bool]
) -> Generator[Frame, None, None]:
    """Every `stride`-th frame of a video, one after the other; none is held.

    Args:
        path: of the file.
        field: of the request, for messages.
        channels: of the model's input.
        stride: from 1.
        limits: are checked by the header first, then by what comes.
        is_wanted: asked before each frame; the iteration ends where it is false.

    Raises:
        InputError: it is no video that can be decoded, is cut off, or exceeds a limit.
    """
    limits.check(field, *_header(path), stride)
    frames = read_frames(SourceItem("video", str(path), field), field, channels)
    try:
        answered = 0
        for frame in frames:
            if not is_wanted():
                return
            if frame.index % stride:
                continue
            answered += 1
            limits.check_count(field, answered)
            limits.check(field, Size.of(frame.image), frame.fps or 0.0, frame.index, stride)
            yield frame
    finally:
        frames.close()


def _header(path: Path) -> tuple[Size, float, float]:
    """Size, frames a second and number of frames as the header has them; 0 for what it does not say."""
    with quiet_opencv:
        capture = cv2.VideoCapture(str(path))
        try:
            properties = (
                *(cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH),
                *(cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT),
            )
            found = [capture.get(name) if capture.isOpened() else 0.0 for name in properties]
        finally:
            capture.release()
    height, width, rate, count = (value if math.isfinite(value) and value > 0 else 0.0 for value in found)
    return Size(int(height), int(width)), rate, count
