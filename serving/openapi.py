"""`/openapi.json`, made from the structs that validate requests and that answers are encoded from."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from .._version import __version__
from .dialects.accepted import (
    DIALECTS,
    PLATFORM_DEPLOYMENT,
    PLATFORM_ENDPOINT,
    PLATFORM_MODEL,
    PLATFORM_MODEL_ID,
    PREDICT,
    PREDICT_BY_FIELD,
    ROUTES,
    is_platform_path,
)
from .dialects.dialect import Dialect
from .open_inference_openapi import STRUCTS, adapt_schemas, open_inference_paths
from .openapi_parts import (
    ERRORS,
    KEYS,
    MODEL_ID,
    REFERENCE,
    Schema,
    errors,
    json_of,
    operation,
    readiness,
    reference,
)
from .schemas import (
    Error,
    Health,
    ModelInfo,
    ModelList,
    PlatformError,
    PlatformModel,
    Reload,
    Status,
)
from .video_formats import FORMATS

_IMAGE = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, BMP, TIFF or AVIF."}
_MEDIA = {**_IMAGE, "description": f"{_IMAGE['description'][:-1]}; or a video: {FORMATS}."}
_PLATFORM_NAMES = {
    "owner": "Any; or the first part of an id with slashes.",
    "project": "The same, the second part.",
    "model": "The id of a model, or its last part.",
    "deployment": "The id of a model, or its last part.",
    "model_id": "As /v1/models lists them.",
}
_PLATFORM = {
    "platform_model": PLATFORM_MODEL,
    "platform_model_id": PLATFORM_MODEL_ID,
    "platform_deployment": PLATFORM_DEPLOYMENT,
    "platform_endpoint": PLATFORM_ENDPOINT,
}
_PLATFORM_LOOKUP = PLATFORM_MODEL.removesuffix("/predict")
_TEXT = {"schema": {"type": "string"}}


def document() -> Schema:
    """The OpenAPI 3.1 description of the server."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "yolean",
            "version": __version__,
            "description": "The APIs of Ultralytics HUB, HUB v1 and HUB v2, and of Ultralytics Platform on "
            "your own machine, and the Open Inference Protocol. Path and field names of a request decide its "
            "dialect; they cannot be mixed.",
        },
        "paths": {
            PREDICT: {"parameters": [MODEL_ID], "post": _prediction("predict", PREDICT)},
            PREDICT_BY_FIELD: {
                "get": operation("The page", {"text/html": _TEXT}),
                "post": _prediction("predict_by_field", PREDICT_BY_FIELD),
            },
            **{path: _platform(operation_id, path) for operation_id, path in _PLATFORM.items()},
            _PLATFORM_LOOKUP: {
                "parameters": _named_in(_PLATFORM_LOOKUP),
                "get": operation(
                    "Whether Platform's clients find a model", json_of(PlatformModel), (404,), PlatformError
                ),
            },
            **open_inference_paths(),
            "/v1/models": {"get": operation("The models", json_of(ModelList))},
            "/v1/models/{model_id}": {
                "parameters": [MODEL_ID],
                "get": operation("One model", json_of(ModelInfo), (404,)),
            },
            "/v1/models/reload": {
                "post": {
                    **operation("Look for new, replaced and removed files", json_of(Reload), (400, 401)),
                    "security": KEYS,
                }
            },
            "/livez": {"get": operation("Whether the process answers", json_of(Status))},
            "/readyz": {"get": readiness("Whether every model has run once", Status)},
            "/health": {"get": operation("State, versions, models, failures", json_of(Health))},
            "/metrics": {"get": operation("Prometheus' figures", {"text/plain": _TEXT})},
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _schemas() -> Schema:
    """All components: of each dialect an upload, an address and the answer, and what else is answered."""
    structs = [struct for dialect in DIALECTS for struct in (dialect.fields, dialect.answer)]
    structs += [Error, PlatformError, PlatformModel, Health, ModelInfo, ModelList, Reload, Status]
    structs += STRUCTS
    _, schemas = msgspec.json.schema_components(structs, ref_template=REFERENCE)
    for dialect in DIALECTS:
        fields, url = schemas.pop(dialect.fields.__name__), dialect.wire_name("url")
        others = {name: schema for name, schema in fields["properties"].items() if name != url}
        file = _IMAGE if dialect.video is None else _MEDIA
        schemas[f"{dialect.fields.__name__}Upload"] = {
            **fields, "properties": {dialect.file: file, **others}, "required": [dialect.file]
        }  # fmt: skip
        schemas[f"{dialect.fields.__name__}Address"] = {**fields, "required": [url]}
    adapt_schemas(schemas)
    return schemas


def _platform(operation_id: str, path: str) -> Schema:
    """A route of Ultralytics Platform that predicts."""
    names = _named_in(path)
    return {**({"parameters": names} if names else {}), "post": _prediction(operation_id, path)}


def _named_in(path: str) -> list[Schema]:
    """The parameters of a path of Ultralytics Platform."""
    names = re.findall(r"\{(\w+)\}", path)
    return [{**MODEL_ID, "name": name, "description": _PLATFORM_NAMES[name]} for name in names]


def _prediction(operation_id: str, path: str) -> Schema:
    """A route that predicts, for the dialects that it accepts."""
    dialects = ROUTES[path]
    error = PlatformError if is_platform_path(path) else Error

    def any_of(kind: str) -> Schema:
        return {"schema": {"anyOf": [reference(f"{dialect.fields.__name__}{kind}") for dialect in dialects]}}

    return {
        "operationId": operation_id,
        "summary": "Predict one image",
        "security": [{}, *KEYS],
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
            **errors(tuple(ERRORS), error),
        },
    }


def _in_query(dialects: Sequence[Dialect]) -> Schema:
    """The fields that may stand in the query: all but the file and the address."""
    found: Schema = {}
    for dialect in dialects:
        fields = msgspec.json.schema(dialect.fields)["$defs"][dialect.fields.__name__]["properties"]
        found |= {name: field for name, field in fields.items() if name != dialect.wire_name("url")}
    return found
