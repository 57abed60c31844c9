"""Labels of one image, and their text files in YOLO format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import InputError
from ..postprocess.layout import Task
from ..postprocess.types import Float, Int

_TOLERANCE = 0.01
"""How far a coordinate may lie outside 0 to 1, as in Ultralytics."""

FloatRows = NDArray[np.float32]


class LabelError(InputError):
    """The labels of an image cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """The N objects of one image. All coordinates are shares of its width and height, 0 to 1.

    Attributes:
        classes: (N,) class ids.
        boxes: (N, 4) centre x, centre y, width, height.
        outlines: N outlines (P, 2); none where the labels are boxes only.
        keypoints: (N, K, 3) x, y and visibility, 0 for what is not labelled; None for other tasks than pose.
        duplicates: number of equal rows that were left out.
    """

    classes: Int
    boxes: Float
    outlines: tuple[Float, ...] = ()
    keypoints: Float | None = None
    duplicates: int = 0

    def __len__(self) -> int:
        return len(self.classes)

    def where(self, chosen: NDArray[np.bool_]) -> Labels:
        """The objects where (N,) `chosen` is True."""
        rows = np.flatnonzero(chosen)
        return Labels(
            self.classes[rows],
            self.boxes[rows],
            tuple(self.outlines[row] for row in rows) if self.outlines else (),
            None if self.keypoints is None else self.keypoints[rows],
            self.duplicates,
        )


def no_labels(points: int | None = None) -> Labels:
    """Labels without any object, with `points` keypoints each where that is given."""
    keypoints = None if points is None else np.zeros((0, points, 3), np.float32)
    return Labels(np.zeros(0, np.int64), np.zeros((0, 4), np.float32), keypoints=keypoints)


def read_labels(file: Path, task: Task, classes: int, kpt_shape: tuple[int, int] | None) -> Labels:
    """Read a text file in YOLO format: a class id and coordinates a line.

    After the id come cx, cy, w, h; or x, y of each point of an outline (segment; four corners for obb); or a
    box and then x, y and perhaps visibility of each keypoint (pose).

    Args:
        file: UTF-8 text, with or without a byte order mark; may be empty.
        task: what the labels are used for: boxes are made of outlines where it needs boxes.
        classes: number of classes of the dataset.
        kpt_shape: (K, 2 or 3) of the dataset, where it has keypoints.

    Raises:
        LabelError: the file cannot be read, or something in it is no label of this dataset.
    """
    points = kpt_shape if task == "pose" else None
    rows = _split(file)
    if not rows:
        return no_labels(points[0] if points else None)
    if points is None and kpt_shape:  # keypoints that this task does not use
        full = 5 + kpt_shape[0] * kpt_shape[1]
        rows = [row[:5] if len(row) == full else row for row in rows]
    outlines: list[Float] = []
    if points is None and any(len(row) > 6 for row in rows):
        if any(len(row) < 7 or len(row) % 2 == 0 for row in rows):
            raise LabelError("boxes and outlines, or outlines of half a point, are mixed in it")
        numbers = [_numbers([row])[0] for row in rows]
        outlines = [row[1:].reshape(-1, 2) for row in numbers]
        table = np.array([[row[0], *_box(outline)] for row, outline in zip(numbers, outlines, strict=True)])
    else:
        table = _numbers(rows)
    table = table.astype(np.float32)
    _check(table, outlines, classes, points)
    kept = _unique(table, outlines)
    return Labels(
        table[kept, 0].astype(np.int64),
        table[kept, 1:5],
        tuple(outlines[row] for row in kept) if outlines else (),
        _keypoints(table[kept], points) if points else None,
        len(table) - len(kept),
    )


def _split(file: Path) -> list[list[str]]:
    """The words of each line that has any."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as exc:
        raise LabelError(f"{file.name} cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    return [words for line in text.splitlines() if (words := line.split())]


def _numbers(rows: list[list[str]]) -> FloatRows:
    if len({len(row) for row in rows}) > 1:
        raise LabelError("its rows have different numbers of columns")
    try:
        table = np.array(rows, np.float32)
    except ValueError as exc:
        raise LabelError(f"it has something else than numbers ({exc})") from exc
    if not np.isfinite(table).all():
        raise LabelError("it has numbers that are not finite")
    return table


def _box(outline: Float) -> tuple[float, float, float, float]:
    """cx, cy, w, h around an outline (P, 2)."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    (x, y), (width, height) = (low + high) / 2, high - low
    return float(x), float(y), float(width), float(height)


def _check(table: FloatRows, outlines: list[Float], classes: int, points: tuple[int, int] | None) -> None:
    """Refuse what Ultralytics refuses: columns, ranges and class ids."""
    columns = 5 + points[0] * points[1] if points else 5
    if table.shape[1] != columns:
        what = f" for kpt_shape {list(points)}" if points else ""
        raise LabelError(f"expected {columns} columns{what}, found {table.shape[1]}")
    ids = table[:, 0]
    if (ids % 1 != 0).any() or ids.min() < 0:
        raise LabelError(f"class ids are whole numbers from 0, found {ids[(ids % 1 != 0) | (ids < 0)][0]:g}")
    if ids.max() >= classes:
        raise LabelError(f"class {ids.max():.0f} is beyond the names of the dataset, 0 to {classes - 1}")
    places = [table[:, 1:5], *outlines]
    if points:
        places.append(table[:, 5:].reshape(-1, points[1])[:, :2])
    low, high = (float(pick([pick(place) for place in places])) for pick in (np.min, np.max))
    if high > 1 + _TOLERANCE or low < -_TOLERANCE or table[:, 3:5].min() < 0:
        worst = high if high > 1 + _TOLERANCE else low
        raise LabelError(f"coordinates are shares of the image from 0 to 1, found {worst:g}")


def _unique(table: FloatRows, outlines: list[Float]) -> NDArray[np.intp]:
    """The rows without those that are there twice, in the order of the file."""
    if outlines:
        keys = [(float(row[0]), outline.tobytes()) for row, outline in zip(table, outlines, strict=True)]
        return np.array(sorted({key: index for index, key in reversed(list(enumerate(keys)))}.values()))
    return np.sort(np.unique(table, axis=0, return_index=True)[1])


def _keypoints(table: FloatRows, shape: tuple[int, int]) -> Float:
    """(N, K, 3): where labels have no visibility, points with a negative coordinate are not labelled."""
    points = table[:, 5:].reshape(-1, *shape)
    if shape[1] == 3:
        return points
    labelled = (points >= 0).all(axis=2, keepdims=True)
    return np.concatenate((points, labelled.astype(np.float32)), axis=2)
