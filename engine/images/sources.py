"""From a source (path, folder, glob pattern, bytes, array, PIL image, video, stream) to its frames."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .archives import ARCHIVE_SUFFIXES, archive_items
from .decoding import IMAGE_SUFFIXES, is_pil
from .frames import Frame, SourceItem, TruncatedVideo, count_frames, read_frames

VIDEO_SUFFIXES = (
    *(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".asf", ".ts", ".gif"),
    *(".3gp", ".3g2", ".flv"),
)
STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "tcp", "udp", "rtp", "srt")

_MANY = 16  # images from which on threads save more time than loading the model for them takes

_READ = f"images ({' '.join(IMAGE_SUFFIXES)}) or videos ({' '.join(VIDEO_SUFFIXES)})"


class Source:
    """An iterable of frames, made by `open_source`; nothing is read before the iteration begins.

    It can be iterated again, unless it is of a generator, a file object or a live stream.
    """

    def __init__(self, items: Iterable[SourceItem], channels: int) -> None:
        self._items = items
        self._channels = channels

    @property
    def is_image(self) -> bool:
        """Whether it is exactly one image, and not a video, whose header may miscount its frames."""
        return isinstance(self._items, list) and [i.kind in ("file", "data") for i in self._items] == [True]

    @property
    def is_live(self) -> bool:
        """Whether it contains a camera or stream, which has no end."""
        return isinstance(self._items, list) and any(i.kind == "live" for i in self._items)

    @property
    def is_open(self) -> bool:
        """Whether frames arrive one by one, so that waiting for a batch would delay the first of it."""
        return not isinstance(self._items, list) or self.is_live

    def __iter__(self) -> Iterator[Frame]:
        """The frames in order; raises `InputError` at the first that cannot be read."""
        return self.frames()

    @property
    def has_many(self) -> bool:
        """Whether there is work for several threads: a video, or 16 images and more, none of them live."""
        if not isinstance(self._items, list) or self.is_live:
            return False
        return len(self._items) >= _MANY or any(item.kind == "video" for item in self._items)

    def frames(self, on_error: Callable[[InputError], None] | None = None) -> Generator[Frame, None, None]:
        """The frames in order. With `on_error`, it is called with each error, and the entry is skipped."""
        for read in self.readers():
            try:
                frame = read()
            except TruncatedVideo as error:  # the frames before are good: without `on_error`, it ends there
                if on_error is not None:
                    on_error(error)
            except InputError as error:
                if on_error is None:
                    raise
                on_error(error)
            else:
                yield frame

    def readers(self) -> Generator[Callable[[], Frame], None, None]:
        """For each frame in order, a function that reads it, or raises why it cannot be read.

        The function reads and decodes an image, so that several threads can. The frames of videos and streams
        are decoded by the iteration itself, one after the other.
        """
        for position, item in enumerate(self._items):
            name = item.name or f"image{position}.jpg"
            if item.kind not in ("video", "live"):
                yield partial(_first_frame, item, name, self._channels)
                continue
            frames = read_frames(item, name, self._channels)
            try:
                for frame in frames:
                    yield partial(_same, frame)
            except InputError as error:
                yield partial(_raise, error)
            finally:
                frames.close()

    @cached_property
    def total(self) -> int | None:
        """Number of frames, None if unknown; approximate for videos, which are opened for that."""
        if not isinstance(self._items, list):
            return None
        counts = [count_frames(item) for item in self._items]
        return None if None in counts else sum(n for n in counts if n is not None)


def _first_frame(item: SourceItem, name: str, channels: int) -> Frame:
    return next(read_frames(item, name, channels))


def _same(frame: Frame) -> Frame:
    return frame


def _raise(error: InputError) -> Frame:
    raise error


def open_source(source: Any, channels: int = 3) -> Source:
    """Make the frames of a source iterable.

    Args:
        source: one of these, or a list, tuple or generator that mixes them:

            - the path of an image or video, of a folder (its images and videos by name, not recursive),
              or a glob pattern (`**` recursive; a file of exactly that name comes first);
            - the path of a ZIP or tar archive, whose images are read without unpacking it;
            - encoded bytes, or an open binary file;
            - a numpy array: (H, W, 3) BGR, (H, W) or (H, W, 1) grey, (H, W, 4) BGRA, (N, H, W, C) a batch;
            - a PIL image (RGB, as PIL has it);
            - a camera number (3 or "3") or the address of a stream (rtsp://, http://, ...).
        channels: colour channels of the model's input, from 1.

    Raises:
        InputError: the source itself is wrong: a missing file, an empty folder, a pattern without match, an
            unknown suffix, another type. Errors inside a list or generator, and those that only decoding
            finds, are raised during the iteration.
    """
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise InputError(f"channels: expected a number of at least 1, found {channels!r}")
    if _is_single(source):
        return Source(_resolve(source), channels)
    if isinstance(source, Sequence):
        items = [item for element in source for item in _resolve_or_error(element)]
        if not items:
            raise InputError("source: expected at least one image, found an empty list")
        return Source(items, channels)
    if isinstance(source, Iterator):
        return Source((item for element in source for item in _resolve_or_error(element)), channels)
    return Source(_resolve(source), channels)


def _is_single(source: Any) -> bool:
    simple = (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray)
    return isinstance(source, simple) or hasattr(source, "read") or is_pil(source)


def _resolve_or_error(source: Any) -> list[SourceItem]:
    try:
        return _resolve(source)
    except InputError as error:
        return [SourceItem("error", error)]


def _resolve(source: Any) -> list[SourceItem]:
    """The entries of one source; a list inside a list is refused."""
    if isinstance(source, str):
        return _resolve_text(source)
    if isinstance(source, os.PathLike):
        return _resolve_path(os.fsdecode(source))
    if isinstance(source, int | np.integer) and not isinstance(source, bool):
        return [_camera(int(source))]
    if isinstance(source, np.ndarray):
        if source.ndim == 4 and source.size:
            return [SourceItem("data", upright) for upright in source]
        return [SourceItem("data", source)]
    if isinstance(source, bytes | bytearray | memoryview):
        return [SourceItem("data", source)]
    if is_pil(source) or hasattr(source, "read"):
        name = getattr(source, "filename" if is_pil(source) else "name", None)
        return [SourceItem("data", source, name if isinstance(name, str) else None)]
    raise InputError(
        "source: expected a path, address, camera number, bytes, binary file, numpy array, PIL image "
        f"or a flat list of these, found {type(source).__module__}.{type(source).__qualname__}"
    )


def _resolve_text(text: str) -> list[SourceItem]:
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
    return [SourceItem("live", text, address)]


def _resolve_path(path: str) -> list[SourceItem]:
    if os.path.isdir(path):
        # Names with a leading dot are the system's own: macOS leaves a ._photo.jpg that is no JPEG.
        try:
            names = sorted(e.name for e in os.scandir(path) if e.is_file() and not e.name.startswith("."))
        except OSError as exc:
            raise InputError(f"{path}: the folder cannot be read ({exc.strerror})") from exc
        return _pick([os.path.join(path, name) for name in names], f"{path}: expected a folder with")
    if os.path.isfile(path):
        if path.lower().endswith(ARCHIVE_SUFFIXES):
            return archive_items(path, IMAGE_SUFFIXES, VIDEO_SUFFIXES)
        return [_file(path)]
    if os.path.exists(path):
        return [SourceItem("live", path, path)]  # a device such as /dev/video0, or a pipe
    shown = path if len(path) <= 300 else f"{path[:300]}..."
    if any(sign in path for sign in "*?["):
        paths = [found for found in sorted(glob.glob(path, recursive=True)) if os.path.isfile(found)]
        return _pick(paths, f"{shown}: expected a pattern that matches")
    raise InputError(f"{shown!r}: expected a file, folder or pattern, found nothing there; check the path")


def _pick(paths: list[str], expected: str) -> list[SourceItem]:
    items = [_file(path) for path in paths if path.lower().endswith(IMAGE_SUFFIXES + VIDEO_SUFFIXES)]
    if not items:
        found = f"only {len(paths)} other files" if paths else "no file"
        raise InputError(f"{expected} {_READ}, found {found}")
    return items


def _file(path: str) -> SourceItem:
    if path.lower().endswith(VIDEO_SUFFIXES):
        return SourceItem("video", path, path)
    if not path.lower().endswith(IMAGE_SUFFIXES):
        suffix = Path(path).suffix.lower()
        advice = "give it the suffix of its format if it is one of these"
        if suffix in (".heic", ".heif"):
            advice = "convert it to JPEG or PNG"
        raise InputError(f"{path}: expected {_READ}, found the suffix {suffix!r}; {advice}")
    return SourceItem("file", path, path)


def _camera(number: int) -> SourceItem:
    if number < 0:
        raise InputError(f"camera: expected a number of at least 0, found {number}")
    return SourceItem("live", number, str(number))
