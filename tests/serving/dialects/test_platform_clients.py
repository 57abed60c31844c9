"""Ultralytics Platform over HTTP: its routes, its ways to send an image, and its documentation's requests.

The programs of the documentation are there word for word: only address, model, key and path change.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import io
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import Any

import pytest
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.serving.dialects.platform import PLATFORM
from yolean.serving.settings import ModelSource, Settings

KEY = "0123456789abcdef"
IMAGE = demo_images()[0]
SHAPES = IMAGE.read_bytes()
TEXT = base64.b64encode(SHAPES).decode()
BEST = "acme/doors/best"
PREDICT = "/api/models/acme/doors/best/predict"
FORM = {"content-type": "application/x-www-form-urlencoded"}

# From the documentation of Ultralytics Platform: docs/en/platform/deploy/inference.md and endpoints.md.
PYTHON = """
import requests

url = "https://platform.ultralytics.com/api/models/MODEL_ID/predict"
headers = {"Authorization": "Bearer YOUR_API_KEY"}
files = {"file": open("image.jpg", "rb")}
data = {"conf": 0.25, "iou": 0.7, "imgsz": 640}

response = requests.post(url, headers=headers, files=files, data=data)
print(response.json())
"""

CURL = """
curl -X POST \\
  "https://platform.ultralytics.com/api/models/MODEL_ID/predict" \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -F "file=@image.jpg" \\
  -F "conf=0.25" \\
  -F "iou=0.7" \\
  -F "imgsz=640"
"""

ENDPOINT_PYTHON = """
import requests

# Deployment endpoint
url = "https://predict-abc123.run.app/predict"

# Headers with your deployment API key
headers = {"Authorization": "Bearer YOUR_API_KEY"}

# Inference parameters
data = {"conf": 0.25, "iou": 0.7, "imgsz": 640}

# Send image for inference
with open("image.jpg", "rb") as f:
    response = requests.post(url, headers=headers, data=data, files={"file": f})

print(response.json())
"""

ENDPOINT_CURL = """
curl -X POST \\
  "https://predict-abc123.run.app/predict" \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -F "file=@image.jpg" \\
  -F "conf=0.25" \\
  -F "iou=0.7" \\
  -F "imgsz=640"
"""

JAVASCRIPT = """
const formData = new FormData();
formData.append("file", fileInput.files[0]);
formData.append("conf", "0.25");
formData.append("iou", "0.7");
formData.append("imgsz", "640");

const response = await fetch(
  "https://platform.ultralytics.com/api/models/MODEL_ID/predict",
  {
    method: "POST",
    headers: { Authorization: "Bearer YOUR_API_KEY" },
    body: formData,
  }
);

const result = await response.json();
console.log(result);
"""

ENDPOINT_JAVASCRIPT = JAVASCRIPT.replace(
    "https://platform.ultralytics.com/api/models/MODEL_ID/predict", "https://predict-abc123.run.app/predict"
)


@pytest.fixture(scope="module")
def images_server() -> Iterator[str]:
    """The address of a web server with the demo images."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(IMAGE.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def platform(
    start_local: Callable[[Settings], Any], tmp_path_factory: pytest.TempPathFactory, images_server: str
) -> Any:
    """A server with a key, a model of three parts and one of one part, which fetches from this machine.

    Pages of `images_server`, which is another origin, may call it.
    """
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(KEY)
    server = start_local(
        Settings(
            api_keys=keys,
            models=(ModelSource(demo_model(), BEST), ModelSource(demo_model())),
            default_model=BEST,
            max_body=256 * 1024,
            url_fetch=True,
            trusted_fetch=(ip_network("127.0.0.0/8"),),
            cors=(images_server,),
        )
    )
    server.http.headers["authorization"] = f"Bearer {KEY}"
    return server


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def items(engines: Mapping[str, Engine], task: str = "detect", **options: Any) -> Any:
    """What the engine finds at Platform's defaults."""
    (results,) = engines[task](IMAGE, **{"conf": 0.25, "iou": 0.7, **options})
    return results.summary()


# ---- routes and models ------------------------------------------------------------------------------------


