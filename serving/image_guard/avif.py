"""The boxes of an AVIF (ISO/IEC 14496-12 and 23008-12) and what they claim.

libaom allocates by the sequence header inside the AV1 data, whatever the boxes around it say: 1 kB of
file becomes 830 MB. So every item is looked into, and the first sample of every track (no more of an
animation is decoded). The boxes are limited in size, because libavif searches its items one by one
(50,000 of them in 1.7 MB: 9 s) and copies a property for each item that refers to it (4 MB: over 8 GB).
"""

from __future__ import annotations

from collections.abc import Iterator

from ...engine.errors import InputError
from ...engine.images.containers import isobmff_boxes
from ...postprocess.types import Size
from .av1 import Claims, Reader, add_av1
from .limits import MAX_EXIF, Bytes, area, bounded, largest, limit, unpack

MAX_BOXES = 1000  # beside each other
MAX_STRUCTURE = 1 << 16  # bytes of boxes that are neither pixels nor colour profiles
MAX_COPIES = 1 << 25  # bytes of properties, counted for every item that refers to them
MAX_EXTENTS = 10_000  # one can take 0 bytes
MAX_SAMPLES = 100_000
MAX_WORK = 16  # frames of the largest size; colour, alpha, gain map, preview and layers are fewer

Box = tuple[bytes, int, int]
"""Kind, where its content begins, and where it ends."""


def avif_size(data: bytes) -> Size:
    """The largest size that an AVIF claims: `ispe`, grid, track or AV1 sequence header.

    Raises:
        InputError: there is none, boxes are cut off, or decoding would take more memory or time than that
            size justifies.
    """
    claims = Claims()
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            _meta(data, start, end, claims)
        elif kind == b"moov":
            _moov(data, start, end, claims)
        elif kind == b"mini":
            raise InputError("the reduced kind of header (mini)")
    size = largest(claims.sizes)
    limit("pixels in AV1 frames", claims.work, MAX_WORK * area(size))
    return size


def _boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """The boxes beside each other from one place to another; `InputError` when one is larger than that."""
    for kind, start, after in bounded(isobmff_boxes(data, at, end), "boxes beside each other", MAX_BOXES):
        if not start <= after <= end:
            raise InputError(f"a box {kind!r} of {after - at} bytes where {end - at} are left")
        yield kind, start, after
        at = after


def _inside(data: bytes, boxes: list[Box], *path: bytes) -> list[Box]:
    """The boxes inside those of `boxes` of kind path[0], then inside those of these of kind path[1], ..."""
    for kind in path:
        boxes = [box for outer, start, end in boxes if outer == kind for box in _boxes(data, start, end)]
    return boxes


def _readers(data: bytes, boxes: list[Box], kind: bytes) -> Iterator[tuple[Reader, int, int]]:
    """For each box of a kind that has them: a reader behind its version and flags, and these two."""
    for found, start, end in boxes:
        if found == kind:
            reader = Reader(data, start, end)
            yield reader, reader.number(1), reader.number(3)


def _meta(data: bytes, start: int, end: int, claims: Claims) -> None:
    """Add what a `meta` box claims."""
    children = list(_boxes(data, start + 4, end))
    inner = _inside(data, children, b"iprp")
    properties = _inside(data, inner, b"ipco")
    large = sum(box[2] - box[1] for box in children + properties if box[0] in (b"idat", b"colr"))
    limit("bytes of item boxes", end - start - large, MAX_STRUCTURE)
    limit("bytes of item properties", _copies(data, inner, properties), MAX_COPIES)
    claims.sizes += [_width_and_height(r) for r, _, _ in _readers(data, properties, b"ispe")]
    kinds = set(_kinds(data, children))
    total = 0
    for key, payload in _items(data, children):
        total += len(payload)
        limit("bytes in items", total, 2 * len(data) + (1 << 24))  # encoders let equal tiles share theirs
        if (key, b"av01") in kinds:
            add_av1(payload, claims)
        if (key, b"grid") in kinds:
            wide = unpack(">4B", payload, 0)[1] & 1
            width, height = unpack(">II" if wide else ">HH", payload, 4)
            claims.sizes.append(Size(height, width))
        if (key, b"Exif") in kinds:
            limit("bytes of EXIF", len(payload), MAX_EXIF)


