"""The Open Inference Protocol over HTTP: health, metadata, inference of all tasks, errors, limits."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from map_models import map_model
from yolean.engine.images.decoding import image_from_bytes
from yolean.engine.images.frames import Frame
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.serving.settings import ModelSource, Settings

IMAGES = [path.read_bytes() for path in demo_images()[:3]]
KEY = "0123456789abcdef"
BEST = "acme/doors/best"
DTYPES = {"FP32": "<f4", "INT64": "<i8", "UINT8": "u1"}
LENGTH = "Inference-Header-Content-Length"
BINARY = {"binary_data_output": True}


@pytest.fixture(scope="module")
def keyed(start_local: Callable[[Settings], Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with a key, a model of three parts, and place for one request in the queue."""
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(KEY)
    server = start_local(
        Settings(
            api_keys=keys,
            models=(ModelSource(demo_model(), BEST),),
            max_body=2 * 2**20,
            max_queue=1,
            cors=("https://page.example",),
        )
    )
    server.http.headers["authorization"] = f"Bearer {KEY}"
    return server


def path_of(task: str) -> str:
    return f"/v2/models/{DEMO_MODELS[task]}/infer"


def encoded(*images: bytes, **fields: Any) -> dict[str, Any]:
    """A request as JSON."""
    data = [base64.b64encode(image).decode() for image in images]
    given = {"name": "encoded_images", "shape": [len(images)], "datatype": "BYTES", "data": data}
    return {"inputs": [given], **fields}


def binary(name: str, datatype: str, shape: Any, data: bytes, **fields: Any) -> dict[str, Any]:
    """A request with binary data, for `post`."""
    given = {
        "name": name,
        "shape": shape,
        "datatype": datatype,
        "parameters": {"binary_data_size": len(data)},
    }
    head = json.dumps({"inputs": [given], **fields}).encode()
    return {"data": head + data, "headers": {LENGTH: str(len(head))}}


def binary_images(*images: bytes, **fields: Any) -> dict[str, Any]:
    data = b"".join(struct.pack("<I", len(image)) + image for image in images)
    return binary("encoded_images", "BYTES", [len(images)], data, **fields)


def outputs_in(reply: Any) -> dict[str, Any]:
    """The outputs of an answer, as arrays or, of BYTES, lists of text."""
    assert reply.status_code == 200, reply.text
    length = int(reply.headers.get(LENGTH, len(reply.content)))
    at, found = length, {}
    for output in json.loads(reply.content[:length])["outputs"]:
        dtype = DTYPES.get(output["datatype"])
        if "data" in output:
            values = output["data"] if dtype is None else np.array(output["data"], dtype)
        else:
            part = reply.content[at : (at := at + output["parameters"]["binary_data_size"])]
            values = elements(part) if dtype is None else np.frombuffer(part, dtype)
        found[output["name"]] = values if dtype is None else values.reshape(output["shape"])
    assert at == len(reply.content)
    return found


def elements(data: bytes) -> list[str]:
    found = []
    while data:
        length = struct.unpack_from("<I", data)[0]
        found.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return found


def check_error(reply: Any, status: int, *words: str) -> None:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json()
    assert answer.keys() == {"error"}
    assert [word for word in words if word not in answer["error"]] == [], answer
    assert answer["error"].isprintable()
    assert len(answer["error"]) < 400


# ---- health and metadata ----------------------------------------------------------------------------------


def test_the_server(server: Any) -> None:
    extensions = ["binary_tensor_data", "parameters"]
    wanted = {"name": "yolean", "version": yolean.__version__, "extensions": extensions}
    assert server.http.get("/v2").json() == wanted
    assert server.http.get("/v2/", allow_redirects=True).json() == wanted
    assert server.http.get("/v2/health/live").json() == {"live": True}
    assert server.http.get("/v2/health/ready").json() == {"ready": True}


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_metadata_of_models(server: Any, engines: Mapping[str, Engine], task: str) -> None:
    name = DEMO_MODELS[task]
    found = server.http.get(f"/v2/models/{name}").json()
    assert server.http.get(f"/v2/models/{name}/versions/1").json() == found
    assert (found["name"], found["versions"], found["platform"]) == (name, ["1"], "onnxruntime_onnx")
    assert found["inputs"] == [
        {"name": "encoded_images", "datatype": "BYTES", "shape": [-1]},
        {"name": "images", "datatype": "FP32", "shape": [-1, 3, -1, -1]},
    ]
    answer = outputs_in(server.http.post(path_of(task), **binary_images(IMAGES[0], parameters=BINARY)))
    assert list(answer) == [output["name"] for output in found["outputs"]]
    shapes = {output["name"]: output["shape"] for output in found["outputs"]}
    if task == "pose":
        assert shapes["keypoints"] == [-1, *(engines[task].spec.layout.kpt_shape or ())]
    if task == "classify":
        assert shapes["probabilities"] == [-1, len(engines[task].names)]