def test_every_route_answers(platform: Any, engines: Mapping[str, Engine]) -> None:
    wanted = items(engines)
    for path, model in (
        (PREDICT, BEST),
        ("/api/models/acme%2Fdoors%2Fbest/predict", BEST),  # as a client writes one segment
        ("/api/models/shapes/predict", "shapes"),
        ("/api/models/anyone/anything/shapes/predict", "shapes"),
        ("/api/deployments/anyone/shapes/predict", "shapes"),
        ("/predict", BEST),
    ):
        reply = platform.http.post(path, files={"file": SHAPES})
        assert reply.status_code == 200, reply.text
        answer = reply.json()
        assert answer["metadata"]["model"] == model
        assert answer["images"][0]["results"] == wanted


def test_hub_and_listings_know_names_with_slashes(platform: Any) -> None:
    http = platform.http
    assert BEST in [model["id"] for model in http.get("/v1/models").json()["models"]]
    for path in (f"/v1/models/{BEST}", "/v1/models/acme%2Fdoors%2Fbest"):
        assert http.get(path).json()["id"] == BEST
    assert http.get("/health").json()["models"][BEST]["task"] == "detect"
    for path in (f"/v1/predict/{BEST}", "/v1/predict/acme%2Fdoors%2Fbest"):
        for field, key in (("image", "data"), ("file", "images")):
            assert http.post(path, files={field: SHAPES}).json()[key]
    for name in (BEST, f"https://hub.example/models/{BEST}", "shapes", "https://hub.example/models/shapes"):
        reply = http.post("/", files={"file": SHAPES}, data={"model": name})
        assert reply.json()["metadata"]["model"] in (BEST, "shapes")
        assert reply.json()["metadata"]["model"] in name
    wrong = http.post(f"/v1/predict/{BEST}", files={"file": SHAPES}, data={"model": "shapes"})
    platform.check_refusal(wrong, 400, "model='shapes'", BEST)
    assert platform.metric("yolean_requests_total", model=BEST, status="200") > 0


def test_a_model_is_looked_up_without_a_key(platform: Any, server: Any) -> None:
    with platform.client() as http:
        found = http.get("/api/models/acme/doors/best").json()
        assert found == {"owner": "acme", "project": "doors", "model": BEST, "task": "detect"}
        check_error(http.get("/api/models/acme/doors/none"), 404, "'acme/doors/none'")
        assert http.delete("/api/models/acme/doors/best").status_code == 405
    found = server.http.get("/api/models/ultralytics/yolo26/shapes-seg").json()
    assert found == {"owner": "ultralytics", "project": "yolo26", "model": "shapes-seg", "task": "segment"}


def test_several_models_without_a_default(server: Any) -> None:
    check_error(server.http.post("/predict", files={"file": SHAPES}), 404, "--default-model", "shapes-cls")


# ---- ways to send an image --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", PLATFORM.tasks)
def test_answers_equal_the_engine(server: Any, engines: Mapping[str, Engine], task: str) -> None:
    path = f"/api/models/x/y/{DEMO_MODELS[task]}/predict"
    choices: list[dict[str, Any]] = [{}, {"conf": 0.5, "iou": 0.3, "imgsz": 256}]
    for fields in choices:
        data = {**fields, "normalize": True, "decimals": 3}
        answer = server.http.post(path, files={"file": SHAPES}, data=data).json()
        (results,) = engines[task](IMAGE, **({"conf": 0.25, "iou": 0.7} | fields))
        assert answer["images"][0]["results"] == results.summary(normalize=True, decimals=3)
        assert answer["images"][0]["shape"] == list(results.orig_shape)


def test_ways_to_send_an_image(platform: Any, images_server: str, engines: Mapping[str, Engine]) -> None:
    wanted = items(engines, conf=0.5)
    data_uri = f"data:image/jpeg;base64,{TEXT}"
    ways: list[dict[str, Any]] = [
        {"files": {"file": ("video.mp4", SHAPES, "video/mp4")}, "data": {"conf": 0.5}},  # its bytes count
        {"data": SHAPES, "headers": {"content-type": "image/jpeg"}, "params": {"conf": 0.5}},
    ]
    for source in (TEXT, data_uri, f"{images_server}/{IMAGE.name}"):
        fields = {"source": source, "conf": 0.5}
        ways += [
            {"data": fields},
            {"json": fields},
            {"files": [(name, (None, str(value))) for name, value in fields.items()]},  # multipart
        ]
    ways.append({"data": f"conf=0.5&source={TEXT}", "headers": FORM})  # its + are not escaped
    for way in ways:
        reply = platform.http.post(PREDICT, **way)
        assert reply.status_code == 200, reply.text
        assert reply.json()["images"][0]["results"] == wanted
    assert len(TEXT) > 20_000


