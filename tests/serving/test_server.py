"""The HTTP contract, over real connections: routes, both forms of the API, errors, keys, and manners."""

from __future__ import annotations

import functools
import http.server
import json
import re
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import requests
import yolean
from click.testing import CliRunner
from PIL import Image
from yolean.cli.main import cli
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model

IMAGES = {image.stem: image for image in demo_images()}
SHAPES = IMAGES["shapes"].read_bytes()
PREDICT = "/v1/predict/shapes"
KEY = "a-key-of-the-tests"
ORIGIN = "https://page.example"

Reply = requests.Response


# ---- what is compared -------------------------------------------------------------------------------------


def first_items(results: Any, conf: float = 0.25) -> list[dict[str, Any]]:
    """The items of the first form, written from HTTP_API.md and from what the engine found."""
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


# ---- predictions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", IMAGES)
@pytest.mark.parametrize("task", DEMO_MODELS)
def test_first_form_equals_the_engine(server, engines: Mapping[str, Engine], task: str, stem: str) -> None:
    with IMAGES[stem].open("rb") as file:
        data = {"confidence": 0.4, "iou": 0.6}
        reply = server.http.post(f"/v1/predict/{DEMO_MODELS[task]}", files={"image": file}, data=data)
    (results,) = engines[task](IMAGES[stem], conf=0.4, iou=0.6)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()
    assert (answer.pop("success"), answer.pop("message")) == (True, "Inference complete.")
    wanted = first_items(results, 0.4)
    assert wanted or task not in ("detect", "segment") or stem != "shapes"
    assert_close(answer, {"data": wanted}, 1e-5)  # 5 decimals of scores, 6 of coordinates


@pytest.mark.parametrize("stem", IMAGES)
@pytest.mark.parametrize("task", DEMO_MODELS)
def test_second_form_equals_the_engine(server, engines: Mapping[str, Engine], task: str, stem: str) -> None:
    with IMAGES[stem].open("rb") as file:
        data = {"conf": 0.4, "iou": 0.6, "imgsz": 256}
        reply = server.http.post(f"/v1/predict/{DEMO_MODELS[task]}", files={"file": file}, data=data)
    (results,) = engines[task](IMAGES[stem], conf=0.4, iou=0.6, imgsz=256)
    assert reply.status_code == 200
    answer = reply.json()
    (image,) = answer["images"]
    speed = image.pop("speed")
    assert set(speed) == {"preprocess", "inference", "postprocess"}
    assert all(0 < value < 60_000 for value in speed.values())
    wanted = results.summary()
    if task == "classify":
        wanted = [each for each in wanted if each["confidence"] >= 0.4]
    assert_close(image, {"results": wanted, "shape": list(results.orig_shape)}, 1e-3)
    assert answer["metadata"] == {
        "model": DEMO_MODELS[task], "task": task, "imgsz": [256, 256], "conf": 0.4, "iou": 0.6,
        "provider": "CPUExecutionProvider", "version": yolean.__version__,
    }  # fmt: skip
    assert set(answer) == {"images", "metadata"}


def test_a_classification_gives_at_most_five_classes_and_none_below_the_confidence(server) -> None:
    star = {"image": IMAGES["star"].read_bytes()}
    for confidence in (0.01, 1.0):
        reply = server.http.post("/v1/predict/shapes-cls", files=star, data={"confidence": confidence})
        scores = [each["confidence"] for each in reply.json()["data"]]
        assert len(scores) <= 5
        assert scores == sorted(scores, reverse=True)
        assert all(score >= confidence for score in scores)


@pytest.mark.parametrize(
    ("request_", "second"),
    [
        # Every field has its place in the body, in the query, or partly in both.
        ({"files": {"image": SHAPES}, "data": {"size": "320", "confidence": "0.5", "iou": "0.3"}}, False),
        ({"files": {"image": SHAPES}, "params": {"size": "320", "confidence": "0.5", "iou": "0.3"}}, False),
        ({"files": {"image": SHAPES}, "params": {"size": "320"},
          "data": {"confidence": "0.5", "iou": "0.3"}}, False),
        # A raw image is of the form that its query tells.
        ({"data": SHAPES, "headers": {"content-type": "image/jpeg"},
          "params": {"size": "320", "confidence": "0.5", "iou": "0.3"}}, False),
        ({"data": SHAPES, "headers": {"content-type": "image/jpeg"},
          "params": {"imgsz": "320", "conf": "0.5", "iou": "0.3"}}, True),
        # Types are written in any case, and have parameters.
        ({"data": SHAPES, "headers": {"content-type": "Image/JPEG; quality=95"},
          "params": {"imgsz": "320", "conf": "0.5", "iou": "0.3"}}, True),
        ({"files": {"file": SHAPES}, "data": {"imgsz": "320", "conf": "0.5", "iou": "0.3"}}, True),
        # A file that says that it is something else, and has a strange name.
        ({"files": {"file": ('a"b\\ü.txt', SHAPES, "text/plain")},
          "data": {"imgsz": "320", "conf": "0.5", "iou": "0.3"}}, True),
        # A default is the same as what is written out.
        ({"files": {"file": SHAPES}, "data": {"conf": "0.5", "iou": "0.3"}}, True),
    ],
)  # fmt: skip
def test_ways_to_send_a_image(
    server, engines: Mapping[str, Engine], request_: dict[str, Any], second: bool
) -> None:
    reply = server.http.post(PREDICT, **request_)
    (results,) = engines["detect"](IMAGES["shapes"], conf=0.5, iou=0.3, imgsz=320)
    assert reply.status_code == 200, reply.text
    if second:
        assert_close(reply.json()["images"][0]["results"], results.summary(), 1e-3)
        assert reply.json()["metadata"]["imgsz"] == [320, 320]
    else:
        assert_close(reply.json()["data"], first_items(results), 1e-5)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".avif"])
