"""What users hold: `Results` of one image and its views, named as Ultralytics' users know them, in numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from ..postprocess.boxes import xywhr_to_corners, xyxy_to_xywh
from ..postprocess.detections import Detections, Int
from ..postprocess.geometry import Float
from ..postprocess.layout import Task
from ..postprocess.masks import InstanceMasks
from .errors import InputError
from .sources import Frame

Size = tuple[int, int]


class _View:
    """Common to the views: they hold N objects of one image and can be indexed like an array."""

    orig_shape: Size

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Self:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def cpu(self) -> Self:
        """The same object: kept so that code written for torch tensors goes on working."""
        return self

    def numpy(self) -> Self:
        """The same object: everything here is numpy already."""
        return self


def _rows(array: NDArray[Any], index: Any) -> NDArray[Any]:
    """Index the first axis and keep it, also for a single integer."""
    if isinstance(index, (int, np.integer)):
        if not -len(array) <= index < len(array):
            raise IndexError(f"index {index} is out of range for {len(array)} objects")
        index = slice(index, index + 1 or None)
    rows: NDArray[Any] = array[index]
    return rows


class Boxes(_View):
    """N axis-aligned boxes, score-descending.

    Attributes:
        xyxy: (N, 4) float32 x1, y1, x2, y2 in pixels, within [0, width] and [0, height].
        conf: (N,) float32, 0 to 1.
        cls: (N,) int64 class ids.
        orig_shape: (height, width) of the image.
    """

    id = None
    is_track = False

    def __init__(self, xyxy: Float, conf: Float, cls: Int, orig_shape: Size) -> None:
        self.xyxy, self.conf, self.cls, self.orig_shape = xyxy, conf, cls, orig_shape

    def __len__(self) -> int:
        return len(self.xyxy)

    def __getitem__(self, index: Any) -> Self:
        xyxy, conf, cls = (_rows(a, index) for a in (self.xyxy, self.conf, self.cls))
        return type(self)(xyxy, conf, cls, self.orig_shape)

    @property
    def xywh(self) -> Float:
        """(N, 4) centre x, centre y, width, height in pixels."""
        return xyxy_to_xywh(self.xyxy)

    @property
    def xyxyn(self) -> Float:
        """`xyxy` divided by width and height: 0 to 1."""
        return self.xyxy / _sides(self.orig_shape, 2)

    @property
    def xywhn(self) -> Float:
        """`xywh` divided by width and height: 0 to 1."""
        return self.xywh / _sides(self.orig_shape, 2)

    @property
    def data(self) -> Float:
        """(N, 6) float32: x1, y1, x2, y2, conf, cls."""
        return np.column_stack((self.xyxy, self.conf, self.cls)).astype(np.float32)


class OBB(_View):
    """N oriented boxes, score-descending; corners may lie outside the image.

    Attributes:
        xywhr: (N, 5) float32 centre x, centre y, width, height in pixels, and rotation in radians as
            the model gives it (-pi/4 to 3pi/4 for most families).
        conf: (N,) float32, 0 to 1.
        cls: (N,) int64 class ids.
        orig_shape: (height, width) of the image.
    """

    id = None
    is_track = False

    def __init__(self, xywhr: Float, conf: Float, cls: Int, orig_shape: Size) -> None:
        self.xywhr, self.conf, self.cls, self.orig_shape = xywhr, conf, cls, orig_shape

    def __len__(self) -> int:
        return len(self.xywhr)

    def __getitem__(self, index: Any) -> Self:
        xywhr, conf, cls = (_rows(a, index) for a in (self.xywhr, self.conf, self.cls))
        return type(self)(xywhr, conf, cls, self.orig_shape)

    @cached_property
    def xyxyxyxy(self) -> Float:
        """(N, 4, 2) corners in pixels."""
        return xywhr_to_corners(self.xywhr)

    @property
    def xyxyxyxyn(self) -> Float:
        """Corners divided by width and height."""
        return self.xyxyxyxy / _sides(self.orig_shape)

    @property
    def xyxy(self) -> Float:
        """(N, 4) the axis-aligned boxes around the corners."""
        corners = self.xyxyxyxy
        return np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)

    @property
    def data(self) -> Float:
        """(N, 7) float32: cx, cy, w, h, rotation, conf, cls."""
        return np.column_stack((self.xywhr, self.conf, self.cls)).astype(np.float32)


class Keypoints(_View):
    """N sets of K keypoints.

    Attributes:
        data: (N, K, D) float32: x, y in pixels, clipped to the image, and visibility when D is 3.
        orig_shape: (height, width) of the image.
    """

    def __init__(self, data: Float, orig_shape: Size) -> None:
        self.data, self.orig_shape = data, orig_shape

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Self:
        return type(self)(_rows(self.data, index), self.orig_shape)

    @property
    def xy(self) -> Float:
        """(N, K, 2) x, y in pixels."""
        return self.data[..., :2]

    @property
    def xyn(self) -> Float:
        """`xy` divided by width and height: 0 to 1."""
        return self.xy / _sides(self.orig_shape)

    @property
    def has_visible(self) -> bool:
        """Whether the model tells each point's visibility."""
        return bool(self.data.shape[-1] == 3)

    @property
    def conf(self) -> Float | None:
        """(N, K) visibility, 0 to 1, or None where the model does not tell it."""
        return self.data[..., 2] if self.has_visible else None


