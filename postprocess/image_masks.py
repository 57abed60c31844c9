"""Instance masks at the size of the image, from prototype masks: what Ultralytics calls retina masks."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .geometry import Geometry
from .masks import InstanceMasks, mask_logits, pixel_bounds
from .types import Bool, Float, Index, Mask, Size


def decode_image_masks(
    coefficients: Float, prototypes: Float, boxes: Float, geometry: Geometry
) -> tuple[InstanceMasks, Bool]:
    """The masks of N objects in pixels of the image.

    The letterbox padding is cut off the prototype-sized logits, which are enlarged for that where it does
    not end between two of their pixels; the rest is bilinearly resampled to the size of the image
    (half-pixel centres), as in Ultralytics. Only the pixels inside the boxes are computed.

    Args:
        coefficients: (N, C) float32.
        prototypes: (C, h, w) float32; height and width of the tensor are whole multiples of h and w.
        boxes: (N, 4) float32 x1, y1, x2, y2 in image pixels, clipped to the image.
        geometry: of the image in the tensor.

    Returns:
        the masks that are not empty, and (N,) whether each mask is one of them.
    """
    _, height, width = prototypes.shape
    image = geometry.original
    bounds = pixel_bounds(boxes - np.array(geometry.origin * 2, np.float32), image)
    factor = geometry.tensor.height // height
    shares = math.gcd(factor, *geometry.pad, *geometry.resized)
    zoom = factor // shares  # the least at which the padding ends between two pixels
    left, top = geometry.pad[0] // shares, geometry.pad[1] // shares
    rows, columns = geometry.resized.height // shares, geometry.resized.width // shares
    crops: list[Mask] = []
    for logits, box in zip(mask_logits(coefficients, prototypes), bounds, strict=True):
        if zoom > 1:
            size = (width * zoom, height * zoom)
            logits = cv2.resize(logits, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        crops.append(_resampled(logits[top : top + rows, left : left + columns], image, box))
    filled = np.array([bool(crop.any()) for crop in crops], np.bool_)
    kept = tuple(crop for crop, full in zip(crops, filled, strict=True) if full)
    whole = Geometry(image, image, image, (0, 0), geometry.origin)
    return InstanceMasks(kept, bounds[filled, :2], whole), filled


def _resampled(logits: Float, image: Size, box: Index) -> Mask:
    """Where logits (h, w), bilinearly resized to the size of the image, are above zero inside a box."""
    x1, y1, x2, y2 = box.tolist()
    if x2 <= x1 or y2 <= y1:
        return np.zeros((0, 0), np.uint8)
    near, far, share = _neighbours(y1, y2, logits.shape[0], image.height)
    first, last = near[0], far[-1] + 1
    part = logits[first:last]
    rows = part[near - first] * (1 - share)[:, None] + part[far - first] * share[:, None]
    near, far, share = _neighbours(x1, x2, logits.shape[1], image.width)
    inside: Bool = rows[:, near] * (1 - share) + rows[:, far] * share > 0
    return inside.view(np.uint8)


def _neighbours(start: int, stop: int, given: int, wanted: int) -> tuple[Index, Index, Float]:
    """For pixels `start` to `stop` of `wanted`: their two neighbours of `given`, and the second's share."""
    scale = np.float32(given / wanted)
    place = (np.arange(start, stop, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    place = np.maximum(place, 0)
    near = place.astype(np.intp)
    return near, np.minimum(near + 1, given - 1), (place - near).astype(np.float32)
