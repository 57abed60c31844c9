"""Ultralytics Platform's own clients in front of a server: the Python SDK, sync and async, and `ul cloud`.

They need `ultralytics-platform` and, for the shell, `ultralytics`: `pip install ".[cpu,server,export,test]"`
brings both.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from map_models import METRES, map_model
from yolean.engine.images.decoding import image_from_bytes
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.serving.settings import ModelSource, Settings

pytestmark = pytest.mark.platform_sdk

KEY = "0123456789abcdef"
IMAGE = demo_images()[0]
SHAPES = IMAGE.read_bytes()
BEST = ("acme", "doors", "best")
NAMES = DEMO_MODELS | {"detect": "/".join(BEST), "classify": "yolo26n"}
"""What the server calls its models."""


@pytest.fixture(scope="module")
def sdk() -> Any:
    """The SDK; not imported above, because these tests are deselected where it is not installed."""
    return importlib.import_module("ultralytics_platform")


@pytest.fixture(scope="module")
def platform(start_local: Callable[[Settings], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with a key, models of all tasks and one that is called as on the Platform."""
    folder = tmp_path_factory.mktemp("platform")
    (folder / "keys.txt").write_text(KEY)
    models = [ModelSource(demo_model(task), name) for task, name in NAMES.items()]
    for name in ("class_map", "depth"):
        (folder / f"{name}.onnx").write_bytes(map_model(name))
        models.append(ModelSource(folder / f"{name}.onnx", name))
    return start_local(
        Settings(api_keys=folder / "keys.txt", models=tuple(models), max_queue=256, timeout=60)
    )


@pytest.fixture
def client(sdk: Any, platform: Any) -> Iterator[Any]:
    with sdk.Platform(base_url=platform.url, api_key=KEY) as found:
        yield found


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no key and no settings of the machine."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("ULTRALYTICS_API_KEY", raising=False)


def wanted(engines: Mapping[str, Engine], task: str = "detect", **options: Any) -> Any:
    """What the engine finds at Platform's defaults."""
    (results,) = engines[task](IMAGE, **({"conf": 0.25, "iou": 0.7} | options))
    return results


# ---- the SDK ----------------------------------------------------------------------------------------------


def test_a_video(client: Any, engines: Mapping[str, Engine], tmp_path: Path) -> None:
    path = tmp_path / "shapes.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    image = cv2.resize(image_from_bytes(SHAPES, "shapes", 3), (320, 240))
    for number in range(5):
        writer.write(np.roll(image, 20 * number, axis=1))
    writer.release()
    with path.open("rb") as file:
        answer = client.models.predict(*BEST, body={"file": file, "vid_stride": 2})
    frames = engines["detect"](path, conf=0.25, iou=0.7)[::2]
    assert [item["results"] for item in answer["images"]] == [frame.summary() for frame in frames]
    assert answer["metadata"]["imageCount"] == len(frames) == 3


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_models_predict(client: Any, engines: Mapping[str, Engine], task: str) -> None:
    fields = {
        "conf": 0.4,
        "iou": 0.5,
        "imgsz": 256,
        "normalize": True,
        "decimals": 3,
        "vid_stride": 1,
        "bits": 8,
    }
    for body, options, rounding in (
        ({}, {}, {}),
        (fields, {"conf": 0.4, "iou": 0.5, "imgsz": 256}, (True, 3)),
    ):
        with IMAGE.open("rb") as file:
            answer = client.models.predict(
                "acme", "doors", NAMES[task].rpartition("/")[2], body={"file": file, **body}
            )
        results = wanted(engines, task, **options)
        assert answer["images"][0]["results"] == results.summary(*rounding)
        assert answer["images"][0]["shape"] == list(results.orig_shape)
        metadata = answer["metadata"]
        assert (metadata["imageCount"], metadata["task"]) == (1, task)
        assert metadata["classNames"] == list(results.names.values())