class Masks(_View):
    """N instance masks; full masks and outlines are made when they are first asked for.

    Attributes:
        orig_shape: (height, width) of the image.
    """

    def __init__(self, masks: InstanceMasks, orig_shape: Size) -> None:
        self._masks, self.orig_shape = masks, orig_shape

    def __len__(self) -> int:
        return len(self._masks.crops)

    def __getitem__(self, index: Any) -> Self:
        chosen = _rows(np.arange(len(self)), index)
        crops = tuple(self._masks.crops[i] for i in chosen)
        return type(self)(
            InstanceMasks(crops, self._masks.corners[chosen], self._masks.geometry), self.orig_shape
        )

    @cached_property
    def data(self) -> NDArray[np.uint8]:
        """(N, h, w) of 0 and 1 at the size of the model's input, letterbox padding included."""
        return self._masks.dense()

    @cached_property
    def xy(self) -> list[Float]:
        """N outlines (P, 2) in pixels of the image, clipped to it; parts of a mask are joined."""
        return self._masks.outlines()

    @property
    def xyn(self) -> list[Float]:
        """`xy` divided by width and height: 0 to 1."""
        return [outline / _sides(self.orig_shape) for outline in self.xy]


class Probs:
    """Class probabilities of one image.

    Attributes:
        data: (classes,) float32, 0 to 1.
    """

    def __init__(self, data: Float) -> None:
        self.data = data

    @property
    def top1(self) -> int:
        """The most probable class."""
        return int(self.data.argmax())

    @property
    def top5(self) -> list[int]:
        """The five most probable classes, or all if there are fewer, best first."""
        best: list[int] = np.argsort(-self.data, kind="stable")[:5].tolist()
        return best

    @property
    def top1conf(self) -> float:
        """Probability of `top1`."""
        return float(self.data[self.top1])

    @property
    def top5conf(self) -> Float:
        """Probabilities of `top5`."""
        return self.data[self.top5]


