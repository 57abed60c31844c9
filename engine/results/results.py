"""`Results` of one image, in numpy, with the attribute names of Ultralytics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from copy import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...postprocess.detections import Detections
from ...postprocess.layout import Task
from ...postprocess.types import Float, Index, Int, Size
from ..errors import InputError
from ..images.decoding import Image
from ..images.frames import Frame
from .crops import save_crops
from .dense_views import DepthMap, SemanticMask
from .drawing import annotate
from .image_output import show_image, write_image
from .views import OBB, Arrays, Boxes, Keypoints, Masks, Probs, class_name, sides
from .yolo_text import append_lines, yolo_lines

_MOST_NAMED = 5
"""Classes of a semantic mask in its one line."""


class Results(Arrays):
    """The objects, the class probabilities or the dense map of one image.

    The views of the task are set, the others are None: `boxes` for detect, segment and pose, with `masks`
    or `keypoints` beside it; `obb`; `probs`; `semantic_mask`; `depth`.

    Attributes:
        orig_img: (height, width, channels) uint8, upright; BGR for 3 channels.
        orig_shape: (height, width) of that image.
        path: of the file, or the name that was given to an array: see `Frame.path`.
        names: class names by id.
        task: `detect`, `segment`, `pose`, `obb`, `classify`, `semantic` or `depth`.
        speed: milliseconds of `decode`, `preprocess`, `inference` and `postprocess` for this image.
        tensor_shape: (height, width) of the input tensor.
        frame: number of the frame in its video or stream, from 0; 0 for an image.
        fps: frames a second of its video or stream, None for an image.
    """

    def __init__(
        self,
        source: Frame,
        names: Mapping[int, str],
        task: Task,
        found: Detections,
        speed: dict[str, float],
        tensor_shape: Size,
    ) -> None:
        self.orig_img, self.path, self.frame, self.fps = source.image, source.path, source.index, source.fps
        self.orig_shape = Size.of(source.image)
        self.names, self.task, self.speed, self.tensor_shape = names, task, speed, tensor_shape
        shape, oriented = self.orig_shape, task == "obb"
        parts = (found.boxes, found.scores, found.classes, shape)
        self.boxes = Boxes(*parts) if task in ("detect", "segment", "pose") else None
        self.obb = OBB(*parts) if oriented else None
        self.masks = None if found.masks is None else Masks(found.masks, shape)
        self.keypoints = None if found.keypoints is None else Keypoints(found.keypoints, shape)
        self.probs = None if found.probs is None else Probs(found.probs)
        self.semantic_mask = None if found.class_map is None else SemanticMask(found.class_map, shape)
        self.depth = None if found.depth is None else DepthMap(found.depth, shape, found.depth_at_input)

    def __len__(self) -> int:
        """Number of objects; 1 for a classification or a map."""
        return 1 if self._objects is None else len(self._objects)

    def with_tracks(self, rows: Index, boxes: Float, ids: Int | None) -> Results:
        """The objects at some rows, with other boxes and with ids; masks and keypoints follow their boxes.

        Args:
            rows: (K,) of the objects.
            boxes: (K, 4) float32 x1, y1, x2, y2 in pixels, which are clipped to the image; for OBB (K, 5)
                centre x, centre y, width, height and angle.
            ids: (K,) int64, or None.
        """
        found = copy(self)
        objects = self._objects
        assert objects is not None, "a classification has no objects"
        parts = (objects.conf[rows], objects.cls[rows], self.orig_shape, ids)
        if self.boxes is None:
            found.obb = OBB(boxes, *parts)
        else:
            found.boxes = Boxes(boxes.clip(0, sides(self.orig_shape, 2)), *parts)
        found.masks = None if self.masks is None else self.masks[rows]
        found.keypoints = None if self.keypoints is None else self.keypoints[rows]
        return found

    def __repr__(self) -> str:
        return f"<Results {self.task} {self.path}: {self.verbose()}>"

    def verbose(self) -> str:
        """One line: "4 persons, 1 bus"; the best classes with their probabilities, or their shares of the
        pixels; "depth 0.82-31.40 m".
        """
        if self.depth is not None:
            return self.depth.verbose()
        if self.semantic_mask is not None:
            shares = sorted(self._shares(), key=lambda pair: -pair[1])
            parts = [f"{self.class_name(i)} {100 * share:.1f}%" for i, share in shares[:_MOST_NAMED]]
            rest = [f"{len(shares) - _MOST_NAMED} more"] if len(shares) > _MOST_NAMED else []
            return ", ".join(parts + rest) or "nothing found"
        if self.probs is not None:
            pairs = zip(self.probs.top5, self.probs.top5conf, strict=True)
            return ", ".join(f"{self.class_name(i)} {conf:.2f}" for i, conf in pairs)
        objects = self._objects
        if objects is None or not len(objects):
            return "nothing found"
        ids, counts = np.unique(objects.cls, return_counts=True)
        return ", ".join(counted(int(n), self.class_name(int(i))) for i, n in zip(ids, counts, strict=True))

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """The objects as plain Python values, ready for JSON.

        Args:
            normalize: coordinates divided by width and height, 0 to 1, instead of pixels.
            decimals: all numbers are rounded to so many.

        Returns:
            a dict for each object: `name`, `class`, `confidence`, then `box` {x1, y1, x2, y2} (to x4, y4
            for OBB), `track_id` where it is tracked, and `segments` {x, y} or `keypoints` {x, y, visible} by
            task. For a classification, the five most probable classes. For a semantic mask, a dict for each
            class that occurs, by id: `name`, `class` and `pixel_ratio`, its share of all pixels. None for
            depth, which is no list.
        """
        if self.semantic_mask is not None:
            return [
                {"name": self.class_name(i), "class": i, "pixel_ratio": round(share, decimals)}
                for i, share in self._shares()
            ]
        if self.probs is not None:
            pairs = zip(self.probs.top5, self.probs.top5conf, strict=True)
            return [self._item(i, conf, decimals) for i, conf in pairs]
        scale = sides(self.orig_shape) if normalize else np.ones(2, np.float32)
        objects = self._objects
        if objects is None:
            return []
        corners = objects.xyxyxyxy if isinstance(objects, OBB) else objects.xyxy.reshape(-1, 2, 2)
        items = []
        for row, points in enumerate(corners / scale):
            item = self._item(objects.cls[row], objects.conf[row], decimals)
            keys = [f"{axis}{n + 1}" for n in range(len(points)) for axis in "xy"]
            item["box"] = dict(zip(keys, _rounded(points.ravel(), decimals), strict=True))
            if objects.id is not None:
                item["track_id"] = int(objects.id[row])
            if self.masks is not None:
                item["segments"] = _columns(self.masks.xy[row] / scale, decimals)
            if self.keypoints is not None:
                item["keypoints"] = _columns(self.keypoints.xy[row] / scale, decimals)
                if self.keypoints.conf is not None:
                    item["keypoints"]["visible"] = _rounded(self.keypoints.conf[row], decimals)
            items.append(item)
        return items

    def to_json(self, normalize: bool = False, decimals: int = 5) -> str:
        """`summary` as JSON text."""
        return json.dumps(self.summary(normalize, decimals), ensure_ascii=False, allow_nan=False)

    def plot(self, **options: Any) -> Image:
        """The annotated image, (height, width, 3) uint8 BGR; `options` are those of `drawing.annotate`."""
        return annotate(self, **options)

    def save(self, filename: str | Path | None = None, **options: Any) -> str:
        """Write the annotated image and return the file's name.

        Args:
            filename: its suffix decides the format; default: `results_`, the name of the image, and for
                videos the number of the frame.
            options: those of `drawing.annotate`.

        Raises:
            InputError: the folder does not exist or cannot be written, or the format is unknown.
        """
        own = Path(self.path)
        suffix = own.suffix if cv2.haveImageWriter(own.name) else ".jpg"
        frame = "" if self.fps is None else f"_{self.frame}"
        target = Path(filename or f"results_{own.stem}{frame}{suffix}")
        write_image(target, self.plot(**options))
        return str(target)

    def save_txt(self, txt_file: str | Path, save_conf: bool = False) -> str:
        """Append the objects to a label file of a YOLO dataset, as Ultralytics does, and return its name.

        Nothing is written where nothing was found, nor for maps.

        Args:
            txt_file: made with its folders where it is missing.
            save_conf: add the scores.

        Raises:
            InputError: it cannot be written.
        """
        append_lines(Path(txt_file), yolo_lines(self, save_conf))
        return str(txt_file)

    def save_crop(self, save_dir: str | Path, file_name: str | Path = "im.jpg") -> list[Path]:
        """Write each object to a JPEG file `save_dir/CLASS/file_name`, as Ultralytics does.

        Args:
            save_dir: made where it is missing.
            file_name: numbers are added where there is such a file; its suffix becomes .jpg.

        Returns:
            the files, in the order of the objects.

        Raises:
            InputError: one of them cannot be written.
        """
        return save_crops(self, Path(save_dir), Path(file_name).stem)

    def show(self, **options: Any) -> None:
        """Show the annotated image in the notebook, or in the program that the system opens images with.

        Args:
            options: those of `drawing.annotate`.

        Raises:
            InputError: there is no display.
        """
        show_image(self.plot(**options))

    def to_df(self, normalize: bool = False, decimals: int = 5) -> Any:
        """`summary` as a table of polars, or of pandas where polars is not installed.

        Raises:
            InputError: neither is installed.
        """
        for package in ("polars", "pandas"):
            with suppress(ImportError):
                return import_module(package).DataFrame(self.summary(normalize, decimals))
        raise InputError("to_df needs polars or pandas: pip install polars")

    @property
    def _objects(self) -> Boxes | OBB | None:
        """The view that holds the objects, None for a classification or a map."""
        return self.obb if self.boxes is None else self.boxes

    def _shares(self) -> list[tuple[int, float]]:
        """The classes in the semantic mask that have a name, by id, and their shares of all pixels.

        Id 0 of a mask with one class is the background, and 1 is that class.
        """
        assert self.semantic_mask is not None
        shift = int(len(self.names) == 1)
        shares = self.semantic_mask.shares.items()
        return [(i - shift, share) for i, share in shares if i - shift in self.names]

    def class_name(self, class_id: int) -> str:
        """The name of a class, or `class N`: end-to-end models can give ids beyond the names of a caller."""
        return class_name(self.names, class_id)

    def _item(self, class_id: Any, confidence: Any, decimals: int) -> dict[str, Any]:
        class_id = int(class_id)
        return {
            "name": self.class_name(class_id),
            "class": class_id,
            "confidence": round(float(confidence), decimals),
        }


def counted(number: int, noun: str) -> str:
    """Such as "1 bus", "2 buses"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith(('s', 'x', 'z', 'ch', 'sh')) else 's'}"


def _rounded(values: Float, decimals: int) -> list[float]:
    rounded: list[float] = np.round(values.astype(np.float64), decimals).tolist()
    return rounded


def _columns(points: Float, decimals: int) -> dict[str, list[float]]:
    return {"x": _rounded(points[:, 0], decimals), "y": _rounded(points[:, 1], decimals)}
