"""Writes video files: H.264 with PyAV (the extra `video`), or MPEG-4 Part 2 with OpenCV without it."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol

import cv2

from ...postprocess.types import Size
from ..errors import InputError
from ..images.decoding import Image, quiet_opencv

_ENCODERS = ("libx264", "libopenh264")
_QUALITY = {"libx264": {"preset": "veryfast", "crf": "20"}}
_MAX_DENOMINATOR = 1001  # of frame rates: 30000/1001 is NTSC


class VideoWriter(Protocol):
    """A video file that is being written.

    Attributes:
        is_h264: whether browsers and QuickTime play it.
    """

    is_h264: bool

    def write(self, image: Image) -> None:
        """Append a frame, (height, width, 3) BGR, of the size that the file was opened with."""

    def close(self) -> None:
        """Write the index, without which no player opens the file."""


def open_video(target: Path, size: Size, fps: float) -> VideoWriter:
    """Open an .mp4 file, replacing what is there.

    Args:
        target: its path.
        size: of all frames.
        fps: frames a second.

    Raises:
        InputError: it cannot be written there, or not with such frames.
    """
    with contextlib.suppress(OSError):  # a link in the folder may point at the source
        target.unlink()
    try:
        import av
    except ImportError:
        return _OpenCVWriter(target, size, fps)
    codec = next((name for name in _ENCODERS if name in av.codecs_available), None)
    return _OpenCVWriter(target, size, fps) if codec is None else _PyAVWriter(av, codec, target, size, fps)


class _PyAVWriter:
    """H.264 in yuv420p, the one pixel format that all players take, with the index first (`faststart`).

    A thread of its own encodes: signals raise exceptions in the main thread only, and one between the encoder
    and the file would lose a frame that later ones refer to. A call of `SimpleQueue` is one C function, which
    no signal leaves locked.
    """

    is_h264 = True

    def __init__(self, av: Any, codec: str, target: Path, size: Size, fps: float) -> None:
        self._av, self._target = av, target
        # yuv420p stores colours for 2 x 2 pixels: an odd last row or column is repeated.
        self._padding = size.height % 2, size.width % 2
        try:
            self._file = av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"})
            rate = Fraction(fps).limit_denominator(_MAX_DENOMINATOR)
            self._stream = self._file.add_stream(codec, rate=rate, options=_QUALITY.get(codec, {}))
            self._stream.height = size.height + self._padding[0]
            self._stream.width = size.width + self._padding[1]
            self._stream.pix_fmt = "yuv420p"
            self._file.start_encoding()  # else the file is opened with the first frame
        except (OSError, ValueError) as exc:  # what FFmpeg's errors are derived from
            raise InputError(f"cannot write {target}: {exc}") from exc
        self._frames: SimpleQueue[Any] = SimpleQueue()  # None is the end
        self._outcomes: SimpleQueue[Exception | None] = SimpleQueue()  # of each frame: what went wrong
        self._thread = Thread(target=self._encode_frames, name="yolean-video", daemon=True)
        self._thread.start()

    def write(self, image: Image) -> None:
        below, right = self._padding
        if below or right:
            image = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)  # type: ignore[assignment]
        self._frames.put(self._av.VideoFrame.from_ndarray(image, format="bgr24"))
        self._check(self._outcomes.get())

    def close(self) -> None:
        self._frames.put(None)
        self._thread.join()
        try:
            while not self._outcomes.empty():
                self._check(self._outcomes.get())
        finally:
            try:
                self._file.close()
            except (OSError, ValueError) as exc:
                self._check(exc)

    def _encode_frames(self) -> None:
        ended = False
        while not ended:
            frame = self._frames.get()
            ended = frame is None  # then the encoder gives the frames that it still holds
            try:
                self._file.mux(self._stream.encode(frame))
            except Exception as exc:
                self._outcomes.put(exc)
            else:
                self._outcomes.put(None)

    def _check(self, error: Exception | None) -> None:
        if isinstance(error, (OSError, ValueError)):
            raise InputError(f"cannot write {self._target}: {error}") from error
        if error is not None:
            raise error


class _OpenCVWriter:
    """MPEG-4 Part 2, the only encoder for .mp4 in OpenCV's wheels; browsers do not play it."""

    is_h264 = False

    def __init__(self, target: Path, size: Size, fps: float) -> None:
        with quiet_opencv:
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(target), fourcc, fps, (size.width, size.height))
        if not self._writer.isOpened():
            raise InputError(
                f"cannot write {target}: OpenCV opens no MPEG-4 video of {size.width}x{size.height} at "
                f"{fps:g} frames a second there; try another folder"
            )

    def write(self, image: Image) -> None:
        self._writer.write(image)

    def close(self) -> None:
        self._writer.release()
