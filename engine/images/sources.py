"""Path, folder, glob, bytes, array, PIL image, video or stream -> frames."""

from __future__ import annotations

import glob
import math
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import cv2
import numpy as np

from ..errors import InputError
from .decoding import (
    IMAGE_SUFFIXES,
    Image,
    image_from_array,
    image_from_bytes,
    image_from_pil,
    is_pil,
    quiet_opencv,
)

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts", ".gif")
STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "tcp", "udp", "rtp", "srt")

_READ = f"images ({' '.join(IMAGE_SUFFIXES)}) or videos ({' '.join(VIDEO_SUFFIXES)})"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One image to run a model on.

    `image` is uint8 (H, W, channels), upright and C-contiguous: BGR for 3 channels, grey for 1.
    `path` is the path of the file, the address of the stream (without user and password), the number
    of the camera, or "image0", "image1", ... by the place in the source for what has no name.
    `index` numbers the frames of a video or stream from 0 and is 0 for an image. `fps` is the rate of
    a video or stream, None for an image or when the file does not tell. `decode_ms` is the time it
    took to read and decode.
    """

    image: Image
    path: str
    index: int
    fps: float | None
    decode_ms: float


class _CutShort(InputError):
    """A video that ends long before the end that its header tells."""


@dataclass(frozen=True, slots=True, eq=False)
class _Item:
    """One entry of a source before it is read."""

    kind: Literal["file", "data", "video", "live", "error"]
    value: Any
    name: str | None = None


class Source:
    """An iterable of frames, made by `open_source`; nothing is read before it is iterated.

    It can be iterated again, except over a generator, a file object or a live stream.
    """

    def __init__(self, items: Iterable[_Item], channels: int) -> None:
        self._items = items
        self._channels = channels

    @property
    def is_image(self) -> bool:
        """Whether it is one image, for certain: the header of a video may miscount its frames."""
        return isinstance(self._items, list) and [i.kind in ("file", "data") for i in self._items] == [True]

    @property
    def is_live(self) -> bool:
        """Whether a camera or stream is in it, which has no end."""
        return isinstance(self._items, list) and any(i.kind == "live" for i in self._items)

    @property
    def is_open(self) -> bool:
        """Whether frames come as they are made, so that waiting for several delays the first."""
        return not isinstance(self._items, list) or self.is_live

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order; raises `InputError` at the first that cannot be read."""
        return self.frames()

    def frames(self, on_error: Callable[[InputError], None] | None = None) -> Generator[Frame, None, None]:
        """The frames in order. With `on_error`, what cannot be read is handed to it and skipped."""
        for position, item in enumerate(self._items):
            try:
                yield from _read(item, item.name or f"image{position}", self._channels)
            except _CutShort as error:  # the frames before are good: not worth losing them
                if on_error is not None:
                    on_error(error)
            except InputError as error:
                if on_error is None:
                    raise
                on_error(error)

    @cached_property
    def total(self) -> int | None:
        """How many frames there are, None if unknown; approximate with videos, which it opens."""
        if not isinstance(self._items, list):
            return None
        counts = [_count(item) for item in self._items]
        return None if None in counts else sum(n for n in counts if n is not None)


def open_source(source: Any, channels: int = 3) -> Source:
    """Make the frames of `source` iterable, for a model that takes `channels` channels.

    `source` is one of these, or a list, tuple or generator that mixes them:

    - the path of an image or video, of a folder (its images and videos by name, not recursive), or
      a glob pattern (`**` recursive; a file of exactly that name wins);
    - encoded bytes, or an open binary file;
    - a numpy array: (H, W, 3) BGR, (H, W) or (H, W, 1) grey, (H, W, 4) BGRA, (N, H, W, C) a batch;
    - a PIL image (RGB, as PIL has it);
    - a camera number (3 or "3") or the address of a stream (rtsp://, http://, ...).

    Raises `InputError` at once when the source itself is wrong: a missing file, an empty folder, a
    pattern without match, an unknown suffix, another type. In a list or generator, and for what only
    decoding can tell, it is raised while iterating.
    """
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise InputError(f"channels: expected a number of at least 1, found {channels!r}")
    if _is_single(source):
        return Source(_resolve(source), channels)
    if isinstance(source, Sequence):
        items = [item for element in source for item in _resolve_leniently(element)]
        if not items:
            raise InputError("source: expected at least one image, found an empty list")
        return Source(items, channels)
    if isinstance(source, Iterator):
        return Source((item for element in source for item in _resolve_leniently(element)), channels)
    return Source(_resolve(source), channels)


def _is_single(source: Any) -> bool:
    simple = (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray)
    return isinstance(source, simple) or hasattr(source, "read") or is_pil(source)


def _resolve_leniently(source: Any) -> list[_Item]:
    try:
        return _resolve(source)
    except InputError as error:
        return [_Item("error", error)]


