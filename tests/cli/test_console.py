"""What is printed for people: a line an image, the summary, the bar on a terminal."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yolean
from invocation import IMAGE, SHAPES, posix, run, start, write_video

ONE_THREAD = ("-m", SHAPES, "--threads", 1)  # more cost CPU time, and make small models no faster


def test_a_line_an_image_and_a_summary(here: Path) -> None:
    paths = [Path("p", f"{'x' * number}.jpg") for number in range(1, 11)]
    (here / "p").mkdir()
    for path in paths:
        path.write_bytes(IMAGE.read_bytes())
    result = run("predict", "p", "-m", SHAPES)
    *lines, summary = result.stdout.splitlines()
    verbose = yolean.load(SHAPES)(IMAGE)[0].verbose()
    assert [line.split()[0] for line in lines] == [f"{n}/10" for n in range(1, 11)]
    for path, line in zip(paths, lines, strict=True):
        assert line.split()[1:3] == [str(path), "640x480"]
        assert line.endswith(f" ms  {verbose}")
    assert len({line.index("640x480") for line in lines}) == 1
    assert summary.startswith("10 images in ")
    assert "inference" in summary
    assert "\x1b" not in result.output


def test_quiet_prints_errors_only(image: Path, broken: Path) -> None:
    result = run("predict", image, broken, "-m", SHAPES, "--quiet", "--save", "out")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert Path("out/a.jpg").exists()


@posix
def test_what_a_terminal_would_obey_is_spelled_out(here: Path) -> None:
    for name in ("\x1b[2J.jpg", os.fsdecode(b"\xff.jpg")):
        (here / name).write_bytes(IMAGE.read_bytes())
    result = run("predict", here, "-m", SHAPES, "--json", "o.jsonl")
    assert result.exit_code == 0
    assert "\\x1b[2J.jpg" in result.stdout
    assert "\\udcff.jpg" in result.stdout
    paths = [Path(json.loads(line)["path"]).name for line in Path("o.jsonl").read_text().splitlines()]
    assert paths == ["\x1b[2J.jpg", "\udcff.jpg"]


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