# ---- what is wrong ----------------------------------------------------------------------------------------


def check_error(reply: Any, status: int, *words: str) -> None:
    """Check that an answer has this status, and one line with these words in both fields."""
    assert reply.status_code == status, reply.text
    answer = reply.json()
    assert answer == {"success": False, "message": answer["message"], "error": answer["message"]}
    assert [word for word in words if word not in answer["error"]] == [], answer
    assert answer["error"].isprintable()
    assert len(answer["error"]) < 400


MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(100)
WRONG: list[tuple[int, dict[str, Any], list[str]]] = [
    # status, request, words of the message
    (400, {"data": {"conf": 0.5}}, ["'file' or address 'source'", "found neither"]),
    (415, {}, ["Content-Type"]),
    (400, {"files": {"file": b""}}, ["file: expected an image, found 0 bytes"]),
    (400, {"files": {"file": SHAPES}, "data": {"source": TEXT}}, ["found file and source"]),
    (400, {"data": {"source": "no base64!"}}, ["source: expected an address", "found 'no base64!'"]),
    (400, {"data": {"source": TEXT[:-20]}}, ["source: the image is cut off"]),
    (400, {"data": {"source": TEXT + "A"}}, ["source: expected an address"]),
    (400, {"data": {"source": ""}}, ["source=''"]),
    (400, {"json": {"source": 5}}, ["source=5"]),
    (400, {"data": {"source": "data:image/jpeg;base64,"}}, ["found 0 bytes"]),
    (400, {"data": {"source": "data:image/jpeg," + TEXT}}, ["in base64"]),
    (413, {"data": {"source": "A" * 300_000}}, ["262,144 bytes"]),
    (415, {"data": {"source": base64.b64encode(b"no image at all").decode()}}, ["source: expected an image"]),
    (415, {"data": {"source": f"data:text/plain;base64,{TEXT}"}}, ["'text/plain'"]),
    (400, {"files": {"file": MP4}}, ["file: this video cannot be opened"]),
    (415, {"files": {"file": ("bus.jpg", MP4, "image/jpeg")}}, ["found a video (MP4)"]),
    (400, {"files": {"file": b"GIF89a" + bytes(50)}}, ["file: "]),
    (415, {"data": {"source": base64.b64encode(MP4).decode()}}, ["source:", "found a video (MP4)"]),
    (422, {"data": {"source": "http://192.168.0.1/a.jpg"}}, ["source:"]),
    (422, {"data": {"source": "file:///etc/passwd"}}, ["source:"]),
    *(
        (400, {"files": {"file": SHAPES}, "data": {name: value}}, [f"{name}='{value}': expected"])
        for name, value in (
            ("conf", "0"), ("conf", "1.1"), ("iou", "0.96"), ("imgsz", "31"), ("imgsz", "1281"),
            ("normalize", "maybe"), ("decimals", "99"), ("decimals", "-1"), ("bits", "9"),
            ("vid_stride", "0"),
        )
    ),
    (400, {"files": {"file": SHAPES}, "data": {"confidence": "0.5"}}, ["do not belong together"]),
    (400, {"files": {"image": SHAPES}, "data": {"conf": "0.5"}}, ["do not belong together"]),
    (400, {"files": {"file": SHAPES}, "data": {"model": "shapes"}}, ["HUB v2", "/v1/predict/MODEL_ID"]),
    (400, {"files": {"file": SHAPES}, "data": {"threshold": "1"}}, ["unknown field", "vid_stride"]),
    (400, {"files": {"file": SHAPES}, "params": {"conf": 0.5}, "data": {"conf": 0.5}}, ["found twice"]),
    (400, {"files": {"file": SHAPES}, "headers": {"x-api-key": "other"}}, ["two keys that differ"]),
    (401, {"files": {"file": SHAPES}, "headers": {"authorization": "Bearer wrong"}}, ["Bearer is not a key"]),
    (401, {"files": {"file": SHAPES}, "headers": {"authorization": None}}, ["is missing"]),
    (415, {"data": "text", "headers": {"content-type": "text/plain"}}, ["Content-Type"]),
]  # fmt: skip