def test_formats(server, engines: Mapping[str, Engine], suffix: str) -> None:
    data = encoded(cv2.imread(str(IMAGES["shapes"])), suffix)
    reply = server.http.post(PREDICT, files={"file": data})
    assert reply.status_code == 200, reply.text
    assert_close(reply.json()["images"][0]["results"], engines["detect"](data)[0].summary(), 1e-3)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_image_is_turned_upright_before_anything_else(server, orientation: int) -> None:
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


@pytest.mark.parametrize("model", ["shapes", "https://predict.ultralytics.com/models/shapes", "/a/shapes/"])
def test_the_model_may_be_a_field(server, model: str) -> None:
    by_path = server.http.post(PREDICT, files={"file": SHAPES}).json()
    by_field = server.http.post("/", files={"file": SHAPES}, data={"model": model})
    assert by_field.status_code == 200, by_field.text
    assert by_field.json()["images"][0]["results"] == by_path["images"][0]["results"]
    both = server.http.post(PREDICT, files={"file": SHAPES}, data={"model": model})
    assert both.json()["metadata"]["model"] == "shapes"


def test_a_raw_image_with_the_model_in_the_query(server) -> None:
    headers = {"content-type": "image/jpeg"}
    reply = server.http.post("/", params={"model": "shapes-cls"}, data=SHAPES, headers=headers)
    assert reply.json()["metadata"]["task"] == "classify"


# ---- sizes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "asked", "runs_at"),
    [
        ("shapes", 32, 32),
        ("shapes", 33, 64),  # rounded up to the stride
        ("shapes", 321, 352),
        ("shapes", 640, 640),
        ("shapes", 1280, 1280),
        ("shapes", None, 320),  # the model's own
        ("shapes-cls", 100, 100),  # its stride is 1
        ("shapes-cls", None, 128),
    ],
)
def test_the_size_of_a_dynamic_export_is_rounded_up_to_the_stride(
    server, model: str, asked: int | None, runs_at: int
) -> None:
    data = {} if asked is None else {"imgsz": asked}
    reply = server.http.post(f"/v1/predict/{model}", files={"file": IMAGES["star"].read_bytes()}, data=data)
    assert reply.status_code == 200, reply.text
    assert reply.json()["metadata"]["imgsz"] == [runs_at, runs_at]


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


