"""Decodes encoded bytes, arrays and PIL images into upright 8-bit images.

Every function here returns a C-contiguous uint8 array (H, W, channels): BGR for 3 channels, grey for
1. Alpha is dropped, not blended, grey is repeated, 16-bit values are reduced with `>> 8`.

Encoded JPEG, PNG, WebP and TIFF images are turned upright by their EXIF orientation, AVIF by its own
rotation and mirror; JPEG 2000, BMP and PNM have none. Of an animation or a multi-page TIFF the first image
is decoded. CMYK is converted by OpenCV. One exception: OpenCV multiplies the alpha channel of an 8-bit RGBA
TIFF into its colours.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .containers import (
    EXIF_ORIENTATIONS,
    TIFF_SIGNATURES,
    UPRIGHT,
    Orientation,
    describe,
    is_truncated,
    unread_orientation,
)

Image = NDArray[np.uint8]

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
    *(".mpo", ".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm"),
)
IMAGE_FORMATS = "JPEG, PNG, WebP, BMP, TIFF, AVIF, JPEG 2000 or PNM"

_CONVERSIONS = {
    (1, 3): cv2.COLOR_GRAY2BGR,
    (4, 3): cv2.COLOR_BGRA2BGR,
    (3, 1): cv2.COLOR_BGR2GRAY,
    (4, 1): cv2.COLOR_BGRA2GRAY,
}


class _Quiet:
    """Context manager during which OpenCV does not print its log: its reasons are in our errors.

    The log level is global to the process. Entries are counted: if two threads each saved and restored the
    level, it could remain silent for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = 0
        # In OpenCV 5 it is in a submodule.
        self._set: Callable[[int], int] = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._level = self._set(0)
            self._inside += 1

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._set(self._level)


quiet_opencv = _Quiet()


def image_from_bytes(data: bytes | bytearray | memoryview, name: str = "image", channels: int = 3) -> Image:
    """Decode an encoded image (JPEG, PNG, WebP, BMP, TIFF, AVIF, JPEG 2000, PNM).

    A JPEG that is damaged in the middle is decoded as far as possible, as by every JPEG decoder.

    Args:
        data: the bytes of the file.
        name: for error messages.
        channels: 3 or 1.

    Returns:
        (H, W, channels) uint8, upright.

    Raises:
        InputError: the data is empty, truncated, no image that OpenCV decodes, or too large for it; or
            `channels` is another number.
    """
    data = bytes(data)
    if channels not in (1, 3):
        raise InputError(
            f"{name}: an encoded image has 3 channels or 1, the model takes {channels}; "
            f"pass a numpy array (H, W, {channels}) instead"
        )
    if not data:
        raise InputError(f"{name}: expected an encoded image, found 0 bytes; check where it was written")
    if is_truncated(data):
        raise InputError(f"{name}: the image is cut off after {len(data)} bytes; copy or upload it again")
    flags = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    if data.startswith(TIFF_SIGNATURES):
        flags |= cv2.IMREAD_ANYDEPTH  # OpenCV would convert 16-bit TIFF to 8 bits in another way than >> 8
    orientation = unread_orientation(data)
    if orientation is not None:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with quiet_opencv:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as exc:
        raise InputError(f"{name}: {_refusal(exc)}") from exc
    if image is None:
        raise InputError(f"{name}: expected an image ({IMAGE_FORMATS}), found {describe(data)}")
    return image_from_array(_upright(image, orientation or UPRIGHT), name, channels)


