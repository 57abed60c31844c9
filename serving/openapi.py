"""`/openapi.json`, made from the structs that validate requests and that answers are encoded from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .._version import __version__
from .dialects.accepted import DIALECTS, PREDICT, PREDICT_BY_FIELD, ROUTES
from .dialects.dialect import Dialect
from .schemas import Error, Health, ModelInfo, ModelList, Reload, Status

Schema = dict[str, Any]

_REFERENCE = "#/components/schemas/{name}"
_IMAGE = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, BMP, TIFF or AVIF."}
_ERRORS = {
    400: "An argument is wrong, or the image is unreadable or too large.",
    401: "The key is missing or wrong.",
    404: "No such model.",
    408: "The body came too slowly.",
    413: "The body is too large.",
    415: "Not an image.",
    422: "The address cannot be fetched, or is not allowed.",
    503: "Busy; see Retry-After.",
    504: "The request waited too long.",
}
_MODEL_ID = {
    "name": "model_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "As /v1/models lists them.",
}
_TEXT = {"schema": {"type": "string"}}


def document() -> Schema:
    """The OpenAPI 3.1 description of the server."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "yolean",
            "version": __version__,
            "description": "The HUB Inference API on your own machine, HUB v1 and HUB v2. The field names of "
            "a request decide its dialect; the two cannot be mixed.",
        },
        "paths": {
            PREDICT: {"parameters": [_MODEL_ID], "post": _prediction("predict", ROUTES[PREDICT])},
            PREDICT_BY_FIELD: {
                "get": _operation("The page", {"text/html": _TEXT}),
                "post": _prediction("predict_by_field", ROUTES[PREDICT_BY_FIELD]),
            },
            "/v1/models": {"get": _operation("The models", _json(ModelList))},
            "/v1/models/{model_id}": {
                "parameters": [_MODEL_ID],
                "get": _operation("One model", _json(ModelInfo), (404,)),
            },
            "/v1/models/reload": {
                "post": {
                    **_operation("Look for new, replaced and removed files", _json(Reload), (401,)),
                    "security": [{"key": []}],
                }
            },
            "/livez": {"get": _operation("Whether the process answers", _json(Status))},
            "/readyz": {"get": _readiness()},
            "/health": {"get": _operation("State, versions, models, failures", _json(Health))},
            "/metrics": {"get": _operation("Prometheus' figures", {"text/plain": _TEXT})},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        },
    }


def _schemas() -> Schema:
    """All components: of each dialect an upload, an address and the answer, and what else is answered."""
    structs = [struct for dialect in DIALECTS for struct in (dialect.fields, dialect.answer)]
    structs += [Error, Health, ModelInfo, ModelList, Reload, Status]
    _, schemas = msgspec.json.schema_components(structs, ref_template=_REFERENCE)
    for dialect in DIALECTS:
        fields, url = schemas.pop(dialect.fields.__name__), dialect.wire_name("url")
        others = {name: schema for name, schema in fields["properties"].items() if name != url}
        schemas[f"{dialect.fields.__name__}Upload"] = {
            **fields, "properties": {dialect.file: _IMAGE, **others}, "required": [dialect.file]
        }  # fmt: skip
        schemas[f"{dialect.fields.__name__}Address"] = {**fields, "required": [url]}
    return schemas


def _prediction(operation: str, dialects: Sequence[Dialect]) -> Schema:
    """A route that predicts, for the dialects that it accepts."""

    def any_of(kind: str) -> Schema:
        return {"schema": {"anyOf": [_reference(f"{dialect.fields.__name__}{kind}") for dialect in dialects]}}

    return {
        "operationId": operation,
        "summary": "Predict one image",
        "security": [{}, {"key": []}],
        "parameters": [
            {"name": name, "in": "query", "schema": schema, "description": "Where the body is the image."}
            for name, schema in _in_query(dialects).items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": any_of("Upload"),
                "application/json": any_of("Address"),
                "application/x-www-form-urlencoded": any_of("Address"),
                "image/*": {"schema": _IMAGE},
                "application/octet-stream": {"schema": _IMAGE},
            },
        },
        "responses": {
            "200": {"description": "What was found", "content": {"application/json": any_of("Answer")}},
            **_errors(tuple(_ERRORS)),
        },
    }


def _in_query(dialects: Sequence[Dialect]) -> Schema:
    """The fields that may stand in the query: all but the file and the address."""
    found: Schema = {}
    for dialect in dialects:
        fields = msgspec.json.schema(dialect.fields)["$defs"][dialect.fields.__name__]["properties"]
        found |= {name: field for name, field in fields.items() if name != dialect.wire_name("url")}
    return found


def _readiness() -> Schema:
    found = _operation("Whether every model has run once", _json(Status))
    found["responses"]["503"] = {"description": "Not yet, or not any more", "content": _json(Status)}
    return found


def _operation(summary: str, content: Schema, errors: Sequence[int] = ()) -> Schema:
    responses = {"200": {"description": summary, "content": content}, **_errors(errors)}
    return {"summary": summary, "responses": responses}


def _errors(statuses: Sequence[int]) -> Schema:
    return {str(s): {"description": _ERRORS[s], "content": _json(Error)} for s in statuses}


def _json(struct: type[msgspec.Struct]) -> Schema:
    return {"application/json": {"schema": _reference(struct.__name__)}}


def _reference(name: str) -> Schema:
    return {"$ref": _REFERENCE.format(name=name)}