# ---- a server with everything switched on -----------------------------------------------------------------


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
def configured(
    start_module_server: Callable[..., Any], static_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A server with keys, fetching, CORS, low limits, a static export, and its log as JSON."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(f"# who has them\n{KEY}\n\n  another-key  \n")
    options = [
        "--api-keys", keys, "--url-fetch", "--trusted-fetch", "127.0.0.0/8", "--cors", ORIGIN,
        "--max-body", "256K", "--max-pixels", "400K", "--log-format", "json",
        "--models", f"static={static_model}", "--models", demo_model(),
    ]  # fmt: skip
    server = start_module_server(*options)
    server.http.headers["x-api-key"] = KEY
    return server


@pytest.mark.parametrize(
    ("path", "form", "field"),
    [
        (PREDICT, "data", "url"),
        (PREDICT, "json", "url"),
        (PREDICT, "params", "url"),
        (PREDICT, "data", "source"),
        (PREDICT, "json", "source"),
        ("/?model=shapes", "json", "source"),
    ],
)
def test_a_image_is_fetched(
    configured, images_server: str, engines: Mapping[str, Engine], path: str, form: str, field: str
) -> None:
    threshold = {"confidence": 0.5} if field == "url" else {"conf": 0.5}
    request = {form: {field: f"{images_server}/shapes.jpg", **threshold}}
    headers = {"content-type": "application/x-www-form-urlencoded"} if form == "params" else None
    reply = configured.http.post(path, **request, headers=headers)
    assert reply.status_code == 200, reply.text
    (results,) = engines["detect"](IMAGES["shapes"], conf=0.5)
    if field == "url":
        assert_close(reply.json()["data"], first_items(results), 1e-5)
    else:
        assert_close(reply.json()["images"][0]["results"], results.summary(), 1e-3)
    assert "fetch;dur=" in reply.headers["server-timing"]


@pytest.mark.parametrize("size", [None, 320])
def test_a_static_export_runs_at_its_own_size(configured, size: int | None) -> None:
    data = {} if size is None else {"imgsz": size}
    reply = configured.http.post("/v1/predict/static", files={"file": SHAPES}, data=data)
    assert reply.status_code == 200, reply.text
    assert reply.json()["metadata"]["imgsz"] == [320, 320]
    assert len(reply.json()["images"][0]["results"]) > 3
    facts = configured.http.get("/v1/models/static").json()
    assert (facts["dynamic"], facts["imgsz"]) == (False, [320, 320])


@pytest.mark.parametrize(("file", "size"), [("image", "size"), ("file", "imgsz")])
@pytest.mark.parametrize("asked", [640, 321, 32])
def test_a_static_export_refuses_other_sizes_and_says_its_own(
    configured, file: str, size: str, asked: int
) -> None:
    reply = configured.http.post("/v1/predict/static", files={file: SHAPES}, data={size: asked})
    assert reply.status_code == 400
    message = reply.json()["message"]
    assert all(word in message for word in (f"{size}=", str(asked), "320")), message


# ---- errors -----------------------------------------------------------------------------------------------


def multipart(*parts: bytes, end: bytes = b"--b--\r\n") -> dict[str, Any]:
    """A body with these parts as they are, headers and all."""
    body = b"".join(b"--b\r\nContent-Disposition: " + part + b"\r\n" for part in parts) + end
    return {"data": body, "headers": {"content-type": "multipart/form-data; boundary=b"}}


def as_json(text: str | bytes) -> dict[str, Any]:
    return {"data": text, "headers": {"content-type": "application/json"}}


def raw(data: bytes, kind: str = "image/jpeg", **query: str) -> dict[str, Any]:
    return {"data": data, "headers": {"content-type": kind}, "params": query}


IMAGE = {"image": SHAPES}
FILE = {"file": SHAPES}
REFUSED: list[tuple[int, str, str, dict[str, Any], list[str]]] = [
    # status, method, path, request, words of the message
    *[
        (400, "POST", PREDICT, {"files": files, "data": {name: value}}, [f"{name}={value!r}", low, high])
        for files, rows in (
            (IMAGE, (("size", "32", "1280", ("31", "1281", "0", "-320", "320.5", "", "many", "nan", "٣٢٠",
                                             "9" * 20)),
                     ("confidence", "0.01", "1.0", ("0.009", "1.01", "-1", "nan", "inf", "", "0,5", "x")))),
            (FILE, (("imgsz", "32", "1280", ("31", "1281", "640,640", "[640]")),
                    ("conf", "0.01", "1.0", ("0", "2", "NaN")),
                    ("iou", "0.0", "0.95", ("0.951", "-0.1", "nan", "-inf", "true", "null")))),
        )
        for name, low, high, values in rows
        for value in values
    ],
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"size": "null"}}, ["size='null'", "32", "1280"]),
    (400, "POST", PREDICT, as_json('{"size": true, "url": "http://a.b/"}'), ["size=True", "32", "1280"]),
    (400, "POST", PREDICT, as_json('{"iou": "high", "url": "http://a.b/"}'), ["iou='high'", "0.95"]),
    # fields
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"agnostic_nms": "1"}}, ["'agnostic_nms'", "confidence"]),
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"conf": "0.5"}}, ["'image'", "'conf'"]),
    (400, "POST", PREDICT, {"files": FILE, "data": {"size": "320", "confidence": "0.5"}},
     ["'file'", "'size'", "'confidence'"]),
    (400, "POST", PREDICT + "?imgsz=320", {"files": IMAGE}, ["'image'", "'imgsz'"]),
    (400, "POST", PREDICT, {"files": IMAGE, "data": [("iou", "0.1"), ("iou", "0.2")]}, ["iou", "twice"]),
    (400, "POST", PREDICT + "?iou=0.1", {"files": IMAGE, "data": {"iou": "0.2"}}, ["iou", "twice"]),
    (400, "POST", PREDICT, {"files": [("image", SHAPES), ("image", SHAPES)]}, ["image", "twice"]),
    (400, "POST", PREDICT, {"files": {"image": SHAPES, "size": ("size.txt", b"320")}}, ["size", "file"]),
    (400, "POST", PREDICT, {"data": {"image": "shapes.jpg"}}, ["image", "'shapes.jpg'", "'url'"]),
    (400, "POST", PREDICT, as_json('{"file": "shapes.jpg"}'), ["file", "'shapes.jpg'", "'source'"]),
    (400, "POST", PREDICT, {"data": {"confidence": "0.5"}}, ["'image'", "'url'", "neither"]),
    (400, "POST", PREDICT, {"data": {"conf": "0.5"}}, ["'file'", "'source'", "neither"]),
    (400, "POST", PREDICT, {"files": IMAGE, "data": {"url": "http://a.example/"}}, ["image", "url"]),
    (400, "POST", PREDICT, raw(SHAPES, url="http://a.example/"), ["url", "the body"]),
    (400, "POST", PREDICT, {"data": {"url": "http://a.example/" + "x" * 2000}}, ["url", "2000"]),
    (400, "POST", PREDICT, {"data": {"url": ""}}, ["url", "2000"]),
    # bodies
    (400, "POST", PREDICT, as_json("{"), ["JSON"]),
    (400, "POST", PREDICT, as_json("[]"), ["JSON", "object"]),
    (400, "POST", PREDICT, as_json(b'{"url": "\xff"}'), ["JSON"]),
    (400, "POST", PREDICT, as_json('{"url": "\\ud800"}'), ["JSON"]),
    (400, "POST", PREDICT, as_json('{"url": {"href": "x"}}'), ["JSON", "plain"]),
    (400, "POST", PREDICT, as_json("[" * 10_000), ["JSON"]),
    (400, "POST", PREDICT, as_json(" " * 20_000), ["JSON", "20000"]),
    (400, "POST", PREDICT, raw(b"iou=%ff", "application/x-www-form-urlencoded"), ["form", "UTF-8"]),
    (400, "POST", PREDICT + "?iou=%ff", {"files": IMAGE}, ["query", "UTF-8"]),
    (400, "POST", PREDICT, raw(SHAPES, "multipart/form-data"), ["boundary"]),
    (400, "POST", PREDICT, raw(SHAPES, "multipart/form-data; boundary="), ["form"]),
    (400, "POST", PREDICT, raw(SHAPES, "multipart/form-data; boundary=b"), ["form"]),
    (400, "POST", PREDICT, multipart(b'form-data; name="iou"\r\n\r\n0.5', end=b""), ["cut off"]),
    (400, "POST", PREDICT, multipart(b'form-data; name="iou"\r\n\r\n0.5', end=b"--b"), ["cut off"]),
    (400, "POST", PREDICT, multipart(b"form-data\r\n\r\n0.5"), ["Content-Disposition"]),
    (400, "POST", PREDICT, multipart(b'attachment; name="iou"\r\n\r\n0.5'), ["Content-Disposition"]),
    (400, "POST", PREDICT, multipart(b'form-data; name="iou"\r\n\r\n\xff'), ["iou", "UTF-8"]),
    (400, "POST", PREDICT, multipart(b'form-data; name="\xff"\r\n\r\n1'), ["name", "UTF-8"]),
    (400, "POST", PREDICT, multipart(*[b'form-data; name="iou"\r\n\r\n0.5'] * 1), ["image", "neither"]),
    (400, "POST", PREDICT, multipart(b'form-data; name="image"\r\n\r\n' + b"x" * 20_000), ["filename"]),
    (400, "POST", PREDICT, {"files": [(f"f{i}", b"") for i in range(100)]}, ["16"]),
    # images
    (400, "POST", PREDICT, {"files": {"image": b""}}, ["image", "0 bytes"]),
    (400, "POST", PREDICT, raw(b""), ["the body", "0 bytes"]),
    (400, "POST", PREDICT, {"files": {"image": SHAPES[:20_000]}}, ["image", "cut off", "20000"]),
    (400, "POST", PREDICT, {"files": {"file": SHAPES[:20_000]}}, ["file", "cut off"]),
    (400, "POST", PREDICT, {"files": {"image": hollow_png(50_000, 50_000)}},
     ["image", "50000x50000", "50000000"]),
    (415, "POST", PREDICT, {"files": {"image": b"%PDF-1.7 and so on"}}, ["image"]),
    (415, "POST", PREDICT, {"files": {"file": b"<html>no image</html>"}}, ["file"]),
    (415, "POST", PREDICT, raw(b"<svg/>", "image/svg+xml"), ["JPEG"]),
    (415, "POST", PREDICT, raw(SHAPES, "text/plain"), ["multipart/form-data", "'text/plain'"]),
    (415, "POST", PREDICT, raw(SHAPES, ""), ["multipart/form-data", "none"]),
    (415, "POST", PREDICT, raw(SHAPES, "*/*"), ["multipart/form-data", "'*/*'"]),
    # addresses, to a server that fetches none
    (422, "POST", PREDICT, {"data": {"url": "https://a.example/bus.jpg"}}, ["url", "--url-fetch"]),
    (422, "POST", PREDICT, as_json('{"source": "https://a.example/bus.jpg"}'), ["source", "--url-fetch"]),
    # models
    (404, "POST", "/v1/predict/yolov8n", {"files": IMAGE}, ["'yolov8n'", "shapes, shapes-cls"]),
    (404, "POST", "/v1/predict/%2e%2e%2fshapes", {"files": IMAGE}, []),
    (404, "POST", "/v1/predict/%ff%00", {"files": IMAGE}, ["no model"]),
    (404, "POST", "/", {"files": FILE, "data": {"model": "yolov8n"}}, ["'yolov8n'", "shapes, shapes-cls"]),
    (404, "POST", "/", {"files": FILE, "data": {"model": "https://hub/models/"}}, ["no model"]),
    (404, "GET", "/v1/models/yolov8n", {}, ["'yolov8n'", "shapes, shapes-cls"]),
    (400, "POST", "/", {"files": FILE}, ["model", "shapes, shapes-cls"]),
    (400, "POST", "/", {"files": IMAGE, "data": {"size": "320"}}, ["/v1/predict/MODEL_ID"]),
    (400, "POST", "/", {"files": FILE, "data": {"model": ""}}, ["model", "500"]),
    (400, "POST", "/", {"files": FILE, "data": {"model": "x" * 501}}, ["model", "500"]),
    (404, "POST", "/", {"files": FILE, "data": {"model": "http://[::1/shapes2"}}, ["no model"]),
    (400, "POST", PREDICT, {"files": FILE, "data": {"model": "shapes-cls"}}, ["'shapes-cls'", "'shapes'"]),
    # paths and methods
    (404, "GET", "/v1/predict", {}, ["/v1/predict/MODEL_ID"]),
    (404, "GET", "/admin", {}, ["no such path"]),
    (404, "POST", "/v1/predict/a/b", {"files": IMAGE}, ["no such path"]),
    (404, "GET", "//other.example/", {}, ["no such path"]),
    (405, "GET", PREDICT, {}, ["POST"]),
    (405, "PUT", PREDICT, {"data": SHAPES}, ["POST"]),
    (405, "DELETE", "/v1/models/shapes", {}, ["GET"]),
    (405, "POST", "/livez", {}, ["GET"]),
    (405, "PUT", "/", {}, ["GET", "POST"]),
    (405, "TRACE", "/livez", {}, ["GET"]),
    # keys
    (401, "POST", "/v1/models/reload", {}, ["keys"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "method", "path", "request_", "words"),
    REFUSED,
    ids=[
        f"{status}-{method}-{path[:30]}-{number}" for number, (status, method, path, *_) in enumerate(REFUSED)
    ],
)
def test_what_is_wrong_is_said(
    server, status: int, method: str, path: str, request_: dict[str, Any], words: list[str]
) -> None:
    assert_refused(server.http.request(method, path, **request_), status, *words)