def image_from_array(array: NDArray[Any], name: str = "image", channels: int = 3) -> Image:
    """Check an array and convert it to the number of channels of a model.

    Args:
        array: uint8, or uint16, which is reduced with `>> 8`. For 3 channels or 1: (H, W) or (H, W, 1)
            grey, (H, W, 3) BGR or (H, W, 4) BGRA; for any other number exactly (H, W, channels).
        name: for error messages.
        channels: from 1.

    Returns:
        (H, W, channels) uint8, C-contiguous: the same array where it already is that.

    Raises:
        InputError: another shape or dtype.
    """
    shape = array.shape if array.ndim != 2 else (*array.shape, 1)
    if len(shape) != 3 or not (shape[2] == channels or (shape[2], channels) in _CONVERSIONS):
        expected = f"(H, W, {channels})"
        if channels in (1, 3):
            expected = "(H, W, 3) BGR, (H, W) grey or (H, W, 4) BGRA"
        hint = ""
        if len(shape) == 3 and shape[0] in (1, 3, 4, channels):
            hint = "; channels come last here: x.transpose(1, 2, 0)"
        raise InputError(f"{name}: expected an array {expected}, found shape {array.shape}{hint}")
    if array.size == 0:
        raise InputError(f"{name}: expected at least 1x1 pixel, found an empty array of shape {array.shape}")
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"{name}: {_dtype_advice(array)}")
    image: Image = np.ascontiguousarray(array.reshape(shape))
    if shape[2] != channels:
        image = np.asarray(cv2.cvtColor(image, _CONVERSIONS[shape[2], channels]), np.uint8)
        image = image.reshape(*shape[:2], channels)
    return image


def image_from_pil(image: Any, name: str = "image", channels: int = 3) -> Image:
    """Convert a PIL image of any 8- or 16-bit mode, and turn it upright by its EXIF orientation.

    Args:
        image: a `PIL.Image.Image`.
        name: for error messages.
        channels: 3 or 1.

    Returns:
        (H, W, channels) uint8, BGR for 3 channels.

    Raises:
        InputError: PIL cannot read its file to the end, or its mode is "I" or "F", whose values have no
            fixed range.
    """
    if image.mode in ("I", "F"):
        raise InputError(
            f'{name}: expected 8 or 16 bits a channel, found a PIL image of mode "{image.mode}"; '
            "scale it to 0-255 and convert it to mode L"
        )
    try:
        image.load()  # before getexif(): PIL turns a TIFF upright itself while loading, and removes the tag
        pixels = np.asarray(_pil_converted(image, channels))
    except Exception as exc:  # PIL's readers raise OSError, SyntaxError, struct.error and more
        raise InputError(f"{name}: PIL cannot read this image ({exc})") from exc
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return image_from_array(_upright(pixels, _pil_orientation(image)), name, channels)


def is_pil(value: object) -> bool:
    """Whether a value is a PIL image; PIL is not imported for that."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def _pil_converted(image: Any, channels: int) -> Any:
    if image.mode.startswith("I;16"):
        return image  # convert("RGB") would clip it at 255
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # converting to RGB, PIL would warn about a transparent palette
    return image.convert("L" if channels == 1 else "RGB")


def _pil_orientation(image: Any) -> Orientation:
    try:
        orientation = image.getexif().get(274, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels
        return UPRIGHT
    return EXIF_ORIENTATIONS.get(orientation, UPRIGHT)


def _upright(image: NDArray[Any], orientation: Orientation) -> NDArray[Any]:
    image = np.rot90(image, orientation.quarter_turns)
    return image if orientation.flipped_axis is None else np.flip(image, orientation.flipped_axis)


def _dtype_advice(array: NDArray[Any]) -> str:
    found, advice = str(array.dtype), "(x * 255).astype(np.uint8) if x is 0 to 1"
    if array.dtype.kind in "iu":
        found = f"{found} from {array.min()} to {array.max()}"
        advice = "x.clip(0, 255).astype(np.uint8)"
    elif array.dtype.kind == "f":
        finite = array[np.isfinite(array)]
        if finite.size:
            found = f"{found} from {finite.min():g} to {finite.max():g}"
        if np.isnan(array).any():
            found += " with NaN"
    return f"expected dtype uint8 with values 0 to 255, found {found}; convert it, for example {advice}"


def _refusal(error: cv2.error) -> str:
    reason = " ".join(str(getattr(error, "err", error)).split())
    if "CV_IO_MAX_IMAGE" in reason:
        return "the image is larger than OpenCV reads (OPENCV_IO_MAX_IMAGE_PIXELS, by default 2**30)"
    return f"OpenCV cannot decode this image ({reason})"
