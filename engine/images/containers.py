"""The containers of encoded images: JPEG segments, PNG chunks, RIFF chunks (WebP) and ISO-BMFF boxes (AVIF).

Each container has one parser here. It yields the parts lazily, reads nothing but their headers, and stops
where the data ends; a part may claim to end behind the data. Callers bound how many parts they take: data
that was made to have millions of them must not take seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Of classic TIFF and BigTIFF, little- and big-endian."""

JPEG_SOS = b"\xda"
JPEG_EOI = b"\xd9"

_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1"})
_JPEG_MARKER = re.compile(rb"\xff([^\0\1\xff\xd0-\xd8])")  # without those that have no content
_MAX_PARTS = 10_000
_ORIENTATION_TAG = 274  # of TIFF and EXIF


class Part(NamedTuple):
    """A segment, chunk or box.

    Attributes:
        kind: its marker or type: one byte in JPEG, four in the others.
        start, end: where its content begins, and the first byte behind it.
    """

    kind: bytes
    start: int
    end: int


class Orientation(NamedTuple):
    """How to turn a decoded image upright: first the rotation, then the flip.

    Attributes:
        quarter_turns: anticlockwise, 0 to 3.
        flipped_axis: 0 to reverse the rows, 1 to reverse the columns, None for neither.
    """

    quarter_turns: int
    flipped_axis: int | None


UPRIGHT = Orientation(0, None)

EXIF_ORIENTATIONS = {
    2: Orientation(0, 1),
    3: Orientation(2, None),
    4: Orientation(0, 0),
    5: Orientation(1, 0),
    6: Orientation(3, None),
    7: Orientation(3, 0),
    8: Orientation(1, None),
}
"""By the value of the EXIF tag; 1 and all others are upright."""


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """The segments of a JPEG, the end of image (EOI) included.

    Bytes between them are skipped, as readers do: garbage, fill bytes, the pixels of a scan.
    """
    at = 2
    while marker := _JPEG_MARKER.search(data, at):
        start = marker.end()
        if marker[1] == JPEG_EOI:
            yield Part(JPEG_EOI, start, start)
            return
        at = start + max(int.from_bytes(data[start : start + 2], "big"), 2)
        yield Part(marker[1], start, at)


def png_chunks(data: bytes) -> Iterator[Part]:
    """The chunks of a PNG, also those behind its IEND."""
    at = len(PNG_SIGNATURE)
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        yield Part(data[at + 4 : at + 8], at + 8, end)
        at = end + 4  # behind the checksum


def riff_chunks(data: bytes) -> Iterator[Part]:
    """The chunks of a RIFF file, such as WebP, up to the length in its header."""
    at, limit = 12, min(riff_length(data), len(data))
    while at + 8 <= limit:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield Part(data[at : at + 4], at + 8, at + 8 + size)
        at += 8 + size + size % 2


def riff_length(data: bytes) -> int:
    """Bytes that a RIFF file has by its header."""
    return int.from_bytes(data[4:8], "little") + 8


def isobmff_boxes(data: bytes, at: int, end: int) -> Iterator[Part]:
    """The boxes beside each other between two positions (ISO/IEC 14496-12, 4.2).

    A box that begins before its own header ends, or ends behind `end`, is the last that is yielded.
    """
    while at + 8 <= end:
        size, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        kind = data[at + 4 : start]
        if size == 0:  # up to the end
            size = end - at
        elif size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        yield Part(kind, start, at + size)
        if not start <= at + size <= end:
            return
        at += size


def brands(data: bytes) -> set[bytes]:
    """The brands in the first box of an ISO-BMFF file (AVIF, HEIC, MP4 video); empty for other data."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 128)
    return {data[at : at + 4] for at in range(8, end, 4)}


def is_avif(data: bytes) -> bool:
    """Whether it is an AVIF image or image sequence, by its brands."""
    return not _AVIF_BRANDS.isdisjoint(brands(data))


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG, PNG or WebP ends too early; data behind its end is tolerated.

    OpenCV 4 fills the missing part of a JPEG with grey and reports nothing.
    """
    if data[:2] == b"\xff\xd8":
        # An EXIF thumbnail, inside a segment, has an end marker of its own; the pixels cannot hold one.
        segments = islice(jpeg_segments(data), _MAX_PARTS)
        scan = next((part.start for part in segments if part.kind == JPEG_SOS), None)
        return scan is None or data.find(b"\xff" + JPEG_EOI, scan) < 0
    if data.startswith(PNG_SIGNATURE):
        for count, part in enumerate(png_chunks(data)):
            if part.kind == b"IEND":
                return part.end + 4 > len(data)
            if count == 10 * _MAX_PARTS:  # encoders write chunks of 8 kB and more: the decoder decides
                return False
        return True
    if data[:4] == b"RIFF":
        return riff_length(data) > len(data)
    return False


def unread_orientation(data: bytes) -> Orientation | None:
    """The orientation of a WebP or AVIF, which OpenCV 4.9 and 5.0 leave to us; None for other formats."""
    if data[:4] == b"RIFF":
        return EXIF_ORIENTATIONS.get(_webp_orientation(data), UPRIGHT)  # OpenCV 4.9 does not read it
    if is_avif(data):
        return _avif_orientation(data)  # OpenCV 5.0 does not read it
    return None


def describe(data: bytes) -> str:
    """What data that is no readable image seems to be, with advice, for an error message."""
    found = brands(data)
    if found and found.isdisjoint(_AVIF_BRANDS):
        if not found.isdisjoint(_HEIC_BRANDS):
            return "a HEIC image; convert it to JPEG or PNG"
        return "an MP4 video; pass the path of its file"
    if data[:4] == b"%PDF":
        return "a PDF document; convert its pages to PNG"
    if data[:256].lstrip()[:1] == b"<":
        return "HTML, XML or SVG text; check the address or the file it came from"
    return f"{len(data)} bytes that begin with {data[:8]!r} and cannot be decoded"


def _webp_orientation(data: bytes) -> int:
    for kind, start, end in islice(riff_chunks(data), _MAX_PARTS):
        if kind == b"EXIF":
            return _exif_orientation(data[start:end].removeprefix(b"Exif\0\0"))
    return 1


def _exif_orientation(exif: bytes) -> int:
    """The orientation in the first directory of an EXIF block (a TIFF header and its directories), or 1."""
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    start = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[start : start + 2], order)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if int.from_bytes(exif[at : at + 2], order) == _ORIENTATION_TAG:
            return int.from_bytes(exif[at + 8 : at + 10], order)
    return 1


def _avif_orientation(data: bytes) -> Orientation:
    """The first rotation (`irot`, anticlockwise) and mirror (`imir`) among the item properties.

    HEIF applies the rotation first, then the mirror (ISO/IEC 23008-12, 6.5.10 and 6.5.12).
    """
    found: dict[bytes, int] = {}
    boxes = [Part(b"", 0, len(data))]
    for kind, header in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):  # `meta` begins with version and flags
        inside = (part for box in boxes for part in isobmff_boxes(data, box.start, min(box.end, len(data))))
        boxes = [
            Part(part.kind, part.start + header, part.end)
            for part in islice(inside, _MAX_PARTS)
            if part.kind == kind
        ]
    for box in boxes:
        for kind, start, _ in islice(isobmff_boxes(data, box.start, min(box.end, len(data))), _MAX_PARTS):
            if kind in (b"irot", b"imir") and start < len(data):
                found.setdefault(kind, data[start])
    mirror = found.get(b"imir")
    return Orientation(found.get(b"irot", 0) & 3, None if mirror is None else mirror & 1)