def test_maps(client: Any) -> None:
    height, width = image_from_bytes(SHAPES).shape[:2]
    answer = client.models.predict("acme", "doors", "class_map", body={"file": SHAPES})
    (item,) = answer["images"]
    ids = decoded(item["semantic_mask"]["data"])
    assert (ids.shape, item["shape"], answer["metadata"]["task"]) == (
        (height, width),
        [height, width],
        "semantic",
    )
    for each in item["results"]:
        assert each["pixel_ratio"] == pytest.approx((ids == each["class"]).mean(), abs=1e-5)
    for bits in (8, 16):
        body = {"file": SHAPES, "bits": bits}
        (item,) = client.models.predict("acme", "doors", "depth", body=body)["images"]
        depth = item["depth"]
        metres = decoded(depth["data"]) * depth["max"] / (255 if bits == 8 else 65535)
        assert (item["results"], list(metres.shape), depth["bits"]) == ([], [64, 96], bits)
        grey = cv2.resize(image_from_bytes(SHAPES), (96, 64)).mean(axis=2)  # nearly as the model sees it
        assert np.abs(metres - grey / 255 * METRES).mean() < 0.05


def decoded(text: str) -> Any:
    """The image in an item, as the SDK's command line reads it."""
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_UNCHANGED)


def test_deployments_predict_and_sources(client: Any, engines: Mapping[str, Engine]) -> None:
    text = base64.b64encode(SHAPES).decode()
    for body in ({"file": SHAPES}, {"source": text}, {"source": f"data:image/jpeg;base64,{text}"}):
        answer = client.deployments.predict("acme", "shapes-obb", body=body)
        assert answer["images"][0]["results"] == wanted(engines, "obb").summary()
        assert answer["metadata"]["model"] == "shapes-obb"
    assert client.models.predict(*BEST, body={"file": SHAPES})["metadata"]["model"] == "/".join(BEST)


def test_async(sdk: Any, platform: Any, engines: Mapping[str, Engine]) -> None:
    async def predict() -> list[Any]:
        body = {"file": SHAPES}
        async with sdk.AsyncPlatform(base_url=platform.url, api_key=KEY) as client:
            models = [client.models.predict(*BEST, body=body) for _ in range(4)]
            deployments = [client.deployments.predict("acme", "yolo26n", body=body)]
            answers: list[Any] = await asyncio.gather(*models, *deployments)
            with pytest.raises(sdk.APIError, match="no model is called"):
                await client.models.predict("a", "b", "none", body={"file": SHAPES})
            return answers

    *models, deployment = (answer["images"][0]["results"] for answer in asyncio.run(predict()))
    assert models == [wanted(engines).summary()] * 4
    assert deployment == wanted(engines, "classify").summary()


def test_errors_say_what_is_wrong(sdk: Any, platform: Any, client: Any) -> None:
    for key, model, body, status, line in (
        ("wrong", "best", {"file": SHAPES}, 401, "Authorization: Bearer is not a key"),
        ("", "best", {"file": SHAPES}, 401, "is missing"),
        (KEY, "none", {"file": SHAPES}, 404, "no model is called 'acme/doors/none'"),
        (KEY, "best", {"file": SHAPES, "conf": 2}, 400, "conf='2': expected a number from 0.01 to 1.0"),
        (KEY, "best", {"file": b"no image"}, 415, "file: expected an image"),
        (KEY, "best", {"conf": 0.5}, 400, "found neither"),
        (KEY, "best", {"source": "http://a.example/b.jpg"}, 422, "--url-fetch"),
    ):
        with (
            sdk.Platform(base_url=platform.url, api_key=key) as other,
            pytest.raises(sdk.APIError) as refused,
        ):
            other.models.predict("acme", "doors", model, body=body)
        assert (refused.value.status_code, line in refused.value.json["error"]) == (status, True), (
            refused.value
        )
        assert refused.value.request_id
        assert line in str(refused.value)


