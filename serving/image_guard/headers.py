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

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...engine.errors import InputError
from ...engine.images.containers import (
    JPEG_EOI,
    JPEG_SOS,
    PNG_SIGNATURE,
    TIFF_SIGNATURES,
    Part,
    describe,
    is_avif,
    jpeg_segments,
    png_chunks,
    riff_chunks,
)
from .isobmff import MAX_EXIF, Size, area, avif_size, bounded, largest, limit, unpack

MAX_SCANS = 100  # an encoder writes about 10; each costs up to 2 ms a megapixel
MAX_SEGMENTS = 10_000  # of a JPEG, chunks of a WebP
MAX_CHUNKS = 50_000  # of a PNG; some write them as small as 1 kB
MAX_TEXT = 1 << 24  # bytes of decompressed texts and colour profiles in a PNG
MAX_UNCHECKED = 1 << 18  # bytes of PNG pixels, compressed, that cannot take a second whatever is in them
MAX_TAGS = 1000  # of a TIFF; libtiff takes up to 4096, but compares each with each
MAX_PAGES = 10_000
MAX_STRIPS = 1 << 14  # strips or tiles, each costs up to 60 us
MAX_STRIP_BYTES = 1 << 26  # beside twice the file

_SOF = frozenset(bytes([marker]) for marker in range(0xC0, 0xD0)) - {b"\xc4", b"\xc8", b"\xcc"}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_TIFF_TAGS = frozenset({256, 257, 258, 277, 278, 279, 284, 322, 323, 324, 325})
_TIFF_SIZES = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)  # by type
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}


@dataclass(frozen=True, slots=True)
class Header:
    """What an encoded image claims: its format and the largest size that decoding it allocates."""

    format: str
    width: int
    height: int


class NotAImage(InputError):
    """The data is in none of the formats that are taken."""


def read_header(data: bytes) -> Header | None:
    """What a JPEG, PNG, WebP, BMP, TIFF or AVIF claims to be, or None for anything else.

    Nothing is allocated by what the data claims, and the time is bounded: about 0.1 s for 16 MB that are
    made to take long. Raises `InputError` when the header is cut off or contradicts itself, and when it
    holds what would make OpenCV take more memory or time than the size justifies.
    """
    name = _format(data)
    if name is None:
        return None
    try:
        width, height = _READERS[name](data)
        if width < 1 or height < 1:
            raise InputError(f"a size of {width}x{height}")
    except InputError as exc:
        raise InputError(f"expected a sound {name} header, found {exc}; save the image again") from None
    return Header(name, width, height)


