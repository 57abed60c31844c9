"""Results as a COCO file: boxes, outlines and keypoints, for FiftyOne, label tools and evaluation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Self, TextIO

import numpy as np

from ...postprocess.types import Float, Size
from ..errors import InputError, ModelError
from .drawing import Annotatable


def coco_annotations(result: Annotatable, image_id: int, first_id: int = 1) -> list[dict[str, Any]]:
    """The objects of one image as COCO annotations; none of classifications and maps.

    Args:
        result: of the image.
        image_id: of the image.
        first_id: of the first annotation; the others follow.

    Returns:
        a dict for each: `id`, `image_id`, `category_id` (class id plus 1: label tools count from 1), `bbox`
        [x, y, width, height] in pixels, `area`, `iscrowd` 0, `score`, `segmentation` (outlines of masks, and
        corners of oriented boxes, flat), and `keypoints` (x, y, 2 where visible, else 1) by task.
    """
    objects = result.boxes if result.obb is None else result.obb
    if objects is None:
        return []
    shapes: list[list[Float]] | None = None
    if result.obb is not None:
        shapes = [[corners] for corners in result.obb.xyxyxyxy]
    elif result.masks is not None:
        shapes = result.masks.parts
    found = []
    for i, (x1, y1, x2, y2) in enumerate(objects.xyxy.astype(np.float64).tolist()):
        item: dict[str, Any] = {
            "id": first_id + i,
            "image_id": image_id,
            "category_id": int(objects.cls[i]) + 1,
            "bbox": _rounded((x1, y1, x2 - x1, y2 - y1)),
            "area": round((x2 - x1) * (y2 - y1), 2),
            "iscrowd": 0,
            "score": round(float(objects.conf[i]), 5),
        }
        if shapes is not None:
            polygons = [polygon for polygon in shapes[i] if len(polygon) > 2]
            item["segmentation"] = [_rounded(polygon.ravel().tolist()) for polygon in polygons]
            item["area"] = round(sum(map(_area, polygons)), 2)
        if result.keypoints is not None:
            item |= _keypoints(result.keypoints.data[i])
        found.append(item)
    return found


class CocoFile:
    """A COCO file that grows with the results; a context manager, which completes it.

    Annotations are written as they come, so that a long run holds the names and sizes of its images alone.
    """

    def __init__(self, target: str | Path) -> None:
        """Open the file, whose previous content is replaced.

        Raises:
            InputError: it cannot be written, or is not called *.json.
        """
        self._target = Path(target)
        if self._target.suffix.lower() != ".json":
            raise InputError(f"cannot write COCO to {target}: expected a name such as annotations.json")
        self._images: list[dict[str, Any]] = []
        self._names: dict[int, str] = {}
        self._keypoints = self._count = 0
        try:
            self._file: TextIO = self._target.open("w", encoding="utf-8")
        except OSError as exc:
            raise InputError(f"cannot write {target}: {exc.strerror or exc}") from exc
        self._file.write('{"annotations": [')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        categories = [
            {"id": i + 1, "name": name} | self._skeleton() for i, name in sorted(self._names.items())
        ]
        rest = json.dumps({"images": self._images, "categories": categories}, ensure_ascii=False)
        with self._file as file:
            file.write(f"\n], {rest[1:]}\n")

    def write(self, result: Annotatable, name: str) -> None:
        """Add the objects of one image.

        Args:
            result: of the image.
            name: its `file_name`.

        Raises:
            InputError: the disk is full or gone.
            ModelError: the model gives NaN or infinity.
        """
        height, width = Size.of(result.orig_img)
        self._images.append(
            {"id": len(self._images) + 1, "file_name": name, "height": height, "width": width}
        )
        self._names |= result.names
        if result.keypoints is not None:
            self._keypoints = result.keypoints.data.shape[1]
        try:
            for item in coco_annotations(result, len(self._images), self._count + 1):
                line = json.dumps(item, allow_nan=False)
                self._file.write(f"{',' if self._count else ''}\n{line}")
                self._count += 1
        except ValueError as exc:
            raise ModelError(
                f"{name}: expected finite numbers from the model, found NaN or infinity"
            ) from exc
        except OSError as exc:
            raise InputError(
                f"cannot write {self._target}: {exc.strerror or os.fspath(self._target)}"
            ) from exc

    def _skeleton(self) -> dict[str, Any]:
        """What a category says of keypoints, whose names models do not tell."""
        points = [f"keypoint {i + 1}" for i in range(self._keypoints)]
        return {"keypoints": points, "skeleton": []} if points else {}


def _keypoints(points: Float) -> dict[str, Any]:
    """(K, 2 or 3) keypoints as COCO has them: a visibility below a half is 1, labelled but hidden."""
    seen = np.full(len(points), 2) if points.shape[1] == 2 else np.where(points[:, 2] >= 0.5, 2, 1)
    rows = zip(points[:, :2].astype(np.float64).tolist(), seen.tolist(), strict=True)
    values = [value for (x, y), state in rows for value in (round(x, 2), round(y, 2), state)]
    return {"keypoints": values, "num_keypoints": int((seen == 2).sum())}


def _area(polygon: Float) -> float:
    """Of a polygon (P, 2), by the shoelace formula."""
    x, y = polygon.astype(np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def _rounded(values: Any) -> list[float]:
    return [round(value, 2) for value in values]
