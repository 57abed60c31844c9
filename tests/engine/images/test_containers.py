"""The parsers of containers: their parts, orientation, and what is truncated."""

from __future__ import annotations

import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image, features
from yolean.engine.images.containers import (
    JPEG_EOI,
    JPEG_SOS,
    UPRIGHT,
    Orientation,
    brands,
    is_avif,
    is_truncated,
    isobmff_boxes,
    jpeg_segments,
    png_chunks,
    riff_chunks,
    unread_orientation,
)

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def encoded(form: str, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, form, exif=exif)
    return buffer.getvalue()


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def test_parts_of_whole_files() -> None:
    jpeg, png, webp = (encoded(form) for form in ("JPEG", "PNG", "WEBP"))
    segments = list(jpeg_segments(jpeg))
    assert [part.kind for part in segments].count(b"\xe1") == 1  # EXIF
    assert segments[-1].kind == JPEG_EOI
    assert [part.kind for part in segments].count(JPEG_SOS) == 1
    assert segments[-1].end == len(jpeg)
    chunks = list(png_chunks(png))
    assert [chunks[0].kind, chunks[-1].kind] == [b"IHDR", b"IEND"]
    assert png[chunks[0].start : chunks[0].start + 8] == struct.pack(">II", 48, 32)
    parts = list(riff_chunks(webp))
    assert parts[0].kind == b"VP8X"
    assert parts[-1].end in (len(webp), len(webp) - 1)


def test_garbage_between_segments_is_skipped() -> None:
    jpeg = encoded("JPEG")
    padded = jpeg[:2] + b"garbage\xff\x01\xff\xff" + jpeg[2:]
    assert [part.kind for part in jpeg_segments(padded)] == [part.kind for part in jpeg_segments(jpeg)]


def test_parts_may_claim_to_end_behind_the_data() -> None:
    png = encoded("PNG")[:40]
    assert [part.kind for part in png_chunks(png)] == [b"IHDR"] or list(png_chunks(png))[-1].end > len(png)
    data = box(b"free", b"12") + struct.pack(">I4s", 99, b"meta")
    parts = list(isobmff_boxes(data, 0, len(data)))
    assert [(part.kind, part.end <= len(data)) for part in parts] == [(b"free", True), (b"meta", False)]
    assert next(isobmff_boxes(struct.pack(">I4s", 3, b"tiny"), 0, 8)).end < 8  # ends inside its header
    assert list(isobmff_boxes(struct.pack(">I4s", 0, b"rest") + bytes(9), 0, 17)) == [(b"rest", 8, 17)]
    large = struct.pack(">I4sQ", 1, b"mdat", 20) + bytes(4)
    assert list(isobmff_boxes(large, 0, len(large))) == [(b"mdat", 16, 20)]


def test_parts_are_read_lazily() -> None:
    """Data made to have millions of parts costs what the caller takes of it."""
    chunks = png_chunks(b"\x89PNG\r\n\x1a\n" + bytes(12) * 2_000_000)
    assert len(list(itertools.islice(chunks, 10))) == 10


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_truncated_files(form: str) -> None:
    data = encoded(form)
    assert not is_truncated(data)
    assert not is_truncated(data + b"behind the end")
    for length in (len(data) - 1, len(data) // 2, 60, 20):
        assert is_truncated(data[:length])


def test_the_word_iend_in_a_text_is_not_the_end_of_a_png() -> None:
    png = encoded("PNG")
    text = struct.pack(">I4s", 12, b"tEXt") + b"note\0no IEND" + bytes(4)
    with_text = png[:33] + text + png[33:]
    assert not is_truncated(with_text)
    assert is_truncated(with_text[: 33 + len(text) + 20])


def test_orientations_that_opencv_leaves_to_us() -> None:
    assert unread_orientation(encoded("JPEG", 6)) is None
    assert unread_orientation(encoded("WEBP", 6)) == Orientation(3, None)
    assert unread_orientation(encoded("WEBP", 99)) == UPRIGHT


def test_the_orientation_of_an_avif_is_among_its_properties() -> None:
    def avif(properties: bytes, *, pixels_first: bool) -> bytes:
        meta = box(b"meta", bytes(4) + box(b"iprp", box(b"ipco", properties)))
        pixels = box(b"mdat", b"\0\0\0\x09irot\x02 is no property here")
        parts = (pixels, meta) if pixels_first else (meta, pixels)
        return box(b"ftyp", b"avif\0\0\0\0mif1avif") + b"".join(parts)

    turned = box(b"irot", b"\x01") + box(b"imir", b"\x01")
    for pixels_first in (False, True):
        assert unread_orientation(avif(turned, pixels_first=pixels_first)) == Orientation(1, 1)
        assert unread_orientation(avif(b"", pixels_first=pixels_first)) == UPRIGHT
    if features.check("avif"):
        assert unread_orientation(encoded("AVIF", 6)) == Orientation(3, None)


def test_brands() -> None:
    data = box(b"ftyp", b"avif\0\0\0\0mif1")
    assert is_avif(data)
    assert brands(data) >= {b"avif", b"mif1"}
    assert not is_avif(box(b"ftyp", b"heic\0\0\0\0mif1"))
    assert brands(b"\x89PNG\r\n\x1a\n") == set()
