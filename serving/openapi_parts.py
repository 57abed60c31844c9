"""What the parts of `/openapi.json` are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .dialects.open_inference import InferenceError
from .schemas import Error

Schema = dict[str, Any]
ErrorKind = type[Error] | type[InferenceError]

REFERENCE = "#/components/schemas/{name}"
ERRORS = {
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
MODEL_ID = {
    "name": "model_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "As /v1/models lists them.",
}
KEYS: list[Schema] = [{"key": []}, {"bearer": []}]


def operation(
    summary: str, content: Schema, statuses: Sequence[int] = (), error: ErrorKind = Error
) -> Schema:
    """A route that reads nothing: its answer, and the statuses of its errors."""
    responses = {"200": {"description": summary, "content": content}, **errors(statuses, error)}
    return {"summary": summary, "responses": responses}


def errors(statuses: Sequence[int], error: ErrorKind) -> Schema:
    """The answers to errors."""
    return {str(s): {"description": ERRORS[s], "content": json_of(error)} for s in statuses}


def json_of(struct: type[msgspec.Struct]) -> Schema:
    """Content that is JSON of a struct."""
    return {"application/json": {"schema": reference(struct.__name__)}}


def reference(name: str) -> Schema:
    """A component."""
    return {"$ref": REFERENCE.format(name=name)}


def readiness(summary: str, struct: type[msgspec.Struct]) -> Schema:
    """A route that answers 200 or 503, with the same fields."""
    found = operation(summary, json_of(struct))
    found["responses"]["503"] = {"description": "Not yet, or not any more", "content": json_of(struct)}
    return found
