"""Sources of a job as entries: folders, patterns, lists, shards, Parquet; and each that is refused."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from yolean.batch.listing import Entry, check_sources, list_entries
from yolean.engine.errors import InputError


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of small files with the suffixes of images, and others."""
    monkeypatch.chdir(tmp_path)
    for name in ("b/2.png", "b/1.JPG", "a.jpg", "c.txt", ".hidden.jpg", "b/._1.jpg", "z/deep/er/3.webp"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return Path("photos")


def listed(*sources: object, column: str | None = None) -> list[tuple[str, bytes]]:
    """Address and content of every entry, each read in a pickled copy."""
    entries: list[Entry] = [pickle.loads(pickle.dumps(e)) for e in list_entries(map(str, sources), column)]
    return [(entry.address, entry.read()) for entry in entries]


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def test_a_folder_is_listed_recursively_and_sorted(photos: Path) -> None:
    expected = ["photos/a.jpg", "photos/b/1.JPG", "photos/b/2.png", "photos/z/deep/er/3.webp"]
    assert [address for address, _ in listed(photos)] == expected
    assert listed(photos)[1] == ("photos/b/1.JPG", b"b/1.JPG")


def test_entries_are_read_from_another_working_directory(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = next(list_entries([str(photos)]))
    monkeypatch.chdir("/")
    assert entry.read() == b"a.jpg"


def test_patterns_and_lists_name_images_and_what_holds_them(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("photos/b/2.png\n\n  photos/a.jpg\nphotos/missing.jpg\n")
    found = list(list_entries(["photos/*/*.png", "*.txt"]))
    assert [entry.address for entry in found] == [
        *("photos/b/2.png", "photos/b/2.png", "photos/a.jpg", "photos/missing.jpg"),
    ]
    with pytest.raises(FileNotFoundError):
        found[-1].read()


@pytest.mark.parametrize(
    ("name", "mode"), [("shard.tar", "w"), ("shard.tar.gz", "w:gz"), ("shard.tgz", "w:gz")]
)
def test_the_images_of_a_tar_shard_are_entries(tmp_path: Path, name: str, mode: str) -> None:
    files = {"1.jpg": b"one" * 500, "1.json": b"{}", "sub/2.png": b"two"}
    shard = write_tar(tmp_path / name, files, mode)
    assert listed(shard) == [(f"{shard}/1.jpg", b"one" * 500), (f"{shard}/sub/2.png", b"two")]


@pytest.mark.parametrize("column", ["image", "path", "struct"])
def test_rows_of_parquet_are_entries_whatever_their_groups(tmp_path: Path, column: str) -> None:
    contents = [f"image {n}".encode() for n in range(500)]
    for n, content in enumerate(contents):
        (tmp_path / f"{n}.jpg").write_bytes(content)
    paths = [str(tmp_path / f"{n}.jpg") for n in range(500)]
    structs = [{"bytes": content, "path": None} for content in contents]
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"image": contents, "path": paths, "struct": structs}), file, row_group_size=70)
    assert listed(file, column=column) == [(f"{file}#{n}", content) for n, content in enumerate(contents)]
    backwards = list(list_entries([str(file)], column))[::-37]
    assert [entry.read() for entry in backwards] == contents[::-37]


def test_an_empty_row_is_an_error_of_its_own(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"x", None]}), tmp_path / "rows.parquet")
    good, empty = list_entries([str(tmp_path / "rows.parquet")])
    assert good.read() == b"x"
    with pytest.raises(OSError, match="the row is empty"):
        empty.read()


REFUSED = {
    "nowhere/": "found nothing there",
    "no*.jpg": "found none",
    "empty": "expected images .* found none",
    "notes.md": "expected an image",
    "ftp://host/a.jpg": "found ftp://",
    "text.tar": "expected a tar archive",
    "cut.tar.gz": "expected a tar archive",
    "text.parquet": "expected a Parquet file",
    "other.parquet": "no column with a usual name for images, but a, b; name one with --column",
    "latin.txt": "expected UTF-8 text",
}


@pytest.mark.parametrize("source", REFUSED)
def test_sources_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("empty")
    for name in ("notes.md", "text.tar", "text.parquet"):
        Path(name).write_text("text")
    whole = write_tar(Path("whole.tgz"), {"1.jpg": os.urandom(5000)}, "w:gz").read_bytes()
    Path("cut.tar.gz").write_bytes(whole[:-3000])
    Path("latin.txt").write_bytes(b"caf\xe9.jpg\n")
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), "other.parquet")

    def listing() -> list[Entry]:
        check_sources([source])
        return list(list_entries([source]))

    with pytest.raises(InputError, match=REFUSED[source]) as caught:
        listing()
    assert source in str(caught.value)
    assert "\n" not in str(caught.value)


def test_columns_that_hold_no_images(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"image": [1.5]}), file)
    with pytest.raises(InputError, match="column 'image' holds double"):
        list(list_entries([str(file)]))
    with pytest.raises(InputError, match="no column 'photo', but image"):
        list(list_entries([str(file)], "photo"))
