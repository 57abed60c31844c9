"""Videos over HTTP: frames equal the engine's answers, limits hold, images do not wait, nothing is left."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from yolean.engine.pipeline import Engine
from yolean.models import demo_images, demo_model
from yolean.serving.settings import ModelSource, Settings

PREDICT = "/api/models/shapes/predict"
IMAGE = demo_images()[0]


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the server stores videos; it is empty after each test."""
    folder = tmp_path / "storage"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """12 frames of shapes that move, 320x240, 10 a second."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    image = cv2.imread(str(IMAGE))
    assert image is not None
    for number in range(12):
        writer.write(np.roll(cv2.resize(image, (320, 240)), 9 * number, axis=1))
    writer.release()
    return path.read_bytes()


@pytest.fixture
def videos(start_local: Callable[[Settings], Any]) -> Any:
    """A server with narrow limits."""
    return start_local(
        Settings(
            models=(ModelSource(demo_model()),),
            no_auth=True,
            max_videos=1,
            max_video_frames=12,
            max_video_seconds=2.0,
            max_pixels=100_000,
        )
    )


def frames_of(clip: bytes, engine: Engine, tmp_path: Path, **options: Any) -> list[Any]:
    path = tmp_path / "again.avi"
    path.write_bytes(clip)
    return [result.summary() for result in engine(str(path), iou=0.7, **options)]


@pytest.mark.parametrize("stride", [1, 5])
def test_every_frame_equals_the_engine(
    videos: Any,
    engines: Mapping[str, Engine],
    clip: bytes,
    tmp_path: Path,
    storage: Path,
    wait_until: Callable[..., Any],
    stride: int,
) -> None:
    files = {"file": ("clip.avi", clip, "video/x-msvideo")}
    answer = videos.http.post(PREDICT, files=files, data={"vid_stride": stride}).json()
    wanted = frames_of(clip, engines["detect"], tmp_path)[::stride]
    assert [image["results"] for image in answer["images"]] == wanted
    assert {tuple(image["shape"]) for image in answer["images"]} == {(240, 320)}
    assert answer["metadata"]["imageCount"] == len(wanted)
    assert any(wanted)
    wait_until(lambda: not list(storage.iterdir()), "the stored video is removed")


def test_the_body_may_be_the_video(videos: Any, clip: bytes) -> None:
    headers = {"content-type": "application/octet-stream"}
    answer = videos.http.post(PREDICT, data=clip, headers=headers, params={"vid_stride": 12}).json()
    assert len(answer["images"]) == 1


def test_hub_takes_no_videos(videos: Any, clip: bytes) -> None:
    for field in ("image", "file"):
        reply = videos.http.post("/v1/predict/shapes", files={field: clip})
        videos.check_refusal(reply, 415, f"{field}: expected an image", "found a video (AVI)")


def rewritten(clip: bytes, frames: int, rate: float, size: tuple[int, int], path: Path) -> bytes:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, size)
    for _ in range(frames):
        writer.write(np.zeros((size[1], size[0], 3), np.uint8))
    writer.release()
    return path.read_bytes()


def test_what_is_refused(
    videos: Any, clip: bytes, tmp_path: Path, storage: Path, wait_until: Callable[..., Any]
) -> None:
    path = tmp_path / "other.avi"
    # Audio: an MP4 whose only box beside its brand is an empty list of tracks.
    silent = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"\x00\x00\x00\x08moov"
    for status, name, data, words in (
        (400, "a.avi", rewritten(clip, 13, 10, (64, 64), path), ["more than 12 frames", "vid_stride"]),
        (400, "a.avi", rewritten(clip, 3, 1, (64, 64), path), ["takes 3 s", "at most 2 s"]),
        (400, "a.avi", rewritten(clip, 1, 10, (400, 300), path), ["400x300", "100,000"]),
        (400, "a.avi", clip[: len(clip) // 4], ["ends after", "of about 12 frames"]),
        (400, "a.avi", clip[:600], ["file: "]),
        (400, "a.mp4", silent, ["file: ", "this video cannot be opened"]),
        (415, "a.jpg", clip, ["by its name 'a.jpg'", "found a video (AVI)"]),
    ):
        reply = videos.http.post(PREDICT, files={"file": (name, data)})
        assert reply.status_code == status, (name, reply.text)
        assert [word for word in words if word not in reply.json()["message"]] == [], reply.text
        assert reply.json()["message"].isprintable()
    wait_until(lambda: not list(storage.iterdir()), "nothing is left on the disk")
    reply = videos.http.post(PREDICT, files={"file": ("a.avi", clip)}, data={"vid_stride": 0})
    assert reply.status_code == 400


def test_images_are_answered_while_a_video_is_at_work(
    start_local: Callable[[Settings], Any], clip: bytes, storage: Path, wait_until: Callable[..., Any]
) -> None:
    server = start_local(Settings(models=(ModelSource(demo_model()),), no_auth=True, max_videos=1))
    long = {"file": ("long.avi", _repeated(clip, 10, storage.parent / "long.avi"))}
    answers: list[Any] = []
    sending = threading.Thread(
        target=lambda: answers.append(server.http.post(PREDICT, files=long, timeout=300).json())
    )
    sending.start()
    wait_until(lambda: list(storage.iterdir()), "the video is at work")
    with server.client() as http:
        busy = http.post(PREDICT, files=long)
        assert busy.status_code == 503
        assert busy.headers["retry-after"]
        for _ in range(5):
            assert http.post(PREDICT, files={"file": IMAGE.read_bytes()}).status_code == 200
        assert sending.is_alive(), "the images waited for the whole video"
    sending.join()
    assert len(answers[0]["images"]) == 120


def test_a_client_that_leaves_ends_its_video(
    start_local: Callable[[Settings], Any], clip: bytes, storage: Path, wait_until: Callable[..., Any]
) -> None:
    server = start_local(Settings(models=(ModelSource(demo_model()),), no_auth=True))
    body = _repeated(clip, 100, storage.parent / "long.avi")
    with server.connect() as connection:
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\n"
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: list(storage.iterdir()), "the video is at work")
    wait_until(lambda: not list(storage.iterdir()), "the video is dropped")
    assert server.metric("yolean_objects_total", model="shapes") < 1200
    assert server.http.post(PREDICT, files={"file": IMAGE.read_bytes()}).status_code == 200


def _repeated(clip: bytes, times: int, path: Path) -> bytes:
    """The frames of a clip over and over."""
    source = path.with_suffix(".once.avi")
    source.write_bytes(clip)
    capture = cv2.VideoCapture(str(source))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    capture.release()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    for frame in frames * times:
        writer.write(frame)
    writer.release()
    return path.read_bytes()
