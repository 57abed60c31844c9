"""`/openapi.json` is a sound document, and says what the server does."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import msgspec
import pytest
import yolean
from starlette.routing import Route
from yolean.engine.errors import InputError
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.server import create_app
from yolean.serving.dialects.accepted import DIALECTS, ROUTES, is_platform_path
from yolean.serving.dialects.dialect import Arguments, Dialect
from yolean.serving.error_responses import reply_to
from yolean.serving.model_registry import LoadedModel
from yolean.serving.openapi import document
from yolean.serving.schemas import Error, PlatformError, encode
from yolean.serving.settings import Settings

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
IN_ALL = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.title)


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    """The document as clients read it."""
    found: dict[str, Any] = json.loads(encode(document()))
    return found


def walk(value: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    """Every part of a document, with its path."""
    yield path, value
    is_object, is_list = isinstance(value, dict), isinstance(value, list)
    for key, child in value.items() if is_object else enumerate(value) if is_list else ():
        yield from walk(child, f"{path}/{key}")


def references(value: Any) -> set[str]:
    """All components that are referred to."""
    return {child for path, child in walk(value) if path.endswith("/$ref")}


def operations(api: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in api["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


# ---- sound ------------------------------------------------------------------------------------------------


def test_it_has_what_every_document_needs(api: dict[str, Any]) -> None:
    assert api["openapi"].startswith("3.1")
    assert api.keys() <= {"openapi", "info", "jsonSchemaDialect", "servers", "paths", "components", "tags"}
    assert (api["info"]["title"], api["info"]["version"]) == ("yolean", yolean.__version__)
    assert api["components"]["securitySchemes"] == {
        "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    for where, value in walk(api):
        assert value is None or isinstance(value, (dict, list, str, int, float, bool)), where
        assert not isinstance(value, float) or math.isfinite(value), where
        assert not where.endswith("/prefixItems"), "many readers of OpenAPI do not know it"


def test_references_and_components_are_the_same(api: dict[str, Any]) -> None:
    components = {f"#/components/schemas/{name}" for name in api["components"]["schemas"]}
    assert references(api) == components


def test_every_operation_is_described(api: dict[str, Any]) -> None:
    ids = []
    for (method, path), operation in operations(api).items():
        assert operation["summary"], (method, path)
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
            assert all("schema" in content for content in response["content"].values())
        ids.append(operation.get("operationId", f"{method} {path}"))
        for requirement in operation.get("security", []):
            assert requirement.keys() <= api["components"]["securitySchemes"].keys()
    assert len(set(ids)) == len(ids)
    for path, item in api["paths"].items():
        parameters = [parameter["name"] for parameter in item.get("parameters", [])]
        assert parameters == re.findall(r"\{(\w+)\}", path), path


def test_each_call_makes_a_document_of_its_own() -> None:
    first = document()
    first["paths"].clear()
    first["components"]["schemas"]["HubV1Upload"]["properties"].clear()
    assert document()["paths"]
    assert document()["components"]["schemas"]["HubV1Upload"]["properties"]


# ---- true -------------------------------------------------------------------------------------------------


def test_every_route_is_described_and_no_other(api: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YOLEAN_API_KEY", raising=False)
    routes = {
        (method.lower(), re.sub(r":\w+}", "}", route.path))
        for route in create_app(Settings()).routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    of_the_page = {("get", "/demo.jpg"), ("get", "/openapi.json")}
    assert operations(api).keys() - of_the_page == routes - of_the_page


RANGES: dict[str, dict[str, tuple[float, float, float | None]]] = {
    # dialect: field, its range and its default, by the contract
    "HubV1": {
        "url": (1, 2000, None),
        "size": (32, 1280, None),
        "confidence": (0.01, 1.0, 0.25),
        "iou": (0, 0.95, 0.45),
    },
    "HubV2": {
        "source": (1, 2000, None),
        "imgsz": (32, 1280, None),
        "conf": (0.01, 1.0, 0.25),
        "iou": (0, 0.95, 0.45),
        "model": (1, 500, None),
    },
    "Platform": {
        "source": (1, math.inf, None),
        "imgsz": (32, 1280, None),
        "conf": (0.01, 1.0, 0.25),
        "iou": (0, 0.95, 0.7),
        "normalize": (False, True, False),
        "decimals": (0, 10, 5),
        "vid_stride": (1, 10_000, 1),
        "bits": (8, 16, 8),
        "tile": (32, 8192, None),
        "overlap": (0, 0.9, 0.2),
    },
}


def limits(field: dict[str, Any]) -> tuple[float, float, float | None]:
    """The range of a field and its default."""
    default = field.get("default")
    if "enum" in field:
        return field["enum"][0], field["enum"][-1], default
    if field["type"] == "boolean":
        return False, True, default
    low, high = ("minLength", "maxLength") if field["type"] == "string" else ("minimum", "maximum")
    return field[low], field.get(high, math.inf), default


@IN_ALL
def test_fields_ranges_and_defaults_are_those_of_the_contract(api: dict[str, Any], dialect: Dialect) -> None:
    name, file, url = dialect.fields.__name__, dialect.file, dialect.wire_name("url")
    upload, address = (api["components"]["schemas"][name + kind] for kind in ("Upload", "Address"))
    assert upload["properties"].pop(file)["format"] == "binary"
    assert (upload["required"], address["required"]) == ([file], [url])
    assert upload["additionalProperties"] is address["additionalProperties"] is False
    ranges = {field: limits(schema) for field, schema in address["properties"].items()}
    assert ranges == RANGES[name]
    assert {url: address["properties"][url], **upload["properties"]} == address["properties"]


@IN_ALL
def test_the_edges_of_the_document_are_those_of_the_server(api: dict[str, Any], dialect: Dialect) -> None:
    schema = api["components"]["schemas"][f"{dialect.fields.__name__}Address"]
    for name, field in schema["properties"].items():
        low, high, _ = limits(field)
        kind = field.get("type")
        make: Callable[[Any], Any] = (
            (lambda length: "x" * length) if kind == "string" else (lambda number: number)
        )
        step = 1e-6 if kind == "number" else 2
        edges = [edge for edge in (low, high) if edge < math.inf]
        for value in edges:
            dialect.read({name: make(value)})
        for value in (low - step, high + step)[: len(edges)]:
            with pytest.raises(InputError):
                dialect.read({name: make(value)})


@pytest.mark.parametrize("path", ROUTES)
def test_a_prediction_takes_every_kind_of_body_in_its_dialects(api: dict[str, Any], path: str) -> None:
    operation = api["paths"][path]["post"]
    assert operation["requestBody"]["content"].keys() == {
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/json",
        "image/*",
        "application/octet-stream",
    }
    assert operation["responses"].keys() >= {"200", "400", "401", "404", "413", "415", "422", "503", "504"}
    assert references(operation) == {
        f"#/components/schemas/{name}"
        for dialect in ROUTES[path]
        for name in (
            "PlatformError" if is_platform_path(path) else "Error",
            *(f"{dialect.fields.__name__}{kind}" for kind in ("Upload", "Address", "Answer")),
        )
    }
    in_query = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
    assert in_query == {
        name for d in ROUTES[path] for name in d.names if name not in (d.file, d.wire_name("url"))
    }


def test_errors_are_as_described() -> None:
    for error in (InputError("size=1"), RuntimeError("a bug")):
        for path, kind in (("/v1/predict/a", Error), ("/predict", PlatformError), ("/api/x", PlatformError)):
            body = reply_to(error, "id", path)[1]
            found = msgspec.json.decode(body, type=kind)
            assert found.success is False
            assert getattr(found, "error", found.message) == found.message
            assert encode(found) == body


@IN_ALL
def test_answers_are_as_described(engines: Mapping[str, Engine], dialect: Dialect) -> None:
    """An answer keeps every byte when it is read and written by the struct that describes it."""
    for task, conf in product(dialect.tasks, (0.05, 1.0)):  # many objects, and none
        model = LoadedModel(DEMO_MODELS[task], demo_model(task), "0", {1: engines[task]})
        (results,) = engines[task](str(demo_images()[0]), conf=conf)
        body = encode(dialect.render(results, Arguments(dialect, None, None, conf, 0.45, None), model))
        found = json.loads(encode(msgspec.json.decode(body, type=dialect.answer)))  # validates
        assert found == json.loads(body)


# ---- the Open Inference Protocol --------------------------------------------------------------------------


def test_the_routes_of_the_open_inference_protocol(api: dict[str, Any]) -> None:
    for suffix in ("", "/versions/{version}"):
        operation = api["paths"][f"/v2/models/{{model_id}}{suffix}/infer"]["post"]
        assert operation["requestBody"]["content"].keys() == {"application/json", "application/octet-stream"}
        assert operation["responses"].keys() == {
            *("200", "400", "401", "404", "408", "413", "415", "503", "504"),
        }
        assert references(operation) == {
            f"#/components/schemas/{name}"
            for name in ("InferenceRequest", "InferenceResponse", "InferenceError")
        }
    parameters = api["components"]["schemas"]["InferenceParameters"]["properties"]
    assert {name: limits(field) for name, field in parameters.items() if name != "classes"} == {
        "conf": (0.01, 1.0, 0.25),
        "iou": (0.0, 0.95, 0.45),
        "max_det": (1, 1000, 300),
        "imgsz": (32, 1280, None),
        "timeout": (1, 3_600_000_000, None),
        "binary_data_output": (False, True, False),
    }


def test_errors_of_the_open_inference_protocol_have_one_field() -> None:
    for path, is_inference in (
        ("/v2", True),
        ("/v2/models/a/infer", True),
        ("/v2x", False),
        ("/v1/v2/", False),
    ):
        body = json.loads(reply_to(InputError("conf=2"), "id", path)[1])
        assert (body == {"error": "conf=2"}) == is_inference
