"""Where frames come from: files, folders, patterns, lists, videos, streams; and what is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_files import IMAGE, png, write_video
from PIL import Image
from yolean.engine.errors import InputError
from yolean.engine.images.frames import Frame
from yolean.engine.images.sources import open_source


def names(frames: Any) -> list[str]:
    return [Path(frame.path).name for frame in frames]


def test_a_image(folder: Path) -> None:
    source = open_source(folder / "b.PNG")
    assert source.total == 1
    (frame,) = source
    assert isinstance(frame, Frame)
    np.testing.assert_array_equal(frame.image, IMAGE)
    assert frame.image.flags.c_contiguous
    assert (frame.path, frame.index, frame.fps) == (str(folder / "b.PNG"), 0, None)
    assert 0 < frame.decode_ms < 1000


@pytest.mark.parametrize("name", ["straße 写真.png", "a b.png", "per%02dcent.png", "semi;colon.png"])
def test_unusual_file_names(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(png())
    assert names(open_source(str(tmp_path / name))) == [name]
    assert names(open_source(tmp_path)) == [name]


def test_the_first_image_of_an_mpo_is_read(tmp_path: Path) -> None:
    """Of cameras with two lenses: JPEG images one behind the other."""
    left, right = (Image.fromarray(np.full((24, 32, 3), value, np.uint8)) for value in (40, 200))
    left.save(tmp_path / "a.MPO", format="MPO", save_all=True, append_images=[right])
    (frame,) = open_source(tmp_path)
    assert abs(int(frame.image.mean()) - 40) <= 2


def test_advice_for_unknown_suffixes_holds_for_images_and_videos(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", fourcc="mp4v").rename(tmp_path / "v.xyz")
    with pytest.raises(InputError, match="give it the suffix of its format"):
        open_source(tmp_path / "v.xyz")
    with pytest.raises(InputError, match="an MP4 video; pass the path of its file"):
        list(open_source((tmp_path / "v.xyz").read_bytes()))


def test_an_existing_file_wins_over_the_pattern(tmp_path: Path) -> None:
    for name in ("cat[1].png", "cat1.png"):
        (tmp_path / name).write_bytes(png())
    assert names(open_source(tmp_path / "cat[1].png")) == ["cat[1].png"]
    (tmp_path / "cat[1].png").unlink()
    assert names(open_source(tmp_path / "cat[1].png")) == ["cat1.png"]


def test_a_folder_is_sorted_and_flat(folder: Path) -> None:
    source = open_source(folder)
    assert names(source) == ["a.jpg", "b.PNG", *["clip.avi"] * 5]
    assert names(source) == ["a.jpg", "b.PNG", *["clip.avi"] * 5]  # and again
    assert source.total == 7


def test_patterns(folder: Path) -> None:
    for pattern, expected in [
        ("*.png", []),  # b.PNG has another suffix for glob, sub is not searched
        ("*.[pP]*", ["b.PNG"]),
        ("**/*.png", ["c.png"]),  # recursive
        ("**/*.*", ["a.jpg", "b.PNG", *["clip.avi"] * 5, "c.png"]),  # notes.txt passed over
        ("su?/c.png", ["c.png"]),
    ]:
        if expected:
            assert names(open_source(str(folder / pattern))) == expected
        else:
            with pytest.raises(InputError, match=r"expected a pattern that matches images.*found no file"):
                open_source(str(folder / pattern))


@pytest.mark.parametrize("make", [list, tuple, iter], ids=["list", "tuple", "generator"])
def test_a_mixed_list(folder: Path, make: Any) -> None:
    pil = Image.open(folder / "b.PNG")
    mixed = [
        folder / "a.jpg",
        png(),
        IMAGE,
        pil,
        Image.new("RGB", (4, 4)),
        io.BytesIO(png()),
        str(folder / "sub"),
    ]
    source = open_source(make(mixed))
    expected = ["a.jpg", "image1.jpg", "image2.jpg", "b.PNG", "image4.jpg", "image5.jpg", "c.png"]
    assert source.total == (None if make is iter else 7)
    frames = list(source)
    assert names(frames) == expected
    assert {frame.index for frame in frames} == {0}
    assert all(frame.image.shape[2] == 3 for frame in frames)


def test_a_generator_is_read_lazily() -> None:
    taken = []

    def images() -> Iterator[np.ndarray]:
        for number in range(100):
            taken.append(number)
            yield IMAGE

    frames = iter(open_source(images()))
    assert taken == []
    assert next(frames).path == "image0.jpg"
    assert next(frames).path == "image1.jpg"
    assert taken == [0, 1]


def test_a_batch_array() -> None:
    source = open_source(np.stack([IMAGE, IMAGE // 2]))
    assert source.total == 2
    assert [frame.path for frame in source] == ["image0.jpg", "image1.jpg"]
    assert [int(frame.image.max()) for frame in source] == [240, 120]


def test_binary_files(folder: Path) -> None:
    with (folder / "b.PNG").open("rb") as file:
        (frame,) = open_source(file)
    assert names([frame]) == ["b.PNG"]
    np.testing.assert_array_equal(frame.image, IMAGE)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("in.png", png())
    with zipfile.ZipFile(archive) as reader, reader.open("in.png") as file:
        assert names(open_source(file)) == ["in.png"]


@pytest.mark.parametrize("kind", ["path", "bytes", "array", "pil"])
def test_grey_models_get_one_channel(folder: Path, kind: str) -> None:
    pil = Image.fromarray(np.ascontiguousarray(IMAGE[..., ::-1]))
    given = {"path": folder / "b.PNG", "bytes": png(), "array": IMAGE, "pil": pil}[kind]
    (frame,) = open_source(given, channels=1)
    assert frame.image.shape == (24, 32, 1)
    expected = cv2.cvtColor(IMAGE, cv2.COLOR_BGR2GRAY)[..., None]
    assert np.abs(frame.image.astype(int) - expected).max() <= 1  # PIL rounds its own way


def test_on_error_gets_the_bad_ones_and_the_rest_goes_on(folder: Path) -> None:
    (folder / "empty.png").write_bytes(b"")
    (folder / "fake.mp4").write_bytes(b"\0" * 500)
    mixed = [
        folder / "missing.jpg",
        folder / "b.PNG",
        folder / "empty.png",
        folder / "fake.mp4",
        b"?",
        1.5,
        IMAGE,
    ]
    for given in (mixed, iter(mixed)):
        errors: list[InputError] = []
        assert names(open_source(given).frames(errors.append)) == ["b.PNG", "image6.jpg"]
        texts = [str(error) for error in errors]
        for text, expected in zip(
            texts, ["missing.jpg", "empty.png", "fake.mp4", "image4.jpg", "float"], strict=True
        ):
            assert expected in text
    source = open_source(mixed)
    assert source.total == 4  # the video cannot be opened, two entries are nothing
    with pytest.raises(InputError, match=r"missing\.jpg"):
        next(iter(source))


def test_errors_of_the_consumer_and_the_generator_pass() -> None:
    def images() -> Iterator[np.ndarray]:
        yield IMAGE
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(open_source(images()).frames(lambda error: None))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "nowhere.jpg",
            "'nowhere.jpg': expected a file, folder or pattern, found nothing there; check the path",
        ),
        ("nowhere/*.jpg", "nowhere/*.jpg: expected a pattern that matches images (.jpg"),
        ("", "'': expected a file"),
        ("null\0byte.jpg", "expected a file"),
        ("x" * 5000, "x...': expected a file"),
        ("empty", "empty: expected a folder with images"),
        ("texts", "found only 1 other files"),
        ("texts/a.pdf", "texts/a.pdf: expected images (.jpg"),
        ("texts/b.HEIC", "found the suffix '.heic'; convert it to JPEG or PNG"),
        ("texts/*", "found only"),
        ("ftp://host/video.mp4", "expected the address of a stream (rtsp, "),
        (
            "https://me:pw@host/bus.jpg?size=2",
            "https://host/bus.jpg?size=2: images are not fetched; download it",
        ),
        (-1, "camera: expected a number of at least 0, found -1"),
        (True, "found builtins.bool"),
        (None, "found builtins.NoneType"),
        (1.5, "found builtins.float"),
        ({"a": 1}, "found builtins.dict"),
        ([], "expected at least one image, found an empty list"),
    ],
)
def test_wrong_sources_are_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.pdf").write_bytes(b"%PDF")
    if "HEIC" in str(source):
        (tmp_path / "texts/b.HEIC").write_bytes(b"?")
    with pytest.raises(InputError) as caught:
        open_source(source)
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_channels_are_checked() -> None:
    wrong: list[Any] = [0, -1, 3.0, "3", True]
    for channels in wrong:
        with pytest.raises(InputError, match=r"^channels: expected a number of at least 1"):
            open_source(IMAGE, channels)


def test_other_channel_counts_pass_arrays_only() -> None:
    (frame,) = open_source(np.zeros((4, 5, 6), np.uint8), channels=6)
    assert frame.image.shape == (4, 5, 6)
    with pytest.raises(InputError, match="the model takes 6"):
        list(open_source(png(), channels=6))
