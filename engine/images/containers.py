"""What the bytes of an encoded image tell before decoding: whether it is whole, and which way is up."""

from __future__ import annotations

from typing import Literal

Turn = tuple[int, int | None]
"""Quarter turns anticlockwise, then the axis that is flipped: 0 rows, 1 columns, None neither."""

ORIENTATIONS: dict[int, Turn] = {
    2: (0, 1),
    3: (2, None),
    4: (0, 0),
    5: (1, 0),
    6: (3, None),
    7: (3, 0),
    8: (1, None),
}
UPRIGHT: Turn = (0, None)


def cut_off(data: bytes) -> bool:
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


def turn_unknown_to_opencv(data: bytes) -> Turn | None:
    """How to turn a decoded WebP or AVIF, or None for the formats that OpenCV turns by itself."""
    if data[:4] == b"RIFF":
        return ORIENTATIONS.get(_webp_orientation(data), UPRIGHT)  # OpenCV 4.9 does not read it
    if brands(data) & {b"avif", b"avis"}:
        return _avif_turn(data)  # OpenCV 5.0 does not read it
    return None


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


def _avif_turn(data: bytes) -> Turn:
    """Rotation ("irot", anticlockwise) and then mirror ("imir") of an AVIF (ISO/IEC 23008-12, 6.5.10)."""
    head = data.partition(b"mdat")[0]
    rotation = head.partition(b"\0\0\0\x09irot")[2]
    mirror = head.partition(b"\0\0\0\x09imir")[2]
    return rotation[0] & 3 if rotation else 0, mirror[0] & 1 if mirror else None


def brands(data: bytes) -> set[bytes]:
    """The brands that an MP4-like file (AVIF, HEIC, video) gives itself."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), 128)
    return {data[at : at + 4] for at in range(8, end, 4)}


def guess(data: bytes) -> str:
    """What data that is no readable image seems to be, with advice."""
    found = brands(data)
    if found & {b"heic", b"heix", b"heim", b"heis", b"mif1"} and not found & {b"avif", b"avis"}:
        return "a HEIC image; convert it to JPEG or PNG"
    if found - {b"avif", b"avis", b"mif1"} and not found & {b"avif", b"avis"}:
        return "an MP4 video; pass the path of its file"
    if data[:4] == b"%PDF":
        return "a PDF document; convert its pages to PNG"
    if data[:256].lstrip()[:1] == b"<":
        return "HTML, XML or SVG text; check the address or the file it came from"
    return f"{len(data)} bytes that begin with {data[:8]!r} and cannot be decoded"
