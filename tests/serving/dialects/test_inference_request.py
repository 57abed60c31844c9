"""Requests of the Open Inference Protocol: what is read, and what is refused in one line."""

from __future__ import annotations

import base64
import json
import struct
import tracemalloc
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from yolean.engine.errors import InputError
from yolean.engine.model.spec import ModelSpec
from yolean.engine.pipeline import Engine
from yolean.models import demo_images
from yolean.serving.dialects.inference_request import Inference, read_inference

IMAGE = demo_images()[0].read_bytes()
TEXT = base64.b64encode(IMAGE).decode()
TENSOR = np.linspace(0, 1, 2 * 3 * 64 * 32, dtype=np.float32).reshape(2, 3, 64, 32)
ENCODED = {"name": "encoded_images", "shape": [1], "datatype": "BYTES", "data": [TEXT]}
IMAGES = {"name": "images", "shape": [1, 3, 2, 1], "datatype": "FP32", "data": [0, 0.5, 1, 0, 0, 1]}


@pytest.fixture(scope="module")
def spec(engines: Mapping[str, Engine]) -> ModelSpec:
    return engines["detect"].spec


def body(given: Any = ENCODED, **fields: Any) -> bytes:
    return json.dumps({"inputs": [given], **fields}).encode()


def binary(given: Mapping[str, Any], data: bytes, size: Any = None, **fields: Any) -> tuple[bytes, str]:
    """A body with binary data behind the JSON, and the length of the JSON."""
    parameters = {"binary_data_size": len(data) if size is None else size}
    head = body({k: v for k, v in given.items() if k != "data"} | {"parameters": parameters}, **fields)
    return head + data, str(len(head))


