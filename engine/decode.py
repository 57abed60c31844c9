"""Encoded bytes, arrays and PIL images -> one upright 8-bit picture.

Every function here returns a C-contiguous uint8 array (H, W, channels): BGR for 3 channels, grey for
1. Alpha is dropped, not blended, grey is repeated, 16-bit values are reduced with `>> 8`.

For encoded bytes that means: JPEG, PNG, WebP and TIFF are turned by their EXIF orientation, AVIF by
its own rotation and mirror; JPEG 2000, BMP and PNM carry none. Of an animation or a multi-page TIFF the
first picture is taken. CMYK is converted as OpenCV does it. One exception: OpenCV multiplies the alpha
of an 8-bit RGBA TIFF into its colours before anyone can drop it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from .errors import InputError

Picture = NDArray[np.uint8]

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff"),
    *(".avif", ".jp2", ".pbm", ".pgm", ".ppm", ".pnm"),
)
PICTURE_FORMATS = "JPEG, PNG, WebP, BMP, TIFF, AVIF, JPEG 2000 or PNM"

# EXIF orientation -> quarter turns anticlockwise, then the axis that is flipped (0 rows, 1 columns).
_ORIENTATIONS: dict[int, tuple[int, int | None]] = {
    2: (0, 1),
    3: (2, None),
    4: (0, 0),
    5: (1, 0),
    6: (3, None),
    7: (3, 0),
    8: (1, None),
}
_UPRIGHT: tuple[int, int | None] = (0, None)
_CONVERSIONS = {
    (1, 3): cv2.COLOR_GRAY2BGR,
    (4, 3): cv2.COLOR_BGRA2BGR,
    (3, 1): cv2.COLOR_BGR2GRAY,
    (4, 1): cv2.COLOR_BGRA2GRAY,
}


class _Quiet:
    """Context in which OpenCV does not print its log; what it has to say is in our errors.

    The level is global to the process. Entries are counted, because two threads that each saved and
    restored it would leave it silent for good.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = 0
        # OpenCV 4 has it on top, OpenCV 5 in a submodule.
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


def picture_from_bytes(
    data: bytes | bytearray | memoryview, name: str = "image", channels: int = 3
) -> Picture:
    """Decode an encoded picture (JPEG, PNG, WebP, BMP, TIFF, AVIF, JPEG 2000, PNM).

    `name` stands in the errors. Returns (H, W, channels) uint8, upright, for 1 or 3 channels. Raises
    `InputError` when the data is empty, cut off, not a picture that OpenCV reads, or too large for it.
    Damage in the middle of a JPEG is decoded as far as it goes, as every JPEG reader does.
    """
    data = bytes(data)
    if channels not in (1, 3):
        raise InputError(
            f"{name}: an encoded picture has 3 channels or 1, the model takes {channels}; "
            f"pass a numpy array (H, W, {channels}) instead"
        )
    if not data:
        raise InputError(f"{name}: expected an encoded picture, found 0 bytes; check where it was written")
    if _cut_off(data):
        raise InputError(f"{name}: the picture is cut off after {len(data)} bytes; copy or upload it again")
    flags = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        flags |= cv2.IMREAD_ANYDEPTH  # OpenCV rounds 16-bit TIFF to 8 bits by other means than >> 8
    turn = None
    if data[:4] == b"RIFF":
        turn = _ORIENTATIONS.get(_webp_orientation(data), _UPRIGHT)  # OpenCV 4.9 does not read it
    elif _brands(data) & {b"avif", b"avis"}:
        turn = _avif_turn(data)  # OpenCV 5.0 does not read it
    if turn is not None:
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with quiet_opencv:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as exc:
        raise InputError(f"{name}: {_refusal(exc)}") from exc
    if image is None:
        raise InputError(f"{name}: expected a picture ({PICTURE_FORMATS}), found {_guess(data)}")
    return picture_from_array(_turned(image, turn or _UPRIGHT), name, channels)


def picture_from_array(array: NDArray[Any], name: str = "image", channels: int = 3) -> Picture:
    """Check an array and give it the channels that the model takes.

    Taken for 3 channels or 1: (H, W) or (H, W, 1) grey, (H, W, 3) BGR, (H, W, 4) BGRA; for any other
    number exactly (H, W, channels). dtype uint8, or uint16, which is reduced with `>> 8`. An array that
    already fits is returned as it is, not copied. Raises `InputError` on any other shape or dtype.
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
    picture: Picture = np.ascontiguousarray(array.reshape(shape))
    if shape[2] != channels:
        picture = np.asarray(cv2.cvtColor(picture, _CONVERSIONS[shape[2], channels]), np.uint8)
        picture = picture.reshape(*shape[:2], channels)
    return picture


def picture_from_pil(image: Any, name: str = "image", channels: int = 3) -> Picture:
    """Convert a PIL image of any 8- or 16-bit mode; it is turned by its EXIF orientation.

    Raises `InputError` when PIL cannot read its file to the end, and for the modes "I" and "F", whose
    values have no fixed range.
    """
    if image.mode in ("I", "F"):
        raise InputError(
            f'{name}: expected 8 or 16 bits a channel, found a PIL image of mode "{image.mode}"; '
            "scale it to 0-255 and convert it to mode L"
        )
    try:
        image.load()  # before getexif(): PIL turns a TIFF itself while loading, and then drops the tag
        pixels = np.asarray(_pil_converted(image, channels))
    except Exception as exc:  # PIL's readers let OSError, SyntaxError, struct.error and more through
        raise InputError(f"{name}: PIL cannot read this image ({exc})") from exc
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return picture_from_array(_turned(pixels, _pil_turn(image)), name, channels)


def is_pil(value: object) -> bool:
    """Whether `value` is a PIL image; PIL is not imported for that."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def _pil_converted(image: Any, channels: int) -> Any:
    if image.mode.startswith("I;16"):
        return image  # convert("RGB") would clip it at 255
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # straight to RGB, PIL warns about transparency in the palette
    return image.convert("L" if channels == 1 else "RGB")


