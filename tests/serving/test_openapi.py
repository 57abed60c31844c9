"""`/openapi.json` is a sound document, and says what the server does."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yolean
from starlette.routing import Route
from yolean.engine.errors import InputError
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.server import create_app
from yolean.serving.dialects.arguments import Arguments, read_arguments
from yolean.serving.dialects.hub import answer, encode
from yolean.serving.error_responses import reply_to
from yolean.serving.model_registry import LoadedModel
from yolean.serving.openapi import document
from yolean.serving.settings import Settings

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    """The document as clients read it."""
    return json.loads(encode(document()))


def walk(value: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    """Every part of a document, with where it is."""
    yield path, value
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from walk(child, f"{path}/{key}")


def resolved(api, schema):
    """A schema behind its references."""
    while "$ref" in schema:
        found = api
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def operations(api):
    return {
        (method, path): operation
        for path, item in api["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def complaints(api, schema, value, where="answer"):
    """What is wrong with a value, by the keywords that the document uses; others are refused."""
    schema = resolved(api, schema)
    found = []
    for keyword, argument in schema.items():
        match keyword:
            case "type":
                kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
                         "boolean": bool, "null": type(None)}  # fmt: skip
                if not isinstance(value, kinds[argument]) or (
                    isinstance(value, bool) and argument != "boolean"
                ):
                    return [f"{where}: {value!r} is no {argument}"]
            case "const":
                found += [] if value == argument else [f"{where}: {value!r} is not {argument!r}"]
            case "required":
                found += [f"{where}: {name} is missing" for name in argument if name not in value]
            case "properties":
                for name in argument.keys() & value.keys():
                    found += complaints(api, argument[name], value[name], f"{where}.{name}")
                # the document leaves room for more; what we answer should be in it all the same
                found += [f"{where}: {name} is not described" for name in value.keys() - argument.keys()]
            case "additionalProperties":
                assert argument is False
            case "items":
                for number, item in enumerate(value):
                    found += complaints(api, argument, item, f"{where}[{number}]")
            case "minItems":
                found += [] if len(value) >= argument else [f"{where}: has {len(value)} items"]
            case "maxItems":
                found += [] if len(value) <= argument else [f"{where}: has {len(value)} items"]
            case "minimum":
                found += [] if value >= argument else [f"{where}: {value} is too small"]
            case "maximum":
                found += [] if value <= argument else [f"{where}: {value} is too large"]
            case "minLength":
                found += [] if len(value) >= argument else [f"{where}: is too short"]
            case "maxLength":
                found += [] if len(value) <= argument else [f"{where}: is too long"]
            case "anyOf":
                tried = [complaints(api, one, value, where) for one in argument]
                found += [] if not all(tried) else min(tried, key=len)
            case "description" | "title" | "default" | "format":
                pass
            case _:
                raise AssertionError(f"the test does not know {keyword}")
    return found


# ---- sound ------------------------------------------------------------------------------------------------


def test_it_has_what_every_document_needs(api):
    assert api["openapi"].startswith("3.1")
    assert api.keys() <= {"openapi", "info", "jsonSchemaDialect", "servers", "paths", "components", "tags"}
    assert api["info"]["title"] == "yolean"
    assert api["info"]["version"] == yolean.__version__
    assert all(path.startswith("/") for path in api["paths"])


def test_it_holds_finite_plain_values(api):
    for where, value in walk(api):
        assert value is None or isinstance(value, (dict, list, str, int, float, bool)), where
        assert not isinstance(value, float) or math.isfinite(value), where


def test_every_reference_leads_somewhere(api):
    references = [(where, value) for where, value in walk(api) if where.endswith("/$ref")]
    assert len(references) > 10
    for where, reference in references:
        assert reference.startswith("#/components/"), where
        assert isinstance(resolved(api, {"$ref": reference}), dict), where


def test_every_schema_is_used(api):
    used = {value for where, value in walk(api) if where.endswith("/$ref")}
    # First and Second are what the others were made from
    assert {name for name in api["components"]["schemas"] if f"#/components/schemas/{name}" not in used} <= {
        "First",
        "Second",
    }


def test_every_operation_is_described(api):
    ids = []
    for (method, path), operation in operations(api).items():
        assert operation["summary"], (method, path)
        assert operation["responses"], (method, path)
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d|default", status)
            assert response["description"]
            assert all("schema" in content for content in response["content"].values())
        ids.append(operation.get("operationId"))
        for requirement in operation.get("security", []):
            assert requirement.keys() <= api["components"]["securitySchemes"].keys()
    ids = [one for one in ids if one is not None]
    assert len(set(ids)) == len(ids)


def test_every_parameter_of_a_path_is_declared(api):
    for path, item in api["paths"].items():
        declared = {
            parameter["name"]
            for operation in [item, *(item[method] for method in METHODS & item.keys())]
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "path" and parameter["required"] and "schema" in parameter
        }
        assert declared == set(re.findall(r"\{(\w+)\}", path)), path


def test_the_key_is_a_header(api):
    assert api["components"]["securitySchemes"]["key"] == {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
    }


def test_each_call_makes_a_document_of_its_own():
    first = document()
    first["paths"].clear()
    first["components"]["schemas"]["First"]["properties"].clear()
    assert document()["paths"]
    assert document()["components"]["schemas"]["First"]["properties"]


# ---- true -------------------------------------------------------------------------------------------------


def test_every_route_is_described_and_no_other(api, monkeypatch):
    monkeypatch.delenv("YOLEAN_API_KEY", raising=False)
    routes = {
        (method.lower(), route.path)
        for route in create_app(Settings()).routes
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }
    of_the_page = {("get", "/demo.jpg"), ("get", "/openapi.json")}
    assert operations(api).keys() - of_the_page == routes - of_the_page


RANGES = {
    # form: field, its range and its default, by the contract
    "First": {
        "url": (1, 2000, None),
        "size": (32, 1280, None),
        "confidence": (0.01, 1.0, 0.25),
        "iou": (0, 0.95, 0.45),
    },
    "Second": {
        "source": (1, 2000, None),
        "imgsz": (32, 1280, None),
        "conf": (0.01, 1.0, 0.25),
        "iou": (0, 0.95, 0.45),
        "model": (1, 500, None),
    },
}


def limits(api, schema):
    """Of a field that may be null: the limits of what it is else."""
    parts = [resolved(api, part) for part in schema.get("anyOf", [schema])]
    (kind,) = [part for part in parts if part.get("type") != "null"]
    low, high = ("minLength", "maxLength") if kind["type"] == "string" else ("minimum", "maximum")
    return kind["type"], kind[low], kind[high]


@pytest.mark.parametrize("form", RANGES)
@pytest.mark.parametrize("kind", ["", "Upload", "Address"])
def test_fields_ranges_and_defaults_are_those_of_the_contract(api, form, kind):
    schema = api["components"]["schemas"][f"{form}{kind}"]
    expected, image, address = (
        dict(RANGES[form]),
        *(("image", "url") if form == "First" else ("file", "source")),
    )
    if kind == "Upload":
        del expected[address]
        assert schema["properties"][image]["format"] == "binary"
    assert schema.get("required", []) == {"": [], "Upload": [image], "Address": [address]}[kind]
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() - {image} == expected.keys()
    for name, (low, high, default) in expected.items():
        field = schema["properties"][name]
        assert limits(api, field)[1:] == (low, high), name
        assert field.get("default") == default, name
    types = {limits(api, schema["properties"][name])[0] for name in expected}
    assert types <= {"string", "integer", "number"}


@pytest.mark.parametrize("form", RANGES)
def test_the_edges_of_the_document_are_those_of_the_server(api, form):
    for name, schema in api["components"]["schemas"][form]["properties"].items():
        kind, low, high = limits(api, schema)
        step = {"integer": 1, "number": 1e-6, "string": 1}[kind]
        make = (lambda length: "x" * length) if kind == "string" else (lambda number: number)
        for value in (low, high):
            read_arguments({name: make(value)}, {})
        for value in (low - step, high + step):
            with pytest.raises(InputError):
                read_arguments({name: make(value)}, {})


@pytest.mark.parametrize("path", ["/v1/predict/{model_id}", "/"])
def test_a_prediction_takes_every_kind_of_body_and_may_give_every_error(api, path):
    operation = api["paths"][path]["post"]
    assert operation["requestBody"]["content"].keys() == {
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/json",
        "image/*",
        "application/octet-stream",
    }
    assert operation["responses"].keys() >= {"200", "400", "401", "404", "413", "415", "422", "503", "504"}


def test_where_a_field_names_the_model_only_the_second_form_is_taken(api):
    operation = api["paths"]["/"]["post"]
    names = {value.rpartition("/")[2] for where, value in walk(operation) if where.endswith("/$ref")} - {
        "Error"
    }
    assert names
    assert all(name.startswith("Second") for name in names)


@pytest.mark.parametrize("path", ["/v1/predict/{model_id}", "/"])
def test_the_arguments_of_a_bare_image_stand_in_the_query(api, path):
    operation = api["paths"][path]["post"]
    in_query = {p["name"] for p in operation.get("parameters", []) if p["in"] == "query"}
    assert in_query >= {"imgsz", "conf", "iou"}


def test_errors_are_as_described(api):
    for error in (InputError("size=1"), RuntimeError("a bug")):
        body = json.loads(reply_to(error, "id")[1])
        assert complaints(api, {"$ref": "#/components/schemas/Error"}, body) == []


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_answers_are_as_described(api, task):
    engine = yolean.load(demo_model(task), "cpu", threads=1)
    served = LoadedModel(DEMO_MODELS[task], demo_model(task), "0", {1: engine})
    for conf in (0.05, 1.0):  # many objects, and none
        (results,) = engine(str(demo_images()[0]), conf=conf)
        for form, name in (("first", "FirstAnswer"), ("second", "SecondAnswer")):
            arguments = Arguments(form, None, "url", None, "size", conf, 0.45, None)
            body = json.loads(answer(results, arguments, served))
            assert complaints(api, {"$ref": f"#/components/schemas/{name}"}, body) == []


def test_the_check_of_answers_finds_what_is_wrong(api):
    schema = {"$ref": "#/components/schemas/FirstAnswer"}
    good = {"success": True, "message": "m", "data": [{"class": 0, "name": "n", "confidence": 0.5}]}
    assert complaints(api, schema, good) == []
    for bad in (
        good | {"success": False},
        good | {"data": None},
        good | {"more": 1},
        {"success": True},
        good | {"data": [{"class": "0", "name": "n", "confidence": 0.5}]},
        good | {"data": [{"class": 0, "name": "n", "confidence": 1.5}]},
        good | {"data": [{"class": 0, "name": "n", "confidence": 0.5, "obb": [0.5]}]},
    ):
        assert complaints(api, schema, bad) != []