def check_pixels(data: bytes, max_pixels: int, name: str = "image") -> Header:
    """The header of an encoded image that may be decoded; `name` stands in the errors.

    A PNG of more than 256 kB is decompressed once, without keeping it: about two thirds of the time that
    OpenCV takes for it. Raises `NotAImage` for another format, and `InputError` for more than `max_pixels`
    pixels and for what `read_header` refuses.
    """
    try:
        header = read_header(data)
        if header and header.format == "PNG" and header.width * header.height <= max_pixels:
            _check_png_pixels(data)
    except InputError as exc:
        raise InputError(f"{name}: {exc}") from None
    if header is None:
        formats = "JPEG, PNG, WebP, BMP, TIFF or AVIF"
        raise NotAImage(f"{name}: expected an image ({formats}), found {describe(data)}")
    pixels = header.width * header.height
    if pixels > max_pixels:
        raise InputError(
            f"{name}: expected at most {max_pixels} pixels, found {header.width}x{header.height} = {pixels}; "
            "make the image smaller"
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
            sizes.append((width, height))
        elif kind == JPEG_SOS:
            scans += 1
            limit("scans", scans, MAX_SCANS)
        elif kind != JPEG_EOI:
            unpack(">H", data, start)
    return largest(sizes)


def _png_chunks(data: bytes) -> Iterator[Part]:
    """Every chunk to the end. Raises `InputError` when one is longer than the file or the end is missing."""
    pixels = False
    for chunk in bounded(png_chunks(data), "chunks", MAX_CHUNKS):
        if chunk.end + 4 > len(data):
            length = chunk.end - chunk.start
            raise InputError(f"a chunk {chunk.kind!r} of {length} bytes in a file of {len(data)}")
        yield chunk
        pixels |= chunk.kind == b"IDAT"
        if pixels and chunk.kind == b"IEND":  # OpenCV looks for the pixels even behind the end
            return
    raise InputError(f"its end after {len(data)} bytes, inside the header")


def _png(data: bytes) -> Size:
    if data[12:16] != b"IHDR":
        raise InputError(f"{data[12:16]!r} as its first chunk")
    width, height = unpack(">II", data, 16)
    room = MAX_TEXT
    for kind, start, end in _png_chunks(data):
        if kind == b"IHDR" and start != 16:
            raise InputError("a second IHDR")
        if kind == b"acTL" and unpack(">I", data, start)[0] != 1:
            raise InputError("an animation, any damage to which ends OpenCV's process")
        if kind == b"eXIf":
            limit("bytes of EXIF", end - start, MAX_EXIF)
        elif kind in (b"zTXt", b"iTXt", b"iCCP"):
            room -= _text_size(kind, data[start:end], room)
    return width, height


def _text_size(kind: bytes, chunk: bytes, room: int) -> int:
    """The bytes that a text or profile takes when it is decompressed; `InputError` above `room`."""
    text = chunk.partition(b"\0")[2]
    packed = text[1:]
    if kind == b"iTXt":
        if text[:1] != b"\1":
            return 0
        packed = text[2:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        size = len(zlib.decompressobj().decompress(packed, room + 1))
    except zlib.error:
        raise InputError(f"a damaged {kind.decode()} chunk") from None
    if size > room:
        raise InputError(f"more than {MAX_TEXT} bytes of compressed texts")
    return size


def _check_png_pixels(data: bytes) -> None:
    """Raise `InputError` when the pixel data goes on behind the image: libpng decompresses all of it."""
    chunks = [(start, end) for kind, start, end in _png_chunks(data) if kind == b"IDAT"]
    if sum(end - start for start, end in chunks) <= MAX_UNCHECKED:
        return
    width, height, depth, colour = unpack(">IIBB", data, 16)
    row = 1 + (width * depth * _PNG_CHANNELS.get(colour, 4) + 7) // 8
    room = 2 * row * height + MAX_UNCHECKED  # interlacing takes some more
    pixels, inflater = memoryview(data), zlib.decompressobj()
    try:
        for start, end in chunks:
            for at in range(start, end, 8192):  # at most 8 MB when it is decompressed
                room -= len(inflater.decompress(pixels[at : min(at + 8192, end)]))
                if room < 0:
                    found = f"more pixel data than {width}x{height} pixels take"
                    raise InputError(f"expected a sound PNG, found {found}; save the image again")
                if inflater.eof:
                    return
    except zlib.error:
        return  # libpng stops there as well


def _webp(data: bytes) -> Size:
    sizes: list[Size] = []
    for kind, start, end in bounded(riff_chunks(data), "chunks", MAX_SEGMENTS):
        if kind == b"VP8X":
            sizes.append(_pair24(data, start + 4))
        elif kind == b"ANMF":
            sizes.append(_pair24(data, start + 6))
        elif kind == b"VP8 ":
            width, height = unpack("<HH", data, start + 6)
            sizes.append((width & 0x3FFF, height & 0x3FFF))
        elif kind == b"VP8L":
            bits = unpack("<I", data, start + 1)[0]
            sizes.append((1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)))
        elif kind == b"EXIF":
            limit("bytes of EXIF", end - start, MAX_EXIF)
    return largest(sizes)


def _pair24(data: bytes, at: int) -> Size:
    """Two numbers of 24 bits, each one less than what it stands for."""
    low, middle, high = unpack("<HHH", data, at)
    return 1 + (low | (middle & 0xFF) << 16), 1 + (middle >> 8 | high << 8)


def _bmp(data: bytes) -> Size:
    length = unpack("<I", data, 14)[0]
    if length == 12:  # OS/2
        width, height = unpack("<HH", data, 18)
    elif 16 <= length <= len(data):
        width, height = unpack("<ii", data, 18)
    else:
        raise InputError(f"an information header of {length} bytes")
    return width, abs(height)  # negative: from the top down


def _tiff(data: bytes) -> Size:
    tags = _tiff_tags(data)

    def number(tag: int, default: int) -> int:
        return max(tags.get(tag, ()), default=default)

    size = number(256, 0), number(257, 0)
    if min(size) < 1:
        raise InputError(f"a size of {size[0]}x{size[1]}")
    limit("channels", number(277, 1), 4)
    limit("bits a channel", number(258, 1), 16)  # OpenCV would read them, but not as an image of 8 bits
    piece = size[0], min(number(278, size[1]), size[1])  # no memory is touched for more rows than there are
    if tags.keys() & {322, 323, 324}:
        piece = number(322, 0), number(323, 0)
    if min(piece) < 1:
        raise InputError(f"pieces of {piece[0]}x{piece[1]} pixels")
    pieces = -(-size[0] // piece[0]) * -(-size[1] // piece[1])
    pieces *= number(277, 1) if number(284, 1) == 2 else 1
    limit("strips or tiles", pieces, MAX_STRIPS)
    lengths = tags.get(279, ()) + tags.get(325, ()) or (len(data),) * pieces
    limit("bytes in a strip or tile", max(lengths), len(data))
    limit("bytes in strips or tiles", sum(lengths), 2 * len(data) + MAX_STRIP_BYTES)
    return max(size, piece, key=area)


def _tiff_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """The integers in the first directory; of a long list the first 16384.

    Raises `InputError` for more directories, tags and bytes in tags than libtiff reads in little time.
    """
    order = "<" if data[:1] == b"I" else ">"
    big = b"+" in data[2:4]
    step, inline, number, place = (20, 8, "Q", "Q") if big else (12, 4, "H", "I")
    skip = 8 if big else 2
    first = at = unpack(order + place, data, inline)[0]
    pages: set[int] = set()
    while at and at not in pages and at + skip <= len(data):
        pages.add(at)
        limit("pages", len(pages), MAX_PAGES)
        at += skip + step * unpack(order + number, data, at)[0]
        at = unpack(order + place, data, at)[0] if at + inline <= len(data) else 0
    count = unpack(order + number, data, first)[0]
    limit("tags", count, MAX_TAGS)
    tags: dict[int, tuple[int, ...]] = {}
    outside = 0
    for at in range(first + skip, first + skip + step * count, step):
        tag, kind, values = unpack(order + "HH" + place, data, at)
        length = values * (_TIFF_SIZES[kind] if kind < len(_TIFF_SIZES) else 0)
        at += step - inline
        if length > inline:
            outside += length
            at = unpack(order + place, data, at)[0]
        if tag in _TIFF_TAGS and kind in _TIFF_INTEGERS:
            if tag in tags:
                raise InputError(f"tag {tag} twice")
            tags[tag] = unpack(f"{order}{min(values, MAX_STRIPS)}{_TIFF_INTEGERS[kind]}", data, at)
    limit("bytes in tags", outside, len(data))  # more of them share theirs, and each gets a copy
    return tags


_MAGICS = {
    **{b"\xff\xd8\xff": "JPEG", PNG_SIGNATURE: "PNG", b"BM": "BMP"},
    **dict.fromkeys(TIFF_SIGNATURES, "TIFF"),
}
_READERS: dict[str, Callable[[bytes], Size]] = {
    **{"JPEG": _jpeg, "PNG": _png, "WebP": _webp, "BMP": _bmp, "TIFF": _tiff, "AVIF": avif_size}
}
