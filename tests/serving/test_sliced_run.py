"""Sliced images over HTTP: equal to the engine's answers, within limits, and no image waits for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
import pytest
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.serving.settings import ModelSource, Settings

TASKS = ("detect", "segment", "pose", "obb")
IMAGE = demo_images()[0]


def route(task: str) -> str:
    return f"/api/models/{DEMO_MODELS[task]}/predict"


@pytest.fixture(scope="module")
def mosaic() -> Any:
    """A demo image four times, 960x1280."""
    image = cv2.imread(str(IMAGE))
    assert image is not None
    return np.tile(image, (2, 2, 1))


@pytest.fixture(scope="module")
def large(mosaic: Any) -> bytes:
    """The same as PNG."""
    return bytes(cv2.imencode(".png", mosaic)[1])


@pytest.fixture(scope="module")
def sliced(start_local: Callable[[Settings], Any]) -> Any:
    """A server that allows 20 slices, on the CPU."""
    return start_local(Settings(no_auth=True, max_tiles=20, device="cpu"))


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_equals_the_engine(
    sliced: Any, engines: Mapping[str, Engine], mosaic: Any, large: bytes, task: str
) -> None:
    runs, answers = sliced.metric("yolean_batch_size_count", model=DEMO_MODELS[task]), []
    for tile, overlap, count in ((500, 0.05, 3 * 2 + 1), (2000, 0.2, 1)):
        fields = {"tile": tile, "overlap": overlap}
        answer = sliced.http.post(route(task), files={"file": large}, data=fields)
        (item,) = answer.json()["images"]
        (wanted,) = engines[task](mosaic, iou=0.7, tile=tile, overlap=overlap)
        assert item["results"] == wanted.summary()
        assert item["shape"] == [960, 1280]
        assert len(item["results"]) > 4
        runs += count
        assert sliced.metric("yolean_batch_size_count", model=DEMO_MODELS[task]) == runs
        timing = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
        assert float(timing["inference"]) == pytest.approx(item["speed"]["inference"], abs=0.1)
        assert float(timing["decode"]) > 0
        answers.append(item["results"])
    assert answers[0] != answers[1]


def test_the_tile_may_stand_in_the_query_and_in_json(sliced: Any, large: bytes) -> None:
    headers = {"content-type": "image/png"}
    (by_query,) = sliced.http.post(
        route("detect"), data=large, headers=headers, params={"tile": 480, "overlap": 0}
    ).json()["images"]
    (by_form,) = sliced.http.post(
        route("detect"), files={"file": large}, data={"tile": "480", "overlap": "0"}
    ).json()["images"]
    assert by_query["results"] == by_form["results"]


def test_what_cannot_be_sliced_is_refused(sliced: Any, server: Any, large: bytes) -> None:
    clip = b"RIFF\x00\x00\x00\x00AVI LIST" + bytes(40)
    runs = sliced.metric("yolean_batch_size_count")
    for asked, task, data, fields, words in (
        (server, "detect", large, {"tile": 640}, ["tile=640: this server slices no images", "--max-tiles"]),
        (sliced, "detect", large, {"tile": 64}, ["tile=64x64, overlap=0.2", "475 slices", "at most 20"]),
        (sliced, "detect", large, {"tile": 31}, ["tile='31': expected a whole number from 32"]),
        (sliced, "detect", large, {"tile": 64, "overlap": 1}, ["overlap='1': expected a number"]),
        (sliced, "detect", clip, {"tile": 64}, ["tile=64: slices are for images, found a video (AVI)"]),
        (sliced, "detect", b"\x89PNG\r\n\x1a\n", {"tile": 640}, ["file: "]),
        *(
            (sliced, task, large, {"tile": 640}, ["tile=640: slices are for models that find objects", task])
            for task in ("classify", "semantic", "depth")
        ),
    ):
        reply = asked.http.post(route(task), files={"file": data}, data=fields)
        assert reply.status_code == 400, (task, fields, reply.text)
        message = reply.json()["message"]
        assert [word for word in words if word not in message] == [], message
        assert message.isprintable()
    assert sliced.metric("yolean_batch_size_count") == runs, "nothing was run in vain"
    reply = sliced.http.post(
        f"/v1/predict/{DEMO_MODELS['detect']}", files={"file": large}, data={"tile": 640}
    )
    assert reply.status_code == 400


def test_images_are_answered_while_others_are_sliced(
    start_local: Callable[[Settings], Any], large: bytes, wait_until: Callable[..., Any]
) -> None:
    models = (ModelSource(demo_model()),)
    server = start_local(Settings(models=models, no_auth=True, max_tiles=10_000, device="cpu"))
    path, slices = route("detect"), 79 * 59  # of 32x32 pixels, half of which overlap
    image, few = IMAGE.read_bytes(), {"tile": "1000"}

    def runs() -> float:
        return float(server.metric("yolean_batch_size_count"))

    with ExitStack() as connections:
        head = f"POST {path}?tile=32&overlap=0.5 HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
        for _ in range(4):
            connection = connections.enter_context(server.connect())
            connection.sendall(f"{head}content-length: {len(large)}\r\n\r\n".encode() + large)

        def refused() -> Any:
            reply = server.http.post(path, files={"file": large}, data=few)
            return dict(reply.headers) if reply.status_code == 503 else None

        assert wait_until(refused, "a fifth is refused")["retry-after"]
        for _ in range(5):
            before = runs()
            assert server.http.post(path, files={"file": image}).status_code == 200
            assert runs() - before < slices / 10, "it waited for the slices"
    wait_until(
        lambda: server.http.post(path, files={"file": large}, data=few).status_code == 200,
        "the places of those who left are free",
    )
    assert runs() < slices, "the slices of those who left are not run"
