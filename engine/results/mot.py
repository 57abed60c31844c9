"""Writes tracks as text of the MOTChallenge, which evaluation tools such as TrackEval read."""

from __future__ import annotations

from pathlib import Path
from typing import Self, TextIO

from ..errors import InputError
from .results import Results
from .writers import is_moving, stem_of


class MotFiles:
    """A text file a video in a folder; a context manager.

    A line is `frame,id,left,top,width,height,score,-1,-1,-1`: frames and ids from 1, boxes in pixels; of an
    oriented box the upright one around it. Objects without ids have no line.
    """

    def __init__(self, folder: str | Path) -> None:
        """Write into this folder, which exists."""
        self._folder = Path(folder)
        self._file: TextIO | None = None
        self._written: set[str] = set()
        self._frame = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def count(self) -> int:
        """Number of files written."""
        return len(self._written)

    def begin(self, result: Results) -> Path:
        """Begin the file of the video that this result is the first of; a folder of images has its name.

        Raises:
            InputError: it cannot be written.
        """
        self.close()
        path = Path(result.path)
        stem = stem_of(result.path) if is_moving(result) else path.absolute().parent.name or "images"
        target, number = self._folder / f"{stem}.txt", 1
        while target.name.lower() in self._written:
            number += 1
            target = self._folder / f"{stem}-{number}.txt"
        try:
            self._file = target.open("w", encoding="utf-8")
        except OSError as exc:
            raise InputError(f"cannot write {target}: {exc.strerror or exc}") from exc
        self._written.add(target.name.lower())
        self._frame = 0
        return target

    def write(self, result: Results, frame: int | None = None) -> None:
        """Append the objects of one frame.

        Args:
            result: of the frame.
            frame: its number from 1; default: the next one.
        """
        assert self._file is not None, "`begin` comes first"
        self._frame = self._frame + 1 if frame is None else frame
        objects = result.boxes if result.obb is None else result.obb
        if objects is None or objects.id is None:
            return
        rows = zip(objects.id.tolist(), objects.xyxy.tolist(), objects.conf.tolist(), strict=True)
        self._file.writelines(
            f"{self._frame},{number},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f},-1,-1,-1\n"
            for number, (x1, y1, x2, y2), score in rows
        )
        self._file.flush()

    def close(self) -> None:
        """Close the file that is being written."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
