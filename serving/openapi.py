"""`/openapi.json`, made from the structs that validate requests."""

from __future__ import annotations

from typing import Any

import msgspec

from .._version import __version__
from .dialects.arguments import First, Second

_REFERENCE = "#/components/schemas/{name}"
_IMAGE = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, BMP, TIFF or AVIF."}
_ERRORS = {
    400: "An argument is wrong, or the image is unreadable or too large.",
    401: "The key is missing or wrong.",
    404: "No such model.",
    413: "The body is too large.",
    415: "Not an image.",
    422: "The address cannot be fetched, or is not allowed.",
    503: "Busy; see Retry-After.",
    504: "The request waited too long.",
}


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 description of the server."""
    (_, _), schemas = msgspec.json.schema_components((First, Second), ref_template=_REFERENCE)
    first, second = schemas["First"], schemas["Second"]
    error = {
        "type": "object",
        "required": ["success", "message"],
        "properties": {"success": {"const": False}, "message": {"type": "string"}},
    }
    schemas |= {
        "FirstUpload": _with_file(first, "image", leave=("url",)),
        "SecondUpload": _with_file(second, "file", leave=("source",)),
        "FirstAddress": {**first, "required": ["url"]},
        "SecondAddress": {**second, "required": ["source"]},
        "FirstAnswer": _first_answer(),
        "SecondAnswer": _second_answer(),
        "Error": error,
    }
    model_id = {
        "name": "model_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "As /v1/models lists them.",
    }
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "yolean",
            "version": __version__,
            "description": "The HUB Inference API on your own machine, in both of its forms. The field names "
            "of a request decide its form; the two cannot be mixed.",
        },
        "paths": {
            "/v1/predict/{model_id}": {"parameters": [model_id], "post": _prediction("predict", schemas)},
            "/": {
                "get": _get("The page", {"text/html": {"schema": {"type": "string"}}}),
                "post": _prediction("predict_by_field", schemas, ("Second",)),
            },
            "/v1/models": {"get": _get("The models")},
            "/v1/models/{model_id}": {"parameters": [model_id], "get": _get("One model", errors=(404,))},
            "/v1/models/reload": {
                "post": {
                    **_get("Look for new, replaced and removed files", errors=(401,)),
                    "security": [{"key": []}],
                }
            },
            "/livez": {"get": _get("Whether the process answers")},
            "/readyz": {"get": _get("Whether every model has run once", errors=(503,))},
            "/health": {"get": _get("State, versions, models, failures")},
            "/metrics": {"get": _get("Prometheus' figures", text)},
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def _with_file(struct: dict[str, Any], name: str, leave: tuple[str, ...]) -> dict[str, Any]:
    properties = {key: value for key, value in struct["properties"].items() if key not in leave}
    return {**struct, "properties": {name: _IMAGE, **properties}, "required": [name]}


def _prediction(
    operation: str, schemas: dict[str, Any], forms: tuple[str, ...] = ("First", "Second")
) -> dict[str, Any]:
    def either(kind: str) -> dict[str, Any]:
        return {"schema": {"anyOf": [{"$ref": _REFERENCE.format(name=form + kind)} for form in forms]}}

    in_query = {name: schema for form in forms for name, schema in schemas[form]["properties"].items()}
    image: dict[str, Any] = {"schema": _IMAGE}
    return {
        "operationId": operation,
        "summary": "Predict one image",
        "security": [{}, {"key": []}],
        "parameters": [
            {"name": name, "in": "query", "schema": schema, "description": "Where the body is the image."}
            for name, schema in in_query.items()
            if name not in ("url", "source")
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": either("Upload"),
                "application/json": either("Address"),
                "application/x-www-form-urlencoded": either("Address"),
                "image/*": image,
                "application/octet-stream": image,
            },
        },
        "responses": {
            "200": {
                "description": "What was found",
                "content": {"application/json": either("Answer")},
            },
            **_errors(tuple(_ERRORS)),
        },
    }


def _get(summary: str, content: dict[str, Any] | None = None, errors: tuple[int, ...] = ()) -> dict[str, Any]:
    content = content or {"application/json": {"schema": {"type": "object"}}}
    responses = {"200": {"description": summary, "content": content}, **_errors(errors)}
    return {"summary": summary, "responses": responses}


def _errors(statuses: tuple[int, ...]) -> dict[str, Any]:
    schema = {"application/json": {"schema": {"$ref": _REFERENCE.format(name="Error")}}}
    return {str(s): {"description": _ERRORS[s], "content": schema} for s in statuses}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _numbers(**more: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "number"}, **more}


def _head() -> dict[str, Any]:
    score = {"type": "number", "minimum": 0, "maximum": 1}
    return {"class": {"type": "integer"}, "name": {"type": "string"}, "confidence": score}


def _first_answer() -> dict[str, Any]:
    number = {"type": "number"}
    item = _object(
        _head(),
        {
            **{name: number for name in ("width", "height", "xcenter", "ycenter")},
            "obb": _numbers(minItems=8, maxItems=8),
            "segment": _numbers(),
            "keypoints": _numbers(),
        },
    )
    data = {"type": "array", "items": item}
    return _object({"success": {"const": True}, "message": {"type": "string"}, "data": data})


def _second_answer() -> dict[str, Any]:
    number = {"type": "number"}
    corners = {f"{axis}{n}": number for n in range(1, 5) for axis in "xy"}
    box = _object({name: corners[name] for name in ("x1", "y1", "x2", "y2")}, corners)
    columns = _object({"x": _numbers(), "y": _numbers()}, {"visible": _numbers()})
    item = _object(_head(), {"box": box, "segments": columns, "keypoints": columns})
    speed = _object({name: number for name in ("preprocess", "inference", "postprocess")})
    shape = _numbers(minItems=2, maxItems=2)
    image = _object({"results": {"type": "array", "items": item}, "shape": shape, "speed": speed})
    text = {"type": "string"}
    metadata = _object(
        {"model": text, "task": text, "imgsz": shape, "conf": number, "iou": number}
        | {"provider": text, "version": text}
    )
    return _object({"images": {"type": "array", "items": image}, "metadata": metadata})