def test_what_is_wrong_is_answered_in_one_line(platform: Any) -> None:
    for status, request, words in WRONG:
        check_error(platform.http.post(PREDICT, **request), status, *words)


def test_paths_and_methods_that_there_are_not(platform: Any) -> None:
    for status, method, path, word in (
        (404, "POST", "/api/models/a/b/none/predict", "'a/b/none'"),
        (404, "POST", "/api/deployments/a/none/predict", "'a/none'"),
        (404, "POST", "/api/models/a/b/c/d/predict", "no such path"),
        (404, "GET", "/api/account/summary", "/api/models/MODEL_ID/predict"),
        (405, "GET", "/predict", "POST"),
        (405, "PUT", PREDICT, "POST"),
    ):
        check_error(platform.http.request(method, path), status, word)


def test_an_address_needs_url_fetch(server: Any) -> None:
    for source in ("http://a.example/b.jpg", "https://127.0.0.1/b.jpg"):
        reply = server.http.post("/api/models/shapes/predict", data={"source": source})
        check_error(reply, 422, "source: this server fetches no addresses", "--url-fetch")


# ---- the documentation's requests -------------------------------------------------------------------------


def adapted(program: str, server: Any, model: str, key: str = KEY) -> str:
    """A program of the documentation for this server."""
    words = {
        "https://platform.ultralytics.com": server.url, "https://predict-abc123.run.app": server.url,
        "MODEL_ID": model, "YOUR_API_KEY": key, "image.jpg": str(IMAGE),
    }  # fmt: skip
    for old, new in words.items():
        program = program.replace(old, new)
    return program


def run_python(program: str) -> Any:
    printed = io.StringIO()
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(printed):
        exec(program, names)
    for file in names.get("files", {}).values():  # the documentation leaves it open
        file.close()
    return eval(printed.getvalue(), {})


def run_curl(program: str) -> Any:
    if shutil.which("curl") is None or shutil.which("bash") is None:
        assert os.environ.get("CI") != "true", "curl is needed"
        pytest.skip("there is no curl")
    done = subprocess.run(["bash", "-ec", program], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("run", "program", "model"),
    [
        (run_python, PYTHON, "shapes"),
        (run_curl, CURL, BEST),
        (run_python, ENDPOINT_PYTHON, BEST),
        (run_curl, ENDPOINT_CURL, BEST),
    ],
    ids=["python", "curl", "endpoint-python", "endpoint-curl"],
)
def test_the_documentation(
    platform: Any, engines: Mapping[str, Engine], run: Callable[[str], Any], program: str, model: str
) -> None:
    answer = run(adapted(program, platform, model))
    assert answer["images"][0]["results"] == items(engines, imgsz=640)
    assert answer["metadata"]["model"] == model
    refused = run(adapted(program, platform, model, "wrong"))
    assert "Authorization: Bearer is not a key" in refused["error"]


@pytest.mark.browser
def test_the_documentation_in_a_page_of_another_origin(
    platform: Any, images_server: str, engines: Mapping[str, Engine]
) -> None:
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page()
        page.goto(f"{images_server}/")  # a list of files
        page.set_content('<input type="file" id="fileInput">')
        page.set_input_files("#fileInput", IMAGE)
        for program, model in ((JAVASCRIPT, "shapes"), (ENDPOINT_JAVASCRIPT, BEST)):
            answer = page.evaluate(f"async () => {{{adapted(program, platform, model)}\nreturn result;}}")
            assert answer["images"][0]["results"] == items(engines, imgsz=640)
            assert answer["metadata"]["model"] == model
        refused = page.evaluate(
            f"async () => {{{adapted(JAVASCRIPT, platform, 'shapes', 'wrong')}\nreturn result;}}"
        )
        assert "Authorization: Bearer is not a key" in refused["error"]
