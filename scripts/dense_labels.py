"""Labels of every pixel for the demo models: which class it shows, and how far away it is.

Ultralytics reads both as PNG files beside the images: class ids as uint8 from `masks/`, millimetres as uint16
from `depth/`.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from .drawn_shapes import Floats, Image, Scene, Shape, draw

DIAMETER = 0.6  # metres of every shape, across the circle around it
GROUND = (12.0, 8.0)  # metres to the ground at the top and at the bottom edge
MILLIMETRES = 1000  # a metre in a depth file
# Width and height of the depth model's images: it stretches what it sees to a square, and so are these.
_SIZES = ((320, 320), (320, 240), (240, 320), (368, 208), (208, 368))


def class_map(shapes: list[Shape], names: tuple[str, ...], height: int, width: int) -> Image:
    """(height, width) uint8 class ids; the last of `names` is what no shape covers."""
    ids = np.full((height, width), len(names) - 1, np.uint8)
    for shape in shapes:
        ids[shape.mask] = names.index(shape.kind)
    return ids


def depth_map(shapes: list[Shape], height: int, width: int) -> Floats:
    """(height, width) float32 metres, as a camera whose focal length is the shorter side would see the scene.

    All shapes are of one size and face the camera: one that looks twice as large is half as far away. The
    ground is a plane that leans towards the camera at the bottom; the inverse depth of a plane is linear in
    the image's coordinates.
    """
    top, bottom = (1 / metres for metres in GROUND)
    down = (np.arange(height, dtype=np.float32) + 0.5) / height
    depth = np.repeat((1 / (top + (bottom - top) * down))[:, None], width, axis=1).astype(np.float32)
    for shape in shapes:
        _, radius = cv2.minEnclosingCircle(shape.outline)
        depth[shape.mask] = DIAMETER * min(height, width) / (2 * radius)
    return depth


def draw_depth_pair(seed: int, side: int) -> tuple[Image, npt.NDArray[np.uint16]]:
    """An image of one of several shapes and its depth in millimetres, both stretched to side x side."""
    width, height = _SIZES[seed % len(_SIZES)]
    image, shapes = draw(Scene(width, height), seed)
    depth = depth_map(shapes, height, width)
    stretched = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    nearest = cv2.resize(depth, (side, side), interpolation=cv2.INTER_NEAREST)
    return np.asarray(stretched, np.uint8), np.round(nearest * MILLIMETRES).astype(np.uint16)