class Results:
    """What a model found in one image.

    The view that belongs to the task is set, the others are None: `boxes` for detect, segment and pose,
    with `masks` or `keypoints` beside it; `obb`; `probs`.

    Attributes:
        orig_img: (height, width, 3) uint8 BGR, upright.
        orig_shape: (height, width).
        path: the file, or the name that an array was given.
        names: class names by id.
        task: `detect`, `segment`, `pose`, `obb` or `classify`.
        speed: milliseconds of `decode`, `preprocess`, `inference` and `postprocess` for this image.
        tensor_shape: (height, width) that the model saw.
        frame: number within its video or stream, from 0; 0 for a picture.
        fps: frames a second of its video or stream, None for a picture.
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
        self.orig_shape: Size = (source.image.shape[0], source.image.shape[1])
        self.names, self.task, self.speed, self.tensor_shape = names, task, speed, tensor_shape
        shape, oriented = self.orig_shape, task == "obb"
        parts = (found.boxes, found.scores, found.classes, shape)
        self.boxes = None if oriented or task == "classify" else Boxes(*parts)
        self.obb = OBB(*parts) if oriented else None
        self.masks = None if found.masks is None else Masks(found.masks, shape)
        self.keypoints = None if found.keypoints is None else Keypoints(found.keypoints, shape)
        self.probs = None if found.probs is None else Probs(found.probs)

    def __len__(self) -> int:
        """Number of objects; 1 for a classification."""
        objects = self.obb if self.boxes is None else self.boxes
        return 1 if objects is None else len(objects)

    def __repr__(self) -> str:
        return f"<Results {self.task} {self.path}: {self.verbose()}>"

    def cpu(self) -> Self:
        """The same object: kept so that code written for torch tensors goes on working."""
        return self

    def numpy(self) -> Self:
        """The same object: everything here is numpy already."""
        return self

    def verbose(self) -> str:
        """What was found, in one line: "4 persons, 1 bus", or the classes of a classification."""
        if self.probs is not None:
            pairs = zip(self.probs.top5, self.probs.top5conf, strict=True)
            return ", ".join(f"{self.names[i]} {conf:.2f}" for i, conf in pairs)
        objects = self.boxes if self.boxes is not None else self.obb
        if objects is None or not len(objects):
            return "nothing found"
        ids, counts = np.unique(objects.cls, return_counts=True)
        return ", ".join(
            f"{n} {self.names[int(i)]}{'s' if n > 1 else ''}" for i, n in zip(ids, counts, strict=True)
        )

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """The objects as plain Python values, ready for JSON.

        Args:
            normalize: coordinates from 0 to 1 instead of pixels.
            decimals: all numbers are rounded to so many.

        Returns:
            a dict an object: `name`, `class`, `confidence`, then `box` {x1, y1, x2, y2} (to x4, y4 for
            OBB), and `segments` {x, y} or `keypoints` {x, y, visible} by task. A classification gives
            its five best classes.
        """
        if self.probs is not None:
            pairs = zip(self.probs.top5, self.probs.top5conf, strict=True)
            return [self._item(i, conf, decimals) for i, conf in pairs]
        scale = _sides(self.orig_shape) if normalize else np.ones(2, np.float32)
        objects = self.boxes if self.boxes is not None else self.obb
        if objects is None:
            return []
        corners = objects.xyxyxyxy if isinstance(objects, OBB) else objects.xyxy.reshape(-1, 2, 2)
        items = []
        for row, points in enumerate(corners / scale):
            item = self._item(objects.cls[row], objects.conf[row], decimals)
            keys = [f"{axis}{n + 1}" for n in range(len(points)) for axis in "xy"]
            item["box"] = dict(zip(keys, _rounded(points.ravel(), decimals), strict=True))
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

    def plot(self, **options: Any) -> NDArray[np.uint8]:
        """The image with what was found drawn onto it, (height, width, 3) uint8 BGR; see `draw.annotate`."""
        from .draw import annotate

        return annotate(self, **options)

    def save(self, filename: str | Path | None = None, **options: Any) -> str:
        """Write the annotated image and return the file's name.

        Args:
            filename: its suffix decides the format; default: `results_` and the image's own name.
            options: those of `plot`.

        Raises:
            InputError: the folder does not exist or cannot be written, or the format is unknown.
        """
        own = Path(self.path)
        suffix = own.suffix if cv2.haveImageWriter(own.name) else ".jpg"
        target = Path(filename or f"results_{own.stem}{suffix}")
        write_image(target, self.plot(**options))
        return str(target)

    def _item(self, class_id: Any, confidence: Any, decimals: int) -> dict[str, Any]:
        class_id = int(class_id)
        return {
            "name": self.names[class_id],
            "class": class_id,
            "confidence": round(float(confidence), decimals),
        }


def write_image(target: Path, image: NDArray[np.uint8]) -> None:
    """Write a picture in the format of its suffix.

    Raises:
        InputError: it cannot be written there, or OpenCV does not write that format.
    """
    if not target.suffix or not cv2.haveImageWriter(target.name):
        raise InputError(f"cannot write {target}: expected a picture's suffix such as .jpg or .png")
    # Not cv2.imwrite: it fails on non-ASCII names on Windows, and never tells why.
    _, data = cv2.imencode(target.suffix, image)
    try:
        target.write_bytes(data.tobytes())
    except OSError as exc:
        raise InputError(f"cannot write {target}: {exc.strerror or exc}") from exc


def _sides(shape: Size, repeat: int = 1) -> Float:
    """Width, height, as often as asked."""
    return np.array((shape[1], shape[0]) * repeat, np.float32)


def _rounded(values: Float, decimals: int) -> list[float]:
    rounded: list[float] = np.round(values.astype(np.float64), decimals).tolist()
    return rounded


def _columns(points: Float, decimals: int) -> dict[str, list[float]]:
    return {"x": _rounded(points[:, 0], decimals), "y": _rounded(points[:, 1], decimals)}
