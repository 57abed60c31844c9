"""Predictions over HTTP: answers that equal the engine's, ways to send an image, and all refusals."""

from __future__ import annotations

import functools
import http.server
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import yolean
from map_models import map_model
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.serving.dialects.hub_items import HUB_TASKS
from yolean.serving.settings import ModelSource, Settings

IMAGES = {image.stem: image for image in demo_images()}
SHAPES = IMAGES["shapes"].read_bytes()
PREDICT = "/v1/predict/shapes"
JPEG = {"content-type": "image/jpeg"}


# ---- what is compared -------------------------------------------------------------------------------------


def v1_items(results: Any, conf: float = 0.25) -> list[dict[str, Any]]:
    """The items of HUB v1, written from HTTP_API.md and from what the engine found."""
    if results.probs is not None:
        pairs = zip(results.probs.top5, results.probs.top5conf, strict=True)
        return [item(results, i, score) for i, score in pairs if score >= conf]
    objects = results.boxes or results.obb
    found = [item(results, *pair) for pair in zip(objects.cls, objects.conf, strict=True)]
    for number, each in enumerate(found):
        if results.task == "detect":
            x, y, width, height = objects.xywhn[number]
            each |= {"width": width, "height": height, "xcenter": x, "ycenter": y}
        elif results.task == "obb":
            each["obb"] = objects.xyxyxyxyn[number].ravel()
        elif results.task == "segment":
            each["segment"] = results.masks.xyn[number].ravel()
        else:
            points = np.column_stack((results.keypoints.xyn[number], results.keypoints.conf[number]))
            each["keypoints"] = points.ravel()
    return found


def item(results: Any, class_id: Any, score: Any) -> dict[str, Any]:
    return {"class": int(class_id), "name": results.names[int(class_id)], "confidence": float(score)}


def assert_close(found: Any, wanted: Any, tolerance: float) -> None:
    """The same keys, lengths and texts, and numbers as near as that."""
    if isinstance(wanted, dict):
        assert set(found) == set(wanted)
        for key in wanted:
            assert_close(found[key], wanted[key], tolerance)
    elif isinstance(wanted, (list, np.ndarray)):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_close(one, other, tolerance)
    elif isinstance(wanted, (float, np.floating)):
        assert abs(found - wanted) <= tolerance
    else:
        assert type(found) is type(wanted)
        assert found == wanted


