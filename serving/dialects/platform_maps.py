"""Dense maps as Ultralytics Platform answers them: greyscale PNG images in base64."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

import cv2
import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from ...engine.results.dense_views import DepthMap, SemanticMask
from ..schemas import Pair

Bits = Literal[8, 12, 16]

_LEVELS: dict[int, int] = {8: 255, 12: 4095, 16: 65535}
"""The steps that a depth is rounded to, from 0 to the greatest depth."""


class PlatformMask(msgspec.Struct, kw_only=True):
    """The class of each pixel of the upright image."""

    shape: Annotated[Pair, Meta(description="Height and width.")]
    encoding: Literal["png"] = "png"
    data: Annotated[str, Meta(description="PNG in base64, 8 bits a pixel, or 16 from 257 classes on.")]


class PlatformDepth(msgspec.Struct, kw_only=True):
    """The depth of each pixel of the model's input, metres: pixel * max / 255, or / 65535 from 12 bits on."""

    shape: Annotated[Pair, Meta(description="Height and width.")]
    encoding: Literal["png"] = "png"
    data: Annotated[str, Meta(description="PNG in base64, 8 bits a pixel, or 16; 0 where there is no depth.")]
    min: Annotated[float, Meta(description="The least depth, metres.")]
    max: Annotated[float, Meta(description="The greatest depth, metres.")]
    bits: Bits


def semantic_mask(mask: SemanticMask) -> PlatformMask:
    """The item of a semantic mask, at the size of the image."""
    ids = mask.data.numpy()
    pixels = ids if ids.dtype == np.uint8 else ids.astype(np.uint16)
    return PlatformMask(shape=mask.shape, data=_png(pixels))


def depth_map(depth: DepthMap, bits: Bits) -> PlatformDepth:
    """The item of a depth map, at the size of the model's input.

    A pixel with a depth is at least 1, because 0 says that there is none.
    """
    metres = depth.at_input.numpy()
    is_valid = metres > 0
    low, high = float(metres.min(initial=np.inf, where=is_valid)), float(metres.max(initial=0))
    if high <= 0:
        low = 0.0
    levels, dtype = _LEVELS[bits], np.uint8 if bits == 8 else np.uint16
    steps = np.rint(metres * (levels / high if high > 0 else 0.0))
    np.maximum(steps, 1, out=steps, where=is_valid)
    steps[~is_valid] = 0
    if bits == 12:  # the same scale as 16 bits, in coarser steps
        steps = np.rint(steps * (_LEVELS[16] / levels))
    return PlatformDepth(
        shape=metres.shape, data=_png(steps.astype(dtype)), min=low, max=max(high, 0.0), bits=bits
    )


def _png(pixels: NDArray[Any]) -> str:
    """A lossless image of (h, w) uint8 or uint16, as text."""
    _, encoded = cv2.imencode(".png", pixels)
    return base64.b64encode(encoded.tobytes()).decode("ascii")