def _width_and_height(reader: Reader, shift: int = 0) -> Size:
    """The next two numbers of 32 bits, without their lowest `shift` bits."""
    width, height = reader.number(4) >> shift, reader.number(4) >> shift
    return Size(height, width)


def _copies(data: bytes, boxes: list[Box], properties: list[Box]) -> int:
    """The bytes of all properties when every item in the `ipma` boxes has its own copies."""
    lengths = [0, *(256 + end - start for _, start, end in properties)]
    total = 0
    for reader, version, flags in _readers(data, boxes, b"ipma"):
        for _ in range(reader.number(4)):
            reader.number(4 if version else 2)
            for _ in range(reader.number(1)):
                index = reader.number(2) & 0x7FFF if flags & 1 else reader.number(1) & 0x7F
                total += lengths[index] if index < len(lengths) else 0
    return total


def _kinds(data: bytes, boxes: list[Box]) -> Iterator[tuple[int, bytes]]:
    """Number and kind of every item in the `iinf` boxes."""
    for reader, version, _ in _readers(data, boxes, b"iinf"):
        reader.number(4 if version else 2)
        entries = list(_boxes(data, reader.at, reader.end))
        for entry, version, _ in _readers(data, entries, b"infe"):
            key = entry.number(2 if version < 3 else 4)
            entry.number(2)
            yield key, entry.number(4).to_bytes(4, "big")


def _items(data: bytes, boxes: list[Box]) -> Iterator[tuple[int, Bytes]]:
    """Number and bytes of every item in the `iloc` boxes."""
    places = [
        memoryview(data),
        *(memoryview(data)[start:end] for kind, start, end in boxes if kind == b"idat"),
    ]
    extents = 0
    for reader, version, _ in _readers(data, boxes, b"iloc"):
        widths = reader.number(2)
        offset_size, length_size, base_size = widths >> 12, widths >> 8 & 15, widths >> 4 & 15
        for _ in range(reader.number(4 if version > 1 else 2)):
            key = reader.number(4 if version > 1 else 2)
            method = reader.number(2) & 15 if version else 0
            reader.number(2)
            base, count = reader.number(base_size), reader.number(2)
            extents += count
            limit("pieces of items", extents, MAX_EXTENTS)
            parts = []
            for _ in range(count):
                reader.number(widths & 15 if version else 0)
                at = base + reader.number(offset_size)
                parts.append(
                    places[method][at : at + reader.number(length_size)] if method < len(places) else b""
                )
            limit("bytes in an item", sum(map(len, parts)), len(data))
            yield key, parts[0] if count == 1 else b"".join(parts)


def _moov(data: bytes, start: int, end: int, claims: Claims) -> None:
    """Add what the tracks of an animation claim."""
    limit("bytes of track boxes", end - start, MAX_STRUCTURE)
    for track in _boxes(data, start, end):
        inner = _inside(data, [track], b"trak")
        for kind, start, end in inner:
            if kind == b"meta":
                _meta(data, start, end, claims)
        for reader, version, _ in _readers(data, inner, b"tkhd"):
            reader.at += 84 if version else 72
            claims.sizes.append(_width_and_height(reader, shift=16))
        table = _inside(data, inner, b"mdia", b"minf", b"stbl")
        length, per_chunk, chunks, offsets = 0, 1, 0, []
        for reader, _, _ in _readers(data, table, b"stsz"):
            each, count = reader.number(4), reader.number(4)
            length = max(length, each or (reader.number(4) if count else 0))
        for reader, _, _ in _readers(data, table, b"stsc"):
            for _ in range(reader.number(4)):
                reader.number(4)
                per_chunk = max(per_chunk, reader.number(4))
                reader.number(4)
        for kind, size in ((b"stco", 4), (b"co64", 8)):
            for reader, _, _ in _readers(data, table, kind):
                count = reader.number(4)
                chunks += count
                offsets += [reader.number(size)] if count else []
        limit("samples", chunks * per_chunk, MAX_SAMPLES)
        for offset in offsets:
            add_av1(memoryview(data)[offset : offset + length], claims)
