"""Bytes, arrays and PIL images: orientation, depth, channels, and what is refused."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from PIL import features
from yolean.engine.errors import InputError
from yolean.engine.images.decoding import (
    Image,
    image_from_array,
    image_from_bytes,
    image_from_pil,
    quiet_opencv,
)

UPRIGHT = np.full((32, 48, 3), 20, np.uint8)
UPRIGHT[:16, :24] = (40, 90, 230)  # BGR: the upper left quarter is reddish, so no turn goes unseen
# How an upright image lies in a file whose EXIF orientation turns it upright again.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def pil_image(bgr: np.ndarray, mode: str = "RGB") -> PILImage.Image:
    return PILImage.fromarray(np.ascontiguousarray(bgr[..., ::-1])).convert(mode)


def encoded(image: PILImage.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def with_orientation(form: str, orientation: int) -> bytes:
    exif = PILImage.Exif()
    exif[274] = orientation
    options = {} if form in ("PNG", "TIFF") else {"quality": 95}
    return encoded(pil_image(STORED[orientation](UPRIGHT)), form, exif=exif, **options)


def assert_is_upright(decoded: Image, channels: int = 3) -> None:
    assert decoded.shape == (32, 48, channels)
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    expected = UPRIGHT if channels == 3 else cv2.cvtColor(UPRIGHT, cv2.COLOR_BGR2GRAY)[..., None]
    # Lossy files: a mean difference of up to 4 levels is allowed; a wrong turn gives at least 30.
    assert np.abs(decoded.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_of_encoded_images(form: str) -> None:
    for orientation in range(1, 9):
        for channels in [3, 1]:
            if form == "AVIF" and not (features.check("avif") and "avif (ver" in cv2.getBuildInformation()):
                pytest.skip("this OpenCV or Pillow was built without AVIF")
            data = with_orientation(form, orientation)
            assert_is_upright(image_from_bytes(data, channels=channels), channels)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_of_pil_images(form: str) -> None:
    for orientation in range(1, 9):
        for channels in [3, 1]:
            image = PILImage.open(io.BytesIO(with_orientation(form, orientation)))
            assert_is_upright(image_from_pil(image, channels=channels), channels)


def test_damaged_exif_means_upright() -> None:
    for exif in [
        b"",  # empty block
        b"II*\0",  # cut off after the mark
        b"II*\0\xff\xff\xff\xff",  # directory behind the end
        b"MM\0*\0\0\0\x08\xff\xff" + b"\1\2" * 9,  # 65535 entries announced, one there
        b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x63\0\0",  # orientation 99
        b"not exif at all",
    ]:
        webp = encoded(pil_image(UPRIGHT), "WEBP", exif=b"Exif\0\0" + exif if exif else b"", quality=95)
        assert_is_upright(image_from_bytes(webp))
        png = encoded(pil_image(UPRIGHT), "PNG", exif=exif or b"II")
        assert_is_upright(image_from_pil(PILImage.open(io.BytesIO(png))))


RAMP = np.arange(65536, dtype=np.uint32).astype(np.uint16).reshape(256, 256)


def test_16_bit_colour_is_shifted() -> None:
    for suffix in [".png", ".tiff", ".ppm"]:
        deep = np.dstack([RAMP, RAMP[::-1], RAMP.T])
        data = cv2.imencode(suffix, deep)[1].tobytes()
        np.testing.assert_array_equal(image_from_bytes(data), (deep >> 8).astype(np.uint8))


def test_16_bit_grey_is_shifted_and_repeated() -> None:
    for suffix in [".png", ".tiff", ".pgm"]:
        data = cv2.imencode(suffix, RAMP)[1].tobytes()
        grey = (RAMP >> 8).astype(np.uint8)
        np.testing.assert_array_equal(image_from_bytes(data), np.dstack([grey] * 3))
        np.testing.assert_array_equal(image_from_bytes(data, channels=1), grey[..., None])


def test_16_bit_pil_is_shifted_not_clipped() -> None:
    expected = np.dstack([(RAMP >> 8).astype(np.uint8)] * 3)
    np.testing.assert_array_equal(image_from_pil(PILImage.fromarray(RAMP)), expected)
    np.testing.assert_array_equal(image_from_pil(PILImage.fromarray(RAMP), channels=1), expected[..., :1])


def test_modes() -> None:
    for mode, form, expected in [
        ("RGBA", "PNG", (50, 100, 200)),  # alpha dropped, not blended
        ("LA", "PNG", (124, 124, 124)),
        ("L", "PNG", (124, 124, 124)),
        ("L", "JPEG", (124, 124, 124)),
        ("P", "PNG", (50, 100, 200)),
        ("CMYK", "JPEG", (50, 100, 200)),
        ("1", "PNG", (255, 255, 255)),
        ("RGB", "BMP", (50, 100, 200)),
        ("RGB", "PPM", (50, 100, 200)),
        ("RGB", "JPEG2000", (50, 100, 200)),
    ]:
        image = PILImage.new("RGBA", (20, 16), (200, 100, 50, 10)).convert(mode)
        if mode == "1":
            image = PILImage.new("1", (20, 16), 1)
        data = encoded(image, form)
        for decoded in (image_from_bytes(data), image_from_pil(image)):
            assert decoded.shape == (16, 20, 3)
            assert np.abs(decoded.astype(int) - expected).max() <= 2, decoded[0, 0]


def test_pil_palette_with_transparency_warns_nothing() -> None:
    image = pil_image(UPRIGHT).convert("P", palette=PILImage.Palette.ADAPTIVE)
    image = PILImage.open(io.BytesIO(encoded(image, "PNG", transparency=b"\0\x80")))
    assert image.mode == "P"
    assert_is_upright(image_from_pil(image))
    assert_is_upright(image_from_pil(image, channels=1), 1)


def test_pil_modes_without_a_range_are_refused() -> None:
    for mode in ["I", "F"]:
        with pytest.raises(InputError, match=rf'^p: expected 8 or 16 bits.*"{mode}"; scale'):
            image_from_pil(PILImage.new(mode, (4, 4)), "p")


def test_cut_off_pil_file_is_refused() -> None:
    image = PILImage.open(io.BytesIO(noisy("JPEG")[:-200]))
    with pytest.raises(InputError, match=r"^p: PIL cannot read this image \(image file is truncated"):
        image_from_pil(image, "p")


def noisy(form: str, **options: Any) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return encoded(pil_image(cv2.resize(noise, (160, 120))), form, **options)


PROGRESSIVE = {"progressive": True}
LOSSLESS = {"lossless": True}


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", PROGRESSIVE),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", LOSSLESS),
        ("BMP", {}),
        ("TIFF", {}),
    ],
)
def test_cut_off_images_are_refused(form: str, options: dict[str, Any]) -> None:
    for keep in [0.02, 0.1, 0.5, 0.9, 0.999]:
        data = noisy(form, **options)
        assert image_from_bytes(data).shape == (120, 160, 3)
        with pytest.raises(InputError, match=r"^cut"):
            image_from_bytes(data[: int(len(data) * keep)], "cut")


def test_lost_ends_are_refused() -> None:
    for form in ["JPEG", "PNG", "WEBP"]:
        for lost in [1, 2, 10]:
            with pytest.raises(InputError, match=r"^cut"):
                image_from_bytes(noisy(form)[:-lost], "cut")


def test_bytes_behind_the_end_are_tolerated() -> None:
    for form in ["JPEG", "PNG", "WEBP", "BMP"]:
        data = noisy(form)
        np.testing.assert_array_equal(image_from_bytes(data + b"\0trailing"), image_from_bytes(data))


def test_end_marker_of_a_thumbnail_does_not_count() -> None:
    thumbnail = noisy("JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = noisy("JPEG")
    data = data[:2] + segment + b"\xff\xff" + data[2:]  # and a fill byte, which is allowed there
    assert image_from_bytes(data).shape == (120, 160, 3)
    with pytest.raises(InputError, match="cut off"):
        image_from_bytes(data[:-500])


def test_jpeg_made_of_markers_ends_soon() -> None:
    with pytest.raises(InputError, match="cut off"):
        image_from_bytes(b"\xff\xd8" + b"\xff\x01" * 4_000_000)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 90)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_what_is_not_a_image_is_named() -> None:
    for data, expected in [
        (b"", "expected an encoded image, found 0 bytes"),
        (b"\xff\xd8", "cut off after 2 bytes"),
        (b"%PDF-1.7 ...", "found a PDF document; convert"),
        (b"\n <!DOCTYPE html><html>", "found HTML, XML or SVG text; check"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "found a HEIC image; convert"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "found an MP4 video; pass the path"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"\0\0\0\x09irot", "bytes that begin with"),  # only a head
        (b"hello world", "found 11 bytes that begin with b'hello wo'"),
        (png_that_claims(60_000, 60_000), "larger than OpenCV reads"),
        (png_that_claims(100, 100), "cannot be decoded"),  # 30 kB announced, 90 bytes there
    ]:
        with pytest.raises(InputError) as caught:
            image_from_bytes(data, "upload.jpg")
        assert str(caught.value).startswith("upload.jpg: ")
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)


def test_kinds_of_bytes() -> None:
    for kind in [bytes, bytearray, memoryview]:
        assert_is_upright(image_from_bytes(kind(with_orientation("PNG", 6))))


def test_bytes_for_other_channel_counts_are_refused() -> None:
    with pytest.raises(InputError, match=r"the model takes 4; pass a numpy array \(H, W, 4\)"):
        image_from_bytes(noisy("PNG"), channels=4)


BGRA = np.dstack([UPRIGHT, np.full((32, 48), 7, np.uint8)])
GREY = cv2.cvtColor(UPRIGHT, cv2.COLOR_BGR2GRAY)


def test_arrays() -> None:
    for array, channels, expected in [
        (UPRIGHT, 3, UPRIGHT),  # fits
        (UPRIGHT[:, ::-1], 3, UPRIGHT[:, ::-1]),  # negative strides
        (BGRA, 3, UPRIGHT),  # alpha dropped
        (GREY, 3, np.dstack([GREY] * 3)),
        (GREY[..., None], 3, np.dstack([GREY] * 3)),
        (UPRIGHT.astype(np.uint16) * 256 + 255, 3, UPRIGHT),  # >> 8
        (UPRIGHT.astype(">u2") * 256, 3, UPRIGHT),  # the other byte order
        (GREY, 1, GREY[..., None]),
        (UPRIGHT, 1, GREY[..., None]),
        (BGRA, 1, GREY[..., None]),
        (BGRA, 4, BGRA),  # a model of four channels takes them as they are
        (np.zeros((5, 6, 11), np.uint8), 11, np.zeros((5, 6, 11), np.uint8)),
    ]:
        decoded = image_from_array(array, channels=channels)
        np.testing.assert_array_equal(decoded, expected)
        assert decoded.dtype == np.uint8
        assert decoded.flags.c_contiguous


def test_an_array_that_fits_is_not_copied() -> None:
    assert np.shares_memory(image_from_array(UPRIGHT), UPRIGHT)


def test_arrays_that_are_refused() -> None:
    cases: list[tuple[Any, ...]] = [
        (np.zeros((0, 4, 3), np.uint8), "found an empty array of shape (0, 4, 3)"),
        (np.zeros((4, 0), np.uint8), "found an empty array of shape (4, 0)"),
        (
            np.zeros(4, np.uint8),
            "expected an array (H, W, 3) BGR, (H, W) grey or (H, W, 4) BGRA, found shape (4,)",
        ),
        (np.uint8(4), "found shape ()"),
        (np.zeros((4, 4, 2), np.uint8), "found shape (4, 4, 2)"),
        (
            np.zeros((3, 8, 9), np.uint8),
            "found shape (3, 8, 9); channels come last here: x.transpose(1, 2, 0)",
        ),
        (np.zeros((1, 3, 8, 9), np.uint8), "found shape (1, 3, 8, 9)"),
        (np.ones((4, 4, 3), bool), "found bool; convert it, for example (x * 255).astype(np.uint8)"),
        (np.ones((4, 4, 3), np.float32), "found float32 from 1 to 1; convert it"),
        (np.full((4, 4, 3), np.nan), "found float64 with NaN"),
        (np.array([[0.5, np.nan, np.inf]]), "found float64 from 0.5 to 0.5 with NaN"),
        (np.full((4, 4), -3, np.int64), "found int64 from -3 to -3; convert it, for example x.clip(0, 255)"),
        (np.full((4, 4), "x", object), "expected dtype uint8 with values 0 to 255, found object"),
    ]
    for array, expected in cases:
        with pytest.raises(InputError) as caught:
            image_from_array(array, "image3")
        assert str(caught.value).startswith("image3: ")
        assert expected in str(caught.value)


def test_array_with_other_channels_than_the_model() -> None:
    with pytest.raises(InputError, match=r"expected an array \(H, W, 5\), found shape \(32, 48, 3\)"):
        image_from_array(UPRIGHT, channels=5)


def frame_header(data: bytes) -> int:
    """Where the size stands in a JPEG; fuzzing it would only test how much memory there is."""
    return max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))


@settings(max_examples=50, deadline=None)
@given(
    form=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    keep=st.floats(0, 1),
    tail=st.binary(max_size=8),
)
def test_mutated_bytes_give_a_image_or_an_input_error(
    form: str, edits: list[tuple[float, int]], keep: float, tail: bytes
) -> None:
    original = with_orientation(form, 6)
    data = bytearray(original)
    size = frame_header(original)
    for place, value in edits:
        at = int(place * (len(data) - 1))
        if not (form == "JPEG" and size <= at < size + 10):
            data[at] = value
    data = data[: int(len(data) * (1 if keep > 0.5 else 2 * keep))] + tail
    try:
        decoded = image_from_bytes(data)
    except InputError:
        return
    assert decoded.ndim == 3
    assert decoded.shape[2] == 3
    assert decoded.dtype == np.uint8


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xd8", b"RIFF", b"II*\0", b"\0\0\0\x18ftypavif"]))
def test_random_bytes_are_refused(data: bytes, magic: bytes) -> None:
    with pytest.raises(InputError):
        image_from_bytes(magic + data)


def log_level() -> int:
    get = getattr(cv2, "getLogLevel", None) or cv2.utils.logging.getLogLevel
    return int(get())


def test_log_level_is_restored_after_overlapping_use() -> None:
    before = log_level()
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with quiet_opencv:
            inside.set()
            leave.wait(5)

    thread = threading.Thread(target=stay)
    thread.start()
    assert inside.wait(5)
    with quiet_opencv:
        leave.set()
        thread.join(5)
        assert log_level() == 0
    assert log_level() == before


def test_a_bad_image_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError):
        image_from_bytes(noisy("TIFF")[:-100])
    assert capfd.readouterr() == ("", "")


def test_pil_is_not_imported() -> None:
    code = "import sys, yolean.engine.images.sources; assert 'PIL' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
