"""What encoded images claim before decoding: right for good ones, and bombs are refused."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, features
from yolean.engine.errors import InputError
from yolean.engine.images.decoding import image_from_bytes
from yolean.postprocess.types import Size
from yolean.serving.image_guard.headers import Header, NotAnImage, check_pixels, read_header

Tag = tuple[int, str, tuple[int, ...]]
SIZES = [(1, 1), (33, 17), (64, 200)]
AVIF = features.check("avif")
OPENCV = tuple(map(int, cv2.__version__.split(".")[:2]))
AVIF_DECODES = "avif (ver" in cv2.getBuildInformation()


def image(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    return struct.pack(">I", length) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes, size: tuple[int, int] = (10, 10)) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks)


IDAT = chunk(b"IDAT", zlib.compress(bytes(110)))
IEND = chunk(b"IEND")


def tiff(tags: Iterable[Tag], data: bytes = b"", order: str = "<", big: bool = False) -> bytes:
    """A TIFF of one directory that stands behind `data`, which begins at byte 16."""
    start, place = 16 + len(data), "Q" if big else "I"
    tags = sorted(tags)
    values = start + (16 if big else 6) + len(tags) * (20 if big else 12)
    entries = behind = b""
    for tag, kind, numbers in tags:
        value = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(value) > struct.calcsize(place):
            behind += value
            value = struct.pack(order + place, values + len(behind) - len(value))
        code = {"H": 3, "I": 4, "Q": 16}[kind]
        entries += struct.pack(f"{order}HH{place}", tag, code, len(numbers))
        entries += value.ljust(struct.calcsize(place), b"\0")
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, start) if big else (42, start)))
    count = struct.pack(order + ("Q" if big else "H"), len(tags))
    return head.ljust(16, b"\0") + data + count + entries + bytes(struct.calcsize(place)) + behind


def grey_tags(width: int, height: int, bits: int = 8, channels: int = 1) -> list[Tag]:
    depths = (bits,) * min(channels, 5)
    return [
        *[(256, "H", (width,)), (257, "I", (height,)), (258, "H", depths), (259, "H", (1,))],
        *[(262, "H", (1,)), (277, "H", (channels,)), (284, "H", (1,))],
    ]


def strips(count: int, length: int, rows: int) -> list[Tag]:
    return [(273, "I", (16,) * count), (278, "I", (rows,)), (279, "I", (length,) * count)]


def tiles(width: int, height: int, count: int, length: int, kind: str = "I") -> list[Tag]:
    offsets = tuple(range(16, 16 + count * length, length))
    return [
        *[(322, "H", (width,)), (323, kind, (height,))],
        *[(324, kind, offsets), (325, kind, (length,) * count)],
    ]


def bmp(header: bytes, pixels: bytes) -> bytes:
    return b"BM" + struct.pack("<III", 14 + len(header) + len(pixels), 0, 14 + len(header)) + header + pixels


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def vp8x(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def vp8(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, content))) + kind + b"".join(content)


def full(kind: bytes, *content: bytes, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *content)


FTYP = box(b"ftyp", b"avif\0\0\0\0mif1avif")


def ispe(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">II", width, height))


def avif(
    items: Iterable[tuple[bytes, bytes]], properties: bytes = ispe(10, 10), linked: bytes = b""
) -> bytes:
    """An AVIF of items (kind, data), with the content of `ipco` and that of `ipma` behind its count."""
    items = list(items)

    def meta(at: int) -> bytes:
        places = kinds = b""
        for number, (kind, data) in enumerate(items, 1):
            places += struct.pack(">HHHII", number, 0, 1, at, len(data))
            kinds += full(b"infe", struct.pack(">HH", number, 0) + kind + b"\0", version=2)
            at += len(data)
        count = struct.pack(">H", len(items))
        return full(
            b"meta",
            full(b"iloc", b"\x44\0", count, places),
            full(b"iinf", count, kinds),
            box(b"iprp", box(b"ipco", properties), full(b"ipma", linked or bytes(4))),
        )

    at = len(FTYP) + len(meta(0)) + 8
    return FTYP + meta(at) + box(b"mdat", *[data for _, data in items])


def obu(kind: int, data: bytes = b"") -> bytes:
    assert len(data) < 128
    return bytes([kind << 3 | 2, len(data)]) + data


def sequence(width: int, height: int, front: str = "000" + "1" + "1" + "00000") -> bytes:
    """An AV1 sequence header; `front` are the bits before the size, by default those of a still image."""
    bits = front + "1111" * 2 + f"{width - 1:016b}{height - 1:016b}"
    bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return obu(1, int(bits, 2).to_bytes(len(bits) // 8, "big"))


# Timing with uvlc(3) = 00 1 00, decoder model with delays of 7 bits, display delay, 2 operating points.
LONG_FRONT = "000" + "0" + "0"
LONG_FRONT += "1" + "0" * 64 + "1" + "00100" + "1" + "00110" + "0" * 42
LONG_FRONT += "1" + "00001"
LONG_FRONT += "0" * 12 + "01000" + "1" + "1" + "0" * 15 + "1" + "0000"
LONG_FRONT += "0" * 12 + "00111" + "0" + "0"


def good_images() -> dict[str, tuple[str, tuple[int, int], bytes]]:
    """Name -> format, size as stored, data."""
    found = {}
    for size in SIZES:
        kinds: list[tuple[str, str, dict[str, Any]]] = [
            *[("RGB", form, {}) for form in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")],
            ("RGB", "JPEG", {"progressive": True}),
            *[("L", form, {}) for form in ("JPEG", "PNG", "BMP", "TIFF")],
            ("CMYK", "JPEG", {}),
            ("P", "PNG", {}),
            ("P", "BMP", {}),
            ("1", "PNG", {}),
            ("RGBA", "PNG", {}),
            ("RGBA", "WEBP", {}),
            ("RGB", "WEBP", {"lossless": True}),
            *[("RGB", "TIFF", {"compression": kind}) for kind in ("tiff_lzw", "tiff_deflate", "packbits")],
            *((mode, "AVIF", {}) for mode in ("RGB", "L", "RGBA") if AVIF),
        ]
        for mode, form, options in kinds:
            name = f"{form} {mode} {size} {options}"
            found[name] = form, size, encoded(image(size, mode), form, **options)
        width, height = size
        deep = np.full((height, width), 40_000, np.uint16)
        for suffix, form in ((".png", "PNG"), (".tiff", "TIFF")):
            found[f"16 bits {form} {size}"] = form, size, cv2.imencode(suffix, deep)[1].tobytes()
        raw = bytes(height * (-(-width * 3 // 4) * 4))
        found[f"OS/2 BMP {size}"] = "BMP", size, bmp(struct.pack("<IHHHH", 12, *size, 1, 24), raw)
        info = struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 24, 0, 0, 0, 0, 0, 0)
        found[f"top-down BMP {size}"] = "BMP", size, bmp(info, raw)
        for order in "<>":
            for big in (False, True):
                tags = [*grey_tags(*size), *strips(1, width * height, height)]
                name = f"TIFF {order} {big} {size}"
                found[name] = "TIFF", size, tiff(tags, bytes(width * height), order, big)
    for form in ("JPEG", "PNG", "WEBP", "TIFF", *(["AVIF"] if AVIF else [])):
        exif = Image.Exif()
        exif[274] = 6
        found[f"turned {form}"] = form, (64, 200), encoded(image((64, 200)), form, exif=exif)
    for form in ("WEBP", *(["AVIF"] if AVIF else [])):
        frames = [image((64, 200)), image((64, 200)).rotate(180)]
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
        found[f"animated {form}"] = form, (64, 200), data
    tags = [*grey_tags(100, 70), *tiles(64, 16, 10, 1024)]  # libtiff wants a multiple of 1024 bytes
    found["tiled TIFF"] = "TIFF", (100, 70), tiff(tags, bytes(10 * 1024))
    tags = [*grey_tags(100, 70), *tiles(64, 16, 10, 1024, "Q")]
    found["tiled BigTIFF"] = "TIFF", (100, 70), tiff(tags, bytes(10 * 1024), ">", True)
    return found


GOOD = good_images()


def decodes(form: str, name: str) -> bool:
    """Whether this OpenCV can decode it: not without AVIF, and animations from 4.11 on."""
    return (form != "AVIF" or AVIF_DECODES) and ("animated" not in name or OPENCV >= (4, 11))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", *(["AVIF"] if AVIF else [])])
def test_header_of_good_images(form: str) -> None:
    images = {name: (size, data) for name, (kind, size, data) in GOOD.items() if kind == form}
    assert len(images) > 10
    for name, (size, data) in images.items():
        width, height = size
        header = read_header(data)
        assert header == Header({"WEBP": "WebP"}.get(form, form), Size(height, width)), name
        pixels = width * height
        assert check_pixels(data, pixels) == header
        with pytest.raises(InputError) as caught:
            check_pixels(data, pixels - 1, "upload")
        expected = f"upload: expected at most {pixels - 1} pixels, found {width}x{height} = {pixels}; make"
        assert str(caught.value).startswith(expected)
        assert not isinstance(caught.value, NotAnImage)
        if decodes(form, name):
            shape = image_from_bytes(data).shape[:2]
            assert shape == (size if "turned" in name else size[::-1]), name


def test_other_formats() -> None:
    for data in (
        *(b"", b"\xff", b"hello world", b"<svg></svg>", b"GIF89a\1\0\1\0\0\0\0", b"%PDF-1.7"),
        *(b"P6\n9 9\n255\n", b"RIFF\x24\0\0\0WAVEfmt ", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        *(b"\0\0\0\x18ftypisom\0\0\0\0isommp42", encoded(image((9, 9)), "JPEG2000")),
    ):
        assert read_header(data) is None
        with pytest.raises(NotAnImage, match=r"^upload: expected an image \(JPEG, PNG, .* AVIF\), found "):
            check_pixels(data, 10**9, "upload")


JPEG = encoded(image((33, 17), "L"), "JPEG")
PROGRESSIVE = encoded(image((33, 17), "L"), "JPEG", progressive=True)
SOF = JPEG.index(b"\xff\xc0")
SOS = JPEG.index(b"\xff\xda")


def segment(kind: int, data: bytes) -> bytes:
    return bytes([0xFF, kind]) + struct.pack(">H", len(data) + 2) + data


def sof(width: int, height: int, kind: int = 0xC0) -> bytes:
    return segment(kind, struct.pack(">BHH", 8, height, width) + b"\1\1\x11\0")


LARGEST: list[tuple[bytes, tuple[int, int]]] = [
    # data, width and height
    (JPEG[:SOF] + sof(60_000, 50_000) + JPEG[SOF:], (60_000, 50_000)),
    (JPEG[:SOS] + sof(60_000, 50_000, 0xC2) + JPEG[SOS:], (60_000, 50_000)),
    (JPEG[:-2] + sof(60_000, 50_000, 0xCF) + JPEG[-2:], (60_000, 50_000)),
    (JPEG[:SOS] + segment(0xE1, b"Exif\0\0" + sof(600, 500)) + JPEG[SOS:], (33, 17)),  # a thumbnail
    (JPEG[:SOS] + b"\xff\xff\xd0garbage\xff" + JPEG[SOS:], (33, 17)),
    (JPEG[:SOS] + b"\xff\xfe\0\0" + JPEG[SOS:], (33, 17)),  # libjpeg takes a length of 0 for 2
    (PROGRESSIVE + PROGRESSIVE * 30, (33, 17)),  # behind the end: depth maps, films
    (png(IDAT, IEND, b"garbage"), (10, 10)),
    (riff(vp8x(10, 10), (b"ICCP", b"odd"), vp8(1000, 2000)), (1000, 2000)),
    (riff(vp8x(10, 10), (b"ANMF", bytes(6) + vp8x(1000, 2000)[1][4:] + bytes(4))), (1000, 2000)),
    (riff(vp8x(1 << 24, 1 << 24)), (1 << 24, 1 << 24)),
    (riff(vp8(0xC000 + 100, 0x4000 + 200)), (100, 200)),  # the upper two bits only scale
    (riff((b"VP8L", b"\x2f" + struct.pack("<I", 16382 | 99 << 14))), (16383, 100)),
    (riff(vp8(10, 10)) + vp8(1000, 2000)[1], (10, 10)),  # behind the end
    (bmp(struct.pack("<Iii", 40, 1, -(2**31)), b"\0" * 40), (1, 2**31)),
    (bmp(struct.pack("<IHHI", 12, 65535, 65535, 0), b""), (65535, 65535)),
    (tiff([*grey_tags(10, 10), *tiles(16384, 16000, 1, 100)], bytes(100)), (16384, 16000)),
    (tiff([*grey_tags(10, 10), *strips(1, 100, 2**32 - 1)], bytes(100)), (10, 10)),
    (avif([(b"av01", sequence(6000, 5000))]), (6000, 5000)),
    (avif([(b"av01", obu(2) + obu(5, b"x") + sequence(6000, 5000, LONG_FRONT))]), (6000, 5000)),
    (avif([(b"grid", b"\0\0\1\1" + struct.pack(">HH", 6000, 5000))]), (6000, 5000)),
    (avif([(b"grid", b"\0\1\1\1" + struct.pack(">II", 6000, 99_999))]), (6000, 99_999)),
    (avif([(b"mime", sequence(6000, 5000))]), (10, 10)),
    (avif([], ispe(10, 10) + ispe(700, 800) + ispe(20, 20)), (700, 800)),
]


def test_the_largest_claim_counts() -> None:
    for number, (data, (width, height)) in enumerate(LARGEST):
        header = read_header(data)
        assert header is not None
        assert header.size == Size(height, width), number


def animation(width: int, height: int, samples: int, payload: bytes) -> bytes:
    """An AVIF with tracks and without items."""
    front = FTYP + box(b"mdat", payload)
    table = full(b"stsz", struct.pack(">II", len(payload), samples))
    table += full(b"stsc", struct.pack(">IIII", 1, 1, samples, 1))
    table += full(b"stco", struct.pack(">II", 1, len(FTYP) + 8))
    head = full(b"tkhd", bytes(72), struct.pack(">II", width << 16, height << 16))
    return front + box(b"moov", box(b"trak", head, box(b"mdia", box(b"minf", box(b"stbl", table)))))


def test_tracks_and_their_first_sample() -> None:
    header = Header("AVIF", Size(5000, 6000))
    assert read_header(animation(6000, 5000, 5, sequence(10, 10))) == header
    assert read_header(animation(10, 10, 5, sequence(6000, 5000))) == header


@pytest.mark.skipif(not AVIF, reason="this Pillow was built without AVIF")
@pytest.mark.parametrize("options", [{}, {"save_all": True, "append_images": [image((300, 200))]}])
def test_avif_that_claims_less_than_its_pixels(options: dict[str, Any]) -> None:
    data = encoded(image((300, 200)), "AVIF", **options)
    data = data.replace(struct.pack(">II", 300, 200), struct.pack(">II", 10, 10))
    data = data.replace(struct.pack(">II", 300 << 16, 200 << 16), struct.pack(">II", 10 << 16, 10 << 16))
    assert read_header(data) == Header("AVIF", Size(200, 300))


ZEROS = zlib.compress(bytes(8_000_000))
DEFLATE = zlib.compressobj(wbits=-15)
MEGABYTE = DEFLATE.compress(bytes(1 << 20)) + DEFLATE.flush(zlib.Z_FULL_FLUSH)  # may be repeated: 1 kB
SHARED = [(50_000 + tag, "I", (0,)) for tag in range(9)]
GREY = [*grey_tags(10, 10), *strips(1, 100, 10)]


def with_tags_that_share(count: int) -> bytes:
    """A TIFF whose nine unknown tags point to the same `count` longs."""
    data = tiff([*GREY, *SHARED], bytes(4 * count))
    for tag, _, _ in SHARED:
        entry = struct.pack("<HHII", tag, 4, 1, 0)
        data = data.replace(entry, struct.pack("<HHII", tag, 4, count, 16))
    return data


def pages(count: int) -> bytes:
    data = tiff(GREY, bytes(100))
    links = [struct.pack("<HI", 0, len(data) + 6 * (page + 1)) for page in range(count)]
    end = 116 + 2 + 12 * len(GREY)
    return data[:end] + struct.pack("<I", len(data)) + data[end + 4 :] + b"".join(links)


FRAMES = sequence(10, 10) + obu(6) * 17
LINKS = struct.pack(">IH", 1, 1) + b"\xff" + b"\2" * 255  # one item that has property 2 255 times

BOMBS = {
    "PNG: chunk longer than the file": (
        png(chunk(b"IDAT", b"x", 2**32 - 16), IEND),
        "of 4294967280 bytes in",
    ),
    "PNG: long chunk behind the end": (
        png(IEND, chunk(b"IDAT", b"x", 2**31)),
        "of 2147483648 bytes in a file",
    ),
    "PNG: two sizes": (png(png(size=(20_000, 20_000))[8:], IDAT, IEND), "a second IHDR"),
    "PNG: tiny chunks": (png(chunk(b"tEXt") * 60_000, IDAT, IEND), "more than 50000 chunks"),
    "PNG: texts": (png(chunk(b"zTXt", b"k\0\0" + ZEROS) * 3, IDAT, IEND), "16777216 bytes of compressed"),
    "PNG: texts behind": (png(IDAT, chunk(b"iTXt", b"k\0\1\0\0\0" + ZEROS) * 3, IEND), "compressed texts"),
    "PNG: profile": (png(chunk(b"iCCP", b"k\0\0" + ZEROS) * 3, IDAT, IEND), "compressed texts"),
    "PNG: damaged text": (png(chunk(b"zTXt", b"k\0\0nonsense"), IDAT, IEND), "a damaged zTXt chunk"),
    "PNG: animation": (png(chunk(b"acTL", struct.pack(">II", 2, 0)), IDAT, IEND), "an animation"),
    "PNG: EXIF": (png(chunk(b"eXIf", bytes(200_000)), IDAT, IEND), "200000 bytes of EXIF, more than"),
    "PNG: surplus": (
        png(chunk(b"IDAT", b"\x78\x9c" + MEGABYTE * 300), IEND),
        "expected a sound PNG, found more pixel data than 10x10 pixels take; save",
    ),
    "JPEG: scans": (JPEG[:-2] + segment(0xDA, b"\1\1\0\0\x3f\0") * 100 + b"\xff\xd9", "101 scans, more"),
    "JPEG: segments": (JPEG[:2] + segment(0xE5, b"") * 10_001 + JPEG[2:], "more than 10000 segments"),
    "WebP: chunks": (riff(*[(b"abcd", b"")] * 10_001, vp8(9, 9)), "more than 10000 chunks"),
    "WebP: EXIF": (riff(vp8x(9, 9), vp8(9, 9), (b"EXIF", bytes(200_000))), "200000 bytes of EXIF"),
    "TIFF: channels": (
        tiff([*grey_tags(10, 10, 8, 65535), *strips(1, 9, 10)]),
        "65535 channels, more than 4",
    ),
    "TIFF: doubles": (tiff([*grey_tags(10, 10, 64), *strips(1, 9, 10)]), "64 bits a channel, more than 16"),
    "TIFF: strips": (tiff([*grey_tags(1, 20_000), *strips(1, 1, 1)]), "20000 strips or tiles, more than"),
    "TIFF: small tiles": (
        tiff([*grey_tags(1000, 1000), *tiles(1, 1, 1, 1)]),
        "1000000 strips or tiles, more",
    ),
    "TIFF: shared strips": (
        tiff([*grey_tags(10, 10_000), *strips(10_000, 10_000, 1)], bytes(10_000)),
        "100000000 bytes in strips or tiles, more than",
    ),
    "TIFF: no lengths": (
        tiff([*grey_tags(10, 10_000), *strips(10_000, 9, 1)[:2]], bytes(10_000)),
        "bytes in strips or tiles, more than",
    ),
    "TIFF: long strip": (
        tiff([*grey_tags(10, 10), *strips(1, 500_000_000, 10)]),
        "500000000 bytes in a strip or tile, more than",
    ),
    "TIFF: shared tags": (with_tags_that_share(1000), "bytes in tags, more than"),
    "TIFF: pages": (pages(10_001), "10001 pages, more than 10000"),
    "TIFF: tags": (
        tiff([*GREY, *((40_000 + n, "H", (1,)) for n in range(1000))], bytes(99)),
        "tags, more than",
    ),
    "TIFF: tag twice": (tiff([*GREY, *GREY], bytes(100)), "tag 256 twice"),
    "AVIF: boxes": (FTYP + box(b"free") * 1001, "more than 1000 boxes beside each other"),
    "AVIF: reduced": (FTYP + box(b"mini"), "the reduced kind of header"),
    "AVIF: items": (avif([(b"Exif", b"")] * 1900), "bytes of item boxes, more than 65536"),
    "AVIF: EXIF": (avif([(b"Exif", bytes(200_000))]), "200000 bytes of EXIF"),
    "AVIF: frames": (avif([(b"av01", FRAMES)]), "1700 pixels in AV1 frames, more than 1600"),
    "AVIF: units": (avif([(b"av01", obu(2) * 10_001)]), "10001 units of AV1 data"),
    "AVIF: properties": (
        avif([(b"av01", b"")], ispe(9, 9) + box(b"colr", bytes(200_000)), LINKS),
        "bytes of item properties, more than",
    ),
    "AVIF: samples": (animation(10, 10, 2_500_000, b"x"), "2500000 samples, more than 100000"),
    "AVIF: track boxes": (FTYP + box(b"moov", box(b"free", bytes(70_000))), "bytes of track boxes"),
    "AVIF: pieces": (
        FTYP + full(b"meta", full(b"iloc", b"\0\0\0\1" + struct.pack(">HHH", 1, 0, 65_535))),
        "65535 pieces of items",
    ),
}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WebP", "TIFF", "AVIF"])
def test_bombs_are_refused(form: str) -> None:
    for name, (data, expected) in BOMBS.items():
        if not name.startswith(form):
            continue
        with pytest.raises(InputError) as caught:
            check_pixels(data, 1_000_000, "upload")
        assert not isinstance(caught.value, NotAnImage)
        assert str(caught.value).startswith(f"upload: expected a sound {form}"), name
        assert expected in str(caught.value), name
        assert "\n" not in str(caught.value)


CLAIMS = {
    "PNG": png(IDAT, IEND, size=(60_000, 60_000)),
    "JPEG": JPEG[:SOF] + sof(60_000, 60_000) + JPEG[SOS:],
    "WebP": riff(vp8(16383, 16383)),
    "BMP": bmp(struct.pack("<IiiHHI", 40, 60_000, 60_000, 1, 8, 1), bytes(1100)),
    "TIFF": tiff([*grey_tags(60_000, 60_000), *strips(1, 100, 60_000)], bytes(100)),
    "AVIF": avif([(b"av01", sequence(10, 10))], ispe(60_000, 60_000)),
}


def test_nothing_is_allocated_by_a_claim() -> None:
    for form, data in CLAIMS.items():
        tracemalloc.start()
        try:
            with pytest.raises(InputError, match=r"^image: expected at most 1000000 pixels, found \d{5}x"):
                check_pixels(data, 1_000_000)
            assert tracemalloc.get_traced_memory()[1] < 100_000, form
        finally:
            tracemalloc.stop()


NONSENSE: list[tuple[bytes, str]] = [
    (b"\xff\xd8\xff", "expected a sound JPEG header, found no size; save the image again"),
    (JPEG[: SOF + 6], "JPEG header, found its end after"),
    (JPEG[:SOF] + sof(0, 9) + JPEG[SOS:], "JPEG header, found a size of 0x9;"),
    (b"\x89PNG\r\n\x1a\n", "PNG header, found b'' as its first chunk;"),
    (png(IDAT), "PNG header, found its end after"),  # no IEND
    (png(IDAT, IEND, size=(0, 0)), "found a size of 0x0"),
    (b"RIFF\x04\0\0\0WEBP", "WebP header, found no size"),
    (b"BM", "BMP header, found its end after 2 bytes"),
    (bmp(struct.pack("<I", 13), bytes(40)), "found an information header of 13 bytes"),
    (bmp(struct.pack("<Iii", 40, -5, 5), bytes(40)), "found a size of -5x5"),
    (b"II*\0\x08\0\0\0", "TIFF header, found its end after 8 bytes"),
    (tiff(grey_tags(0, 9)), "found a size of 0x9"),
    (tiff([*grey_tags(9, 9), *tiles(0, 16, 1, 1)]), "found pieces of 0x16 pixels"),
    (FTYP, "AVIF header, found no size"),
    (FTYP + struct.pack(">I", 7) + b"meta", "found a box b'meta' of 7 bytes where 8 are left"),
    (FTYP + struct.pack(">I4sQ", 1, b"meta", 2**63), "of 9223372036854775808 bytes"),
    (avif([(b"av01", obu(1, b"\x18"))]), "found an AV1 header that is cut off"),
    (avif([(b"grid", b"\0")]), "found its end after 1 bytes, inside the header"),
]


def test_nonsense_is_named() -> None:
    for data, expected in NONSENSE:
        with pytest.raises(InputError) as caught:
            read_header(data)
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)


LARGE = 16_000_000
HEAD = JPEG[: JPEG.index(b"\0\x3f\0", SOS) + 3]


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"\xff" * LARGE,
        HEAD + b"\xff\0" * (LARGE // 2),
        HEAD + b"\xff\xd0" * (LARGE // 2),
        b"\xff\xd8" + b"\xff\x02" * (LARGE // 2),
        png(chunk(b"tEXt") * (LARGE // 12)),
        png(chunk(b"zTXt", b"k\0\0" + zlib.compress(b"")) * (LARGE // 24)),
        png(chunk(b"IDAT", b"\x78\x9c" + MEGABYTE * 10_000), IEND),
        riff((b"abcd", b"")) + b"abcd\0\0\0\0" * (LARGE // 8),
        tiff([*GREY, *((n, "I", (2**32 - 1,)) for n in range(500, 1480))], bytes(LARGE)),
        FTYP + box(b"free") * (LARGE // 8),
        FTYP + full(b"meta", box(b"free") * (LARGE // 8)),
        avif([(b"av01", obu(2) * 9000)] * 900),
    ],
    ids=[
        "fill bytes in a scan",
        "stuffed bytes in a scan",
        "restarts in a scan",
        "markers",
        "text chunks",
        "compressed text chunks",
        "a chunk that inflates",
        "RIFF chunks",
        "large TIFF tags",
        "boxes",
        "boxes in a box",
        "AV1 headers",
    ],
)
def test_hostile_data_takes_little_time(data: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(InputError):
        check_pixels(data, 1_000_000)
    assert time.process_time() - started < 1.5  # 0.12 s at most on an idle machine


MAGICS = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\xff\0\0\0WEBP",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
]


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([*MAGICS, b"MM\0+", FTYP, png(), FTYP + b"\0\0\0\x80meta"]), st.binary(max_size=200))
def test_any_bytes(magic: bytes, data: bytes) -> None:
    assert_sane(magic + data)


SEEDS = [data for name, (_, _, data) in GOOD.items() if "(33, 17)" in name or "(" not in name]
SEEDS += [data for data, _ in BOMBS.values() if len(data) < 20_000]
SEEDS += [
    avif([(b"av01", sequence(60, 50, LONG_FRONT))], linked=LINKS),
    animation(10, 10, 5, sequence(10, 10)),
]


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(SEEDS), st.integers(0, 2**32), st.integers(1, 6), st.floats(0, 2))
@example(SEEDS[0], 0, 1, 0)
def test_any_mutation(data: bytes, seed: int, edits: int, keep: float) -> None:
    numbers = random.Random(seed)
    changed = bytearray(data)
    for _ in range(edits):
        at = int(numbers.random() ** 3 * len(changed))  # the front, where headers are, more often
        width = numbers.choice((1, 2, 4, 8))
        value = numbers.choice((0, 1, 255, 2 ** (8 * width) - 1, numbers.randrange(2 ** (8 * width))))
        changed[at : at + width] = (value % 2 ** (8 * width)).to_bytes(
            width, numbers.choice(("big", "little"))
        )
    assert_sane(bytes(changed[: int(keep * len(changed))]))


def assert_sane(data: bytes) -> None:
    """A header, None or `InputError`, and nothing else."""
    with contextlib.suppress(InputError):
        header = read_header(data)
        if header is None:
            with pytest.raises(NotAnImage):
                check_pixels(data, 10**12)
        else:
            assert min(header.size) > 0
            with pytest.raises(InputError):
                check_pixels(data, header.size.width * header.size.height - 1)


def test_opencv_has_a_fence_of_its_own_that_is_read_when_it_is_imported() -> None:
    code = (
        "import os, sys; os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'] = '99'\n"
        "import cv2, numpy; os.environ['OPENCV_IO_MAX_IMAGE_PIXELS'] = '1000000'\n"
        "data = cv2.imencode('.bmp', numpy.zeros((10, 10), numpy.uint8))[1]\n"
        "try: cv2.imdecode(data, 1)\n"
        "except cv2.error as error: sys.exit('CV_IO_MAX_IMAGE_PIXELS' not in str(error))\n"
        "sys.exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