def test_a_static_model_has_a_fixed_tensor_and_runs_several_as_a_batch(
    start_local: Callable[[Settings], Any], tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(map_model("class_map", size=(64, 96), batch=4))
    server = start_local(Settings(models=(ModelSource(tmp_path / "m.onnx"),), batch_window=50))
    _, given = server.http.get("/v2/models/m").json()["inputs"]
    assert given["shape"] == [-1, 3, 64, 96]
    for height, width in ((32, 32), (64, 32)):
        small = np.zeros((1, 3, height, width), np.float32)
        reply = server.http.post(
            "/v2/models/m/infer", **binary("images", "FP32", small.shape, small.tobytes())
        )
        check_error(reply, 400, f"images: this model runs at 64x96 (height x width) only, found {height}x")
    bright = np.random.default_rng(1).uniform(0, 1, (6, 1, 64, 96)).astype(np.float32)
    tensor = np.repeat(bright, 3, axis=1)
    reply = server.http.post("/v2/models/m/infer", **binary("images", "FP32", tensor.shape, tensor.tobytes()))
    found = outputs_in(reply)
    np.testing.assert_array_equal(found["semantic_mask"], np.floor(tensor.mean(axis=1) * 4))
    assert found["image_index"].tolist() == sorted([0, 1, 2, 3, 4, 5] * 4)
    runs = server.metric("yolean_batch_size_count", model="m")
    assert server.metric("yolean_batch_size_sum", model="m") == 6
    assert runs < 6


def test_ids_with_slashes_and_versions(keyed: Any) -> None:
    http = keyed.http
    for name in (BEST, "acme%2Fdoors%2Fbest", f"{BEST}/versions/1", "acme%2Fdoors%2Fbest/versions/1"):
        assert http.get(f"/v2/models/{name}").json()["name"] == BEST
        assert http.get(f"/v2/models/{name}/ready").json() == {"name": BEST, "ready": True}
        answer = http.post(f"/v2/models/{name}/infer", json=encoded(IMAGES[0])).json()
        assert (answer["model_name"], answer["model_version"]) == (BEST, "1")
    for path, words in (
        (f"/v2/models/{BEST}/versions/2", [f"'{BEST}' has version 1 alone, found '2'"]),
        (f"/v2/models/{BEST}/versions/2/ready", ["found '2'"]),
        ("/v2/models/best", ["no model is called 'best'", BEST]),  # ids are whole here
        ("/v2/models/none/ready", ["'none'"]),
        ("/v2/models", ["no such path", "/v2/models/MODEL_ID/infer"]),
        ("/v2/repository/index", ["no such path"]),
    ):
        check_error(http.get(path), 404, *words)
    check_error(http.post("/v2/models/none/infer", json=encoded(IMAGES[0])), 404, "'none'", BEST)
    check_error(http.post(f"/v2/models/{BEST}/ready"), 405, "GET")
    assert keyed.metric("yolean_requests_total", model=BEST, status="200") >= 4


# ---- inference --------------------------------------------------------------------------------------------


def wanted_of(results: Any) -> dict[str, Any]:
    """What the outputs of one image must be, from the results of the engine."""
    if results.depth is not None:
        return {"depth": results.depth.at_input[None]}
    if results.semantic_mask is not None:
        return {"semantic_mask": results.semantic_mask.data[None]}
    if results.probs is not None:
        return {"probabilities": results.probs.data[None], "scores": results.probs.top5conf}
    objects = results.obb if results.boxes is None else results.boxes
    names = [results.class_name(int(c)) for c in objects.cls]
    found: dict[str, Any] = {"scores": objects.conf, "classes": objects.cls, "class_names": names}
    found |= {"boxes": results.boxes.xyxy} if results.obb is None else {"corners": results.obb.xyxyxyxy}
    if results.masks is not None:
        found["mask_points"] = np.concatenate(results.masks.xy)
    if results.keypoints is not None:
        found["keypoints"] = results.keypoints.data
    return found


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_answers_equal_the_engine(server: Any, engines: Mapping[str, Engine], task: str) -> None:
    path = path_of(task)
    fields: dict[str, Any] = {"conf": 0.5, "iou": 0.3, "imgsz": 256, "max_det": 3}
    text = json.dumps(encoded(IMAGES[0])).encode()
    ways: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
        ({}, [{"json": encoded(IMAGES[0])}, {"data": text}]),  # the second has no type
        (fields, [binary_images(IMAGES[0], parameters=fields | BINARY)]),
    ]
    for parameters, requests in ways:
        (results,) = engines[task](IMAGES[0], **parameters)
        for request in requests:
            reply = server.http.post(path, **request)
            found = outputs_in(reply)
            is_binary = LENGTH in reply.headers
            kind = "application/octet-stream" if is_binary else "application/json"
            assert reply.headers["content-type"] == kind
            assert is_binary == (request.get("headers") is not None)
            for name, values in wanted_of(results).items():
                np.testing.assert_array_equal(found[name], values)
            np.testing.assert_array_equal(found["image_sizes"], [results.orig_shape])
            assert "inference;dur=" in reply.headers["server-timing"]


