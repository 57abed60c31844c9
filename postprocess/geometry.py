"""The mapping between the pixels of an image and those of the input tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .types import Float, Size


@dataclass(frozen=True, slots=True)
class Geometry:
    """An image of size `original`, resized to `resized` and placed at `pad` in a tensor of size `tensor`.

    All tasks share one forward and one inverse mapping. Each axis has its own scale, because each side of
    the resized image is rounded separately: with one common scale, results would be off by up to half a
    tensor pixel along the shorter side.

    Attributes:
        original: size of the upright image.
        tensor: size of the input tensor.
        resized: size of the image inside the tensor.
        pad: (left, top) offset of the image inside the tensor, in pixels; negative where it is cropped.
        origin: (left, top) of the image in a larger one that it is a slice of. Results are clipped to the
            slice, and in pixels of the larger image.
    """

    original: Size
    tensor: Size
    resized: Size
    pad: tuple[int, int]
    origin: tuple[int, int] = (0, 0)

    @classmethod
    def letterbox(cls, original: Size, tensor: Size) -> Geometry:
        """The largest size of the same aspect ratio inside the tensor, centred; small images are enlarged.

        An odd pixel of padding is on the right or at the bottom, as in Ultralytics' LetterBox.
        """
        resized = _fitted(original, tensor)
        return cls(original, tensor, resized, _centred(resized, tensor))

    @classmethod
    def rectangle(cls, original: Size, limit: Size, stride: int) -> Geometry:
        """Like `letterbox`, in a tensor whose sides are only rounded up to a multiple of the stride.

        This is what Ultralytics does for models with dynamic axes.

        A deliberate difference: the boxes of Ultralytics are inaccurate where the shorter side of the
        resized image is rounded down to an exact multiple of the stride (about one size in 150). There is no
        padding then, and `scale_boxes`, which derives the gain anew from the two sizes, finds a smaller
        one than the letterbox used. An image of 4504x6000 (height x width) at 640 is resized to 480x640,
        but its boxes are scaled back from 480x639: they are up to 9 image pixels off. Here, every point is
        divided by the factors that the image was resized with.

        Args:
            original: size of the image.
            limit: the largest tensor, multiples of the stride.
            stride: of the model, in pixels.
        """
        resized = _fitted(original, limit)
        tensor = Size(*(r + (full - r) % stride for r, full in zip(resized, limit, strict=True)))
        return cls(original, tensor, resized, _centred(resized, tensor))

    @classmethod
    def stretch(cls, original: Size, tensor: Size) -> Geometry:
        """The whole image resized to the tensor, without keeping its aspect ratio: RT-DETR and depth models
        are run so."""
        return cls(original, tensor, tensor, (0, 0))

    @classmethod
    def centre_crop(cls, original: Size, tensor: Size) -> Geometry:
        """The geometry of classification: shorter side resized to the tensor, then the centre cropped.

        For a tensor that is not square, the whole image is resized to it, as Ultralytics does.
        """
        side = tensor.height
        if side != tensor.width:
            return cls(original, tensor, tensor, (0, 0))
        short, long = sorted(original)
        longer = int(side * long / short)
        resized = Size(longer, side) if original.height > original.width else Size(side, longer)
        pad = -round((resized.width - side) / 2), -round((resized.height - side) / 2)
        return cls(original, tensor, resized, pad)

    @property
    def scale(self) -> tuple[float, float]:
        """Tensor pixels for each image pixel, in x and y."""
        return self.resized.width / self.original.width, self.resized.height / self.original.height

    def forward(self, points: Float) -> Float:
        """(..., 2) x, y in image pixels to tensor pixels."""
        own = points - np.array(self.origin, np.float32)
        own *= np.array(self.scale, np.float32)
        own += np.array(self.pad, np.float32)
        return own

    def inverse(self, points: Float, clip: bool = True) -> Float:
        """(..., 2) x, y in tensor pixels to image pixels, clipped to [0, width] and [0, height]."""
        result = points - np.array(self.pad, np.float32)
        result /= np.array(self.scale, np.float32)
        if clip:
            height, width = self.original
            np.clip(result, 0, np.array((width, height), np.float32), out=result)
        if self.origin != (0, 0):
            result += np.array(self.origin, np.float32)
        return result

    def inverse_boxes(self, boxes: Float) -> Float:
        """(N, 4) x1, y1, x2, y2 in tensor pixels to image pixels, clipped to the image."""
        return self.inverse(boxes.reshape(-1, 2, 2)).reshape(-1, 4)

    def inverse_rotated(self, boxes: Float) -> Float:
        """(N, 5) cx, cy, w, h, angle in tensor pixels to image pixels; not clipped, the angle unchanged."""
        result = boxes.copy()
        result[:, :2] = self.inverse(boxes[:, :2], clip=False)
        result[:, 2:4] /= np.array(self.scale, np.float32)
        return result


def _fitted(original: Size, tensor: Size) -> Size:
    """The largest size of the image's aspect ratio inside the tensor, each side at least one pixel."""
    ratio = min(tensor.height / original.height, tensor.width / original.width)
    return Size(max(round(original.height * ratio), 1), max(round(original.width * ratio), 1))


def _centred(resized: Size, tensor: Size) -> tuple[int, int]:
    """(left, top) padding; the 0.1 puts an odd pixel to the right or the bottom."""
    left = round((tensor.width - resized.width) / 2 - 0.1)
    return left, round((tensor.height - resized.height) / 2 - 0.1)
