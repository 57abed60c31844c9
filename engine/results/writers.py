"""Writes results down as they come: annotated images and videos in a folder, JSON lines in a file."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, ModelError
from ..images.decoding import IMAGE_SUFFIXES, quiet_opencv
from ..images.sources import VIDEO_SUFFIXES
from .results import Results, write_image

_GREY_ONLY = (".pbm", ".pgm")  # annotations have colours
_USUAL_FPS = 25.0  # for streams that do not tell theirs


class Recorder:
    """Annotated images and videos in a folder; a context manager that finishes the last video.

    An image keeps its name, a video becomes an .mp4 file. Files of an earlier run are replaced; what this
    run wrote and the sources themselves never are, the next one becomes `bus-2.jpg`. Images are whole or
    not there, also when the program is stopped.

    Attributes:
        folder: as given.
        last: the file written last, None before the first.
    """

    def __init__(self, folder: str | Path, sources: Iterable[str] = ()) -> None:
        """Make the folder, and check that it can be written.

        Args:
            folder: made with its parents where it is missing.
            sources: paths, folders and patterns that the results come from.

        Raises:
            InputError: the folder cannot be made or written.
        """
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as exc:
            reason = "it is a file" if isinstance(exc, FileExistsError) else exc.strerror or exc
            raise InputError(f"cannot write into the folder {folder}: {reason}; name another") from exc
        self._sources = _identities(sources)
        self.last: Path | None = None
        self._written: set[str] = set()
        self._video: _Video | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def write(self, result: Results) -> Path:
        """Annotate one image, or the next frame of a video, and return the file that it went to.

        Raises:
            InputError: the file cannot be written.
        """
        self.last = self._write(result, result.plot())
        return self.last

    @property
    def count(self) -> int:
        """How many files were written."""
        return len(self._written)

    def close(self) -> None:
        """Finish the video that is being written."""
        video, self._video = self._video, None
        if video is not None:
            video.close()

    def _write(self, result: Results, image: NDArray[np.uint8]) -> Path:
        if not is_moving(result):
            self.close()
            return self._write_image(result, image)
        video = self._video
        if video is None or result.frame == 0 or not video.continues(result.path, image):
            self.close()
            rate = result.fps or _USUAL_FPS
            video = self._video = _Video(self._free(f"{_stem(result.path)}.mp4"), result.path, image, rate)
        video.write(image)
        return video.target

    def _write_image(self, result: Results, image: NDArray[np.uint8]) -> Path:
        name = Path(result.path).name
        suffix = Path(name).suffix
        if suffix.lower() in _GREY_ONLY:
            name = f"{name}.png"
        elif not suffix or not cv2.haveImageWriter(name):
            name = f"{name}.jpg"
        target = self._free(name)
        # Under another name first: then no half image is left behind, and what a link in the folder points
        # at, which may be the source, stays as it is.
        partial = target.with_name(f".{target.stem}.partial{target.suffix}")
        try:
            write_image(partial, image)
            os.replace(partial, target)
        except OSError as exc:
            raise InputError(f"cannot write {target}: {exc.strerror or exc}") from exc
        finally:
            partial.unlink(missing_ok=True)
        return target

    def _free(self, name: str) -> Path:
        """A file of this name, or of the next with a number, that is neither ours nor a source."""
        stem, suffix = os.path.splitext(name)
        target, number = self.folder / name, 1
        while target.name.lower() in self._written or self._is_source(target):
            number += 1
            target = self.folder / f"{stem}-{number}{suffix}"
        self._written.add(target.name.lower())  # lower: bus.jpg and BUS.jpg are one file on some systems
        return target

    def _is_source(self, target: Path) -> bool:
        """Whether a file that exists was named as a source, or lies in a folder that was."""
        return os.path.lexists(target) and not self._sources.isdisjoint(_identities([target, self.folder]))


class JsonLines:
    """One JSON object a line, in a file or on the standard output; a context manager.

    Each line is on its way when `write` returns, so that an interrupted run keeps what it had.
    """

    def __init__(self, target: str) -> None:
        """Open the file, which keeps its content until the first `clear` or `write`.

        Args:
            target: the file, or `-` for the standard output.

        Raises:
            InputError: it cannot be written, or has the name of an image, a video or a model.
        """
        self._target = target
        self._file: TextIO | None = None
        if target == "-":
            return
        if target.lower().endswith((*IMAGE_SUFFIXES, *VIDEO_SUFFIXES, ".onnx")):
            raise InputError(f"cannot write JSON to {target}: expected a name such as results.jsonl, or -")
        try:
            self._file = open(target, "a", encoding="utf-8")  # noqa: SIM115
        except OSError as exc:
            raise InputError(f"cannot write JSON to {target}: {exc.strerror or exc}") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._file is not None:
            self._file.close()

    def clear(self) -> None:
        """Drop what the file held before; a pipe or the standard output has nothing to drop."""
        if self._file is not None and os.path.isfile(self._target):
            self._file.truncate(0)

    def write(self, result: Results) -> None:
        """Append one result.

        Raises:
            InputError: the disk is full or gone.
            ModelError: the model gives numbers that JSON has no words for.
        """
        file = self._file or sys.stdout
        try:
            line = json.dumps(as_record(result), allow_nan=False)
        except ValueError as exc:
            raise ModelError(
                f"{result.path}: expected finite numbers from the model, found NaN or infinity; "
                "try precision fp32, or an export without half"
            ) from exc
        try:
            file.write(line + "\n")
            file.flush()
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise InputError(f"cannot write JSON to {self._target}: {exc.strerror or exc}") from exc


def as_record(result: Results) -> dict[str, Any]:
    """What a JSON line holds: path, frame (of videos), shape [h, w], task, results, speed in ms."""
    record: dict[str, Any] = {"path": result.path}
    if is_moving(result):
        record["frame"] = result.frame
    record["shape"] = list(result.orig_shape)
    record["task"] = result.task
    record["results"] = result.summary()
    record["speed"] = {stage: round(ms, 3) for stage, ms in result.speed.items()}
    return record


def is_moving(result: Results) -> bool:
    """Whether a result that came from a path, address or camera is a frame of a video or stream."""
    return result.fps is not None or not result.path.lower().endswith(IMAGE_SUFFIXES)


class _Video:
    """An .mp4 file of equally large frames."""

    def __init__(self, target: Path, path: str, image: NDArray[np.uint8], fps: float) -> None:
        self.target, self._path, self._shape = target, path, image.shape
        with contextlib.suppress(OSError):  # a link in the folder may point at the source
            target.unlink()
        height, width = image.shape[:2]
        with quiet_opencv:
            fourcc = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(target), fourcc, fps, (width, height))
        if not self._writer.isOpened():
            raise InputError(
                f"cannot write {target}: OpenCV opens no MPEG-4 video of {width}x{height} at {fps:g} frames "
                "a second there; try another folder"
            )

    def continues(self, path: str, image: NDArray[np.uint8]) -> bool:
        """Whether a frame belongs to this video; OpenCV drops frames of another size without a word."""
        return path == self._path and image.shape == self._shape

    def write(self, image: NDArray[np.uint8]) -> None:
        """Append a frame."""
        self._writer.write(image)

    def close(self) -> None:
        """Write the index without which no player opens the file."""
        self._writer.release()


def _stem(path: str) -> str:
    """A file's name for a video, camera or stream."""
    if path.isdecimal():
        return f"camera{path}"
    if "://" in path:
        path = re.sub(r"[^\w.-]+", "_", path.partition("://")[2]).strip("._")[:100] or "stream"
    stem, suffix = os.path.splitext(os.path.basename(path))
    return stem if suffix.lower() in VIDEO_SUFFIXES else stem + suffix


def _identities(paths: Iterable[str | Path]) -> set[tuple[int, int]]:
    """Device and inode of every path and of what the patterns among them match."""
    found = set()
    for path in map(str, paths):
        for entry in [path] if os.path.lexists(path) else glob.iglob(path, recursive=True):
            with contextlib.suppress(OSError):
                # Folders through links, files themselves: replacing a link leaves its target alone.
                info = os.stat(entry) if os.path.isdir(entry) else os.lstat(entry)
                found.add((info.st_dev, info.st_ino))
    return found
