"""Videos that are written: what they hold, and that a browser plays them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from yolean.engine.errors import InputError
from yolean.engine.images.decoding import Image
from yolean.engine.images.sources import open_source
from yolean.engine.results.video import open_video
from yolean.postprocess.types import Size

CHROMIUM = Path("/usr/bin/chromium")
COLOURS = ((200, 40, 30), (30, 180, 60), (40, 60, 220))  # BGR


def write(target: Path, size: Size, fps: float = 10.0) -> bool:
    """Ten frames of each colour; returns whether they are H.264."""
    video = open_video(target, size, fps)
    for colour in COLOURS:
        for _ in range(10):
            video.write(np.full((*size, 3), colour, np.uint8))
    video.close()
    return video.is_h264


def fourcc(path: Path) -> str:
    capture = cv2.VideoCapture(str(path))
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    capture.release()
    return code.to_bytes(4, "little").decode()


def middle(image: Image) -> list[int]:
    return [int(value) for value in image[image.shape[0] // 2, image.shape[1] // 2]]


@pytest.mark.parametrize("installed", [True, False], ids=["PyAV", "OpenCV"])
def test_frames_are_read_back(installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if installed:
        pytest.importorskip("av", reason="needs yolean[video]")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
    target = tmp_path / "v.mp4"
    target.write_bytes(b"of an earlier run")
    assert write(target, Size(48, 64), 29.97) is installed
    assert fourcc(target) == ("h264" if installed else "FMP4")
    frames = list(open_source(target))
    assert len(frames) == 30
    assert frames[0].fps == pytest.approx(29.97, abs=0.01)
    assert frames[0].image.shape == (48, 64, 3)
    for number, colour in enumerate(COLOURS):
        np.testing.assert_allclose(middle(frames[10 * number + 5].image), colour, atol=12)


def test_h264_begins_with_its_index_and_takes_odd_sizes(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs yolean[video]")
    target = tmp_path / "v.mp4"
    write(target, Size(47, 65))
    data = target.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert next(iter(open_source(target))).image.shape == (48, 66, 3)


class Interrupt(Exception):
    """What a signal raises in the tests."""


@pytest.fixture
def interrupts() -> Iterator[None]:
    """The timer's signal raises `Interrupt`, wherever the main thread is."""

    def interrupt(*_: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(sys.platform == "win32", reason="timers of POSIX")
@pytest.mark.usefixtures("interrupts")
def test_a_signal_within_a_write_leaves_no_gap(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="needs yolean[video]")
    video = open_video(tmp_path / "v.mp4", Size(120, 160), 12.5)
    image = np.random.default_rng(3).integers(0, 255, (120, 160, 3), np.uint8)
    interrupted = 0
    for number in range(300):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0003 + number * 1e-5)
            video.write(np.roll(image, number, axis=1))
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Interrupt:
            interrupted += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    video.close()
    assert interrupted > 20
    frames = list(open_source(tmp_path / "v.mp4"))
    assert 300 - interrupted <= len(frames) <= 300
    assert frames[0].fps == 12.5


@pytest.mark.parametrize("installed", [True, False], ids=["PyAV", "OpenCV"])
def test_a_folder_that_is_missing_is_refused(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="cannot write") as caught:
        open_video(tmp_path / "missing" / "v.mp4", Size(48, 64), 25.0)
    assert "\n" not in str(caught.value)


@pytest.mark.browser
def test_chromium_plays_the_file(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    assert write(tmp_path / "v.mp4", Size(120, 160))
    (tmp_path / "page.html").write_text("<video src='v.mp4' muted></video>")
    script = """async () => {
      const video = document.querySelector("video");
      await new Promise((good, bad) => {
        if (video.readyState >= 2) good();
        video.addEventListener("loadeddata", good);
        video.addEventListener("error", () => bad(new Error(video.error.message)));
      });
      await new Promise((good) => { video.addEventListener("seeked", good); video.currentTime = 2.5; });
      const canvas = Object.assign(document.createElement("canvas"), {width: 160, height: 120});
      const pen = canvas.getContext("2d");
      pen.drawImage(video, 0, 0);
      return [video.duration, video.videoWidth, video.videoHeight];
    }"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 160, "height": 120})
        page.goto((tmp_path / "page.html").as_uri())
        duration, width, height = page.evaluate(script)
        shot = cv2.imdecode(np.frombuffer(page.locator("video").screenshot(), np.uint8), cv2.IMREAD_COLOR)
        browser.close()
    assert (duration, width, height) == (pytest.approx(3.0, abs=0.1), 160, 120)
    assert shot is not None
    np.testing.assert_allclose(middle(np.asarray(shot, np.uint8)), COLOURS[2], atol=20)