def assert_refused(reply: Reply, status: int, *words: str) -> None:
    """One line of JSON that has these words in it."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    answer = reply.json()
    assert set(answer) == {"success", "message"}
    assert answer["success"] is False
    message = answer["message"]
    assert [word for word in words if word not in message] == [], message
    assert message.isprintable()
    assert len(message) < 400
    if status == 405:
        allowed = set(re.split(r",\s*", reply.headers["allow"]))
        assert allowed <= {"GET", "HEAD", "POST"}
        assert set(words) <= allowed


def test_a_refusal_names_the_field_that_the_client_used(server) -> None:
    for file, field in (("image", "size"), ("file", "imgsz")):
        reply = server.http.post(PREDICT, files={file: SHAPES}, data={field: "99999"})
        assert reply.json()["message"].startswith(f"{field}='99999'")


@pytest.mark.parametrize(
    "address",
    [
        "http://10.0.0.1/a.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:80/",
        "ftp://127.0.0.1/a.jpg",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",  # trusted, but nobody listens
        "IMAGES/nothing-here.jpg",
        "not an address",
    ],
)
def test_an_address_that_gives_nothing(configured, images_server: str, address: str) -> None:
    address = address.replace("IMAGES", images_server)
    assert_refused(configured.http.post(PREDICT, json={"source": address}), 422, "source: ")


def test_what_is_fetched_must_be_a_image(configured, images_server: str) -> None:
    reply = configured.http.post(PREDICT, json={"url": f"{images_server}/README.md"})
    assert_refused(reply, 415, "url")


def test_a_image_with_too_many_pixels(configured) -> None:
    image = np.full((640, 640, 3), 128, np.uint8)
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".tiff", ".avif"):
        data = encoded(image[:200] if suffix in (".bmp", ".tiff") else image, suffix)
        if len(data) > 256 * 1024:
            continue
        status = 200 if suffix in (".bmp", ".tiff") else 400
        reply = configured.http.post(PREDICT, files={"image": data})
        assert reply.status_code == status, (suffix, reply.text)
        if status == 400:
            assert_refused(reply, 400, "image", "640x640", "400000")


# ---- sizes of bodies --------------------------------------------------------------------------------------


def chunks(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("kilobytes", [257, 1000])
def test_a_body_that_is_too_large(configured, chunked: bool, kilobytes: int) -> None:
    body = SHAPES.ljust(kilobytes * 1024, b"\0")
    data = chunks(body) if chunked else body
    reply = configured.http.post(PREDICT, data=data, headers={"content-type": "image/jpeg"})
    assert_refused(reply, 413, "262,144")


def test_a_chunked_upload(server, engines: Mapping[str, Engine]) -> None:
    headers = {"content-type": "image/jpeg"}
    reply = server.http.post(PREDICT, params={"conf": 0.4}, data=chunks(SHAPES, 1000), headers=headers)
    assert_close(
        reply.json()["images"][0]["results"],
        engines["detect"](IMAGES["shapes"], conf=0.4)[0].summary(),
        1e-3,
    )


def test_a_refusal_that_needs_no_body_does_not_break_an_upload(configured) -> None:
    with configured.client() as http:
        for _ in range(3):  # on one connection
            reply = http.post(
                "/v1/predict/shapes", data=b"\0" * 200_000, headers={"content-type": "image/png"}
            )
            assert_refused(reply, 401, "x-api-key")


# ---- manners of HTTP --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/demo.jpg", "/livez", "/readyz", "/health", "/v1/models",
                                  "/v1/models/shapes", "/openapi.json"])  # fmt: skip
def test_head_is_get_without_its_body(server, path: str) -> None:
    get, head = server.http.get(path), server.http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/health":  # its uptime has grown
        assert head.headers["content-length"] == str(len(get.content))


def test_head_of_what_is_only_posted(server) -> None:
    reply = server.http.head(PREDICT)
    assert (reply.status_code, reply.content, reply.headers["allow"]) == (405, b"", "POST")


def test_options_without_cors(server) -> None:
    for path in ("/", PREDICT):
        reply = server.http.options(path, headers={"origin": ORIGIN, "access-control-request-method": "POST"})
        assert "POST" in reply.headers["allow"]
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    reply = server.http.get("/livez", headers={"origin": ORIGIN})
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def test_cors_lets_one_origin_in(configured) -> None:
    asked = {
        "origin": ORIGIN, "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key, content-type, x-request-id",
    }  # fmt: skip
    with configured.client() as http:  # a browser asks without the key
        reply = http.options(PREDICT, headers=asked)
        assert reply.status_code == 200
        assert reply.headers["access-control-allow-origin"] == ORIGIN
        assert "POST" in reply.headers["access-control-allow-methods"]
        allowed = reply.headers["access-control-allow-headers"].lower()
        assert all(name in allowed for name in ("x-api-key", "content-type", "x-request-id"))
        other = http.options(PREDICT, headers={**asked, "origin": "https://other.example"})
        assert other.status_code == 400
        assert "access-control-allow-origin" not in other.headers
    for status, files in ((200, IMAGE), (400, {}), (415, {"image": b"no image"})):
        # errors too: a page could not read them otherwise
        reply = configured.http.post(PREDICT, files=files, data={"iou": 0.5}, headers={"origin": ORIGIN})
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (status, ORIGIN)
        assert "server-timing" in reply.headers["access-control-expose-headers"].lower()
        assert "retry-after" in reply.headers["access-control-expose-headers"].lower()
    reply = configured.http.get("/livez", headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123", True),
        ("Root=1-67891233-abcdef012345678912345678", True),  # as a load balancer of Amazon makes it
        ("x" * 128, True),
        ("x" * 129, False),
        ("two words", False),
        ('"quoted"', False),
        ("a;b", False),
        ("", False),
    ],
)
def test_request_ids(server, given: str, kept: bool) -> None:
    replies = [
        server.http.get(path, headers={"x-request-id": given})
        for path in ("/livez", "/nothing", "/v1/predict/a")
    ]
    for reply in replies:
        found = reply.headers["x-request-id"]
        assert (found == given) == kept
        assert re.fullmatch(r"[\w.:=+/-]{1,128}", found)
    if kept:
        server.wait_for_line(f"id=\\S*{re.escape(given[:20])}.* path=/nothing status=404")
    else:
        assert len({reply.headers["x-request-id"] for reply in replies}) == 3


def test_server_timing_names_the_stages(server) -> None:
    reply = server.http.post(PREDICT, files=IMAGE)
    entries = [
        re.fullmatch(r"([!#$%&'*+.^_`|~\w-]+);dur=(\d+(?:\.\d+)?)", entry.strip())
        for entry in reply.headers["server-timing"].split(",")
    ]
    assert all(entries)
    stages = {entry[1]: float(entry[2]) for entry in entries if entry}
    assert set(stages) == {"queue", "decode", "preprocess", "inference", "postprocess"}
    assert 0 < sum(stages.values()) <= reply.elapsed.total_seconds() * 1e3


def read_reply(file: Any) -> tuple[int, dict[str, str], bytes]:
    """One answer from a connection: status, headers in lower case, body."""
    status = int(file.readline().split()[1])
    headers = {}
    while line := file.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, file.read(int(headers.get("content-length", 0)))


def post(path: str, body: bytes, *headers: str) -> bytes:
    head = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Content-Type: image/jpeg",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def test_one_connection_serves_many_requests(server) -> None:
    with server.connect() as connection, connection.makefile("rb") as file:
        for number in range(5):
            connection.sendall(post(PREDICT, SHAPES if number % 2 else b"no image"))
            assert read_reply(file)[0] == (200 if number % 2 else 415)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        status, headers, _ = read_reply(file)
        assert (status, headers["connection"]) == (200, "close")
        assert file.read() == b""


def test_pipelined_requests_are_answered_in_turn(server) -> None:
    with server.connect() as connection, connection.makefile("rb") as file:
        models = ["shapes-cls", "shapes-seg", "nothing", "shapes", "shapes-cls"]
        connection.sendall(b"".join(post(f"/v1/predict/{model}?conf=0.5", SHAPES) for model in models))
        for model in models:
            status, _, body = read_reply(file)
            assert status == (404 if model == "nothing" else 200)
            assert model in body.decode()


def test_http_1_0(server) -> None:
    with server.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        status, _, body = read_reply(file)
        assert (status, body, file.read()) == (200, b'{"status":"ok"}', b"")


def test_a_client_that_asks_before_it_sends(configured) -> None:
    head = f"x-api-key: {KEY}", "Expect: 100-continue"
    request = post(PREDICT, SHAPES, *head)
    with configured.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(request[: -len(SHAPES)])
        assert read_reply(file)[0] == 100
        connection.sendall(SHAPES)
        assert read_reply(file)[0] == 200
    for status, request in (
        (413, post(PREDICT, b"\0" * 300_000, *head)),
        (401, post(PREDICT, SHAPES, "Expect: 100-continue")),
        (404, post("/v1/predict/nothing", SHAPES, *head)),
    ):  # refused before a byte of the body is sent
        with configured.connect() as connection, connection.makefile("rb") as file:
            connection.sendall(request[: request.index(b"\r\n\r\n") + 4])
            assert read_reply(file)[0] == status


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["before", "amid", "after"])
def test_a_client_that_leaves_harms_no_other(server, wait_until: Callable[..., Any], share: float) -> None:
    before, lines = server.metric("yolean_clients_left_total"), len(server.lines)
    for _ in range(5):
        with server.connect() as connection:
            request = post(f"{PREDICT}?imgsz=1280", SHAPES)
            head = len(request) - len(SHAPES)
            connection.sendall(request[: head + int(share * len(SHAPES))])
    assert server.http.post(PREDICT, files=IMAGE).status_code == 200
    wait_until(lambda: server.http.get("/health").json()["queue"]["inside"] == 0, "an empty server")
    if share == 1.0:
        assert server.metric("yolean_clients_left_total") > before
    accidents = [line for line in server.lines[lines:] if "error" in line or "warning" in line]
    assert not accidents


def test_a_slow_client_holds_up_nobody(server) -> None:
    request = post(PREDICT, SHAPES)
    with server.connect() as slow, slow.makefile("rb") as file:
        slow.sendall(request[:-1])
        for _ in range(5):
            assert server.http.post(PREDICT, files=IMAGE).status_code == 200
        slow.sendall(request[-1:])
        assert read_reply(file)[0] == 200


# ---- what it tells about itself ---------------------------------------------------------------------------


def test_models(server, engines: Mapping[str, Engine]) -> None:
    found = server.http.get("/v1/models").json()
    assert found["key_required"] is False
    assert [model["id"] for model in found["models"]] == sorted(DEMO_MODELS.values())
    for model in found["models"]:
        assert server.http.get(f"/v1/models/{model['id']}").json() == model
        engine = engines[model["task"]]
        assert model["id"] == DEMO_MODELS[model["task"]]
        assert model["names"] == {str(i): name for i, name in engine.names.items()}
        assert model["imgsz"] == list(engine.spec.imgsz)
        assert (model["dynamic"], model["provider"]) == (True, "CPUExecutionProvider")


def test_the_state_of_the_server(server) -> None:
    assert server.http.get("/livez").json() == {"status": "ok"}
    assert server.http.get("/readyz").json() == {"status": "ok"}
    health = server.http.get("/health").json()
    assert health["status"] == "ok"
    assert health["failures"] == {}
    assert health["versions"]["yolean"] == yolean.__version__
    assert health["versions"]["onnxruntime"] == onnxruntime.__version__
    assert set(health["models"]) == set(DEMO_MODELS.values())
    for model in health["models"].values():
        assert re.fullmatch("[0-9a-f]{64}", model["sha256"])
        assert model["provider"] == "CPUExecutionProvider"
    assert str(demo_model().parent) not in json.dumps(health)


def test_metrics_count_what_happened(server) -> None:
    counted = ("shapes", "200"), ("shapes", "400"), ("unknown", "404")

    def count() -> list[float]:
        return [
            *[server.metric("yolean_requests_total", model=m, status=s) for m, s in counted],
            server.metric("yolean_request_seconds_count", model="shapes"),
            server.metric("yolean_objects_total", model="shapes"),
            *[server.metric("yolean_stage_seconds_count", model="shapes", stage=stage)
              for stage in ("queue", "decode", "preprocess", "inference", "postprocess")],
        ]  # fmt: skip

    before = count()
    objects = sum(len(server.http.post(PREDICT, files=IMAGE).json()["data"]) for _ in range(3))
    for _ in range(2):
        server.http.post(PREDICT, files=IMAGE, data={"iou": 2})
    server.http.post("/v1/predict/a-name-that-no-model-has", files=IMAGE)
    added = [after - earlier for after, earlier in zip(count(), before, strict=True)]
    assert added == [3, 2, 1, 3, objects, 3, 3, 3, 3, 3]
    assert server.metric("yolean_models") == 5
    assert server.metric("yolean_models_failed") == 0
    assert server.metric("yolean_queue_depth") == server.metric("yolean_running") == 0
    reply = server.http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "a-name-that-no-model-has" not in reply.text  # or every scan of the internet would add a series


def test_openapi_describes_every_route(server) -> None:
    document = server.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {
        "/v1/predict/{model_id}", "/", "/v1/models", "/v1/models/{model_id}", "/v1/models/reload",
        "/livez", "/readyz", "/health", "/metrics",
    } <= set(document["paths"])  # fmt: skip


def test_the_page(server) -> None:
    page = server.http.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.text.startswith("<!doctype html>")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert server.http.get("/demo.jpg").content == SHAPES
    assert server.http.get("/demo.jpg?model=shapes-cls").content == IMAGES["star"].read_bytes()
    assert server.http.get("/demo.jpg?model=../../etc/passwd").content == SHAPES


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ("{etag}", 304),
        ("W/{etag}", 304),  # a proxy that compresses makes it weak
        ('"other", {etag}', 304),
        ("*", 304),
        ('"other"', 200),
        ("", 200),
    ],
)
def test_the_page_is_sent_once(server, condition: str, status: int) -> None:
    etag = server.http.get("/").headers["etag"]
    assert re.fullmatch(r'"[\w-]+"', etag)
    reply = server.http.get("/", headers={"if-none-match": condition.format(etag=etag)})
    assert reply.status_code == status
    assert reply.headers["etag"] == etag
    assert bool(reply.content) == (status == 200)


# ---- keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PREDICT, "/?model=shapes", "/v1/models/reload"])
def test_keys(configured, path: str) -> None:
    with configured.client() as http:
        assert_refused(http.post(path, files=FILE), 401, "x-api-key", "missing")
        for wrong in ("", "wrong-secret", KEY.upper(), KEY + "x", KEY[:-1], f"{KEY},another-key", "\xe9"):
            reply = http.post(path, files=FILE, headers={"x-api-key": wrong.encode("latin-1")})
            assert_refused(reply, 401, "x-api-key", "not a key")
            assert "www-authenticate" in reply.headers
        for key in (KEY, "another-key"):
            reply = http.post(path, files=FILE, headers={"x-api-key": key})
            assert reply.status_code == 200, reply.text
        # What tells about the server needs none.
        for open_to_all in ("/livez", "/readyz", "/health", "/metrics", "/v1/models", "/openapi.json", "/"):
            assert http.get(open_to_all).status_code == 200
        assert http.get("/v1/models").json()["key_required"] is True


def test_a_key_in_another_place_is_not_taken(configured) -> None:
    with configured.client() as http:
        assert http.post(f"{PREDICT}?x-api-key={KEY}", files=IMAGE).status_code == 401
        assert http.post(PREDICT, files=IMAGE, headers={"authorization": f"Bearer {KEY}"}).status_code == 401


def test_the_log_is_json_and_holds_no_secret(configured) -> None:
    with configured.client() as http:
        http.post(f"{PREDICT}?secret=in-the-query", files=IMAGE, headers={"x-api-key": "wrong-secret"})
        http.post(PREDICT, files=IMAGE, headers={"x-api-key": KEY, "cookie": "secret=in-a-cookie"})
        # What the parser of forms complains about.
        configured.http.post(
            PREDICT, data=SHAPES, headers={"content-type": "multipart/form-data; boundary=b"}
        )
        http.get("/the-last-one")
    configured.wait_for_line("the-last-one")
    assert not [secret for secret in (KEY, "another-key", "wrong-secret", "in-the-query", "in-a-cookie")
                if secret in configured.log]  # fmt: skip
    entries = []
    for line in configured.lines[1:]:
        try:
            entries.append(json.loads(line))
        except ValueError:
            pytest.fail(f"no line of JSON: {line!r}")
    found = [entry for entry in entries if entry.get("path") == PREDICT and entry["status"] == 200]
    assert found
    assert found[-1]["client"] == "127.0.0.1"
    assert found[-1]["model"] == "shapes"
    assert found[-1]["objects"] > 3
    assert {"time", "level", "id", "method", "ms", "inference"} <= set(found[-1])


def test_a_path_cannot_forge_a_line_of_the_log(server) -> None:
    server.http.get("/%0aforged%20status=200%1b[31m")
    line = server.wait_for_line("forged")
    assert re.match(r"\d{4}-\d\d-\d\dT\S+ id=", line)
    assert "\x1b" not in line
    assert line.rstrip("\n").isprintable()


# ---- starting ---------------------------------------------------------------------------------------------


def assert_one_line(server: Any, *words: str, several: bool = False) -> None:
    """It ended with status 2, and said why in one line; several processes may each say it."""
    assert server.wait() == 2, server.log
    line, *more = [line for line in server.lines if not re.match(r"yolean \S+ serves on ", line)]
    assert not more or several
    assert [word for word in words if word not in line] == [], line
    assert line.isprintable() or line[:-1].isprintable()


HOPELESS: dict[str, tuple[list[str], dict[str, str], list[str]]] = {
    # what it is, options, variables, words of the line
    "open to all": (["--host", "0.0.0.0"], {}, ["0.0.0.0", "--api-keys", "--no-auth"]),
    "no such host": (["--host", "nothing.invalid", "--no-auth"], {}, ["nothing.invalid", "--port"]),
    "a bad key in a variable": ([], {"YOLEAN_API_KEY": "a key"}, ["key 1", "YOLEAN_API_KEY"]),
    "no model": (["--models", "EMPTY"], {}, ["empty.txt"]),
    "a corrupt model": (["--models", "CORRUPT"], {}, ["corrupt.onnx"]),
    "a corrupt model, twice": (["--models", "CORRUPT", "--workers", "2"], {}, ["corrupt.onnx"]),
    "one id for two": (["--models", "a=SHAPES", "--models", "a=CORRUPT"], {}, ["'a'"]),
    # What click refuses, with the usage before it.
    "a key instead of a file": (["--api-keys", "s3cr3t"], {}, ["--api-keys", "YOLEAN_API_KEY"]),
}


@pytest.fixture(scope="module")
def hopeless(
    start_module_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Servers that cannot start, all at once: one after the other they would take long."""
    folder = tmp_path_factory.mktemp("hopeless")
    files = {
        "EMPTY": ("empty.txt", b"# nothing\n"),
        "CORRUPT": ("corrupt.onnx", demo_model().read_bytes()[:50_000]),
        "SHAPES": ("shapes.onnx", demo_model().read_bytes()),
    }  # fmt: skip
    for name, content in files.values():
        (folder / name).write_bytes(content)

    def start(options: list[str], environment: dict[str, str]) -> Any:
        for word, (name, _) in files.items():
            options = [option.replace(word, str(folder / name)) for option in options]
        # It has no port to tell, so there is no sense in waiting for its line.
        return start_module_server(*options, env=environment, ready=False, port=1)

    return {name: start(options, environment) for name, (options, environment, _) in HOPELESS.items()}


