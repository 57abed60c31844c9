"""Views of one image's results: boxes, oriented boxes, keypoints, masks, probabilities."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...postprocess.boxes import xywhr_to_corners, xyxy_to_xywh
from ...postprocess.masks import Masks as BinaryMasks
from ...postprocess.types import Float, Int, Size


class Array(np.ndarray[Any, Any]):
    """A numpy array with the methods of torch tensors that code written for Ultralytics calls on results.

    `result.boxes.xyxy.cpu().numpy()` works, and supervision reads results from its version 0.27 on.
    """

    @classmethod
    def of(cls, array: NDArray[Any]) -> Self:
        """The same array as this class; nothing is copied."""
        return array.view(cls)

    def cpu(self) -> Self:
        """The same array: there is no other device."""
        return self

    def numpy(self) -> NDArray[Any]:
        """The same array as a plain `numpy.ndarray`."""
        return self.view(np.ndarray)

    def int(self) -> Self:
        """The values as whole numbers, such as `boxes.id.int()`."""
        return self.of(self.astype(np.int64))

    def numel(self) -> builtins.int:
        """Number of elements."""
        return self.size


class Arrays:
    """Methods of torch tensors that code written for Ultralytics calls; everything here is numpy already."""

    def cpu(self) -> Self:
        """The same object: there is no other device."""
        return self

    def numpy(self) -> Self:
        """The same object."""
        return self


class _View(Arrays):
    """Base of the views of N objects of one image, which can be indexed like an array."""

    orig_shape: Size

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Self:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))


def _rows(array: NDArray[Any], index: Any) -> NDArray[Any]:
    """Index the first axis, and keep it for a single integer."""
    if isinstance(index, (int, np.integer)):
        if not -len(array) <= index < len(array):
            raise IndexError(f"index {index} is out of range for {len(array)} objects")
        index = slice(index, index + 1 or None)
    rows: NDArray[Any] = array[index]
    return rows


class _Scored(_View):
    """N boxes, (N, 4) or (N, 5), with their scores and classes, and ids where they are tracked."""

    def __init__(self, boxes: Float, conf: Float, cls: Int, orig_shape: Size, ids: Int | None = None) -> None:
        self._boxes, self.conf, self.cls = Array.of(boxes), Array.of(conf), Array.of(cls)
        self.id = None if ids is None else Array.of(ids)
        self.orig_shape = orig_shape

    def __len__(self) -> int:
        return len(self._boxes)

    def __getitem__(self, index: Any) -> Self:
        boxes, conf, cls = (_rows(a, index) for a in (self._boxes, self.conf, self.cls))
        ids = None if self.id is None else _rows(self.id, index)
        return type(self)(boxes, conf, cls, self.orig_shape, ids)

    @property
    def is_track(self) -> bool:
        """Whether the objects have ids."""
        return self.id is not None

    @property
    def data(self) -> Array:
        """(N, 6) float32 x1, y1, x2, y2, conf, cls; for OBB (N, 7) cx, cy, w, h, angle, conf, cls.

        Where objects have ids, these stand before conf.
        """
        ids = () if self.id is None else (self.id,)
        return Array.of(np.column_stack((self._boxes, *ids, self.conf, self.cls)).astype(np.float32))


class Boxes(_Scored):
    """N axis-aligned boxes, score-descending.

    Attributes:
        conf: (N,) float32, 0 to 1.
        cls: (N,) int64 class ids.
        id: (N,) int64 ids of the tracks, from 1; None where nothing is tracked.
        orig_shape: (height, width) of the image.
    """

    @property
    def xyxy(self) -> Array:
        """(N, 4) x1, y1, x2, y2 in pixels, within [0, width] and [0, height]."""
        return self._boxes

    @property
    def xywh(self) -> Array:
        """(N, 4) centre x, centre y, width, height in pixels."""
        return Array.of(xyxy_to_xywh(self.xyxy))

    @property
    def xyxyn(self) -> Array:
        """`xyxy` divided by width and height: 0 to 1."""
        return Array.of(self.xyxy / sides(self.orig_shape, 2))

    @property
    def xywhn(self) -> Array:
        """`xywh` divided by width and height: 0 to 1."""
        return Array.of(self.xywh / sides(self.orig_shape, 2))


class OBB(_Scored):
    """N oriented boxes, score-descending; corners may lie outside the image.

    Attributes:
        conf: (N,) float32, 0 to 1.
        cls: (N,) int64 class ids.
        id: (N,) int64 ids of the tracks, from 1; None where nothing is tracked.
        orig_shape: (height, width) of the image.
    """

    @property
    def xywhr(self) -> Array:
        """(N, 5) centre x, centre y, width, height in pixels, and angle in radians as the model gives it.

        Angles are -pi/4 to 3/4 pi for all families but YOLO26, which does not bound them.
        """
        return self._boxes

    @cached_property
    def xyxyxyxy(self) -> Array:
        """(N, 4, 2) corners in pixels."""
        return Array.of(xywhr_to_corners(self.xywhr))

    @property
    def xyxyxyxyn(self) -> Array:
        """Corners divided by width and height."""
        return Array.of(self.xyxyxyxy / sides(self.orig_shape))

    @property
    def xyxy(self) -> Array:
        """(N, 4) x1, y1, x2, y2 of the axis-aligned boxes around the corners."""
        corners = self.xyxyxyxy
        return Array.of(np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1))


class Keypoints(_View):
    """N sets of K keypoints.

    Attributes:
        data: (N, K, D) float32: x, y in pixels, clipped to the image, and visibility when D is 3.
        orig_shape: (height, width) of the image.
    """

    def __init__(self, data: Float, orig_shape: Size) -> None:
        self.data, self.orig_shape = Array.of(data), orig_shape

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: Any) -> Self:
        return type(self)(_rows(self.data, index), self.orig_shape)

    @property
    def xy(self) -> Array:
        """(N, K, 2) x, y in pixels."""
        return Array.of(self.data[..., :2])

    @property
    def xyn(self) -> Array:
        """`xy` divided by width and height: 0 to 1."""
        return Array.of(self.xy / sides(self.orig_shape))

    @property
    def has_visible(self) -> bool:
        """Whether the model predicts the visibility of keypoints."""
        return bool(self.data.shape[-1] == 3)

    @property
    def conf(self) -> Array | None:
        """(N, K) visibility, 0 to 1, or None where the model does not predict it."""
        return Array.of(self.data[..., 2]) if self.has_visible else None


class Masks(_View):
    """N instance masks; dense masks and outlines are computed at their first use.

    Attributes:
        orig_shape: (height, width) of the image.
    """

    def __init__(self, masks: BinaryMasks, orig_shape: Size) -> None:
        self._masks, self.orig_shape = masks, orig_shape

    def __len__(self) -> int:
        return len(self._masks)

    def __getitem__(self, index: Any) -> Self:
        chosen = _rows(np.arange(len(self)), index)
        return type(self)(self._masks[chosen], self.orig_shape)

    @cached_property
    def data(self) -> Array:
        """(N, h, w) uint8 of 0 and 1 at the size of the input tensor, letterbox padding included.

        With `retina_masks` and with `tile`: at the size of the image.
        """
        return Array.of(self._masks.dense())

    @cached_property
    def parts(self) -> list[list[Float]]:
        """N lists, one for each mask, of the outer contours (P, 2) of its parts in image pixels, clipped."""
        return self._masks.parts()

    @cached_property
    def xy(self) -> list[Float]:
        """N outlines (P, 2) in image pixels, clipped to the image; the parts of a mask are joined."""
        return self._masks.outlines()

    @property
    def xyn(self) -> list[Float]:
        """`xy` divided by width and height: 0 to 1."""
        return [outline / sides(self.orig_shape) for outline in self.xy]


class Probs(Arrays):
    """Class probabilities of one image.

    Attributes:
        data: (classes,) float32, 0 to 1.
    """

    def __init__(self, data: Float) -> None:
        self.data = Array.of(data)

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
    def top5conf(self) -> Array:
        """Probabilities of `top5`."""
        return Array.of(self.data[self.top5])


def class_name(names: Mapping[int, str], class_id: int) -> str:
    """The name of a class, or `class N`: end-to-end models can give ids beyond the names of a caller."""
    return names.get(class_id, f"class {class_id}")


def sides(size: Size, repeat: int = 1) -> Float:
    """(width, height), repeated: what coordinates are divided by."""
    return np.array((size.width, size.height) * repeat, np.float32)