def test_classes_outputs_and_the_id(server: Any, engines: Mapping[str, Engine]) -> None:
    (results,) = engines["detect"](IMAGES[0], classes=[0, 2])
    assert 0 < len(results) < len(engines["detect"](IMAGES[0])[0])
    outputs = [
        {"name": "scores", "parameters": {"binary_data": True}},
        {"name": "classes"},
    ]
    reply = server.http.post(
        path_of("detect"), json=encoded(IMAGES[0], parameters={"classes": "0,2"}, outputs=outputs, id="a 7")
    )
    found = outputs_in(reply)
    assert list(found) == ["scores", "classes"]
    np.testing.assert_array_equal(found["scores"], results.boxes.conf)  # type: ignore[union-attr]
    np.testing.assert_array_equal(found["classes"], results.boxes.cls)  # type: ignore[union-attr]
    assert json.loads(reply.content[: int(reply.headers[LENGTH])])["id"] == "a 7"
    check_error(
        server.http.post(path_of("detect"), json=encoded(IMAGES[0], parameters={"classes": 99})),
        400,
        "classes=[99]",
    )


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_the_input_tensor_gives_results_in_its_pixels(
    server: Any, engines: Mapping[str, Engine], task: str
) -> None:
    engine = engines[task]
    image = image_from_bytes(IMAGES[0])
    (placed,) = [engine.place(Frame(image, "image", 0, None, 0), engine.size())]
    batch = engine.prepare([placed])
    tensor = np.array(batch.tensor.array, np.float32)
    shape, geometry = list(tensor.shape), placed[1]
    (results,) = engine(IMAGES[0])
    found = outputs_in(server.http.post(path_of(task), **binary("images", "FP32", shape, tensor.tobytes())))
    np.testing.assert_array_equal(found["image_sizes"], [shape[2:]])
    if results.depth is not None:
        np.testing.assert_array_equal(found["depth"], results.depth.at_input[None])
    elif results.semantic_mask is not None:
        assert found["semantic_mask"].shape == (1, *shape[2:])
    elif results.probs is not None:
        np.testing.assert_array_equal(found["probabilities"], results.probs.data[None])
    else:
        objects = results.obb if results.boxes is None else results.boxes
        assert objects is not None
        np.testing.assert_array_equal(found["scores"], objects.conf)
        points = objects.xyxyxyxy if results.obb is not None else objects.xyxy.reshape(-1, 2, 2)  # type: ignore[union-attr]
        own = found["corners"] if results.obb is not None else found["boxes"].reshape(-1, 2, 2)
        scale = max(geometry.scale)
        np.testing.assert_allclose(own, geometry.forward(points), atol=0.01 + 0.5 * scale)
    as_json = {"name": "images", "datatype": "FP32", "shape": shape, "data": tensor.ravel().tolist()}
    if task == "classify":  # the smallest
        again = outputs_in(server.http.post(path_of(task), json={"inputs": [as_json]}))
        np.testing.assert_array_equal(again["probabilities"], found["probabilities"])


def test_several_images_in_one_request(server: Any, engines: Mapping[str, Engine]) -> None:
    many = [IMAGES[i % 3] for i in range(7)]
    single = [engines["detect"](image)[0] for image in many]
    for request in ({"json": encoded(*many)}, binary_images(*many)):
        found = outputs_in(server.http.post(path_of("detect"), **request))
        for index, results in enumerate(single):
            rows = found["image_index"] == index
            np.testing.assert_array_equal(found["boxes"][rows], results.boxes.xyxy)  # type: ignore[union-attr]
        assert len(found["boxes"]) == sum(map(len, single))
        np.testing.assert_array_equal(found["image_sizes"], [results.orig_shape for results in single])
    tensor = np.zeros((3, 3, 64, 96), np.float32)
    tensor[1] = 0.5
    found = outputs_in(
        server.http.post(path_of("depth"), **binary("images", "FP32", tensor.shape, tensor.tobytes()))
    )
    assert found["depth"].shape == (3, 64, 96)
    np.testing.assert_array_equal(found["depth"][0], found["depth"][2])
    assert (found["depth"][0] != found["depth"][1]).any()


