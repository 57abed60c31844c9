"""The part of `/openapi.json` that describes the Open Inference Protocol."""

from __future__ import annotations

import msgspec

from .dialects.open_inference import (
    VERSION,
    InferenceError,
    InferenceParameters,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
)
from .openapi_parts import ERRORS, KEYS, MODEL_ID, Schema, errors, json_of, operation, readiness, reference

STRUCTS: list[type[msgspec.Struct]] = [
    InferenceError,
    InferenceParameters,
    InferenceRequest,
    InferenceResponse,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
]
"""The components of this part, beside those that they refer to."""

_VERSION = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "enum": [VERSION]},
    "description": "The only one of every model.",
}
_STATUSES = tuple(status for status in ERRORS if status != 422)  # no addresses are fetched
_HEADER_LENGTH = {
    "schema": {"type": "integer", "minimum": 0},
    "description": "Bytes of the JSON, where binary tensors follow it.",
}
_BINARY = {
    "schema": {"type": "string", "format": "binary", "description": "JSON, and binary tensors behind it."}
}


def open_inference_paths() -> Schema:
    """All routes, with and without a version."""
    found: Schema = {
        "/v2": {"get": operation("The server", json_of(ServerMetadata))},
        "/v2/health/live": {"get": operation("Whether the process answers", json_of(ServerLive))},
        "/v2/health/ready": {"get": readiness("Whether every model has run once", ServerReady)},
    }
    model = "/v2/models/{model_id}"
    for path, parameters, suffix in (
        (model, [MODEL_ID], ""),
        (f"{model}/versions/{{version}}", [MODEL_ID, _VERSION], "_version"),
    ):
        metadata = operation(
            "Inputs and outputs of a model", json_of(ModelMetadata), (404, 503), InferenceError
        )
        ready = readiness("Whether a model can be asked", ModelReady)
        ready["responses"]["404"] = errors((404,), InferenceError)["404"]
        found |= {
            path: {"parameters": parameters, "get": metadata},
            f"{path}/ready": {"parameters": parameters, "get": ready},
            f"{path}/infer": {"parameters": parameters, "post": _inference(f"infer{suffix}")},
        }
    return found


def adapt_schemas(schemas: Schema) -> None:
    """Say in the schema of a request what its parameters are, which are read by themselves."""
    parameters = schemas["InferenceRequest"]["properties"]["parameters"]
    parameters["anyOf"] = [reference(InferenceParameters.__name__), {"type": "null"}]


def _inference(operation_id: str) -> Schema:
    length = {**_HEADER_LENGTH, "name": "Inference-Header-Content-Length", "in": "header"}
    content = {**json_of(InferenceResponse), "application/octet-stream": _BINARY}
    return {
        "operationId": operation_id,
        "summary": "Predict one image or several",
        "security": [{}, *KEYS],
        "parameters": [length],
        "requestBody": {
            "required": True,
            "content": {**json_of(InferenceRequest), "application/octet-stream": _BINARY},
        },
        "responses": {
            "200": {
                "description": "The outputs",
                "headers": {"Inference-Header-Content-Length": _HEADER_LENGTH},
                "content": content,
            },
            **errors(_STATUSES, InferenceError),
        },
    }