def _pil_turn(image: Any) -> tuple[int, int | None]:
    try:
        orientation = image.getexif().get(274, 1)
    except Exception:  # a damaged EXIF block does not make the pixels worse
        return _UPRIGHT
    return _ORIENTATIONS.get(orientation, _UPRIGHT)


def _turned(image: NDArray[Any], turn: tuple[int, int | None]) -> NDArray[Any]:
    quarters, flipped = turn
    image = np.rot90(image, quarters)
    return image if flipped is None else np.flip(image, flipped)


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


def _cut_off(data: bytes) -> bool:
    """Whether a JPEG, PNG or WebP ends too early; data behind its end is tolerated.

    OpenCV 4 fills the missing part of a JPEG with grey and reports nothing.
    """
    if data[:2] == b"\xff\xd8":
        scan = _jpeg_scan(data)
        return scan < 0 or data.find(b"\xff\xd9", scan) < 0
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" not in data
    if data[:4] == b"RIFF":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return False


def _jpeg_scan(data: bytes) -> int:
    """Where the first scan of a JPEG begins, or -1.

    The segments before it are stepped over: an EXIF thumbnail has an end marker of its own. Inside
    the scan the two bytes of the end marker cannot occur.
    """
    at = 2
    for _ in range(10_000):  # bounded: data made to have millions of segments must not take seconds
        if not 0 <= at < len(data) - 3:
            break
        if data[at] != 0xFF:
            at = data.find(b"\xff", at)  # readers skip garbage between segments
        elif data[at + 1] == 0xDA:
            return at
        elif data[at + 1] == 0xFF:
            at += 1
        elif data[at + 1] == 0x01 or 0xD0 <= data[at + 1] <= 0xD8:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return -1


def _webp_orientation(data: bytes) -> int:
    at = 12
    for _ in range(10_000):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"EXIF":
            return _exif_orientation(data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0"))
        at += 8 + size + size % 2
    return 1


def _exif_orientation(exif: bytes) -> int:
    """Tag 274 of the first directory of an EXIF block (a TIFF header and its directories), or 1."""
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    start = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[start : start + 2], order)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if int.from_bytes(exif[at : at + 2], order) == 274:
            return int.from_bytes(exif[at + 8 : at + 10], order)
    return 1


def _avif_turn(data: bytes) -> tuple[int, int | None]:
    """Rotation ("irot", anticlockwise) and then mirror ("imir") of an AVIF (ISO/IEC 23008-12, 6.5.10)."""
    head = data.partition(b"mdat")[0]
    rotation = head.partition(b"\0\0\0\x09irot")[2]
    mirror = head.partition(b"\0\0\0\x09imir")[2]
    return rotation[0] & 3 if rotation else 0, mirror[0] & 1 if mirror else None


def _brands(data: bytes) -> set[bytes]:
    """The brands that an MP4-like file (AVIF, HEIC, video) gives itself."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 128)
    return {data[at : at + 4] for at in range(8, end, 4)}


def _refusal(error: cv2.error) -> str:
    reason = " ".join(str(getattr(error, "err", error)).split())
    if "CV_IO_MAX_IMAGE" in reason:
        return "the picture is larger than OpenCV reads (OPENCV_IO_MAX_IMAGE_PIXELS, by default 2**30)"
    return f"OpenCV cannot decode this picture ({reason})"


def _guess(data: bytes) -> str:
    brands = _brands(data)
    if brands & {b"heic", b"heix", b"heim", b"heis", b"mif1"} and not brands & {b"avif", b"avis"}:
        return "a HEIC picture; convert it to JPEG or PNG"
    if brands - {b"avif", b"avis", b"mif1"} and not brands & {b"avif", b"avis"}:
        return "an MP4 video; pass the path of its file"
    if data[:4] == b"%PDF":
        return "a PDF document; convert its pages to PNG"
    if data[:256].lstrip()[:1] == b"<":
        return "HTML, XML or SVG text; check the address or the file it came from"
    return f"{len(data)} bytes that begin with {data[:8]!r} and cannot be decoded"
