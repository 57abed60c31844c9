"""From an image to the model's input tensor: letterbox or centre crop, colour order, range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...postprocess.geometry import Geometry
from ...postprocess.types import Float, Size
from ..errors import InputError, is_whole
from ..model.metadata import MAX_SIDE
from ..model.spec import ModelSpec
from .decoding import Image
from .resampling import resample

_GREY = 114  # of the padding, 0 to 255


def check_size(imgsz: int | tuple[int, int] | None, spec: ModelSpec) -> Size:
    """The size to run a model at; for models with free axes, the largest that a tensor may have.

    Args:
        imgsz: one number for both sides, (height, width), or None for the model's own. Rounded up to
            a multiple of the stride where the model leaves it free.
        spec: of the model.

    Raises:
        InputError: `imgsz` is no size, or not the one of a static export.
    """
    if imgsz is None:
        return spec.imgsz
    sides = tuple(imgsz) if isinstance(imgsz, (tuple, list)) else (imgsz, imgsz)
    if len(sides) != 2 or not all(is_whole(s) and 1 <= s <= MAX_SIDE for s in sides):
        raise InputError(f"imgsz={imgsz!r}: expected a whole number to {MAX_SIDE}, or (height, width)")
    if spec.dynamic:
        return Size(*(-(-side // spec.stride) * spec.stride for side in sides))
    if sides != spec.imgsz:
        raise InputError(
            f"imgsz={imgsz!r}: this is a static export that runs at {spec.imgsz[0]}x{spec.imgsz[1]} only "
            "(height x width); leave imgsz out, or export with dynamic axes"
        )
    return spec.imgsz


def place(original: Size, size: Size, spec: ModelSpec) -> Geometry:
    """The geometry of an image of size `original` in a tensor for `size`.

    Tensors of static exports have the whole size; those of dynamic exports only as much as the image needs,
    rounded up to the stride.
    """
    if spec.task == "classify":
        return Geometry.centre_crop(original, size)
    if spec.layout.kind == "rtdetr" or spec.task == "depth":
        return Geometry.stretch(original, size)
    if spec.dynamic:
        return Geometry.rectangle(original, size, spec.stride)
    return Geometry.letterbox(original, size)


class InputTensor:
    """An input tensor that is used for many batches: a new one costs page faults, 1 ms for 5 MB.

    Attributes:
        array: (batch, channels, height, width) float32, float16 or uint8.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        """Allocate.

        Args:
            shape: (batch, channels, height, width).
            dtype: `float32`, `float16` or `uint8`.
        """
        self.array = np.zeros(shape, dtype)
        self._grey = _GREY if dtype == "uint8" else np.float32(_GREY) / np.float32(255)
        self._padded: list[tuple[Size, tuple[int, int]] | None] = [None] * shape[0]

    def write(self, images: Sequence[tuple[Image | Float, Geometry]], spec: ModelSpec) -> None:
        """Fill the first rows with images; the others keep what an earlier batch wrote there.

        Args:
            images: (h, w, channels) uint8, BGR when there are three; or (channels, height, width) float32,
                RGB from 0 to 1, which is taken as it is. Each has its geometry from `place`.
            spec: of the model.
        """
        for row, (image, geometry) in enumerate(images):
            # The frames of a video and the slices of an image have the same padding: writing it again is a
            # quarter of all writing.
            inside = geometry.resized, geometry.pad
            if self._padded[row] != inside:
                self.array[row] = self._grey
                self._padded[row] = inside
            if image.dtype == np.uint8:
                fill(image, geometry, spec, self.array[row])  # type: ignore[arg-type]
            elif self.array.dtype == np.uint8:
                np.rint(image * np.float32(255), out=self.array[row], casting="unsafe")
            else:
                self.array[row] = image


class TensorPool:
    """Input tensors that wait for their next batch, by shape; threads may share it.

    Args:
        dtype: of the tensors: `float32`, `float16` or `uint8`.
    """

    _MAX_SHAPES = 8  # a few shapes recur; keeping all would grow with every new one

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        # Lists are taken from and added to by single operations, which are atomic.
        self._free: dict[tuple[int, ...], list[InputTensor]] = {}

    def take(self, shape: tuple[int, ...]) -> InputTensor:
        """A tensor (batch, channels, height, width) that nobody else uses."""
        try:
            return self._free[shape].pop()
        except (KeyError, IndexError):
            return InputTensor(shape, self._dtype)

    def give_back(self, tensor: InputTensor) -> None:
        """Allow the next `take` of this shape to use a tensor again."""
        shape = tensor.array.shape
        if len(self._free) >= self._MAX_SHAPES and shape not in self._free:
            self._free.clear()
        self._free.setdefault(shape, []).append(tensor)


def fill(image: Image, geometry: Geometry, spec: ModelSpec, out: NDArray[Any]) -> None:
    """Write an image into its row of the input tensor; the padding is not touched.

    Args:
        image: (h, w, channels) uint8, BGR when there are three.
        geometry: from `place`, for this image.
        out: (channels, height, width): RGB, 0 to 1 as float32 or float16, or 0 to 255 as uint8.
    """
    if spec.task == "classify":
        left, top = geometry.pad
        resampled = resample(
            image, geometry.resized, (-left, -top, geometry.tensor.width, geometry.tensor.height)
        )
        if spec.channels == 3:
            resampled = resampled[::-1]
        _write(resampled, out)
        return
    height, width = geometry.resized
    left, top = geometry.pad
    if image.shape[:2] != (height, width):
        image = _resized(image, width, height)
    targets = out[::-1] if spec.channels == 3 else out
    for plane, target in zip(cv2.split(image), targets, strict=True):
        _write(plane, target[top : top + height, left : left + width])


def _write(values: NDArray[Any], out: NDArray[Any]) -> None:
    """Write values of 0 to 255 in the range of the dtype of `out`."""
    if out.dtype == np.uint8:
        out[...] = values
    else:
        np.divide(values, np.float32(255), out=out, casting="same_kind", dtype=np.float32)


def _resized(image: Image, width: int, height: int) -> Image:
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return resized if resized.ndim == 3 else resized[..., None]  # type: ignore[return-value]
