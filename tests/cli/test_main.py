"""The `yolean` command as a process: light help, signals, and readers that leave."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yolean
from invocation import ENV, SHAPES, posix, read_video, run, start, write_video

ONE_THREAD = ("-m", SHAPES, "--threads", 1)  # more cost CPU time, and make small models no faster


def test_help_needs_no_heavy_import() -> None:
    code = (
        "import sys; from yolean.cli.main import cli; "
        "cli(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=True)
    *text, modules = done.stdout.splitlines()
    assert any("predict" in line for line in text)
    assert not {"numpy", "cv2", "onnxruntime", "rich"} & set(modules.split())


def test_the_version() -> None:
    assert run("--version").stdout == f"yolean {yolean.__version__}\n"


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 3000 frames, which no run is through with before it is told to end."""
    return write_video(tmp_path_factory.mktemp("video") / "long.avi", 3000)


def count_lines(path: str) -> int:
    try:
        return Path(path).read_text().count("\n")
    except FileNotFoundError:
        return 0


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_what_it_has(here: Path, long_video: Path, number: int, status: int) -> None:
    arguments = ("predict", long_video, *ONE_THREAD, "--save", "out", "--json", "o.jsonl")
    with open("lines.txt", "w") as lines, start(*arguments, stdout=lines) as process:
        deadline = time.monotonic() + 60
        while count_lines("o.jsonl") < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert err == ""
    records = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    frames, fps, _ = read_video(here / "out" / "long.mp4")
    assert fps == 12.5
    assert 19 <= frames < 3000
    assert abs(len(records) - frames) <= 1  # the signal may come between the two
    summed_up = f"Saved {Path('out/long.mp4')}" in Path("lines.txt").read_text().splitlines()
    assert summed_up is (number == signal.SIGINT)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--json", "-")])
def test_a_reader_that_leaves_ends_the_run_quietly(
    here: Path, long_video: Path, arguments: tuple[str, ...]
) -> None:
    with start("predict", long_video, *ONE_THREAD, "--save", "out", *arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in err
    assert "Broken" not in err
    assert 0 < read_video(here / "out" / "long.mp4")[0] < 3000
