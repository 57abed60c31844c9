"""Cuts the objects of a result out of its image, as Ultralytics does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ...postprocess.types import Float, Size
from ..errors import InputError
from ..images.decoding import Image
from .drawing import Annotatable
from .views import class_name

_GAIN, _MARGIN = np.float32(1.02), np.float32(10)  # of width and height, in pixels


def crops(result: Annotatable) -> Iterator[tuple[str, Image]]:
    """The name of the class of each object, and its part of the image: a box and a margin of 5 pixels.

    Oriented boxes are turned upright, without a margin; what lies outside the image is black.
    """
    image = result.orig_img
    if result.obb is not None:
        for class_id, corners in zip(result.obb.cls, result.obb.xyxyxyxy, strict=True):
            yield class_name(result.names, int(class_id)), _upright(image, corners)
    elif result.boxes is not None:
        limit = Size.of(image)
        for class_id, box in zip(result.boxes.cls, result.boxes.xyxy, strict=True):
            centre, half = (box[:2] + box[2:]) / 2, ((box[2:] - box[:2]) * _GAIN + _MARGIN) / 2
            edges = np.concatenate((centre - half, centre + half)).astype(np.int64)
            x1, y1, x2, y2 = np.clip(edges, 0, (limit.width, limit.height) * 2).tolist()
            yield class_name(result.names, int(class_id)), image[y1:y2, x1:x2]


def save_crops(result: Annotatable, folder: Path, stem: str) -> list[Path]:
    """Write each crop to folder/class/stem.jpg; where there is one, to stem-2.jpg, stem-3.jpg and so on.

    Raises:
        InputError: the folder cannot be written.
    """
    written = []
    for name, image in crops(result):
        # Names of classes come from the model file: one must not lead out of the folder.
        own = folder / (re.sub(r'[\\/:*?"<>|\x00-\x1f]', "_", name).strip(". ") or "_")
        target, number = own / f"{stem}.jpg", 1
        while target.exists():
            number += 1
            target = own / f"{stem}-{number}.jpg"
        if not image.size:
            continue
        # As Ultralytics writes them: no chroma subsampling.
        quality = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111)
        try:
            _, data = cv2.imencode(".jpg", image, quality)
            own.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data.tobytes())
        except (OSError, cv2.error) as exc:
            raise InputError(f"cannot write {target}: {getattr(exc, 'strerror', None) or exc}") from exc
        written.append(target)
    return written


def _upright(image: Image, corners: Float) -> Image:
    """The content of a rotated box (4, 2), turned so that its first corner is the lower right one."""
    width = max(round(float(np.linalg.norm(corners[0] - corners[3]))), 1)
    height = max(round(float(np.linalg.norm(corners[0] - corners[1]))), 1)
    upright = np.array([[width, height], [width, 0], [0, 0]], np.float32)
    matrix = cv2.getAffineTransform(np.ascontiguousarray(corners[:3], np.float32), upright)
    turned = cv2.warpAffine(image, matrix, (width, height))
    return turned.reshape(height, width, -1)  # type: ignore[return-value]
