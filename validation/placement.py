"""Where an image lies in the input tensor when Ultralytics validates, which is not where it predicts.

For prediction the image is resized once, its sides rounded to the nearest pixel. For validation the longer
side is first resized to the image size, the other rounded up; then it is letterboxed, and never enlarged.
Models with free height and width run on rectangles that a batch of images of similar shape shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..engine.images.decoding import Image
from ..engine.model.spec import ModelSpec
from ..postprocess.geometry import Geometry
from ..postprocess.types import Float, Size

RECTANGLE_MARGIN = 0.5
"""Strides that a rectangle is larger than the image, before it is rounded up; not for class maps."""


@dataclass(frozen=True, slots=True)
class Placement:
    """An image as a model is validated on it.

    Attributes:
        geometry: from the image that was resized first to the tensor.
        scale: tensor pixels for the whole width and height of the image.
    """

    geometry: Geometry
    scale: tuple[float, float]

    def forward(self, points: Float) -> Float:
        """(..., 2) shares of width and height to tensor pixels."""
        result: Float = points * np.array(self.scale, np.float32) + np.array(self.geometry.pad, np.float32)
        return result

    def inverse(self, points: Float, original: Size) -> Float:
        """(..., 2) tensor pixels to pixels of the image, clipped to it."""
        shares = (points - np.array(self.geometry.pad, np.float32)) / np.array(self.scale, np.float32)
        sides = np.array((original.width, original.height), np.float32)
        result: Float = np.clip(shares * sides, 0, sides)
        return result


def place(image: Image, limit: int, tensor: Size, spec: ModelSpec) -> tuple[Image, Placement]:
    """Resize an image as the first step of validation, and compute where it lies in a tensor.

    Args:
        image: (H, W, channels) uint8.
        limit: pixels of its longer side.
        tensor: size to run at.
        spec: of the model.

    Returns:
        the resized image, and its place.
    """
    if spec.layout.kind == "rtdetr":
        geometry = Geometry.stretch(Size.of(image), tensor)
        return image, Placement(geometry, (float(tensor.width), float(tensor.height)))
    image = long_side_to(image, limit)
    if spec.task == "depth":
        geometry = Geometry.stretch(Size.of(image), tensor)
        return image, Placement(geometry, (float(tensor.width), float(tensor.height)))
    return image, letterbox(Size.of(image), tensor)


def long_side_to(image: Image, limit: int) -> Image:
    """Resize an image so that its longer side is `limit` pixels; the other side is rounded up."""
    height, width = image.shape[:2]
    ratio = limit / max(height, width)
    if ratio == 1:
        return image
    size = min(math.ceil(width * ratio), limit), min(math.ceil(height * ratio), limit)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return resized if resized.ndim == 3 else resized[..., None]  # type: ignore[return-value]


def letterbox(image: Size, tensor: Size) -> Placement:
    """An image in the middle of a tensor, made smaller where it does not fit, never larger."""
    ratio = min(tensor.height / image.height, tensor.width / image.width, 1.0)
    resized = Size(max(round(image.height * ratio), 1), max(round(image.width * ratio), 1))
    pad = (
        round((tensor.width - resized.width) / 2 - 0.1),
        round((tensor.height - resized.height) / 2 - 0.1),
    )
    return Placement(Geometry(image, tensor, resized, pad), (image.width * ratio, image.height * ratio))


def rectangles(
    sizes: Sequence[Size], limit: int, stride: int, batch: int, margin: float = RECTANGLE_MARGIN
) -> tuple[list[int], list[Size]]:
    """The order of images by their aspect ratio, and the rectangle that each batch of them shares.

    Args:
        sizes: of the images.
        limit: pixels of the longer side.
        stride: of the model.
        batch: number of images that share a rectangle.
        margin: strides that it is larger.

    Returns:
        indices into `sizes`, and for each of them, in that order, the size of its tensor.
    """
    ratios = np.array([size.height / size.width for size in sizes])
    order = ratios.argsort()
    shapes: list[Size] = []
    for start in range(0, len(order), batch):
        part = ratios[order[start : start + batch]]
        low, high = float(part.min()), float(part.max())
        shares = (high, 1.0) if high < 1 else (1.0, 1 / low) if low > 1 else (1.0, 1.0)
        shape = Size(*(math.ceil(share * limit / stride + margin) * stride for share in shares))
        shapes += [shape] * len(part)
    return order.tolist(), shapes
