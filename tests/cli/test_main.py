"""The `yolean` command as a process: light help, one-line errors, signals, pipes and terminals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yolean
from invocation import ENV, IMAGE, SHAPES, posix, read_video, start, write_video

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


def test_errors_have_no_traceback_and_leave_stdout_alone(here: Path) -> None:
    with start("predict", IMAGE, "--model", "missing.onnx") as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err == "Error: missing.onnx does not exist: expected an .onnx file\n"
    with start("--version") as process:
        assert process.communicate() == (f"yolean {yolean.__version__}\n", "")


@pytest.mark.slow
def test_a_module_that_does_not_start_is_one_line_and_the_doctor_answers(here: Path) -> None:
    modules = ("numpy", "cv2", "onnxruntime")

    def without(*broken: str) -> dict[str, str]:
        """The environment of a process in which these modules do not start."""
        folder = here / "-".join(broken)
        for module in broken:
            (folder / module).mkdir(parents=True)
            (folder / module / "__init__.py").write_text(f"raise ImportError('{module} does not start')")
        return ENV | {"PYTHONPATH": f"{folder}{os.pathsep}{ENV['PYTHONPATH']}"}

    for module in modules:
        with start("predict", env=without(module)) as process:
            _, err = process.communicate()  # OpenCV prints advice of its own where numpy is missing
        assert process.returncode == 2
        (line,) = err.splitlines()
        assert line.startswith("Error: ")
        assert f"{module} does not start" in line
    with start("doctor", env=without(*modules)) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (1, "")
    for module in modules:
        assert f"fail  {module}" in out
        assert f"{module} does not start" in out


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full exists on Linux only")
def test_a_full_disk_behind_the_standard_output_is_one_line(image: Path) -> None:
    with open("/dev/full", "w") as full, start("predict", image, *ONE_THREAD, stdout=full) as process:
        _, err = process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in err
    assert "cannot write the output" in err


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
    summed_up = Path("lines.txt").read_text().splitlines()[-1] == f"Saved {Path('out/long.mp4')}"
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


@pytest.fixture
def terminal() -> Iterator[tuple[int, Any]]:
    """File descriptor for a program, and a function that reads what the program wrote there."""
    import pty

    ours, theirs = pty.openpty()
    chunks: list[bytes] = []

    def collect() -> None:
        try:
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        except OSError:  # how Linux reports that the other end is closed
            pass

    thread = threading.Thread(target=collect)
    thread.start()

    def text() -> str:
        os.close(theirs)
        thread.join()
        return b"".join(chunks).decode()

    yield theirs, text
    os.close(ours)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("arguments", [(), ("--json", "-")])
def test_the_bar_is_on_the_terminal_and_never_in_a_file(
    here: Path, terminal: tuple[int, Any], arguments: tuple[str, ...]
) -> None:
    video = write_video(here / "clip.avi", 30)
    command = ("predict", video, *ONE_THREAD, *arguments)
    with open("out.txt", "w") as out, start(*command, stdout=out, stderr=terminal[0]) as process:
        process.wait()
    assert "━" in terminal[1]()
    lines = Path("out.txt").read_text().splitlines()
    if arguments:
        assert [json.loads(line)["frame"] for line in lines] == list(range(30))
    else:
        assert [line.split()[0] for line in lines[:-1]] == [f"{n}/30" for n in range(1, 31)]
        assert "\x1b" not in "".join(lines)


@posix
@pytest.mark.slow
def test_no_bar_beside_a_pipe(here: Path, terminal: tuple[int, Any]) -> None:
    # What reads the pipe may write to the same terminal, as in `yolean predict clips | grep star`.
    video = write_video(here / "clip.avi", 5)
    with start("predict", video, *ONE_THREAD, stderr=terminal[0]) as process:
        out, _ = process.communicate()
    assert len(out.splitlines()) == 6
    assert terminal[1]() == ""
