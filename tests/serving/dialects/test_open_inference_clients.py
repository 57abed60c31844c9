"""Triton's and KServe's own clients in front of `yolean serve`, and the programs of docs/open-inference.md.

They need tritonclient[http] and kserve, in an environment of their own.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from yolean.engine.images.decoding import image_from_bytes
from yolean.engine.images.frames import Frame
from yolean.engine.pipeline import Engine
from yolean.engine.results.results import Results
from yolean.models import DEMO_MODELS, demo_images, demo_model

pytestmark = pytest.mark.oip

KEY = "0123456789abcdef"
HEADERS = {"authorization": f"Bearer {KEY}"}
IMAGE = demo_images()[0]
SHAPES = IMAGE.read_bytes()
NAMES = DEMO_MODELS | {"detect": "acme/doors/best"}
"""What the server calls its models."""

PAGE = Path(__file__).parents[3] / "docs" / "open-inference.md"


@pytest.fixture(scope="module")
def served(start_module_server: Callable[..., Any]) -> Any:
    """A server with a key and models of all tasks, one of which is called with slashes."""
    models = [word for task, name in NAMES.items() for word in ("--models", f"{name}={demo_model(task)}")]
    return start_module_server(*models, env={"YOLEAN_API_KEY": KEY})


@pytest.fixture(scope="module")
def triton() -> Any:
    """The client; not imported above, because these tests are deselected where it is not installed."""
    return importlib.import_module("tritonclient.http")


@pytest.fixture(scope="module")
def triton_aio() -> Any:
    return importlib.import_module("tritonclient.http.aio")


@pytest.fixture(scope="module")
def kserve() -> Any:
    return importlib.import_module("kserve")


@pytest.fixture
def client(triton: Any, served: Any) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{served.port}", concurrency=4) as found:
        yield found


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def objects(*values: bytes) -> Any:
    """An array of bytes, as both clients want it."""
    found = np.empty(len(values), object)
    found[:] = values
    return found


def tensor_of(engine: Engine) -> Any:
    """The image as the input tensor of a network, and what is found in it."""
    placed = engine.place(Frame(image_from_bytes(SHAPES), "image", 0, None, 0), engine.size())
    tensor = np.array(engine.prepare([placed]).tensor.array, np.float32)
    frame = engine.place(Frame.of_tensor(tensor[0], "images"), engine.size())
    outputs = engine.infer(engine.prepare([frame]), 0.25)
    return tensor, engine.result(outputs, 0, engine.options())


def check(as_numpy: Callable[[str], Any], results: Results) -> None:
    """Check the outputs of one image against the results of the engine."""
    assert as_numpy("image_sizes").tolist() == [list(results.orig_shape)]
    if results.depth is not None:
        np.testing.assert_array_equal(as_numpy("depth"), results.depth.at_input[None])
        return
    names = [each.decode() if isinstance(each, bytes) else each for each in as_numpy("class_names")]
    assert names == [results.class_name(c) for c in as_numpy("classes").tolist()]
    assert len(names) > 0
    if results.semantic_mask is not None:
        np.testing.assert_array_equal(as_numpy("semantic_mask"), results.semantic_mask.data[None])
    elif results.probs is not None:
        np.testing.assert_array_equal(as_numpy("probabilities"), results.probs.data[None])
        np.testing.assert_array_equal(as_numpy("scores"), results.probs.top5conf)
    elif results.obb is not None:
        np.testing.assert_array_equal(as_numpy("corners"), results.obb.xyxyxyxy)
        np.testing.assert_array_equal(as_numpy("scores"), results.obb.conf)
    else:
        assert results.boxes is not None
        np.testing.assert_array_equal(as_numpy("boxes"), results.boxes.xyxy)
        np.testing.assert_array_equal(as_numpy("classes"), results.boxes.cls)
    if results.keypoints is not None:
        np.testing.assert_array_equal(as_numpy("keypoints"), results.keypoints.data)
    if results.masks is not None:
        points, owners = as_numpy("mask_points"), as_numpy("mask_index")
        for row, outline in enumerate(results.masks.xy):
            np.testing.assert_array_equal(points[owners == row], outline)


# ---- Triton's client --------------------------------------------------------------------------------------


def triton_inputs(triton: Any, engine: Engine) -> list[tuple[Any, Results]]:
    """The ways to send an image, each with the results of the engine."""
    (results,) = engine(SHAPES)
    text = base64.b64encode(SHAPES)
    tensor, of_tensor = tensor_of(engine)
    ways = []
    for name, datatype, values, is_binary, wanted in (
        ("encoded_images", "BYTES", objects(SHAPES), True, results),
        ("encoded_images", "BYTES", objects(text), False, results),
        ("encoded_images", "BYTES", objects(SHAPES).reshape(1, 1), True, results),
        ("images", "FP32", tensor, True, of_tensor),
    ):
        given = triton.InferInput(name, list(values.shape), datatype)
        given.set_data_from_numpy(values, binary_data=is_binary)
        ways.append((given, wanted))
    return ways


def test_triton_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata()
    assert (server["name"], server["extensions"]) == ("yolean", ["binary_tensor_data", "parameters"])
    for name in NAMES.values():
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, "1")
        assert not client.is_model_ready(name, "2")
        metadata = client.get_model_metadata(name)
        assert metadata == client.get_model_metadata(name, "1")
        assert (metadata["name"], metadata["versions"]) == (name, ["1"])
        assert [given["name"] for given in metadata["inputs"]] == ["encoded_images", "images"]
    assert not client.is_model_ready("none")


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_triton_infers(triton: Any, client: Any, engines: Mapping[str, Engine], task: str) -> None:
    metadata = client.get_model_metadata(NAMES[task])
    for given, wanted in triton_inputs(triton, engines[task]):
        answer = client.infer(NAMES[task], [given], headers=dict(HEADERS), request_id="7")  # binary outputs
        check(answer.as_numpy, wanted)
        assert answer.get_response()["id"] == "7"
        for binary_data in (True, False):
            outputs = [
                triton.InferRequestedOutput(output["name"], binary_data=binary_data)
                for output in reversed(metadata["outputs"])
            ]
            answer = client.infer(NAMES[task], [given], outputs=outputs, headers=dict(HEADERS))
            check(answer.as_numpy, wanted)
            names = [output["name"] for output in answer.get_response()["outputs"]]
            assert names == [output.name() for output in outputs]


def test_triton_parameters_versions_and_nothing_found(
    triton: Any, client: Any, engines: Mapping[str, Engine]
) -> None:
    given, _ = triton_inputs(triton, engines["segment"])[0]
    name = NAMES["segment"]
    fields: dict[str, Any] = {"conf": 0.5, "iou": 0.3, "max_det": 3, "classes": "0,2", "imgsz": 256}
    answer = client.infer(
        name, [given], model_version="1", parameters=dict(fields), headers=dict(HEADERS), timeout=5_000_000
    )
    (wanted,) = engines["segment"](SHAPES, **(fields | {"classes": [0, 2]}))
    check(answer.as_numpy, wanted)
    assert answer.get_response()["model_version"] == "1"
    for outputs in (
        None,
        [triton.InferRequestedOutput(n, binary_data=False) for n in ("boxes", "mask_points")],
    ):
        answer = client.infer(name, [given], outputs=outputs, parameters={"conf": 1.0}, headers=dict(HEADERS))
        assert answer.as_numpy("boxes").shape == (0, 4)
        assert answer.as_numpy("mask_points").shape == (0, 2)


def test_triton_sends_several_images_and_requests(
    triton: Any, client: Any, engines: Mapping[str, Engine]
) -> None:
    files = [path.read_bytes() for path in demo_images()[:3]] * 2
    given = triton.InferInput("encoded_images", [len(files)], "BYTES")
    given.set_data_from_numpy(objects(*files))
    asked = [client.async_infer(NAMES["detect"], [given], headers=dict(HEADERS)) for _ in range(3)]
    for answer in (each.get_result() for each in asked):
        index, boxes = answer.as_numpy("image_index"), answer.as_numpy("boxes")
        for number, data in enumerate(files):
            np.testing.assert_array_equal(boxes[index == number], engines["detect"](data)[0].boxes.xyxy)  # type: ignore[union-attr]


def test_triton_aio(triton: Any, triton_aio: Any, served: Any, engines: Mapping[str, Engine]) -> None:
    async def ask() -> None:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{served.port}") as client:
            assert await client.is_server_ready()
            assert await client.is_model_ready(NAMES["pose"])
            for task in ("detect", "pose"):
                assert (await client.get_model_metadata(NAMES[task]))["name"] == NAMES[task]
                ways = triton_inputs(triton, engines[task])
                answers = await asyncio.gather(
                    *(client.infer(NAMES[task], [given], headers=dict(HEADERS)) for given, _ in ways)
                )
                for answer, (_, wanted) in zip(answers, ways, strict=True):
                    check(answer.as_numpy, wanted)

    asyncio.run(ask())


def test_triton_shows_what_is_wrong(triton: Any, client: Any, engines: Mapping[str, Engine]) -> None:
    error = importlib.import_module("tritonclient.utils").InferenceServerException
    given, _ = triton_inputs(triton, engines["detect"])[0]
    unreadable = triton.InferInput("encoded_images", [1], "BYTES")
    unreadable.set_data_from_numpy(objects(b"no image"))
    for name, sent, more, status, words in (
        (NAMES["detect"], given, {"headers": {}}, "401", "is missing"),
        ("none", given, {}, "404", "no model is called 'none'"),
        (NAMES["detect"], given, {"model_version": "3"}, "404", "version 1 alone"),
        (NAMES["detect"], unreadable, {}, "415", "encoded_images: expected an image"),
        (NAMES["detect"], given, {"priority": 1}, "400", "found 'priority'"),
        (NAMES["detect"], given, {"outputs": [triton.InferRequestedOutput("masks")]}, "400", "found 'masks'"),
        (NAMES["detect"], given, {"request_compression_algorithm": "gzip"}, "415", "Content-Encoding 'gzip'"),
    ):
        with pytest.raises(error, match=re.escape(words)) as found:
            client.infer(name, [sent], **({"headers": dict(HEADERS)} | more))
        assert found.value.status() == status


# ---- KServe's client --------------------------------------------------------------------------------------


def test_kserve(kserve: Any, served: Any, engines: Mapping[str, Engine]) -> None:
    text = base64.b64encode(SHAPES).decode()

    async def ask() -> None:
        config = kserve.RESTConfig(protocol="v2", retries=0, timeout=60)
        async with kserve.InferenceRESTClient(config) as client:
            assert await client.is_server_live(served.url)
            assert await client.is_server_ready(served.url)
            assert not await client.is_model_ready(served.url, "none")
            for task, engine in engines.items():
                assert await client.is_model_ready(served.url, NAMES[task])
                (results,) = engine(SHAPES)
                tensor, of_tensor = tensor_of(engine)
                for values, datatype, is_binary, wanted in (
                    (objects(SHAPES), "BYTES", True, results),
                    (objects(text.encode()), "BYTES", False, results),
                    (tensor, "FP32", True, of_tensor),
                ):
                    input_name = "images" if datatype == "FP32" else "encoded_images"
                    given = kserve.InferInput(input_name, list(values.shape), datatype)
                    given.set_data_from_numpy(values, binary_data=is_binary)
                    for parameters in (None, {"binary_data_output": True}):
                        request = kserve.InferRequest(
                            NAMES[task], [given], request_id="7", parameters=parameters
                        )
                        answer = await client.infer(
                            served.url, request, model_name=NAMES[task], headers=dict(HEADERS)
                        )
                        assert (answer.id, answer.model_name) == ("7", NAMES[task])
                        check(lambda name, a=answer: a.get_output_by_name(name).as_numpy(), wanted)  # type: ignore[misc]

    asyncio.run(ask())


def test_kserve_shows_what_is_wrong(kserve: Any, served: Any) -> None:
    error = importlib.import_module("httpx").HTTPStatusError
    given = {"name": "encoded_images", "shape": [1], "datatype": "BYTES", "data": ["no base64!"]}

    async def ask(name: str, headers: dict[str, str]) -> None:
        async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol="v2")) as client:
            await client.infer(served.url, {"inputs": [given]}, model_name=name, headers=headers)

    for name, headers, words in (
        ("none", HEADERS, "no model is called 'none'"),
        (NAMES["detect"], {}, "is missing"),
        (NAMES["detect"], HEADERS, "encoded_images: expected base64 or a data: URI of an image"),
    ):
        with pytest.raises(error, match=re.escape(words)):
            asyncio.run(ask(name, headers))


# ---- the page ---------------------------------------------------------------------------------------------


def programs(language: str) -> list[str]:
    """The blocks of the page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_page_as_it_is_written(
    start_server: Callable[..., Any],
    engines: Mapping[str, Engine],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(demo_model(), tmp_path / "yolov8n.onnx")
    shutil.copy(IMAGE, tmp_path / "bus.jpg")
    monkeypatch.chdir(tmp_path)
    (start,) = (line for line in programs("sh")[0].splitlines() if line.startswith("yolean serve "))
    server = start_server(*start.split()[2:])

    def here(program: str) -> str:
        return program.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")

    (results,) = engines["detect"](SHAPES, conf=0.4)
    assert results.boxes is not None
    of_triton, of_kserve = (run_program(here(program)) for program in programs("py"))
    names = [line.split()[-1] for line in of_triton.splitlines()]
    assert names == [results.class_name(int(c)) for c in results.boxes.cls]
    assert of_kserve == f"{np.array(results.boxes.xyxy)}\n"
    (command,) = programs("bash")
    done = subprocess.run(
        ["bash", "-ec", here(command)], capture_output=True, text=True, timeout=60, check=True
    )
    boxes = json.loads(done.stdout)["outputs"][0]
    (results,) = engines["detect"](SHAPES)
    np.testing.assert_array_equal(np.array(boxes["data"], np.float32), results.boxes.xyxy.ravel())  # type: ignore[union-attr]


def run_program(program: str) -> str:
    """What it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout
