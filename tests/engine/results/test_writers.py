from __future__ import annotations

import sys
from pathlib import Path

import cv2
import pytest
import yolean
from yolean.engine.pipeline import Engine
from yolean.engine.results.writers import Recorder
from yolean.models import demo_images, demo_model


@pytest.fixture(scope="module")
def model() -> Engine:
    return yolean.load(demo_model(), device="cpu", threads=1)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three frames of a demo image, in an old container."""
    image = cv2.imread(str(demo_images()[0]))
    assert image is not None
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5.0, (image.shape[1], image.shape[0])
    )
    for _ in range(3):
        writer.write(image)
    writer.release()
    return path


@pytest.mark.parametrize("installed", [True, False], ids=["PyAV", "OpenCV"])
def test_the_recorder_knows_whether_browsers_play_its_videos(
    installed: bool, model: Engine, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed:
        pytest.importorskip("av", reason="needs yolean[video]")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
    with Recorder(tmp_path / "out", [str(film)]) as recorder:
        for image in demo_images()[:2]:
            recorder.write(model(image)[0])
        assert recorder.all_h264
        for result in model.stream(film):
            target = recorder.write(result)
    assert target == tmp_path / "out" / "film.mp4"
    assert (recorder.count, recorder.all_h264) == (3, installed)
    assert len(list(model.stream(target))) == 3
