"""Frames of videos, cameras and streams, and of images that only reading shows to be wrong."""

from __future__ import annotations

import functools
import http.server
import io
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_files import IMAGE, png, write_video
from PIL import Image
from yolean.engine.errors import InputError
from yolean.engine.images.sources import open_source


def test_grey_models_get_one_channel_from_videos(folder: Path) -> None:
    assert {frame.image.shape for frame in open_source(folder / "clip.avi", channels=1)} == {(48, 64, 1)}


@pytest.mark.parametrize(
    ("name", "fourcc"), [("v.avi", "MJPG"), ("v.MP4", "mp4v"), ("v.mkv", "mp4v"), ("v.3gp", "mp4v")]
)
def test_a_video(tmp_path: Path, name: str, fourcc: str) -> None:
    source = open_source(write_video(tmp_path / name, fourcc=fourcc))
    assert source.total == 5
    frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert all(frame.fps == pytest.approx(10) for frame in frames)
    assert [round(float(frame.image.mean()) / 40) for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].image.shape == (48, 64, 3)
    assert not np.shares_memory(frames[0].image, frames[1].image)


def test_a_video_that_is_cut_off_keeps_its_frames_and_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for value in range(60):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    errors: list[InputError] = []
    frames = list(open_source(path).frames(errors.append))
    assert 10 < len(frames) < 40
    assert [f"ends after {len(frames)} of about 60 frames" in str(error) for error in errors] == [True]
    assert len(list(open_source(path))) == len(frames)  # nobody to tell: the frames are worth more


def test_a_gif_is_a_video(tmp_path: Path) -> None:
    images = [Image.new("RGB", (32, 24), (80 * n, 0, 0)) for n in range(3)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100)
    assert [frame.index for frame in open_source(tmp_path / "a.gif")] == [0, 1, 2]


class Capture:
    """Stands for cv2.VideoCapture, and counts what is left open."""

    open = 0

    def __init__(self, address: Any, frames: int = 3, fps: float = 25.0) -> None:
        self.address, self.left, self.fps = address, frames, fps
        self.settings: dict[int, float] = {}
        Capture.open += 1

    def isOpened(self) -> bool:
        return True

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FPS: self.fps, cv2.CAP_PROP_FRAME_COUNT: -1.0}[key]

    def set(self, key: int, value: float) -> bool:
        self.settings[key] = value
        return True

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return (True, IMAGE.copy()) if self.left >= 0 else (False, None)

    def release(self) -> None:
        Capture.open -= 1


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[Capture]:
    made: list[Capture] = []

    def make(address: Any) -> Capture:
        made.append(Capture(address))
        return made[-1]

    monkeypatch.setattr(Capture, "open", 0)
    monkeypatch.setattr(cv2, "VideoCapture", make)
    return made


@pytest.mark.parametrize(
    ("source", "address", "path"),
    [
        (0, 0, "0"),
        (np.int64(2), 2, "2"),
        ("1", 1, "1"),
        ("rtsp://10.0.0.2:554/live", "rtsp://10.0.0.2:554/live", "rtsp://10.0.0.2:554/live"),
        ("RTSP://host/live", "RTSP://host/live", "RTSP://host/live"),
        ("rtsp://me:pa@ss@host/live", "rtsp://me:pa@ss@host/live", "rtsp://host/live"),  # no password shown
        ("http://host/video.mjpg?x=1", "http://host/video.mjpg?x=1", "http://host/video.mjpg?x=1"),
    ],
)
def test_live_sources(captures: list[Capture], source: Any, address: Any, path: str) -> None:
    live = open_source(source)
    assert live.total is None
    assert captures == []  # nothing is opened before it is read
    frames = list(live)
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert indices[-1] == 2  # those before may be dropped
    assert {frame.path for frame in frames} == {path}
    assert {frame.fps for frame in frames} == {25.0}
    assert captures[0].address == address
    assert captures[0].settings == {cv2.CAP_PROP_BUFFERSIZE: 1}
    assert Capture.open == 0


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_an_unknown_rate_is_none(
    captures: list[Capture], monkeypatch: pytest.MonkeyPatch, fps: float
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", functools.partial(Capture, fps=fps))
    assert next(iter(open_source(0))).fps is None


def test_a_capture_is_released_when_the_consumer_stops(captures: list[Capture], folder: Path) -> None:
    frames = open_source(folder / "clip.avi").frames()
    next(frames)
    assert Capture.open == 1
    frames.close()
    assert Capture.open == 0


def test_a_video_of_unknown_length(captures: list[Capture], folder: Path) -> None:
    assert open_source([folder / "clip.avi", IMAGE]).total is None
    assert Capture.open == 0


def test_a_stream_over_http(folder: Path) -> None:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}/clip.avi"
            frames = list(open_source(address))
        finally:
            server.shutdown()
            thread.join()
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[0].path == address


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("empty.jpg", "empty.jpg: expected an encoded image, found 0 bytes"),
        ("text.png", "text.png: expected an image (JPEG, PNG"),
        ("fake.avi", "fake.avi: this video cannot be opened; check"),
        (io.StringIO("text"), "image0.jpg: read() gave str; open the file in binary mode"),
        (io.BytesIO(), "image0.jpg: expected an encoded image, found 0 bytes"),
        (np.zeros((4, 4, 7), np.uint8), "image0.jpg: expected an array (H, W, 3) BGR"),
        (np.zeros((0, 4, 4, 3), np.uint8), "image0.jpg: expected an array (H, W, 3) BGR"),
        ([[IMAGE]], "a flat list of these, found builtins.list"),
        ("9999", "9999: this camera or stream cannot be opened"),
    ],
)
def test_what_only_reading_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "fake.avi").write_bytes(b"\0" * 500)
    with pytest.raises(InputError) as caught:
        list(open_source(source))
    assert expected in str(caught.value)


def test_a_file_that_vanished(folder: Path) -> None:
    source = open_source(folder / "b.PNG")
    (folder / "b.PNG").unlink()
    with pytest.raises(InputError, match=r"b\.PNG: cannot be read"):
        list(source)


def test_a_closed_file() -> None:
    file = io.BytesIO(png())
    file.close()
    with pytest.raises(InputError, match=r"image0\.jpg: cannot be read"):
        list(open_source(file))


def test_a_video_without_a_frame(
    captures: list[Capture], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", functools.partial(Capture, frames=0))
    with pytest.raises(InputError, match=r"clip\.avi: not one frame of this video"):
        list(open_source(folder / "clip.avi"))
    assert Capture.open == 0
