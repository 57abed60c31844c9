"""Results as the label files of YOLO datasets: one object a line, coordinates from 0 to 1."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import InputError
from .drawing import Annotatable
from .views import class_name


def yolo_lines(result: Annotatable, save_conf: bool = False) -> list[str]:
    """The lines of the label file of one image, as Ultralytics writes them with `save_txt`.

    detect: class, centre x, centre y, width, height. segment: class, then x and y of each point of the
    outline; a mask of fewer than three points has no line. pose: as detect, then x, y and visibility of each
    keypoint. obb: class, then x and y of four corners. Then the score with `save_conf`, and the id where the
    object is tracked. classify: probability and name of the five best classes.
    """
    if result.probs is not None:
        pairs = zip(result.probs.top5, result.probs.top5conf, strict=True)
        return [f"{conf:.2f} {class_name(result.names, i)}" for i, conf in pairs]
    objects = result.boxes if result.obb is None else result.obb
    if objects is None:
        return []
    places = result.boxes.xywhn if result.boxes is not None else result.obb.xyxyxyxyn  # type: ignore[union-attr]
    rows = [place.ravel().tolist() for place in places]
    is_shape = [True] * len(rows)
    if result.masks is not None:
        is_shape = [len(outline) > 2 for outline in result.masks.xyn]
        rows = [outline.ravel().tolist() for outline in result.masks.xyn]
    if result.keypoints is not None:
        points = result.keypoints
        data = points.xyn if points.conf is None else np.dstack((points.xyn, points.conf))
        rows = [row + own.ravel().tolist() for row, own in zip(rows, data, strict=True)]
    lines = []
    for i, row in enumerate(rows):
        values = [int(objects.cls[i]), *row, *([float(objects.conf[i])] if save_conf else [])]
        if objects.id is not None:
            values.append(int(objects.id[i]))
        if is_shape[i]:
            lines.append(" ".join(f"{value:g}" for value in values))
    return lines


def append_lines(target: Path, lines: Iterable[str]) -> None:
    """Append lines to a file, which is made with its folders when there is the first line.

    Raises:
        InputError: it cannot be written.
    """
    text = "".join(f"{line}\n" for line in lines)
    if not text:
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise InputError(f"cannot write {target}: {exc.strerror or exc}") from exc