def test_a_busy_server_is_asked_again(sdk: Any, start_local: Callable[[Settings], Any]) -> None:
    """The SDK repeats only what it is told to; `Retry-After` says when."""
    busy = start_local(Settings(models=(ModelSource(demo_model()),), max_queue=1, timeout=60))
    large = cv2.imencode(".jpg", cv2.resize(image_from_bytes(SHAPES), (3000, 2000)))[1].tobytes()

    def predict(**options: Any) -> Any:
        with sdk.Platform(base_url=busy.url, api_key="", **options) as client:
            try:
                return client.models.predict("a", "b", "shapes", body={"file": large})
            except sdk.APIError as exc:
                return exc

    with ThreadPoolExecutor(6) as pool:
        once = [future.result() for future in [pool.submit(predict) for _ in range(6)]]
        again = [
            future.result()
            for future in [
                pool.submit(predict, retry_methods=("GET", "POST"), max_retries=30) for _ in range(6)
            ]
        ]
    refused = [each for each in once if isinstance(each, sdk.APIError)]
    assert refused, "nobody was refused"
    assert {each.status_code for each in refused} == {503}
    assert all("wait already, send it again in" in each.json["error"] for each in refused)
    assert [each for each in again if isinstance(each, sdk.APIError)] == []
    assert all(each["images"][0]["results"] for each in again)


def test_the_round_trip_is_measured(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = []
    for _ in range(30):
        started = time.perf_counter()
        answer = client.models.predict(*BEST, body={"file": SHAPES})
        seconds.append(time.perf_counter() - started)
    inside = answer["metadata"]["functionTimeCall"]
    with capsys.disabled():
        print(
            f"\nSDK round trip: median {np.median(seconds) * 1e3:.1f} ms, "
            f"{inside * 1e3:.1f} ms of the last in the server"
        )
    assert 0 < inside < max(seconds)


# ---- ul cloud ---------------------------------------------------------------------------------------------


@pytest.fixture
def ul(sdk: Any, platform: Any, tmp_path: Path) -> Callable[..., Any]:
    """Runs `ul cloud` in a folder with the demo image; gives what it did."""
    (tmp_path / "image.jpg").write_bytes(SHAPES)

    def run(*words: str, key: str = KEY) -> Any:
        environment = {
            **os.environ,
            "ULTRALYTICS_PLATFORM_URL": platform.url,
            "ULTRALYTICS_API_KEY": key,
            "YOLO_OFFLINE": "true",
        }
        command = [sys.executable, "-m", f"{sdk.__name__}.cli", "cloud", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    return run


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("ul://acme/doors/best", "detect"),
        *((f"ul://acme/doors/{NAMES[task]}", task) for task in DEMO_MODELS if task != "detect"),
        ("yolo26n.pt", "classify"),  # looked up by GET before anything is uploaded
    ],
)
def test_ul_cloud_predict(
    ul: Callable[..., Any], tmp_path: Path, engines: Mapping[str, Engine], model: str, task: str
) -> None:
    done = ul("predict", f"model={model}", "source=image.jpg", "save_dir=out", "conf=0.3", "save_txt")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads((tmp_path / "out" / "results.json").read_text())
    assert answer["metadata"]["task"] == task
    assert cv2.imread(str(tmp_path / "out" / "image.jpg")) is not None
    results = wanted(engines, task, conf=0.3)
    assert answer["images"][0]["results"] == results.summary()
    if task not in ("semantic", "depth"):  # whose labels would be images
        lines = (tmp_path / "out" / "labels" / "image.txt").read_text().splitlines()
        assert len(lines) == len(results.summary())


def test_ul_cloud_models_predict(ul: Callable[..., Any], engines: Mapping[str, Engine]) -> None:
    body = 'body={"file": "@image.jpg", "conf": 0.3}'
    done = ul("models", "predict", "owner=acme", "project=doors", "model=best", body)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["images"][0]["results"] == wanted(engines, conf=0.3).summary()


def test_ul_says_what_is_wrong(ul: Callable[..., Any]) -> None:
    predict = "predict", "source=image.jpg"
    for words, key, line in (
        ((*predict, "model=ul://a/b/none"), KEY, "(HTTP 404): no model is called 'a/b/none'"),
        (
            (*predict, "model=ul://acme/doors/best"),
            "wrong",
            "Authorization: Bearer is not a key of this server",
        ),
        (("account", "summary"), KEY, "no such path: predictions go to POST /api/models/MODEL_ID/predict"),
    ):
        done = ul(*words, key=key)
        assert (done.returncode, line in done.stderr) == (1, True), done.stderr