def _resolve(source: Any) -> list[_Item]:
    """What one source consists of; a list inside a list is refused."""
    if isinstance(source, str):
        return _resolve_text(source)
    if isinstance(source, os.PathLike):
        return _resolve_path(os.fsdecode(source))
    if isinstance(source, int | np.integer) and not isinstance(source, bool):
        return [_camera(int(source))]
    if isinstance(source, np.ndarray):
        if source.ndim == 4 and source.size:
            return [_Item("data", upright) for upright in source]
        return [_Item("data", source)]
    if isinstance(source, bytes | bytearray | memoryview):
        return [_Item("data", source)]
    if is_pil(source) or hasattr(source, "read"):
        name = getattr(source, "filename" if is_pil(source) else "name", None)
        return [_Item("data", source, name if isinstance(name, str) else None)]
    raise InputError(
        "source: expected a path, address, camera number, bytes, binary file, numpy array, PIL image "
        f"or a flat list of these, found {type(source).__module__}.{type(source).__qualname__}"
    )


def _resolve_text(text: str) -> list[_Item]:
    if re.fullmatch("[0-9]{1,4}", text):
        return [_camera(int(text))]
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return _resolve_path(text)
    address = re.sub(r"//[^/]*@", "//", text, count=1)  # no passwords in results and errors
    scheme, _, rest = address.partition("://")
    if scheme.lower() not in STREAM_SCHEMES:
        expected = ", ".join(STREAM_SCHEMES)
        raise InputError(f"{address}: expected the address of a stream ({expected}), found {scheme}://")
    if re.split("[?#]", rest)[0].lower().endswith(IMAGE_SUFFIXES):
        raise InputError(f"{address}: images are not fetched; download it and pass the file or its bytes")
    return [_Item("live", text, address)]


def _resolve_path(path: str) -> list[_Item]:
    if os.path.isdir(path):
        # Names with a leading dot are the system's own: macOS leaves a ._photo.jpg that is no JPEG.
        try:
            names = sorted(e.name for e in os.scandir(path) if e.is_file() and not e.name.startswith("."))
        except OSError as exc:
            raise InputError(f"{path}: the folder cannot be read ({exc.strerror})") from exc
        return _pick([os.path.join(path, name) for name in names], f"{path}: expected a folder with")
    if os.path.isfile(path):
        return [_file(path)]
    if os.path.exists(path):
        return [_Item("live", path, path)]  # a device such as /dev/video0, or a pipe
    shown = path if len(path) <= 300 else f"{path[:300]}..."
    if any(sign in path for sign in "*?["):
        paths = [found for found in sorted(glob.glob(path, recursive=True)) if os.path.isfile(found)]
        return _pick(paths, f"{shown}: expected a pattern that matches")
    raise InputError(f"{shown!r}: expected a file, folder or pattern, found nothing there; check the path")


def _pick(paths: list[str], expected: str) -> list[_Item]:
    items = [_file(path) for path in paths if path.lower().endswith(IMAGE_SUFFIXES + VIDEO_SUFFIXES)]
    if not items:
        found = f"only {len(paths)} other files" if paths else "no file"
        raise InputError(f"{expected} {_READ}, found {found}")
    return items


def _file(path: str) -> _Item:
    if path.lower().endswith(VIDEO_SUFFIXES):
        return _Item("video", path, path)
    if not path.lower().endswith(IMAGE_SUFFIXES):
        suffix = Path(path).suffix.lower()
        advice = "pass its bytes if it is one of these under another name"
        if suffix in (".heic", ".heif"):
            advice = "convert it to JPEG or PNG"
        raise InputError(f"{path}: expected {_READ}, found the suffix {suffix!r}; {advice}")
    return _Item("file", path, path)


def _camera(number: int) -> _Item:
    if number < 0:
        raise InputError(f"camera: expected a number of at least 0, found {number}")
    return _Item("live", number, str(number))


def _read(item: _Item, name: str, channels: int) -> Iterator[Frame]:
    if item.kind == "error":
        raise item.value
    if item.kind in ("video", "live"):
        yield from _read_video(item, name, channels)
        return
    start = perf_counter()
    image = _decode(item.value, name, channels)
    yield Frame(image, name, 0, None, (perf_counter() - start) * 1e3)


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


def _read_video(item: _Item, name: str, channels: int) -> Iterator[Frame]:
    capture = _open_capture(item)
    try:
        if not capture.isOpened():
            what = "camera or stream" if item.kind == "live" else "video"
            raise InputError(f"{name}: this {what} cannot be opened; check that it is there and plays")
        rate = capture.get(cv2.CAP_PROP_FPS)
        fps = rate if math.isfinite(rate) and rate > 0 else None
        index = 0
        while True:
            start = perf_counter()
            read, image = capture.read()
            if not read:
                break
            upright = image_from_array(image, name, channels)
            yield Frame(upright, name, index, fps, (perf_counter() - start) * 1e3)
            index += 1
        if index == 0:
            raise InputError(f"{name}: not one frame of this video can be decoded; check that it plays")
        announced = capture.get(cv2.CAP_PROP_FRAME_COUNT) if item.kind == "video" else 0
        if math.isfinite(announced) and index < announced * 0.9 - 5:  # headers miscount by a few
            raise _CutShort(f"{name}: ends after {index} of about {announced:.0f} frames; copy it again")
    finally:
        capture.release()


def _open_capture(item: _Item) -> cv2.VideoCapture:
    with quiet_opencv:
        capture = cv2.VideoCapture(item.value)
        if item.kind == "live":
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # else old frames queue up while the model runs
    return capture


def _count(item: _Item) -> int | None:
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
