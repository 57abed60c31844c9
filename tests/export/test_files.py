"""Files are written whole or not at all, and what exists is not replaced unasked."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yolean
from optimize_runs import here, load, made, make_folder, nothing, original, quick, refused, run  # noqa: F401
from yolean.export import optimizer as optimize
from yolean.export.files import check_target, write_whole


def taken() -> None:
    Path("o.onnx").write_text("mine")


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (taken, ["-o", "o.onnx"], "o.onnx exists: add --overwrite"),
        (make_folder, ["-o", "o.onnx"], "o.onnx is a folder"),
        (make_folder, ["-o", "o.onnx", "--overwrite"], "o.onnx is a folder"),
        (nothing, ["-o", "m.onnx"], "m.onnx exists: add --overwrite"),  # the source
        (nothing, ["-o", "missing/o.onnx"], "there is no folder missing"),
        (nothing, ["-o", "m.onnx/o.onnx"], "there is no folder m.onnx"),
        (nothing, ["-o", "o" * 300 + ".onnx"], "too long"),
        (nothing, ["--report", "missing/r.json"], "there is no folder missing"),
        (nothing, ["--report", "images"], "images is a folder"),
    ],
)
def test_targets_that_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, make: Any, arguments: list[str], message: str
) -> None:
    make()
    monkeypatch.setattr(optimize, "load", lambda *_, **__: pytest.fail("too late"))
    assert message in refused("m.onnx", *arguments)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices are files on POSIX only")
@pytest.mark.parametrize("option", ["-o", "--report"])
def test_devices_and_pipes_are_not_replaced(option: str) -> None:
    """A rename would put a file where /dev/null was."""
    os.mkfifo("pipe")
    for name in ("pipe", os.devnull):
        result = run("m.onnx", option, name, "--overwrite")
        assert result.exit_code == 2
        assert result.stderr == f"Error: {name} is no regular file: name the file to write\n"
    assert Path("pipe").is_fifo()
    assert not Path(os.devnull).is_file()


def test_a_folder_that_is_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write everywhere, so that the answer is made up here."""
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != "images" or mode != os.W_OK)
    assert "the folder images is read-only" in refused("m.onnx", "-o", "images/o.onnx")


def test_overwriting() -> None:
    Path("o.onnx").write_text("mine")
    made("m.onnx", "-o", "o.onnx", "--overwrite")
    assert load("o.onnx").spec.layout.kind == "lean"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_links_are_followed_and_stay() -> None:
    Path("elsewhere").mkdir()
    Path("elsewhere/real.onnx").write_text("mine")
    Path("o.onnx").symlink_to("elsewhere/real.onnx")
    made("m.onnx", "-o", "o.onnx", "--overwrite")
    assert Path("o.onnx").is_symlink()
    assert load("elsewhere/real.onnx").spec.layout.kind == "lean"
    assert os.listdir("elsewhere") == ["real.onnx"]


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, step: str, there: bool) -> None:
    if there:
        Path("o.onnx").write_text("mine")
    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    message = refused("m.onnx", "-o", "o.onnx", "--overwrite")
    assert message == "o.onnx cannot be written: No space left on device; nothing was left behind"


def test_a_file_is_whole_or_what_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a"
    for content in (b"", b"one", b"another"):
        write_whole(target, content)
        assert target.read_bytes() == content
    assert sorted(os.listdir(tmp_path)) == ["a", "here"]
    with pytest.raises(yolean.InputError, match="cannot be written"):
        write_whole(tmp_path / "missing" / "a", b"")


def test_targets_that_are_free() -> None:
    check_target(Path("new.onnx"), overwrite=False)
    check_target(Path("m.onnx"), overwrite=True)