def encoded(image: Any, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def hollow_png(width: int, height: int) -> bytes:
    """A PNG that claims to be so large, and has next to no pixels."""
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def jpeg_turned(orientation: int) -> bytes:
    """The demo image, stored so that its EXIF orientation turns it upright."""
    upright = Image.open(IMAGES["shapes"])
    stored = {
        3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    file = BytesIO()
    upright.transpose(stored).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def chunks(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


# ---- predictions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", HUB_TASKS)
def test_hub_v1_equals_the_engine(server: Any, engines: Mapping[str, Engine], task: str) -> None:
    for stem, image in IMAGES.items():
        data = {"confidence": 0.4, "iou": 0.6}
        files = {"image": image.read_bytes()}
        reply = server.http.post(f"/v1/predict/{DEMO_MODELS[task]}", files=files, data=data)
        (results,) = engines[task](image, conf=0.4, iou=0.6)
        assert reply.status_code == 200
        assert reply.headers["content-type"] == "application/json"
        wanted = v1_items(results, 0.4)
        assert wanted or task not in ("detect", "segment") or stem != "shapes"
        answer = {"success": True, "message": "Inference complete.", "data": wanted}
        assert_close(reply.json(), answer, 1e-5)  # 5 decimals of scores, 6 of coordinates


@pytest.mark.parametrize("task", HUB_TASKS)
def test_hub_v2_equals_the_engine(server: Any, engines: Mapping[str, Engine], task: str) -> None:
    for image in IMAGES.values():
        data = {"conf": 0.4, "iou": 0.6, "imgsz": 256}
        files = {"file": image.read_bytes()}
        reply = server.http.post(f"/v1/predict/{DEMO_MODELS[task]}", files=files, data=data)
        (results,) = engines[task](image, conf=0.4, iou=0.6, imgsz=256)
        assert reply.status_code == 200
        answer = reply.json()
        (found,) = answer["images"]
        speed = found.pop("speed")
        assert set(speed) == {"preprocess", "inference", "postprocess"}
        assert all(0 < value < 60_000 for value in speed.values())
        wanted = [each for each in results.summary() if task != "classify" or each["confidence"] >= 0.4]
        assert_close(found, {"results": wanted, "shape": list(results.orig_shape)}, 1e-3)
        assert answer["metadata"] == {
            "model": DEMO_MODELS[task], "task": task, "imgsz": [256, 256], "conf": 0.4, "iou": 0.6,
            "provider": "CPUExecutionProvider", "version": yolean.__version__,
        }  # fmt: skip


V1 = {"size": "320", "confidence": "0.5", "iou": "0.3"}
V2 = {"imgsz": "320", "conf": "0.5", "iou": "0.3"}
WAYS: list[dict[str, Any]] = [
    # Every field has its place in the body, in the query, or partly in both.
    {"files": {"image": SHAPES}, "data": V1},
    {"files": {"image": SHAPES}, "params": V1},
    {"files": {"image": SHAPES}, "params": {"size": "320"}, "data": {"confidence": "0.5", "iou": "0.3"}},
    {"files": {"file": SHAPES}, "data": V2},
    # A raw image is in the dialect that its query tells; types are written in any case, and have parameters.
    {"data": SHAPES, "headers": JPEG, "params": V1},
    {"data": SHAPES, "headers": JPEG, "params": V2},
    {"data": SHAPES, "headers": {"content-type": "Image/JPEG; quality=95"}, "params": V2},
    # A file that says that it is something else, and has a strange name.
    {"files": {"file": ('a"b\\ü.txt', SHAPES, "text/plain")}, "data": V2},
    # A default is the same as what is written out.
    {"files": {"file": SHAPES}, "data": {"conf": "0.5", "iou": "0.3"}},
]


def test_ways_to_send_an_image(server: Any, engines: Mapping[str, Engine]) -> None:
    (results,) = engines["detect"](IMAGES["shapes"], conf=0.5, iou=0.3, imgsz=320)
    chunked = {"data": chunks(SHAPES, 1000), "headers": JPEG, "params": V2}
    for way in (*WAYS, chunked):
        reply = server.http.post(PREDICT, **way)
        assert reply.status_code == 200, reply.text
        if "data" in reply.json():
            assert_close(reply.json()["data"], v1_items(results), 1e-5)
        else:
            assert_close(reply.json()["images"][0]["results"], results.summary(), 1e-3)
            assert reply.json()["metadata"]["imgsz"] == [320, 320]


def test_formats(server: Any, engines: Mapping[str, Engine]) -> None:
    for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff", ".avif"):
        data = encoded(cv2.imread(str(IMAGES["shapes"])), suffix)
        reply = server.http.post(PREDICT, files={"file": data})
        assert reply.status_code == 200, reply.text
        assert_close(reply.json()["images"][0]["results"], engines["detect"](data)[0].summary(), 1e-3)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_image_is_turned_upright_before_anything_else(server: Any, orientation: int) -> None:
    def predict(data: bytes) -> Any:
        return server.http.post(PREDICT, files={"file": data}).json()["images"][0]

    stored, upright = jpeg_turned(orientation), predict(SHAPES)
    width, height = Image.open(BytesIO(stored)).size
    assert (width > height) == (orientation == 3)
    turned = predict(stored)
    assert turned["shape"] == upright["shape"] == [480, 640]
    found, wanted = ([(r["name"], r["box"]) for r in image["results"][:4]] for image in (turned, upright))
    assert [name for name, _ in sorted(found, key=str)] == [name for name, _ in sorted(wanted, key=str)]
    for _, box in wanted:  # compressed once more, so only nearly the same
        assert min(max(abs(box[side] - other[side]) for side in box) for _, other in found) < 4


def test_the_model_may_be_a_field(server: Any) -> None:
    by_path = server.http.post(PREDICT, files={"file": SHAPES}).json()
    for model in ("shapes", "https://predict.ultralytics.com/models/shapes", "/a/shapes/"):
        by_field = server.http.post("/", files={"file": SHAPES}, data={"model": model})
        assert by_field.status_code == 200, by_field.text
        assert by_field.json()["images"][0]["results"] == by_path["images"][0]["results"]
        both = server.http.post(PREDICT, files={"file": SHAPES}, data={"model": model})
        assert both.json()["metadata"]["model"] == "shapes"
    reply = server.http.post("/", params={"model": "shapes-cls"}, data=SHAPES, headers=JPEG)
    assert reply.json()["metadata"]["task"] == "classify"


@pytest.mark.parametrize(
    ("model", "asked", "runs_at"),
    [
        ("shapes", 33, 64),  # rounded up to the stride
        ("shapes", 640, 640),
        ("shapes", None, 320),  # the model's own
        ("shapes-cls", 100, 100),  # its stride is 1
        ("shapes-cls", None, 128),
    ],
)
def test_the_size_of_a_dynamic_export_is_rounded_up_to_the_stride(
    server: Any, model: str, asked: int | None, runs_at: int
) -> None:
    data = {} if asked is None else {"imgsz": asked}
    reply = server.http.post(f"/v1/predict/{model}", files={"file": IMAGES["star"].read_bytes()}, data=data)
    assert reply.status_code == 200, reply.text
    assert reply.json()["metadata"]["imgsz"] == [runs_at, runs_at]


def test_server_timing_names_the_stages(server: Any) -> None:
    reply = server.http.post(PREDICT, files={"image": SHAPES})
    stages = dict(entry.strip().split(";dur=") for entry in reply.headers["server-timing"].split(","))
    assert set(stages) == {"queue", "decode", "preprocess", "inference", "postprocess"}
    assert 0 < sum(map(float, stages.values())) <= reply.elapsed.total_seconds() * 1e3


def test_metrics_count_what_happened(server: Any) -> None:
    counted = ("shapes", "200"), ("shapes", "400"), ("unknown", "404")
    stages = ("queue", "decode", "preprocess", "inference", "postprocess")

    def count() -> list[float]:
        text = server.http.get("/metrics").text
        found = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        model = ("model", "shapes")
        return [
            *(found.get(("yolean_requests_total", ("model", m), ("status", s)), 0.0) for m, s in counted),
            found.get(("yolean_request_seconds_count", model), 0.0),
            found.get(("yolean_objects_total", model), 0.0),
            *(found.get(("yolean_stage_seconds_count", model, ("stage", s)), 0.0) for s in stages),
        ]

    before = count()
    files = {"image": SHAPES}
    objects = sum(len(server.http.post(PREDICT, files=files).json()["data"]) for _ in range(3))
    for _ in range(2):
        server.http.post(PREDICT, files=files, data={"iou": 2})
    server.http.post("/v1/predict/a-name-that-no-model-has", files=files)
    added = [after - earlier for after, earlier in zip(count(), before, strict=True)]
    assert added == [3, 2, 1, 3, objects, 3, 3, 3, 3, 3]
    assert server.metric("yolean_queue_depth") == server.metric("yolean_running") == 0
    # Or every scan of the internet would add a series.
    assert "a-name-that-no-model-has" not in server.http.get("/metrics").text


# ---- a server that fetches, with low limits and a static export -------------------------------------------


@pytest.fixture(scope="module")
def static_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model as a static export: ONNX Runtime writes it with its free axes fixed."""
    path = tmp_path_factory.mktemp("static") / "static.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(path)
    for axis, length in (("batch", 1), ("height", 320), ("width", 320)):
        options.add_free_dimension_override_by_name(axis, length)
    onnxruntime.InferenceSession(str(demo_model()), options, providers=["CPUExecutionProvider"])
    return path


@pytest.fixture(scope="module")
def images_server() -> Iterator[str]:
    """The address of a web server with the demo images."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(IMAGES["shapes"].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def limited(start_local: Callable[[Settings], Any], static_model: Path) -> Any:
    """A server that fetches from this machine, with low limits and a static export."""
    return start_local(
        Settings(
            url_fetch=True,
            trusted_fetch=(ip_network("127.0.0.0/8"),),
            max_body=256 * 1024,
            max_pixels=400_000,
            models=(ModelSource(static_model, "static"), ModelSource(demo_model())),
        )
    )


def test_an_image_is_fetched(limited: Any, images_server: str, engines: Mapping[str, Engine]) -> None:
    (results,) = engines["detect"](IMAGES["shapes"], conf=0.5)
    form = {"content-type": "application/x-www-form-urlencoded"}
    for path, where, field in (
        (PREDICT, "data", "url"),
        (PREDICT, "json", "url"),
        (PREDICT, "params", "url"),
        (PREDICT, "data", "source"),
        ("/?model=shapes", "json", "source"),
    ):
        fields = {field: f"{images_server}/shapes.jpg", ("confidence" if field == "url" else "conf"): 0.5}
        headers = form if where == "params" else None
        reply = limited.http.post(path, headers=headers, **{where: fields})
        assert reply.status_code == 200, reply.text
        if field == "url":
            assert_close(reply.json()["data"], v1_items(results), 1e-5)
        else:
            assert_close(reply.json()["images"][0]["results"], results.summary(), 1e-3)
        assert "fetch;dur=" in reply.headers["server-timing"]


def test_an_address_that_gives_no_image(limited: Any, images_server: str) -> None:
    for address in (
        "http://10.0.0.1/a.jpg",
        "http://[::1]:80/",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",  # trusted, but nobody listens
        f"{images_server}/nothing-here.jpg",
        "not an address",
    ):
        limited.check_refusal(limited.http.post(PREDICT, json={"source": address}), 422, "source: ")
    reply = limited.http.post(PREDICT, json={"url": f"{images_server}/README.md"})
    limited.check_refusal(reply, 415, "url")


def test_hub_has_no_answer_for_maps(start_local: Callable[[Settings], Any], tmp_path: Path) -> None:
    for name in ("class_map", "depth"):
        (tmp_path / f"{name}.onnx").write_bytes(map_model(name))
    server = start_local(Settings(models=(ModelSource(tmp_path),)))
    for name, task in (("class_map", "semantic"), ("depth", "depth")):
        for field in ("image", "file"):
            reply = server.http.post(f"/v1/predict/{name}", files={field: SHAPES})
            server.check_refusal(reply, 400, f"is for {task}, which HUB v{1 if field == 'image' else 2}")
            assert "expected a request to /api/models/MODEL_ID/predict" in reply.json()["message"]
    assert {model["task"] for model in server.http.get("/v1/models").json()["models"]} == {
        "semantic",
        "depth",
    }


def test_a_static_export_runs_at_its_own_size_only(limited: Any) -> None:
    for data in ({}, {"imgsz": 320}):
        reply = limited.http.post("/v1/predict/static", files={"file": SHAPES}, data=data)
        assert reply.status_code == 200, reply.text
        assert reply.json()["metadata"]["imgsz"] == [320, 320]
        assert len(reply.json()["images"][0]["results"]) > 3
    for file, field, asked in (("image", "size", 640), ("file", "imgsz", 321), ("file", "imgsz", 32)):
        reply = limited.http.post("/v1/predict/static", files={file: SHAPES}, data={field: asked})
        limited.check_refusal(reply, 400, f"{field}=", str(asked), "320")


def test_an_image_with_too_many_pixels(limited: Any) -> None:
    image = np.full((640, 640, 3), 128, np.uint8)
    for suffix in (".png", ".jpg", ".webp", ".avif"):
        reply = limited.http.post(PREDICT, files={"image": encoded(image, suffix)})
        limited.check_refusal(reply, 400, "image", "640x640", "400000")
    small = encoded(image[:200, :200], ".bmp")
    assert limited.http.post(PREDICT, files={"image": small}).status_code == 200


def test_a_body_that_is_too_large(limited: Any) -> None:
    for kilobytes in (257, 1000):
        body = SHAPES.ljust(kilobytes * 1024, b"\0")
        for data in (body, chunks(body)):
            limited.check_refusal(limited.http.post(PREDICT, data=data, headers=JPEG), 413, "262,144")


# ---- refusals: a row or two of a kind, the tables are those of the parsers --------------------------------


def multipart(*parts: bytes, end: bytes = b"--b--\r\n") -> dict[str, Any]:
    """A body with these parts as they are, headers and all."""
    body = b"".join(b"--b\r\nContent-Disposition: " + part + b"\r\n" for part in parts) + end
    return {"data": body, "headers": {"content-type": "multipart/form-data; boundary=b"}}


def as_json(text: str | bytes) -> dict[str, Any]:
    return {"data": text, "headers": {"content-type": "application/json"}}


def raw(data: bytes, kind: str = "image/jpeg", **query: str) -> dict[str, Any]:
    return {"data": data, "headers": {"content-type": kind}, "params": query}


IMAGE, FILE = {"image": SHAPES}, {"file": SHAPES}
REFUSED: list[tuple[int, str, str, dict[str, Any], list[str]]] = [
    # status, method, path, request, words of the message
    # fields
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"size": "31"}}, ["size='31'", "32", "1280"]),
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"confidence": "nan"}}, ["confidence='nan'", "0.01"]),
    (400, "POST", PREDICT, {"files": FILE, "data": {"imgsz": "640,640"}}, ["imgsz='640,640'", "1280"]),
    (400, "POST", PREDICT, {"files": FILE, "data": {"iou": "0.951"}}, ["iou='0.951'", "0.95"]),
    (400, "POST", PREDICT, as_json('{"size": true, "url": "http://a.b/"}'), ["size=True", "32", "1280"]),
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"agnostic_nms": "1"}}, ["'agnostic_nms'", "confidence"]),
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"conf": "0.5"}}, ["'image'", "'conf'"]),
    (400, "POST", PREDICT + "?imgsz=320", {"files": IMAGE}, ["'image'", "'imgsz'"]),
    (400, "POST", PREDICT, {"files": IMAGE, "data": [("iou", "0.1"), ("iou", "0.2")]}, ["iou", "twice"]),
    (400, "POST", PREDICT + "?iou=0.1", {"files": IMAGE, "data": {"iou": "0.2"}}, ["iou", "twice"]),
    (400, "POST", PREDICT, {"data": {"image": "shapes.jpg"}}, ["image", "'shapes.jpg'", "'url'"]),
    (400, "POST", PREDICT, {"data": {"confidence": "0.5"}}, ["'image'", "'url'", "neither"]),
    (400, "POST", PREDICT, {"data": {"conf": "0.5"}}, ["'file'", "'source'", "neither"]),
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"url": "http://a.example/"}}, ["image", "url"]),
    (400, "POST", PREDICT, raw(SHAPES, url="http://a.example/"), ["url", "the body"]),
    # bodies
    (400, "POST", PREDICT, as_json("{"), ["JSON"]),
    (400, "POST", PREDICT, raw(b"iou=%ff", "application/x-www-form-urlencoded"), ["form", "UTF-8"]),
    (400, "POST", PREDICT + "?iou=%ff", {"files": IMAGE}, ["query", "UTF-8"]),
    (400, "POST", PREDICT, raw(SHAPES, "multipart/form-data; boundary=b"), ["form"]),
    (400, "POST", PREDICT, multipart(b'form-data; name="iou"\r\n\r\n0.5', end=b""), ["cut off"]),
    (400, "POST", PREDICT, {"files": [(f"f{i}", b"") for i in range(100)]}, ["16"]),
    (415, "POST", PREDICT, raw(SHAPES, "text/plain"), ["multipart/form-data", "'text/plain'"]),
    (415, "POST", PREDICT, raw(SHAPES, ""), ["multipart/form-data", "none"]),
    # images
    (400, "POST", PREDICT, {"files": {"image": b""}}, ["image", "0 bytes"]),
    (400, "POST", PREDICT, raw(b""), ["the body", "0 bytes"]),
    (400, "POST", PREDICT, {"files": {"image": SHAPES[:20_000]}}, ["image", "cut off", "20000"]),
    (400, "POST", PREDICT, {"files": {"image": hollow_png(50_000, 50_000)}},
     ["image", "50000x50000", "50000000"]),
    (415, "POST", PREDICT, {"files": {"image": b"%PDF-1.7 and so on"}}, ["image"]),
    (415, "POST", PREDICT, raw(b"<svg/>", "image/svg+xml"), ["JPEG"]),
    # addresses, to a server that fetches none
    (422, "POST", PREDICT, {"data": {"url": "https://a.example/bus.jpg"}}, ["url", "--url-fetch"]),
    (422, "POST", PREDICT, as_json('{"source": "https://a.example/bus.jpg"}'), ["source", "--url-fetch"]),
    # models
    (404, "POST", "/v1/predict/yolov8n", {"files": IMAGE}, ["'yolov8n'", "shapes, shapes-cls"]),
    (404, "POST", "/v1/predict/%2e%2e%2fshapes", {"files": IMAGE}, []),
    (404, "POST", "/v1/predict/%ff%00", {"files": IMAGE}, ["no model"]),
    (404, "POST", "/", {"files": FILE, "data": {"model": "yolov8n"}}, ["'yolov8n'", "shapes, shapes-cls"]),
    (404, "POST", "/", {"files": FILE, "data": {"model": "https://hub/models/"}}, ["no model"]),
    (404, "POST", "/", {"files": FILE, "data": {"model": "http://[::1/shapes2"}}, ["no model"]),
    (400, "POST", "/", {"files": FILE}, ["model", "shapes, shapes-cls"]),
    (400, "POST", "/", {"files": IMAGE, "data": {"size": "320"}}, ["/v1/predict/MODEL_ID"]),
    (400, "POST", "/", {"files": FILE, "data": {"model": ""}}, ["model", "500"]),
    (400, "POST", PREDICT, {"files": FILE, "data": {"model": "shapes-cls"}}, ["'shapes-cls'", "'shapes'"]),
]  # fmt: skip


@pytest.mark.parametrize("status", [400, 404, 415, 422])
def test_what_is_wrong_is_answered_in_one_line(server: Any, status: int) -> None:
    for code, method, path, request, words in REFUSED:
        if code == status:
            server.check_refusal(server.http.request(method, path, **request), status, *words)
