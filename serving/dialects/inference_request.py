"""Reads requests of the Open Inference Protocol: the JSON, and the binary tensor behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from ...engine.errors import InputError
from ...engine.model.spec import ModelSpec
from ...postprocess.types import Float
from ..encoded_images import image_from_text, is_address
from ..forms import MAX_TEXT
from .dialect import read_fields, shown
from .inference_outputs import Output, outputs_of
from .open_inference import (
    ENCODED_IMAGES,
    IMAGES,
    MAX_IMAGES,
    InferenceParameters,
    InferenceRequest,
    Parameter,
    RequestInput,
    RequestOutput,
)
from .tensor_data import bytes_from_binary, floats_from_binary, floats_from_json, texts_from_json

_MAX_OBJECTS = 100  # of the JSON, which are inputs, outputs and their parameters
_MARGIN = 1e-3  # by which an interpolation may have gone beyond 0 and 1
_NOT_HERE = {
    "shared_memory_region": "shared memory is not",
    "classification": "the classification extension is not",
}


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output that is asked for, and whether it is sent as binary data."""

    output: Output
    is_binary: bool


@dataclass(frozen=True, slots=True)
class Inference:
    """What a request asks for; of the two inputs it has one.

    Attributes:
        encoded: image files, or None.
        tensor: (n, channels, h, w) float32 from 0 to 1, the input of the network, or None.
        wanted: the outputs, in the order of the answer.
        parameters: thresholds and filters.
        classes: ids to keep; None for all.
        id: of the request, or None.
    """

    encoded: list[bytes] | None
    tensor: Float | None
    wanted: tuple[WantedOutput, ...]
    parameters: InferenceParameters
    classes: tuple[int, ...] | None
    id: str | None


class _Data(msgspec.Struct):
    data: msgspec.Raw | UnsetType = UNSET


class _Envelope(msgspec.Struct):
    """A request whose strings and numbers are not made into objects yet."""

    inputs: list[_Data] = []


def read_inference(body: bytes, header_length: str | None, spec: ModelSpec) -> Inference:
    """Read a request.

    Nothing is allocated by what it claims: what is not tensor data is small, and tensor data is as large as
    its shape, which is compared with what there is.

    Args:
        body: the JSON, and binary data behind it.
        header_length: the header that says how many bytes the JSON has; None where it is the whole body.
        spec: of the model.

    Raises:
        InputError: it cannot be read, or asks for what there is not.
    """
    end = len(body) if header_length is None else _header_length(header_length, len(body))
    request = _request(body[:end])
    if len(request.inputs) != 1:
        raise InputError(
            f"inputs: expected one, {ENCODED_IMAGES!r} or {IMAGES!r}, found {len(request.inputs)}"
        )
    fields = dict(request.parameters or {})
    classes = _class_ids(fields.pop("classes", None))
    unknown = [name for name in fields if name not in InferenceParameters.__struct_fields__]
    if unknown:
        known = ", ".join(InferenceParameters.__struct_fields__)
        raise InputError(f"parameters: expected some of {known}, found {shown(unknown[0])}")
    parameters = read_fields(fields, InferenceParameters)
    wanted = _wanted(request.outputs or [], parameters.binary_data_output, spec)
    (given,) = request.inputs
    rest = None if header_length is None else memoryview(body)[end:]
    try:
        encoded, tensor = _images(given, rest, spec)
    except InputError as exc:
        raise type(exc)(
            f"{given.name}: {exc}" if given.name in (ENCODED_IMAGES, IMAGES) else str(exc)
        ) from exc
    return Inference(encoded, tensor, wanted, parameters, classes, request.id)


def _header_length(text: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) > most:
        raise InputError(
            f"Inference-Header-Content-Length: expected a whole number up to the {most} bytes of the body, "
            f"found {shown(text)}"
        )
    return int(text)


def _request(text: bytes) -> InferenceRequest:
    if text.count(b"{") > _MAX_OBJECTS:
        raise InputError(f"the request cannot be read: its JSON has more than {_MAX_OBJECTS} objects")
    try:
        inputs = msgspec.json.decode(text, type=_Envelope).inputs
        data = sum(memoryview(each.data).nbytes for each in inputs if isinstance(each.data, msgspec.Raw))
        if len(text) - data > MAX_TEXT:
            raise InputError(
                f"the JSON has {len(text) - data} bytes beside data: expected at most {MAX_TEXT}"
            )
        return msgspec.json.decode(text, type=InferenceRequest)
    except InputError:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        reason = str(exc).splitlines()[0][:200]
        raise InputError(f"the request cannot be read: {reason}") from exc


