"""`yolean batch`: every image once, whatever interrupts it; and what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yolean
from invocation import IMAGE, SHAPES, error_of, posix, run, start
from yolean.batch.job import Job
from yolean.models import demo_images


@pytest.fixture
def photos(here: Path) -> Path:
    """23 images, among them two that cannot be read."""
    folder = here / "photos"
    folder.mkdir()
    for n in range(23):
        shutil.copy(demo_images()[n % 3], folder / f"{n:02}.jpg")
    (folder / "07.jpg").write_text("no image")
    (folder / "22.jpg").write_bytes(IMAGE.read_bytes()[:2000])
    return Path("photos")


def table(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of all parts, in order."""
    rows: list[dict[str, Any]] = []
    for path in sorted(Path(folder).glob("part-*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def test_every_image_is_a_row_in_order(photos: Path) -> None:
    result = run("batch", photos, "-m", SHAPES, "-o", "out", "--part-size", 10)
    assert result.exit_code == 1
    assert result.stdout == ""
    *errors, summary = result.stderr.splitlines()
    assert [line.startswith("Error: photos/") for line in errors] == [True, True]
    assert summary.startswith("23 images in ")
    assert "2 could not be read" in summary
    rows = table("out")
    assert [row["source"] for row in rows] == [f"photos/{n:02}.jpg" for n in range(23)]
    assert [n for n, row in enumerate(rows) if row["error"]] == [7, 22]
    engine = yolean.load(SHAPES)
    for row in rows:
        if row["error"] is None:
            (expected,) = engine(row["source"])
            assert row["objects"] == expected.summary()
            assert (row["height"], row["width"]) == expected.orig_shape
    assert sorted(path.name for path in Path("out").glob("part*")) == [
        *("part-000000000000.parquet", "part-000000000010.parquet", "part-000000000020.parquet"),
    ]


def test_a_complete_job_is_resumed_by_doing_nothing(photos: Path) -> None:
    command = ("batch", photos, "-m", SHAPES, "-o", "out", "--format", "jsonl")
    run(*command)
    before = Path("out/part-000000000000.jsonl").stat()
    result = run(*command, "--resume")
    assert result.exit_code == 1  # images that could not be read are still in the output
    assert "23 of them from before" in result.stderr
    assert Path("out/part-000000000000.jsonl").stat() == before


def test_ctrl_c_loses_nothing(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it comes while a part is written: that one is done again."""
    whole = Job.commit
    calls = 0

    def interrupted(self: Job, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(Job, "commit", interrupted)
    command = ("batch", photos, "-m", SHAPES, "-o", "out", "--part-size", 9)
    assert run(*command).exit_code == 130
    assert len(table("out")) == 9
    assert run(*command, "--resume").exit_code == 1
    assert [row["source"] for row in table("out")] == [f"photos/{n:02}.jpg" for n in range(23)]


def test_an_error_keeps_what_was_done_before_it(photos: Path) -> None:
    """A shard that is no tar, met after images."""
    Path("shard.tar").write_text("no tar" * 200)
    result = run("batch", photos, "shard.tar", "-m", SHAPES, "-o", "out")
    assert result.exit_code == 2
    assert "shard.tar: expected a tar archive" in result.stderr
    rows = table("out")
    assert rows
    assert [row["source"] for row in rows] == [f"photos/{n:02}.jpg" for n in range(len(rows))]


def test_a_full_disk_leaves_no_half_file(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("batch", photos, "-m", SHAPES, "-o", "out", "--part-size", 9)
    with monkeypatch.context() as patch:
        fsync, calls = os.fsync, 0

        def full(descriptor: int) -> None:
            nonlocal calls
            calls += 1
            if calls == 6:  # the check, the settings, two files of the first part, of the second one
                raise OSError(28, "No space left on device")
            fsync(descriptor)

        patch.setattr(os, "fsync", full)
        result = run(*command)
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert not [path for path in Path("out").rglob("*") if ".partial" in path.name]
    run(*command, "--resume")
    assert [row["source"] for row in table("out")] == [f"photos/{n:02}.jpg" for n in range(23)]


REFUSALS: dict[str, Callable[[], tuple[object, ...]]] = {
    "a job is there": lambda: (),
    "begun with conf 0.25, not 0.5": lambda: ("--resume", "--conf", 0.5),
    "begun with format parquet, not csv": lambda: ("--resume", "--format", "csv"),
    "begun with model [0-9a-f]+, not ": lambda: ("--resume", "-m", "shapes-seg"),
    "begun with sources": lambda: ("--resume", "photos/01.jpg"),
}


@pytest.mark.parametrize("said", REFUSALS)
def test_another_job_in_the_folder_is_refused(photos: Path, said: str) -> None:
    command = ("batch", "photos/00.jpg", "-m", SHAPES, "-o", "out")
    assert run(*command).exit_code == 0
    assert re.search(said, error_of(run(*command, *REFUSALS[said]())))
    assert len(table("out")) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing", "-m", SHAPES, "-o", "out"), "missing: expected a file"),
        (("photos", "-m", "missing.onnx", "-o", "out"), "missing.onnx does not exist"),
        (("photos", "-m", SHAPES, "-o", "photos/01.jpg"), "cannot write"),
        (("photos", "-m", "shapes-cls", "-o", "out", "--format", "coco"), "coco holds objects"),
        (("photos", "-m", "shapes-depth", "-o", "out"), "depth is a map"),
        (("photos", "-m", SHAPES, "-o", "gs://out"), "pip install gcsfs"),
    ],
)
def test_refusals(photos: Path, arguments: tuple[object, ...], said: str) -> None:
    assert said in error_of(run("batch", *arguments))
    assert not Path("out").exists()


def test_tables_and_shards_that_are_none_are_one_line(photos: Path) -> None:
    pq.write_table(pa.table({"name": ["a"], "size": [1]}), "rows.parquet")
    Path("rows2.parquet").write_text("no table")
    for arguments, said in (
        (("rows.parquet",), "no column with a usual name for images, but name, size; name one with --column"),
        (("rows.parquet", "--column", "image"), "no column 'image', but name, size; name one with --column"),
        (("rows.parquet", "--column", "size"), "column 'size' holds int64: expected bytes of images"),
        (("rows2.parquet",), "expected a Parquet file"),
    ):
        lines = run("batch", *arguments, "-m", SHAPES, "-o", "out", "--resume", "--quiet").stderr.splitlines()
        assert len(lines) == 1
        assert said in lines[0]
        shutil.rmtree("out")


def test_ray_that_is_missing_is_named_before_anything_is_written(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = error_of(run("batch", photos, "-m", SHAPES, "-o", "out", "--ray", "local"))
    assert said.startswith("--ray needs ray: pip install ")
    assert not Path("out").exists()


def test_a_folder_has_one_job_at_a_time(photos: Path) -> None:
    from yolean.batch.stores import OutputFolder

    folder = OutputFolder("out")
    folder.prepare()
    with folder.locked():
        said = error_of(run("batch", photos, "-m", SHAPES, "-o", "out", "--resume"))
    assert "another job writes into this folder" in said


@posix
@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_job_is_resumed_to_the_same_table(photos: Path, sign: signal.Signals) -> None:
    for n in range(100, 400):
        shutil.copy(demo_images()[n % 3], photos / f"{n}.jpg")
    command = ("batch", photos, "-m", SHAPES, "--part-size", 20, "--threads", 1)
    assert run(*command, "-o", "whole").exit_code == 1
    process = start(*command, "-o", "out")
    while len(list(Path("out").glob("part*"))) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(sign)
    process.communicate(timeout=30)
    assert 0 < len(table("out")) < 323
    assert run(*command, "-o", "out", "--resume").exit_code == 1
    assert table("out") == table("whole")


class _Redirects(BaseHTTPRequestHandler):
    """`/in.jpg` is an image, all else redirects to it."""

    def do_GET(self) -> None:
        if self.path == "/in.jpg":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(IMAGE.read_bytes())
        else:
            self.send_response(302)
            self.send_header("Location", "/in.jpg")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Redirects) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_addresses_are_read_and_redirects_are_not_followed(here: Path, site: str) -> None:
    pytest.importorskip("aiohttp", reason="fsspec reads http:// with aiohttp")
    Path("list.txt").write_text(f"{site}/in.jpg\n{site}/out.jpg\n")
    assert run("batch", "list.txt", "-m", SHAPES, "-o", "out").exit_code == 1
    good, redirected = table("out")
    assert good["objects"]
    assert "redirects to another address, which is not followed" in redirected["error"]
