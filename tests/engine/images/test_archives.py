"""Images in ZIP and tar archives: what is read, in which order, and what is refused."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_files import IMAGE, png
from yolean.engine.errors import InputError
from yolean.engine.images.archives import Member
from yolean.engine.images.sources import open_source
from yolean.engine.loading import load
from yolean.models import demo_images, demo_model

NAMES = ("b/2.png", "a/1.PNG", "notes.txt", "__MACOSX/._1.png")


def pack(file: Path, names: tuple[str, ...] = NAMES, content: bytes | None = None) -> Path:
    data = png() if content is None else content
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.mkdir("a")
            for name in names:
                packed.writestr(name, data)
        return file
    mode: Any = {".tar": "w", ".tgz": "w:gz"}.get(file.suffix, f"w:{file.suffix[1:]}")
    with tarfile.open(file, mode) as packed:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "b/2.png"
        packed.addfile(link)
    return file


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz", "x.tar.gz", "X.tar.bz2", "x.tar.xz"])
def test_the_images_of_an_archive_are_read(tmp_path: Path, name: str) -> None:
    file = pack(tmp_path / name)
    source = open_source(str(file))
    found = list(source)
    order = ["a/1.PNG", "b/2.png"] if name == "x.zip" else ["b/2.png", "a/1.PNG"]
    assert [frame.path for frame in found] == [f"{file}/{inner}" for inner in order]
    assert (source.total, source.is_image, source.has_many) == (2, False, False)
    for frame in found:
        np.testing.assert_array_equal(frame.image, IMAGE)
    assert len(list(source)) == 2  # it can be iterated again


@pytest.mark.slow
@pytest.mark.parametrize("name", ["many.zip", "many.tgz"])
def test_many_images_are_read_by_several_threads(tmp_path: Path, name: str) -> None:
    image = demo_images()[0]
    file = pack(tmp_path / name, tuple(f"{number:02}.jpg" for number in range(20)), image.read_bytes())
    model = load(demo_model("detect"), device="cpu", threads=2)
    (alone,) = model(image)
    results = list(model.stream(file))
    assert alone.boxes is not None
    assert [Path(result.path).name for result in results] == [f"{number:02}.jpg" for number in range(20)]
    for result in results:
        assert result.boxes is not None
        np.testing.assert_allclose(result.boxes.xyxy, alone.boxes.xyxy, atol=1e-3)


def test_what_an_archive_cannot_give_is_reported(tmp_path: Path) -> None:
    for name, content in (
        ("no.zip", b"PK\3\4"),
        ("no.tar", b"text"),
        ("no.tgz", b"\x1f\x8b\x08 and no more"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="expected a ZIP or tar archive, which this is not"):
            open_source(tmp_path / name)
    with pytest.raises(InputError, match="expected an archive with images, found 1 other files"):
        open_source(pack(tmp_path / "text.zip", ("notes.txt",)))
    errors: list[InputError] = []
    file = pack(tmp_path / "mixed.zip", ("a.png", "clip.mp4"))
    assert len(list(open_source(file).frames(errors.append))) == 1
    assert str(errors[0]) == f"{file}/clip.mp4: a video in an archive cannot be played; unpack it first"


def test_a_damaged_member_costs_that_member_alone(tmp_path: Path) -> None:
    file = pack(tmp_path / "x.zip", ("a.png", "b.png"))
    data = bytearray(file.read_bytes())
    at = data.index(b"b.png") + len(b"b.png") + 8
    data[at : at + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(data)
    errors: list[InputError] = []
    assert [Path(frame.path).name for frame in open_source(file).frames(errors.append)] == ["a.png"]
    assert str(errors[0]).startswith(f"{file}/b.png: cannot be read (Error -3 while decompressing data")


def test_what_would_fill_the_memory_is_not_unpacked() -> None:
    with pytest.raises(OSError, match="unpacked it has 1073741824 bytes, more than 536870912"):
        Member("x.zip/a.png", 1 << 30, lambda: b"").read()
