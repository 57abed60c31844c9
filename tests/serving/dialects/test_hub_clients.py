"""Programs that were written for the HUB API, word for word: only address, model, key and path change."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images
from yolean.serving.dialects.hub_items import HUB_TASKS
from yolean.serving.settings import Settings

KEY = "0123456789abcdef"
IMAGE = demo_images()[0]

# From the documentation of the HUB Inference API, HUB v1: docs/en/hub/inference-api.md.
PYTHON = """
import requests

# API URL, use actual MODEL_ID
url = "https://api.ultralytics.com/v1/predict/MODEL_ID"

# Headers, use actual API_KEY
headers = {"x-api-key": "API_KEY"}

# Inference arguments (optional)
data = {"size": 640, "confidence": 0.25, "iou": 0.45}

# Load image and send request
with open("path/to/image.jpg", "rb") as image_file:
    files = {"image": image_file}
    response = requests.post(url, headers=headers, files=files, data=data)

print(response.json())
"""

CURL = """
curl -X POST "https://api.ultralytics.com/v1/predict/MODEL_ID" \\
	-H "x-api-key: API_KEY" \\
	-F "image=@/path/to/image.jpg" \\
	-F "size=640" \\
	-F "confidence=0.25" \\
	-F "iou=0.45"
"""

# HUB v2, as documented later at the same path.
V2 = {
    '{"size": 640, "confidence": 0.25, "iou": 0.45}': '{"imgsz": 640, "conf": 0.25, "iou": 0.45}',
    '{"image": image_file}': '{"file": image_file}',
    '"image=@': '"file=@',
    '"size=': '"imgsz=',
    '"confidence=': '"conf=',
}
# `POST /`, as predict.ultralytics.com took it: the model is a field.
BY_FIELD = {
    "https://api.ultralytics.com/v1/predict/MODEL_ID": "https://api.ultralytics.com",
    '"iou": 0.45}': '"iou": 0.45, "model": "https://hub.ultralytics.com/models/MODEL_ID"}',
    '-F "iou=0.45"': '-F "iou=0.45" \\\n\t-F "model=https://hub.ultralytics.com/models/MODEL_ID"',
}

ITEMS: dict[str, set[str]] = {
    "detect": {"width", "height", "xcenter", "ycenter"},
    "segment": {"segment"},
    "pose": {"keypoints"},
    "obb": {"obb"},
    "classify": set(),
}


@pytest.fixture(scope="module")
def hub(start_local: Callable[[Settings], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with a key."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(KEY)
    return start_local(Settings(api_keys=keys))


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def adapted(program: str, server: Any, model: str, *changes: Mapping[str, str], key: str = KEY) -> str:
    """A program of the documentation for this server."""
    for old, new in (pair for change in changes for pair in change.items()):
        program = program.replace(old, new)
    words = {
        "https://api.ultralytics.com": server.url, "MODEL_ID": model, "API_KEY": key,
        "/path/to/image.jpg": str(IMAGE), "path/to/image.jpg": str(IMAGE),
    }  # fmt: skip
    for old, new in words.items():
        program = program.replace(old, new)
    return program


def run_python(program: str) -> Any:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, {})
    return eval(printed.getvalue(), {})


def run_curl(program: str) -> Any:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        assert os.environ.get("CI") != "true", "curl is needed"
        pytest.skip("there is no curl")
    done = subprocess.run(["bash", "-ec", program], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


CLIENTS = pytest.mark.parametrize(
    ("run", "program"), [(run_python, PYTHON), (run_curl, CURL)], ids=["python", "curl"]
)


@CLIENTS
def test_hub_v1(hub: Any, engines: Mapping[str, Engine], run: Callable[[str], Any], program: str) -> None:
    for task in HUB_TASKS if run is run_python else ["detect"]:
        answer = run(adapted(program, hub, DEMO_MODELS[task]))
        assert set(answer) == {"success", "message", "data"}
        assert (answer["success"], answer["message"]) == (True, "Inference complete.")
        (results,) = engines[task](IMAGE, conf=0.25, iou=0.45, imgsz=640)
        wanted = [each for each in results.summary() if each["confidence"] >= 0.25]
        for found, other in zip(answer["data"], wanted, strict=True):
            assert set(found) == {"class", "name", "confidence"} | ITEMS[task]
            assert (found["class"], found["name"]) == (other["class"], other["name"])
            assert abs(found["confidence"] - other["confidence"]) < 1e-4
            numbers = np.hstack([found[key] for key in ITEMS[task]] or [0.5])
            assert np.isfinite(numbers).all()
            if task != "obb":  # whose corners may lie outside
                assert 0 <= numbers.min() <= numbers.max() <= 1
            if task == "detect":  # in pixels it is the engine's box
                height, width = results.orig_shape
                left = (found["xcenter"] - found["width"] / 2) * width
                bottom = (found["ycenter"] + found["height"] / 2) * height
                assert abs(left - other["box"]["x1"]) < 0.01
                assert abs(bottom - other["box"]["y2"]) < 0.01


@CLIENTS
def test_hub_v2(hub: Any, engines: Mapping[str, Engine], run: Callable[[str], Any], program: str) -> None:
    ways = [(task, (V2,)) for task in (HUB_TASKS if run is run_python else ["detect"])]
    for task, changes in (*ways, ("detect", (V2, BY_FIELD))):
        answer = run(adapted(program, hub, DEMO_MODELS[task], *changes))
        assert set(answer) == {"images", "metadata"}
        (image,) = answer["images"]
        (results,) = engines[task](IMAGE, conf=0.25, iou=0.45, imgsz=640)
        assert image["shape"] == list(results.orig_shape)
        assert set(image["speed"]) == {"preprocess", "inference", "postprocess"}
        wanted = [each for each in results.summary() if each["confidence"] >= 0.25]
        for found, other in zip(image["results"], wanted, strict=True):
            assert set(found) == set(other)
            assert (found["class"], found["name"]) == (other["class"], other["name"])
            for corner, value in other.get("box", {}).items():
                assert abs(found["box"][corner] - value) < 0.01
        metadata = answer["metadata"]
        assert (metadata["model"], metadata["task"]) == (DEMO_MODELS[task], task)
        assert (metadata["imgsz"], metadata["conf"], metadata["iou"]) == ([640, 640], 0.25, 0.45)


@CLIENTS
def test_a_wrong_key_is_said_in_json(hub: Any, run: Callable[[str], Any], program: str) -> None:
    answer = run(adapted(program, hub, "shapes", key="wrong"))
    assert answer["success"] is False
    assert "x-api-key" in answer["message"]
    assert "wrong" not in hub.log


@CLIENTS
def test_a_wrong_argument_is_said_in_json(hub: Any, run: Callable[[str], Any], program: str) -> None:
    answer = run(adapted(program, hub, "shapes", {"0.25": "25"}))
    assert answer == {
        "success": False, "message": "confidence='25': expected a number from 0.01 to 1.0",
    }  # fmt: skip


def test_curl_sends_a_large_image_in_its_way(hub: Any, tmp_path: Path) -> None:
    """Beyond 1 MB it asks first: Expect: 100-continue."""
    large = tmp_path / "large.jpg"
    large.write_bytes(IMAGE.read_bytes() + bytes(3_000_000))  # readers stop at the end of the image
    answer = run_curl(adapted(CURL, hub, "shapes", {"/path/to/image.jpg": str(large)}))
    assert answer["success"] is True
    assert len(answer["data"]) > 3


def test_curl_sends_a_raw_image_and_an_address(hub: Any) -> None:
    answer = run_curl(
        f'curl -s "{hub.url}/v1/predict/shapes?confidence=0.5" -H "x-api-key: {KEY}" '
        f'-H "Content-Type: image/jpeg" --data-binary @{IMAGE}'
    )
    assert answer["success"] is True
    answer = run_curl(
        f'curl -s "{hub.url}/v1/predict/shapes" -H "x-api-key: {KEY}" -d url=https://a.example/a.jpg'
    )
    assert answer["success"] is False
    assert "--url-fetch" in answer["message"]