def test_several_images_need_one_place_in_the_queue(keyed: Any) -> None:
    """What finds the queue full is tried again; the first alone would be a 503."""
    with ThreadPoolExecutor(3) as pool:
        replies = list(
            pool.map(
                lambda _: keyed.client().post(
                    f"/v2/models/{BEST}/infer", json=encoded(*IMAGES * 3), headers=dict(keyed.http.headers)
                ),
                range(3),
            )
        )
    assert {reply.status_code for reply in replies} <= {200, 503}
    assert 200 in {reply.status_code for reply in replies}
    for reply in replies:
        if reply.status_code == 503:
            check_error(reply, 503, "requests wait already")
            assert int(reply.headers["retry-after"]) >= 1


# ---- what is wrong ----------------------------------------------------------------------------------------


def test_what_is_wrong_is_answered_in_one_line(keyed: Any) -> None:
    path, sound = f"/v2/models/{BEST}/infer", encoded(IMAGES[0])
    cut, text = base64.b64decode(sound["inputs"][0]["data"][0])[:-200], b"no image at all"
    tensor = np.zeros((1, 3, 40, 64), np.float32).tobytes()
    requests: list[tuple[int, dict[str, Any], list[str]]] = [
        (400, {"data": b"{"}, ["the request cannot be read"]),
        (400, {"files": {"file": IMAGES[0]}}, ["the request cannot be read"]),
        (400, {"json": encoded(cut)}, ["encoded_images: the image is cut off"]),
        (415, {"json": encoded(text)}, ["encoded_images: expected an image"]),
        (415, {"json": encoded(IMAGES[0], text)}, ["encoded_images[1]: expected an image"]),
        (400, {"json": encoded(b"")}, ["found 0 bytes"]),
        (400, binary_images(b""), ["encoded_images: expected an image, found 0 bytes"]),
        (400, {"json": encoded(IMAGES[0], parameters={"imgsz": 5})}, ["imgsz=5: expected"]),
        (400, binary("images", "FP32", [1, 3, 40, 64], tensor), ["multiples of 32, found 40x64"]),
        (
            400,
            binary("images", "FP32", [1, 3, 64, 40], tensor),
            ["images: expected height and width from 32"],
        ),
        (
            400,
            binary("images", "FP32", [1, 3, 32, 80], tensor, parameters={"imgsz": 64}),
            ["imgsz=64: 'images' is the input tensor"],
        ),
        (413, {"data": bytes(3 * 2**20)}, ["2,097,152 bytes"]),
        (415, {"json": sound, "headers": {"content-encoding": "gzip"}}, ["Content-Encoding 'gzip'"]),
        (401, {"json": sound, "headers": {"authorization": "Bearer wrong"}}, ["is not a key"]),
        (401, {"json": sound, "headers": {"authorization": None}}, ["is missing"]),
        (400, {"json": sound, "headers": {LENGTH: "7"}}, ["the request cannot be read"]),
        (400, {"json": sound, "headers": {LENGTH: "1e3"}}, [LENGTH]),
    ]
    for status, request, words in requests:
        check_error(keyed.http.post(path, **request), status, *words)
    with keyed.client() as http:  # nobody needs a key to look
        assert http.get(f"/v2/models/{BEST}").status_code == 200
        assert http.get("/v2/health/ready").status_code == 200


def test_an_image_with_too_many_pixels_and_one_that_waits_too_long(
    start_local: Callable[[Settings], Any],
) -> None:
    server = start_local(Settings(max_pixels=10_000, models=(ModelSource(demo_model()),)))
    path = "/v2/models/shapes/infer"
    check_error(server.http.post(path, json=encoded(IMAGES[0])), 400, "encoded_images: ", "pixels")
    small = cv2.imencode(".png", np.zeros((50, 50, 3), np.uint8))[1].tobytes()
    late = encoded(small, small, parameters={"timeout": 1})
    check_error(server.http.post(path, json=late), 504, "waited too long")
    assert server.http.post(path, json=encoded(small, parameters={"timeout": 10**7})).status_code == 200


def test_a_page_of_another_origin_may_ask(keyed: Any) -> None:
    asked = {
        "origin": "https://page.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, inference-header-content-length",
    }
    reply = keyed.http.options(f"/v2/models/{BEST}/infer", headers=asked)
    assert reply.status_code == 200
    reply = keyed.http.post(
        f"/v2/models/{BEST}/infer", headers={"origin": asked["origin"]}, **{"json": encoded(IMAGES[0])}
    )
    assert LENGTH.lower() in reply.headers["access-control-expose-headers"].lower()
