"""The header of a PNG, its compressed texts, and whether its pixel data ends with the image."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from ...engine.errors import InputError
from ...engine.images.containers import Part, png_chunks
from ...postprocess.types import Size
from .limits import MAX_EXIF, bounded, limit, unpack

MAX_CHUNKS = 50_000  # some encoders write them as small as 1 kB
MAX_TEXT = 1 << 24  # bytes of decompressed texts and colour profiles
MAX_UNCHECKED = 1 << 18  # bytes of compressed pixels that cannot take a second whatever is in them

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type


def png_size(data: bytes) -> Size:
    """The size of a PNG.

    Raises:
        InputError: the header is not the first chunk, or what follows takes too much.
    """
    if data[12:16] != b"IHDR":
        raise InputError(f"{data[12:16]!r} as its first chunk")
    width, height = unpack(">II", data, 16)
    room = MAX_TEXT
    for kind, start, end in _chunks(data):
        if kind == b"IHDR" and start != 16:
            raise InputError("a second IHDR")
        if kind == b"acTL" and unpack(">I", data, start)[0] != 1:
            raise InputError("an animation, any damage to which ends OpenCV's process")
        if kind == b"eXIf":
            limit("bytes of EXIF", end - start, MAX_EXIF)
        elif kind in (b"zTXt", b"iTXt", b"iCCP"):
            room -= _text_size(kind, data[start:end], room)
    return Size(height, width)


def check_png_pixels(data: bytes) -> None:
    """Check that the pixel data ends with the image: libpng decompresses all of it.

    Raises:
        InputError: it goes on.
    """
    chunks = [(start, end) for kind, start, end in _chunks(data) if kind == b"IDAT"]
    if sum(end - start for start, end in chunks) <= MAX_UNCHECKED:
        return
    width, height, depth, colour = unpack(">IIBB", data, 16)
    row = 1 + (width * depth * _CHANNELS.get(colour, 4) + 7) // 8
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


def _chunks(data: bytes) -> Iterator[Part]:
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
