"""The status and the body that each error is answered with: the one place where errors become HTTP."""

from __future__ import annotations

from http import HTTPStatus

from starlette.exceptions import HTTPException

from ..engine.errors import DeviceError, InputError, ModelError, ServerBusy, YoleanError
from .bodies import BodyTooLarge, UnknownBody
from .client_limits import SlowUpload
from .dialects.accepted import is_platform_path
from .dialects.open_inference import InferenceError, is_inference_path
from .fetch.fetcher import FetchError
from .image_guard.headers import NotAnImage
from .schemas import Error, PlatformError, encode
from .tickets import DeadlineError


class NotAllowed(YoleanError):
    """The key is missing or wrong."""


class NotFound(YoleanError):
    """There is no such model."""


# The most specific first.
_STATUS: tuple[tuple[type[YoleanError], int], ...] = (
    (NotAnImage, 415),
    (UnknownBody, 415),
    (BodyTooLarge, 413),
    (SlowUpload, 408),
    (FetchError, 422),
    (NotAllowed, 401),
    (NotFound, 404),
    (ServerBusy, 503),
    (DeadlineError, 504),
    (ModelError, 400),  # of a model that has run before: it cannot take an image of this shape
    (InputError, 400),
    (DeviceError, 500),
)

Reply = tuple[int, bytes, list[tuple[str, str]]]
"""Status, body, and headers beside Content-Type and Content-Length."""


def status_of(error: Exception) -> int:
    """The status that an error is answered with."""
    if isinstance(error, HTTPException):
        return error.status_code
    return next((code for kind, code in _STATUS if isinstance(error, kind)), 500)


def reply_to(error: Exception, request_id: str, path: str = "") -> Reply:
    """The answer to an error. A bug of the server is answered with the request's id and no detail.

    Args:
        error: what was raised.
        request_id: of the request.
        path: of the request, without that of a mount: clients of some dialects expect other fields.
    """
    status, message = status_of(error), str(error)
    headers: list[tuple[str, str]] = []
    if isinstance(error, HTTPException):
        message = _http_message(error, path)
        headers = [(name.lower(), value) for name, value in (error.headers or {}).items()]
    if isinstance(error, ServerBusy):
        headers.append(("retry-after", str(error.retry_after)))
    if isinstance(error, (BodyTooLarge, SlowUpload)):
        headers.append(("connection", "close"))  # the rest of the body may still be on its way
    if isinstance(error, NotAllowed):
        headers.append(("www-authenticate", "Bearer, x-api-key"))
    if isinstance(error, ModelError):
        message = "the model cannot run on an image of this shape at this size: ask for a larger one"
    if status == 500:
        message = f"something went wrong in the server; its log tells more about request {request_id}"
    return status, encode(_body(message, path)), headers


def _body(message: str, path: str) -> Error | InferenceError:
    if is_inference_path(path):
        return InferenceError(message)
    return PlatformError(message=message, error=message) if is_platform_path(path) else Error(message=message)


def _http_message(error: HTTPException, path: str) -> str:
    if error.status_code == 404:
        predict = "/v1/predict/MODEL_ID"
        if is_inference_path(path):
            predict = "/v2/models/MODEL_ID/infer"
        elif is_platform_path(path):
            predict = "/api/models/MODEL_ID/predict"
        return f"no such path: predictions go to POST {predict}, see /openapi.json"
    if error.status_code == 405:
        return f"this method is not for this path: expected {(error.headers or {}).get('Allow', 'another')}"
    return error.detail or HTTPStatus(error.status_code).phrase
