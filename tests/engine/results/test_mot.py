"""MOTChallenge text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from yolean.engine.errors import InputError
from yolean.engine.images.frames import Frame
from yolean.engine.results.mot import MotFiles
from yolean.engine.results.results import Results
from yolean.postprocess.detections import Detections
from yolean.postprocess.types import Size


def result(path: str, index: int, ids: list[int] | None) -> Results:
    boxes = np.array([(10, 20, 40.5, 60), (1, 2, 3, 4)], np.float32)
    found = Detections(boxes, np.array([0.9, 0.25], np.float32), np.zeros(2, np.int64))
    frame = Frame(np.zeros((100, 100, 3), np.uint8), path, index, 25.0, 0.0)
    plain = Results(frame, {0: "box"}, "detect", found, {}, Size(64, 64))
    return plain if ids is None else plain.with_tracks(np.arange(2), boxes, np.array(ids))


def test_a_file_a_video(tmp_path: Path) -> None:
    with MotFiles(tmp_path) as files:
        files.begin(result("a/clip.mp4", 0, None))
        files.write(result("a/clip.mp4", 0, None))  # untracked objects have no line
        files.write(result("a/clip.mp4", 1, [3, 7]), 12)
        files.write(result("a/clip.mp4", 2, [3, 7]))
        files.begin(result("b/clip.mp4", 0, [1, 2]))
        files.write(result("b/clip.mp4", 0, [1, 2]))
        assert files.count == 2
    lines = (tmp_path / "clip.txt").read_text().splitlines()
    assert lines[0] == "12,3,10.00,20.00,30.50,40.00,0.9000,-1,-1,-1"
    assert lines[1] == "12,7,1.00,2.00,2.00,2.00,0.2500,-1,-1,-1"
    assert [line.split(",")[0] for line in lines] == ["12", "12", "13", "13"]
    assert (tmp_path / "clip-2.txt").read_text().startswith("1,1,")


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*clip\.txt: No such file"):
        MotFiles(tmp_path / "missing").begin(result("clip.mp4", 0, None))