@pytest.mark.parametrize("name", HOPELESS)
def test_what_cannot_be_served_is_said_in_one_line(hopeless: dict[str, Any], name: str) -> None:
    options, _, words = HOPELESS[name]
    server = hopeless[name]
    if any("Usage: " in line for line in server.lines if server.wait() == 2):
        server.lines[:] = [" ".join(server.lines[-1].split())]
    assert_one_line(server, *words, several="--workers" in options)
    assert "s3cr3t" not in server.log


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "::"], ["--host ::", "--api-keys", "--no-auth"]),
        (["--api-keys", "EMPTY"], ["--api-keys", "no key"]),
        (["--api-keys", "BAD"], ["key 2"]),
        (["--models", "a=nothing.onnx"], ["'nothing.onnx'", "does not exist"]),
        (["--max-body", "lots"], ["--max-body", "'lots'", "32M"]),
    ],
)
def test_what_is_refused_before_there_is_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], words: list[str]
) -> None:
    """The same for what needs no process of its own to be seen."""
    monkeypatch.setattr(socket, "create_server", lambda *_, **__: pytest.fail("it would have listened"))
    for name, content in (("EMPTY", "# nothing\n"), ("BAD", "good\nnot good\n")):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["serve", *options], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    line = result.stderr.partition("Error: ")[2]
    assert line.count("\n") == 1
    assert [word for word in words if word not in line] == [], line