def element(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def refusal(text: bytes, spec: ModelSpec, length: str | None = None) -> str:
    with pytest.raises(InputError) as found:
        read_inference(text, length, spec)
    message = str(found.value)
    assert message.isprintable()
    assert len(message) < 400
    return message


# ---- what is read -----------------------------------------------------------------------------------------


def names(found: Inference) -> list[tuple[str, bool]]:
    return [(wanted.output.name, wanted.is_binary) for wanted in found.wanted]


def test_images_as_json_and_as_binary_data(spec: ModelSpec) -> None:
    for shape, data in (
        ([1], [TEXT]),
        ([1, 1], [[TEXT]]),
        ([1, 1], [TEXT]),
        ([1], [f"data:image/jpeg;base64,{TEXT}"]),
    ):
        found = read_inference(body(ENCODED | {"shape": shape, "data": data}), None, spec)
        assert (found.encoded, found.tensor) == ([IMAGE], None)
    found = read_inference(*binary(ENCODED | {"shape": [2]}, element(IMAGE) + element(b"x")), spec)
    assert found.encoded == [IMAGE, b"x"]


def test_the_tensor_as_json_and_as_binary_data(spec: ModelSpec) -> None:
    found = read_inference(body(IMAGES), None, spec)
    assert found.encoded is None
    np.testing.assert_array_equal(found.tensor, np.array(IMAGES["data"], np.float32).reshape(1, 3, 2, 1))
    given = IMAGES | {"shape": TENSOR.shape}
    for each in (
        read_inference(body(given | {"data": TENSOR.tolist()}), None, spec),
        read_inference(*binary(given, TENSOR.tobytes()), spec),
    ):
        np.testing.assert_array_equal(each.tensor, TENSOR)


def test_what_is_left_out_or_null_is_the_default(spec: ModelSpec) -> None:
    every = ["boxes", "scores", "classes", "class_names", "image_index", "image_sizes"]
    choices: list[dict[str, Any]] = [
        {},
        {"parameters": None, "outputs": None, "id": None},
        {"parameters": {}, "outputs": []},
    ]
    for fields in choices:
        found = read_inference(body(ENCODED | {"parameters": None}, **fields), None, spec)
        assert names(found) == [(name, False) for name in every]
        parameters = found.parameters
        assert (parameters.conf, parameters.iou, parameters.max_det) == (0.25, 0.45, 300)
        assert (found.classes, found.id) == (None, None)
    as_kserve = {"id": "5-é", "model_name": "other", "parameters": {"binary_data_output": True}}
    found = read_inference(body(**as_kserve), None, spec)
    assert found.id == "5-é"
    assert names(found) == [(name, True) for name in every]


def test_outputs_and_parameters(spec: ModelSpec) -> None:
    outputs = [{"name": "scores", "parameters": {"binary_data": False, "other": 1}}, {"name": "boxes"}]
    parameters: dict[str, Any] = {"conf": 0.5, "iou": "0.3", "max_det": 7, "imgsz": 64, "timeout": 5000}
    for value, classes in ((3, (3,)), ("0", (0,)), ("0,2", (0, 2)), (" 1 , 0 ", (1, 0))):
        fields = parameters | {"classes": value, "binary_data_output": True}
        found = read_inference(body(outputs=outputs, parameters=fields), None, spec)
        assert names(found) == [("scores", False), ("boxes", True)]
        assert found.classes == classes
        assert (found.parameters.conf, found.parameters.iou, found.parameters.imgsz) == (0.5, 0.3, 64)
        assert (found.parameters.max_det, found.parameters.timeout) == (7, 5000)


# ---- what is refused --------------------------------------------------------------------------------------

OTHERS: list[tuple[bytes, list[str]]] = [
    (b"", ["the request cannot be read: Input data was truncated"]),
    (b"[]", ["Expected `object`, got `array`"]),
    (b"{}", ["missing required field `inputs`"]),
    (b'{"inputs": 5}', ["Expected `array`, got `int`"]),
    (b'{"inputs": [' + b"[" * 50_000, ["cannot be read"]),
    (b'{"id": ' + b"[" * 50_000, ["cannot be read"]),
    (b"{" * 200, ["more than 100 objects"]),
    (b'{"inputs": [], "\xff": 1}', ["cannot be read"]),
    (body() + b"x", ["trailing characters"]),
    (body("text"), ["Expected `object`, got `str`"]),
    (body(output=[]), ["unknown field `output`"]),
    (body(id=5), ["Expected `str | null`, got `int`"]),
    (body(id="a" * 20_000), ["bytes beside data: expected at most 16384"]),
    (json.dumps({"inputs": []}).encode(), ["inputs: expected one, 'encoded_images' or 'images', found 0"]),
    (json.dumps({"inputs": [ENCODED, IMAGES]}).encode(), ["found 2"]),
    (body(ENCODED | {"name": "x\n"}), ["expected 'encoded_images' (BYTES) or 'images' (FP32), found 'x\\n'"]),
    (body(ENCODED | {"datatype": "FP32"}), ["encoded_images: datatype='FP32': expected BYTES"]),
    (body(IMAGES | {"datatype": "UINT8"}), ["images: datatype='UINT8': expected FP32"]),
    *(
        (body(ENCODED | {"shape": shape}), ["encoded_images: shape=", "expected [n] with n from 1 to 32"])
        for shape in ([], [0], [-1], [33], [2**70], [1, 2], [1, 1, 1])
    ),
    *(
        (body(IMAGES | {"shape": shape}), ["images: shape=", "expected [n, 3, height, width] with n"])
        for shape in ([], [3, 2, 1], [0, 3, 2, 1], [1, 1, 2, 1], [1, 3, -2, -1], [33, 3, 1, 1])
    ),
    (body(IMAGES | {"shape": [1.5]}), ["Expected `int`, got `float`"]),
    (body(IMAGES | {"shape": [1] * 9}), ["Expected `array` of length <= 8"]),
    (body(IMAGES | {"shape": [1, 3, 2**62, 2**62]}), ["as the shape says, found 6"]),
    (body(IMAGES | {"data": [0] * 5}), ["images: expected 6 numbers, as the shape says, found 5"]),
    (body(IMAGES | {"data": "0,0,0,0,0,0"}), ["images: its data cannot be read", "got `str`"]),
    (body(IMAGES | {"data": [0, 0, 0, 0, 0, 255]}), ["images: expected values from 0 to 1, found 0 to 255"]),
    (body(IMAGES | {"data": [0, 0, 0, 0, 0, 1e200]}), ["found 0 to inf"]),
    (body({k: v for k, v in IMAGES.items() if k != "data"}), ["expected data", "found neither"]),
    (body(ENCODED | {"parameters": {"binary_data_size": 4}}), ["expected data", "found both"]),
    (body(ENCODED | {"data": [TEXT, TEXT]}), ["expected 1 text in base64, as the shape says, found 2"]),
    (
        body(ENCODED | {"data": ["no base64!"]}),
        ["encoded_images: expected base64 or a data: URI", "'no base"],
    ),
    (body(ENCODED | {"data": ["https://a.example/b.jpg"]}), ["found the address 'https://a.example/b.jpg'"]),
    (body(ENCODED | {"data": ["data:text/plain;base64,AAAA"]}), ["encoded_images: ", "'text/plain'"]),
    (body(ENCODED | {"data": [""]}), ["encoded_images: expected an image, found 0 bytes"]),
    (body(ENCODED | {"parameters": {"shared_memory_region": "a"}}), ["shared memory is not offered here"]),
    (body(outputs=[{"name": "masks"}]), ["outputs: expected some of boxes, scores", "found 'masks'"]),
    (body(outputs=[{"name": "boxes"}] * 2), ["expected boxes once"]),
    (body(outputs=[{"name": "boxes", "parameters": {"binary_data": 1}}]), ["binary_data=1: expected true"]),
    (body(outputs=[{"name": "boxes", "parameters": {"classification": 3}}]), ["classification extension"]),
    (body(outputs=[{"name": "boxes", "parameters": {"binary_data": None}}]), ["got `null`"]),
    (body(parameters={"confidence": 0.5}), ["some of conf, iou, max_det", "found 'confidence'"]),
    (body(parameters={"priority": 1}), ["found 'priority'"]),
    (body(parameters={"conf": 0}), ["conf=0: expected a number from 0.01 to 1.0"]),
    (body(parameters={"conf": True}), ["conf=True: expected a number"]),
    (body(parameters={"conf": 10**400}), ["conf=1000", "expected a number from 0.01"]),
    (body().replace(b"}]}", b'}], "parameters": {"conf": ' + b"9" * 5000 + b"}}"), ["cannot be read"]),
    (body(parameters={"iou": "nan"}), ["iou='nan': expected a number from 0.0 to 0.95"]),
    (body(parameters={"max_det": 0}), ["max_det=0: expected a whole number from 1 to 1000"]),
    (body(parameters={"imgsz": 1281}), ["imgsz=1281: expected a whole number from 32 to 1280"]),
    (
        body(parameters={"binary_data_output": "maybe"}),
        ["binary_data_output='maybe': expected true or false"],
    ),
    (body(parameters={"timeout": 0}), ["timeout=0: expected a whole number from 1"]),
    (body(parameters={"classes": [0, 1]}), ["got `array`"]),
    (body(parameters={"classes": "0;1"}), ["classes='0;1': expected a class id, or several as text"]),
    (body(parameters={"classes": True}), ["classes=True"]),
]


@pytest.mark.parametrize(("text", "words"), OTHERS)
def test_what_is_wrong_is_refused_in_one_line(spec: ModelSpec, text: bytes, words: list[str]) -> None:
    message = refusal(text, spec)
    assert [word for word in words if word not in message] == [], message


def test_binary_data_that_does_not_fit_is_refused(spec: ModelSpec) -> None:
    sound, length = binary(ENCODED, element(IMAGE))
    given = IMAGES | {"shape": TENSOR.shape}
    nan = TENSOR.copy()
    nan[1, 2, 3, 4] = np.nan
    for text, header, word in (
        (sound, None, "the request cannot be read"),
        (sound[: int(length)], None, "needs the header Inference-Header-Content-Length"),
        (sound, "-1", "found '-1'"),
        (sound, "x", "Inference-Header-Content-Length: expected a whole number up to the"),
        (sound, "٣", "Inference-Header-Content-Length"),
        (sound, str(len(sound) + 1), f"up to the {len(sound)} bytes of the body"),
        (sound, str(int(length) - 1), "the request cannot be read"),
        (sound, "0", "the request cannot be read"),
        (sound[:-1], length, f"expected the {len(sound) - 1 - int(length)} bytes that follow the JSON"),
        (sound + b"x", length, "that follow the JSON"),
        (*binary(ENCODED, element(IMAGE), size=True), "binary_data_size=True"),
        (*binary(ENCODED, element(IMAGE), size=-5), "binary_data_size=-5"),
        (*binary(ENCODED, element(IMAGE), size="9"), "binary_data_size='9'"),
        (*binary(ENCODED, element(IMAGE)[:-1]), "encoded_images: element 0 ends behind"),
        (*binary(ENCODED, element(IMAGE) * 2), "as the shape says, found 1 and further bytes"),
        (*binary(ENCODED | {"shape": [2]}, element(IMAGE)), "expected 2 elements"),
        (*binary(ENCODED, b""), "expected 1 element"),
        (*binary(given, TENSOR.tobytes()[:-4]), "images: expected 49152 bytes of binary data"),
        (*binary(given, nan.tobytes()), "images: expected values from 0 to 1, found others"),
        (*binary(given, (TENSOR * 255).tobytes()), "found 0 to 255"),
        (body() + b"x", str(len(body())), "expected nothing behind the JSON, found 1 bytes"),
    ):
        assert word in refusal(text, spec, header)


def test_nothing_large_is_allocated_by_what_is_small_or_wrong(spec: ModelSpec) -> None:
    """A body of 2 MB takes at most a copy of itself, whatever is in it."""
    size = 2 * 2**20
    head = b'{"inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 2, 1], "data": '
    bodies = [
        b'{"inputs": [' + b'{"a":1},' * (size // 8) + b"{}]}",
        b'{"inputs": [' + b"[]," * (size // 3) + b"[]]}",
        b'{"inputs": [], "outputs": [' + b"1," * (size // 2) + b"1]}",
        b'{"inputs": [], "parameters": [' + b"[]," * (size // 3) + b"[]]}",
        head.replace(b"[1, 3, 2, 1]", b"[" + b"1," * (size // 2) + b"1]") + b"[0]}]}",
        head + b"[" + b"1," * (size // 2) + b"1]}]}",
        head + b"[" + b"[]," * (size // 3) + b"[]]}]}",
        head + b"[" * 900 + b"0" + b"]" * 900 + b"}]}",
        head.replace(b"images", b"encoded_images").replace(b"FP32", b"BYTES").replace(b"[1, 3, 2, 1]", b"[1]")
        + b"["
        + b'"",' * (size // 3)
        + b'""]}]}',
    ]
    for text in bodies:
        tracemalloc.start()
        try:
            refusal(text, spec)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2.5 * max(len(text), 2**20)
