"""Writes results to files: annotated images and videos into a folder, JSON lines into a file."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self, TextIO

import cv2

from ...postprocess.types import Size
from ..errors import InputError, ModelError
from ..images.decoding import IMAGE_SUFFIXES, Image
from ..images.sources import VIDEO_SUFFIXES
from .image_output import write_image
from .results import Results
from .video import open_video

_GREY_ONLY = (".pbm", ".pgm")  # annotations have colours
_DEFAULT_FPS = 25.0  # where the frame rate of a stream is unknown


class Recorder:
    """Annotated images and videos in a folder; a context manager that closes the last video.

    An image keeps its name, a video becomes an .mp4 file, in H.264 where PyAV is installed. Files of an
    earlier run are replaced, but no files of this run and no sources: the next file is called `bus-2.jpg`
    then. Images are written to a temporary file and renamed, so that there are no incomplete ones.

    Attributes:
        folder: as given.
        last: the file written last, None before the first.
        all_h264: whether browsers play all videos that were written.
    """

    def __init__(
        self,
        folder: str | Path,
        sources: Iterable[str] = (),
        draw: Callable[[Results], Image] = Results.plot,
    ) -> None:
        """Create the folder, and check that it is writable.

        Args:
            folder: created with its parents where it is missing.
            sources: paths, folders and patterns that the results come from; they are not overwritten.
            draw: makes the annotated image of a result.

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
        self._draw = draw
        self.last: Path | None = None
        self.all_h264 = True
        self._written: set[str] = set()
        self._video: _Video | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def write(self, result: Results) -> Path:
        """Annotate one image, or the next frame of a video, and return the file it is written to.

        Raises:
            InputError: the file cannot be written.
        """
        self.last = self._write(result, self._draw(result))
        return self.last

    @property
    def count(self) -> int:
        """Number of files written."""
        return len(self._written)

    def close(self) -> None:
        """Close the video that is being written."""
        video, self._video = self._video, None
        if video is not None:
            video.close()

    def _write(self, result: Results, image: Image) -> Path:
        if not is_moving(result):
            self.close()
            return self._write_image(result, image)
        video = self._video
        if video is None or result.frame == 0 or not video.continues(result.path, image):
            self.close()
            rate = result.fps or _DEFAULT_FPS
            video = self._video = _Video(self._free(f"{stem_of(result.path)}.mp4"), result.path, image, rate)
            self.all_h264 &= video.is_h264
        video.write(image)
        return video.target

    def _write_image(self, result: Results, image: Image) -> Path:
        name = Path(result.path).name
        suffix = Path(name).suffix
        if suffix.lower() in _GREY_ONLY:
            name = f"{name}.png"
        elif not suffix or not cv2.haveImageWriter(name):
            name = f"{name}.jpg"
        target = self._free(name)
        # Renaming leaves no incomplete image, and replaces a link in the folder, not the file it points to,
        # which may be the source.
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
        """A path of this name, or with the next number, that is neither a file of this run nor a source."""
        stem, suffix = os.path.splitext(name)
        target, number = self.folder / name, 1
        while target.name.lower() in self._written or self._is_source(target):
            number += 1
            target = self.folder / f"{stem}-{number}{suffix}"
        self._written.add(target.name.lower())  # lower: bus.jpg and BUS.jpg are one file on some systems
        return target

    def _is_source(self, target: Path) -> bool:
        """Whether an existing file is a source, or in a folder that is one."""
        return os.path.lexists(target) and not self._sources.isdisjoint(_identities([target, self.folder]))


class JsonLines:
    """One JSON object on each line, in a file or on standard output; a context manager.

    Each line is flushed before `write` returns, so that an interrupted run keeps its results.
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
        """Remove the previous content of the file; a pipe or standard output has none."""
        if self._file is not None and os.path.isfile(self._target):
            self._file.truncate(0)

    def write(self, result: Results) -> None:
        """Append one result.

        Raises:
            InputError: the disk is full or gone.
            ModelError: the model gives NaN or infinity, which JSON cannot represent.
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
    """The object of a JSON line: path, frame (of videos), shape [h, w], task, results, speed in ms.

    A depth map has no results; its least and greatest depth are in `depth` then, in metres, or it is None.
    """
    record: dict[str, Any] = {"path": result.path}
    if is_moving(result):
        record["frame"] = result.frame
    record["shape"] = list(result.orig_shape)
    record["task"] = result.task
    record["results"] = result.summary()
    if result.depth is not None:
        limits = result.depth.range
        record["depth"] = limits and dict(zip(("min", "max"), (round(m, 5) for m in limits), strict=True))
    record["speed"] = {stage: round(ms, 3) for stage, ms in result.speed.items()}
    return record


def is_moving(result: Results) -> bool:
    """Whether a result that came from a path, address or camera is a frame of a video or stream."""
    return result.fps is not None or not result.path.lower().endswith(IMAGE_SUFFIXES)


class _Video:
    """A video file and what its frames have in common."""

    def __init__(self, target: Path, path: str, image: Image, fps: float) -> None:
        self.target, self._path, self._size = target, path, Size.of(image)
        self._writer = open_video(target, self._size, fps)
        self.is_h264 = self._writer.is_h264
        self.write, self.close = self._writer.write, self._writer.close

    def continues(self, path: str, image: Image) -> bool:
        """Whether a frame belongs to this video: all its frames have one size."""
        return path == self._path and Size.of(image) == self._size


def stem_of(path: str) -> str:
    """The stem of the file name for a video, camera or stream."""
    if path.isdecimal():
        return f"camera{path}"
    if "://" in path:
        path = re.sub(r"[^\w.-]+", "_", path.partition("://")[2]).strip("._")[:100] or "stream"
    stem, suffix = os.path.splitext(os.path.basename(path))
    return stem if suffix.lower() in VIDEO_SUFFIXES else stem + suffix


def _identities(paths: Iterable[str | Path]) -> set[tuple[int, int]]:
    """Device and inode of every path, and of every file that the patterns among them match."""
    found = set()
    for path in map(str, paths):
        for entry in [path] if os.path.lexists(path) else glob.iglob(path, recursive=True):
            with contextlib.suppress(OSError):
                # Links to folders are followed, links to files are not: replacing one keeps its target.
                info = os.stat(entry) if os.path.isdir(entry) else os.lstat(entry)
                found.add((info.st_dev, info.st_ino))
    return found
