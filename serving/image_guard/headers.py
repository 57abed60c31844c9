"""What an encoded image claims to be, read BEFORE decoding, so that a server can refuse bombs.

OpenCV has a fence of its own, the environment variable OPENCV_IO_MAX_IMAGE_PIXELS. It is read once, when
cv2 is imported, and compared with the size in the header only. What gets past it, measured with OpenCV 5.0
at a limit of 1 megapixel, and is refused here:

    AVIF   AV1 frames larger than the boxes say (1 kB: 830 MB), copied properties (4 MB: over 8 GB),
           thousands of items (2 MB: 9 s) or frames
    TIFF   tiles larger than the image (260 kB: 860 MB), tags and strips that share their bytes
           (4 MB: over 8 GB; with OpenCV 4.9 minutes), thousands of strips or pages
    PNG    a chunk longer than the file (58 bytes: 4 GB), compressed texts (15 MB: 7 GB), pixel data that
           goes on behind the image (16 MB: 36 s), and animations: OpenCV 4.12 and 5.0 crash when
           one is damaged
    JPEG   thousands of scans (1 MB: 8 s)
    EXIF   in PNG, WebP and AVIF, far larger than any camera writes it (1 MB: 18 s)

What only the decoder can know is how many sets of prefix codes a lossless WebP brings along: one for 16
pixels, at most 65,536. Measured 350 MB and 0.5 s for 280 kB of 1 megapixel; 10 MB of file could take up to
1.2 GB, by libwebp's tables. The memory limit of a server has to leave room for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...engine.errors import InputError
from ...engine.images.containers import (
    JPEG_EOI,
    JPEG_SOS,
    PNG_SIGNATURE,
    TIFF_SIGNATURES,
    describe,
    is_avif,
    jpeg_segments,
    riff_chunks,
)
from ...postprocess.types import Size
from .avif import avif_size
from .limits import MAX_EXIF, area, bounded, largest, limit, unpack
from .png import check_png_pixels, png_size
from .tiff import tiff_size

FORMATS = "JPEG, PNG, WebP, BMP, TIFF or AVIF"
"""Of images that are taken, for messages."""

MAX_SCANS = 100  # an encoder writes about 10; each costs up to 2 ms a megapixel
MAX_SEGMENTS = 10_000  # of a JPEG, chunks of a WebP

_SOF = frozenset(bytes([marker]) for marker in range(0xC0, 0xD0)) - {b"\xc4", b"\xc8", b"\xcc"}


@dataclass(frozen=True, slots=True)
class Header:
    """What an encoded image claims.

    Attributes:
        format: JPEG, PNG, WebP, BMP, TIFF or AVIF.
        size: the largest that decoding it allocates.
    """

    format: str
    size: Size


class NotAnImage(InputError):
    """The data is in none of the formats that are taken."""


def read_header(data: bytes) -> Header | None:
    """What a JPEG, PNG, WebP, BMP, TIFF or AVIF claims to be, or None for anything else.

    No memory is allocated by what the data claims, and the time is bounded: about 0.1 s for 16 MB that are
    made to take long.

    Raises:
        InputError: the header is cut off or contradicts itself, or the file holds what would make OpenCV take
            more memory or time than the size justifies.
    """
    name = _format(data)
    if name is None:
        return None
    try:
        size = _READERS[name](data)
        if min(size) < 1:
            raise InputError(f"a size of {size.width}x{size.height}")
    except InputError as exc:
        raise InputError(f"expected a sound {name} header, found {exc}; save the image again") from None
    return Header(name, size)


def check_pixels(data: bytes, max_pixels: int, name: str = "image") -> Header:
    """Check that an encoded image may be decoded.

    A PNG of more than 256 kB is decompressed once, without keeping it: about two thirds of the time that
    OpenCV takes for it.

    Args:
        data: the encoded image.
        max_pixels: largest width times height.
        name: of the field, for the errors.

    Returns:
        Its header.

    Raises:
        NotAnImage: it is in another format.
        InputError: it has more pixels, or `read_header` refuses it.
    """
    try:
        header = read_header(data)
        if header and header.format == "PNG" and area(header.size) <= max_pixels:
            check_png_pixels(data)
    except InputError as exc:
        raise InputError(f"{name}: {exc}") from None
    if header is None:
        raise NotAnImage(f"{name}: expected an image ({FORMATS}), found {describe(data)}")
    pixels = area(header.size)
    if pixels > max_pixels:
        found = f"{header.size.width}x{header.size.height} = {pixels}"
        raise InputError(
            f"{name}: expected at most {max_pixels} pixels, found {found}; make the image smaller"
        )
    return header


def _format(data: bytes) -> str | None:
    for magic, name in _MAGICS.items():
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return "AVIF" if is_avif(data) else None


def _jpeg(data: bytes) -> Size:
    sizes: list[Size] = []
    scans = 0
    for kind, start, _ in bounded(jpeg_segments(data), "segments", MAX_SEGMENTS):
        if kind in _SOF:
            height, width = unpack(">HH", data, start + 3)
            sizes.append(Size(height, width))
        elif kind == JPEG_SOS:
            scans += 1
            limit("scans", scans, MAX_SCANS)
        elif kind != JPEG_EOI:
            unpack(">H", data, start)
    return largest(sizes)


def _webp(data: bytes) -> Size:
    sizes: list[Size] = []
    for kind, start, end in bounded(riff_chunks(data), "chunks", MAX_SEGMENTS):
        if kind == b"VP8X":
            sizes.append(_pair24(data, start + 4))
        elif kind == b"ANMF":
            sizes.append(_pair24(data, start + 6))
        elif kind == b"VP8 ":
            width, height = unpack("<HH", data, start + 6)
            sizes.append(Size(height & 0x3FFF, width & 0x3FFF))
        elif kind == b"VP8L":
            bits = unpack("<I", data, start + 1)[0]
            sizes.append(Size(1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)))
        elif kind == b"EXIF":
            limit("bytes of EXIF", end - start, MAX_EXIF)
    return largest(sizes)


def _pair24(data: bytes, at: int) -> Size:
    """Width and height in 24 bits each, less one."""
    low, middle, high = unpack("<HHH", data, at)
    return Size(1 + (middle >> 8 | high << 8), 1 + (low | (middle & 0xFF) << 16))


def _bmp(data: bytes) -> Size:
    length = unpack("<I", data, 14)[0]
    if length == 12:  # OS/2
        width, height = unpack("<HH", data, 18)
    elif 16 <= length <= len(data):
        width, height = unpack("<ii", data, 18)
    else:
        raise InputError(f"an information header of {length} bytes")
    return Size(abs(height), width)  # negative: from the top down


_MAGICS = {
    **{b"\xff\xd8\xff": "JPEG", PNG_SIGNATURE: "PNG", b"BM": "BMP"},
    **dict.fromkeys(TIFF_SIGNATURES, "TIFF"),
}
_READERS: dict[str, Callable[[bytes], Size]] = {
    **{"JPEG": _jpeg, "PNG": png_size, "WebP": _webp, "BMP": _bmp, "TIFF": tiff_size, "AVIF": avif_size}
}
