"""Where an image lies in the input tensor, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .types import Float, Size


@dataclass(frozen=True, slots=True)
class Geometry:
    """An image resized to `resized` and laid at `pad` into a tensor; all sizes are (height, width) pixels.

    One forward and one inverse serve every task, so that boxes, outlines, keypoints and rotated boxes
    can never disagree. Both axes have a scale of their own, because each side was rounded by itself:
    with one common scale, results are off by up to half a tensor pixel along the short side.

    Attributes:
        original: size of the image as it came, upright.
        tensor: size of the model's input.
        resized: size that the image has inside the tensor.
        pad: (left, top) offset of the image inside the tensor; negative where it was cropped.
    """

    original: Size
    tensor: Size
    resized: Size
    pad: tuple[int, int]

    @classmethod
    def letterbox(cls, original: Size, tensor: Size) -> Geometry:
        """Fit the image into the tensor, centred, keeping its aspect ratio; small images are enlarged.

        An odd pixel of padding goes to the right and the bottom, as in Ultralytics' LetterBox.
        """
        resized = _fitted(original, tensor)
        return cls(original, tensor, resized, _centred(resized, tensor))

    @classmethod
    def rectangle(cls, original: Size, limit: Size, stride: int) -> Geometry:
        """Like `letterbox`, with a tensor that pads each side only to the next multiple of `stride`.

        `limit` (multiples of the stride) is the largest tensor. This is what Ultralytics does for models
        with dynamic axes.
        """
        resized = _fitted(original, limit)
        tensor = Size(*(r + (full - r) % stride for r, full in zip(resized, limit, strict=True)))
        return cls(original, tensor, resized, _centred(resized, tensor))

    @classmethod
    def centre_crop(cls, original: Size, tensor: Size) -> Geometry:
        """The geometry of classification: short side resized to the tensor, then the centre cut out.

        A tensor that is not square takes the whole image, squeezed.
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
        """(x, y) tensor pixels for one image pixel."""
        return self.resized.width / self.original.width, self.resized.height / self.original.height

    def forward(self, points: Float) -> Float:
        """Image pixels to tensor pixels; `points` is (..., 2) in x, y order."""
        return points * np.array(self.scale, np.float32) + np.array(self.pad, np.float32)

    def inverse(self, points: Float, clip: bool = True) -> Float:
        """Tensor pixels to image pixels, (..., 2) in x, y order; clipped to [0, width] and [0, height]."""
        result = points - np.array(self.pad, np.float32)
        result /= np.array(self.scale, np.float32)
        if clip:
            height, width = self.original
            np.clip(result, 0, np.array((width, height), np.float32), out=result)
        return result

    def inverse_boxes(self, boxes: Float) -> Float:
        """(N, 4) x1, y1, x2, y2 in tensor pixels to image pixels, clipped to the image."""
        return self.inverse(boxes.reshape(-1, 2, 2)).reshape(-1, 4)

    def inverse_rotated(self, boxes: Float) -> Float:
        """(N, 5) cx, cy, w, h, angle in tensor pixels to image pixels; never clipped, angle untouched."""
        result = boxes.copy()
        result[:, :2] = self.inverse(boxes[:, :2], clip=False)
        result[:, 2:4] /= np.array(self.scale, np.float32)
        return result


def _fitted(original: Size, tensor: Size) -> Size:
    """The largest size of the image's aspect ratio within the tensor, at least one pixel a side."""
    ratio = min(tensor.height / original.height, tensor.width / original.width)
    return Size(max(round(original.height * ratio), 1), max(round(original.width * ratio), 1))


def _centred(resized: Size, tensor: Size) -> tuple[int, int]:
    """(left, top) padding; the 0.1 sends an odd pixel to the right and the bottom."""
    left = round((tensor.width - resized.width) / 2 - 0.1)
    return left, round((tensor.height - resized.height) / 2 - 0.1)
