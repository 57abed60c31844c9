"""`yolean track`: what it prints where, and what it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from invocation import IMAGE, SHAPES, error_of, read_image, read_video, run, write_video
from yolean.engine.images.frames import Frame
from yolean.engine.images.sources import Source


@pytest.fixture
def video(here: Path) -> Path:
    return write_video(here / "clip.avi", 4, (320, 240))


def test_lines_files_and_counts(video: Path) -> None:
    done = run(
        *("track", video, "-m", SHAPES, "--conf", 0.4, "--json", "o.jsonl", "--save", "out"),
        *("--format", "mot", "--format", "video"),
    )
    assert done.exit_code == 0, done.output
    records = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    assert [record["frame"] for record in records] == [0, 1, 2, 3]
    ids = [{item["track_id"] for item in record["results"]} for record in records]
    assert ids[0]
    assert ids[0] & ids[3]
    first, *_ = done.stdout.splitlines()
    for number in ids[0]:
        assert f" {number}" in first.rpartition(";")[2]
    tracked = next(line for line in done.stdout.splitlines() if line.startswith("Tracked "))
    counts = [int(part.split()[0]) for part in tracked.removeprefix("Tracked ").split(", ")]
    assert sum(counts) == len(set().union(*ids))
    assert read_video(Path("out/clip.mp4"))[0] == 4
    rows = [line.split(",") for line in Path("out/clip.txt").read_text().splitlines()]
    assert {(int(row[0]) - 1, int(row[1])) for row in rows} == {
        (frame, number) for frame, numbers in enumerate(ids) for number in numbers
    }


def test_only_what_is_asked_for_is_written(video: Path) -> None:
    assert run("track", video, "-m", SHAPES, "--save", "out", "--format", "mot").exit_code == 0
    assert [path.name for path in Path("out").iterdir()] == ["clip.txt"]
    assert "--save DIR" in error_of(run("track", video, "-m", SHAPES, "--format", "mot"))


def test_images_are_unrelated_unless_they_persist(here: Path) -> None:
    (here / "frames").mkdir()
    for number in range(2):
        cv2.imwrite(f"frames/{number}.jpg", read_image(IMAGE))
    apart = run("track", "frames", "-m", SHAPES, "--save", "out", "--format", "mot")
    assert "ids begin at 1 with each" in apart.stdout
    assert sorted(path.name for path in Path("out").iterdir()) == ["frames-2.txt", "frames.txt"]
    together = run("track", "frames", "-m", SHAPES, "--save", "in", "--format", "mot", "--persist")
    assert "ids begin" not in together.stdout
    lines = Path("in/frames.txt").read_text().splitlines()
    assert {line.split(",")[0] for line in lines} == {"1", "2"}


def test_dropped_frames_are_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera of which the first three frames and the sixth were taken."""

    def frames(self: Source, on_error: Any = None) -> Iterator[Frame]:
        for index in (0, 1, 2, 5):
            yield Frame(read_image(IMAGE), "0", index, 25.0, 0.0)

    monkeypatch.setattr(Source, "frames", lambda self, on_error=None: (f for f in frames(self)))
    done = run("track", "0", "-m", SHAPES)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.endswith("; 2 dropped") for line in lines[:4]] == [False, False, False, True]
    assert lines[-1].endswith("; 2 frames dropped")


def test_refusals_are_one_line(video: Path) -> None:
    assert "a SOURCE is needed" in error_of(run("track", "-m", SHAPES))
    assert "--model is needed" in error_of(run("track", video))
    assert "shapes-seg" in error_of(run("track", video))
    assert "classify finds no objects to track" in error_of(run("track", video, "-m", "shapes-cls"))
    assert "tracker='sort'" in error_of(run("track", video, "-m", SHAPES, "--tracker", "sort"))
    Path("own.yaml").write_text("tracker_type: bytetrack\nspeed: 3\n")
    assert "bytetrack has no key speed" in error_of(
        run("track", video, "-m", SHAPES, "--tracker", "own.yaml")
    )