def test_a_port_that_is_taken(server, start_server) -> None:
    assert_one_line(start_server("--port", server.port, ready=False), str(server.port), "--port")


def test_without_authentication_it_may_listen_everywhere(start_server) -> None:
    server = start_server("--host", "0.0.0.0", "--no-auth", "--models", demo_model())
    assert "serves on http://0.0.0.0:" in server.lines[0]
    assert server.http.post(PREDICT, files=IMAGE).status_code == 200
    with requests.Session() as session:
        session.trust_env = False
        reply = session.post(f"http://{own_address()}:{server.port}{PREDICT}", files=IMAGE, timeout=30)
    assert reply.status_code == 200


def own_address() -> str:
    """An address of this machine that is not 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return str(probe.getsockname()[0])
        except OSError:
            pytest.skip("this machine has no address but 127.0.0.1")


UVICORN = ["-m", "uvicorn", "yolean.server:app", "--no-access-log"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_under_plain_uvicorn_the_environment_configures_it(start_server, tmp_path: Path) -> None:
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
    assert_refused(reply, 413, "102,400")
    assert server.http.get("/", headers={"origin": ORIGIN}).headers["access-control-allow-origin"] == ORIGIN
    assert "one-more" not in server.log


def test_under_plain_uvicorn_others_are_kept_out_where_there_are_no_keys(start_server) -> None:
    address, port = own_address(), free_port()
    command = [*UVICORN, "--host", "0.0.0.0", "--port", port]
    server = start_server(env={"YOLEAN_MODELS": str(demo_model())}, command=command, port=port)
    assert server.http.post(PREDICT, files=IMAGE).status_code == 200
    with requests.Session() as session:
        session.trust_env = False
        reply = session.post(f"http://{address}:{port}{PREDICT}", files=IMAGE, timeout=30)
    assert_refused(reply, 401, "YOLEAN_API_KEYS", "YOLEAN_NO_AUTH")


def test_a_setting_that_cannot_be_ends_plain_uvicorn(start_server) -> None:
    port = free_port()
    command = [*UVICORN, "--port", port]
    server = start_server(env={"YOLEAN_MAX_QUEUE": "none"}, command=command, port=port, ready=False)
    assert server.wait() != 0
    assert "YOLEAN_MAX_QUEUE" in server.log or "--max-queue" in server.log
    server.forgive()  # a traceback is uvicorn's way