def _wanted(asked: list[RequestOutput], is_binary: bool, spec: ModelSpec) -> tuple[WantedOutput, ...]:
    """The outputs of an answer: those that are asked for, or all."""
    known = {output.name: output for output in outputs_of(spec)}
    found: dict[str, WantedOutput] = {}
    for each in asked:
        if each.name not in known:
            raise InputError(f"outputs: expected some of {', '.join(known)}, found {shown(each.name)}")
        if each.name in found:
            raise InputError(f"outputs: expected {each.name} once, found it twice")
        choice = _parameters(each.name, each.parameters).get("binary_data", is_binary)
        if not isinstance(choice, bool):
            raise InputError(f"{each.name}: binary_data={shown(choice)}: expected true or false")
        found[each.name] = WantedOutput(known[each.name], choice)
    return tuple(found.values()) or tuple(WantedOutput(output, is_binary) for output in known.values())


def _parameters(name: str, given: dict[str, Parameter] | None) -> dict[str, Parameter]:
    """Parameters of an input or output; those of other servers that change nothing are let through."""
    found = given or {}
    for parameter, what in _NOT_HERE.items():
        if parameter in found:
            raise InputError(f"{name}: {what} offered here, found {parameter}")
    return found


def _images(
    given: RequestInput, rest: memoryview | None, spec: ModelSpec
) -> tuple[list[bytes] | None, Float | None]:
    """The images of the input, encoded or as the tensor of the network."""
    if given.name == ENCODED_IMAGES:
        count = _check_encoded(given)
        data = _elements(given, rest)
        if isinstance(data, memoryview):
            encoded = bytes_from_binary(data, count)
            if b"" in encoded:
                raise InputError("expected an image, found 0 bytes")
            return encoded, None
        return [_decoded(text) for text in texts_from_json(data, count)], None
    if given.name == IMAGES:
        shape = _check_tensor(given, spec)
        data = _elements(given, rest)
        read: Any = floats_from_binary if isinstance(data, memoryview) else floats_from_json
        return None, _checked(read(data, shape))
    raise InputError(
        f"inputs: expected {ENCODED_IMAGES!r} (BYTES) or {IMAGES!r} (FP32), found {shown(given.name)}"
    )


def _elements(given: RequestInput, rest: memoryview | None) -> bytes | memoryview:
    """The elements of the input, as JSON or, from behind the JSON, as binary data."""
    parameters = _parameters("parameters", given.parameters)
    size = parameters.get("binary_data_size")
    has_data = isinstance(given.data, msgspec.Raw)
    if has_data == (size is not None):
        found = "both" if has_data else "neither"
        raise InputError(f"expected data, or the parameter binary_data_size, found {found}")
    if isinstance(given.data, msgspec.Raw):
        if rest:
            raise InputError(f"expected nothing behind the JSON, found {len(rest)} bytes")
        return bytes(given.data)
    if rest is None:
        raise InputError(
            "binary data needs the header Inference-Header-Content-Length, the length of the JSON"
        )
    if isinstance(size, bool) or size != len(rest):
        raise InputError(
            f"binary_data_size={shown(size)}: expected the {len(rest)} bytes that follow the JSON"
        )
    return rest


def _check_encoded(given: RequestInput) -> int:
    """The number of images.

    Raises:
        InputError: the datatype or the shape is another.
    """
    _check_datatype(given, "BYTES")
    shape = given.shape
    if not (1 <= len(shape) <= 2) or not 1 <= shape[0] <= MAX_IMAGES or shape[1:] not in ([], [1]):
        raise InputError(f"shape={shown(shape)}: expected [n] with n from 1 to {MAX_IMAGES}, or [n, 1]")
    return shape[0]


def _check_tensor(given: RequestInput, spec: ModelSpec) -> tuple[int, ...]:
    """The shape of the tensor, whose height and width are checked with the engine.

    Raises:
        InputError: the datatype or the shape is another.
    """
    _check_datatype(given, "FP32")
    shape = given.shape
    if len(shape) != 4 or not 1 <= shape[0] <= MAX_IMAGES or shape[1] != spec.channels or min(shape) < 1:
        raise InputError(
            f"shape={shown(shape)}: expected [n, {spec.channels}, height, width] with n from 1 to "
            f"{MAX_IMAGES}"
        )
    return tuple(shape)


def _check_datatype(given: RequestInput, datatype: str) -> None:
    if given.datatype != datatype:
        raise InputError(f"datatype={shown(given.datatype)}: expected {datatype}")


def _checked(tensor: Float) -> Float:
    """A tensor whose values are within the range of pixels.

    Raises:
        InputError: some are not.
    """
    low, high = tensor.min(), tensor.max()
    if not (low >= -_MARGIN and high <= 1 + _MARGIN):  # NaN is neither
        found = "others" if np.isnan(low) else f"{low:g} to {high:g}"
        raise InputError(f"expected values from 0 to 1, found {found}")
    return tensor


def _decoded(text: str) -> bytes:
    taken = "base64 or a data: URI of an image"
    if is_address(text):
        raise InputError(f"expected {taken}, found the address {shown(text)}")
    return image_from_text(text, taken)


def _class_ids(value: Parameter | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str) and re.fullmatch(r" *[0-9]{1,9} *(, *[0-9]{1,9} *)*", value):
        return tuple(int(each) for each in value.split(","))
    raise InputError(f"classes={shown(value)}: expected a class id, or several as text, such as '0,2'")
