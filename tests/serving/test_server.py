"""The application as a library and under plain uvicorn: it raises, and changes nothing of its process."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
import requests
from yolean import server as server_module
from yolean.engine.errors import InputError, ModelError
from yolean.models import demo_images, demo_model
from yolean.server import create_app
from yolean.serving.settings import ModelSource, Settings

IMAGE = {"image": demo_images()[0].read_bytes()}
PREDICT = "/v1/predict/shapes"
KEY = "a-key-of-the-tests"
ORIGIN = "https://page.example"


@pytest.mark.slow
def test_an_application_changes_nothing_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_the_process() -> list[object]:
        loggers = [logging.getLogger(name) for name in (None, "yolean", "uvicorn")]
        return [
            *map(signal.getsignal, (signal.SIGTERM, signal.SIGINT)),
            dict(os.environ),
            cv2.getNumThreads(),
            *((logger.level, list(logger.handlers), logger.propagate) for logger in loggers),
        ]

    async def run() -> None:
        before = of_the_process()
        app = create_app(Settings(models=(ModelSource(demo_model()),)))
        async with app.router.lifespan_context(app):
            assert of_the_process() == before

    asyncio.run(run())
    fresh = importlib.reload(server_module)
    monkeypatch.setenv("YOLEAN_MAX_QUEUE", "none")
    with pytest.raises(InputError, match="--max-queue"):
        _ = fresh.app
    monkeypatch.setenv("YOLEAN_MAX_QUEUE", "3")
    before = of_the_process()
    assert fresh.app is fresh.app
    assert of_the_process() == before
    del fresh.app


def test_an_application_with_a_broken_model_does_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    same = tmp_path / "shapes.onnx"
    same.write_bytes(b"no model")

    async def start(*models: Path) -> None:
        app = create_app(Settings(models=tuple(map(ModelSource, models))))
        async with app.router.lifespan_context(app):
            pytest.fail("it has started")

    with pytest.raises(ModelError, match=r"broken\.onnx"):
        asyncio.run(start(broken))
    with pytest.raises(InputError, match="'shapes'"):
        asyncio.run(start(same, demo_model()))


def own_address() -> str:
    """An address of this machine that is not 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")


UVICORN = [
    *("-m", "uvicorn", "yolean.server:app", "--no-access-log"),
    *("--http", "yolean.serving.http_protocol:HttpProtocol"),
]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_under_plain_uvicorn_the_environment_configures_it(
    start_server: Callable[..., Any], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(KEY)
    port = free_port()
    environment = {
        "YOLEAN_MODELS": f"a={demo_model()}:{demo_model('classify')}", "YOLEAN_API_KEYS": str(keys),
        "YOLEAN_API_KEY": "one-more", "YOLEAN_MAX_BODY": "100K", "YOLEAN_CORS": f"https://a.example {ORIGIN}",
        "YOLEAN_LOG_FORMAT": "json",
    }  # fmt: skip
    server = start_server(env=environment, command=[*UVICORN, "--port", port], port=port)
    models = server.http.get("/v1/models").json()["models"]
    assert [model["id"] for model in models] == ["a", "shapes-cls"]
    for key, status in ((None, 401), ("other", 401), (KEY, 200), ("one-more", 200)):
        assert (
            server.http.post("/v1/predict/a", files=IMAGE, headers={"x-api-key": key}).status_code == status
        )
    reply = server.http.post(
        "/v1/predict/a", data=b"\0" * 150_000, headers={"x-api-key": KEY, "content-type": "image/png"}
    )
    server.check_refusal(reply, 413, "102,400")
    assert server.http.get("/", headers={"origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN
    assert "one-more" not in server.log


@pytest.mark.slow
def test_under_plain_uvicorn_others_are_kept_out_where_there_are_no_keys(
    start_server: Callable[..., Any],
) -> None:
    address, port = own_address(), free_port()
    command = [*UVICORN, "--host", "0.0.0.0", "--port", port]
    server = start_server(env={"YOLEAN_MODELS": str(demo_model())}, command=command, port=port)
    assert server.http.post(PREDICT, files=IMAGE).status_code == 200
    with requests.Session() as session:
        session.trust_env = False
        reply = session.post(f"http://{address}:{port}{PREDICT}", files=IMAGE, timeout=30)
    server.check_refusal(reply, 401, "YOLEAN_API_KEYS", "YOLEAN_NO_AUTH")


@pytest.mark.slow
def test_a_setting_that_cannot_be_ends_plain_uvicorn(start_server: Callable[..., Any]) -> None:
    port = free_port()
    command = [*UVICORN, "--port", port]
    server = start_server(env={"YOLEAN_MAX_QUEUE": "none"}, command=command, port=port, ready=False)
    assert server.wait() != 0
    assert "YOLEAN_MAX_QUEUE" in server.log or "--max-queue" in server.log
    server.forgive()  # a traceback is uvicorn's way


@pytest.mark.slow
def test_a_broken_model_ends_plain_uvicorn(start_server: Callable[..., Any], tmp_path: Path) -> None:
    broken, port = tmp_path / "broken.onnx", free_port()
    broken.write_bytes(b"no model")
    command = [*UVICORN, "--port", port]
    server = start_server(env={"YOLEAN_MODELS": str(broken)}, command=command, port=port, ready=False)
    assert server.wait() == 3  # uvicorn's own
    assert "broken.onnx" in server.log
    server.forgive()
