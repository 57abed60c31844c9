"""The elements of tensors as JSON and as binary data: of a request's input, and of an answer's outputs."""

from __future__ import annotations

import math
import re
import struct
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...engine.errors import InputError
from ...postprocess.types import Float

Datatype = Literal["FP32", "INT64", "INT32", "INT16", "UINT8", "BYTES"]
Shape = tuple[int, ...]

MAX_JSON_VALUES = 2**21
"""Elements of an output as JSON, which take 10 times the memory of binary data."""

_LENGTH = struct.Struct("<I")  # before each element of BYTES
_DATATYPES: dict[str, Datatype] = {
    "float32": "FP32",
    "int64": "INT64",
    "int32": "INT32",
    "int16": "INT16",
    "uint8": "UINT8",
    "object": "BYTES",
}


def datatype_of(values: NDArray[Any]) -> Datatype:
    """The protocol's word for the dtype of an array; bytes are objects."""
    return _DATATYPES[values.dtype.name]


def as_bytes(values: list[bytes]) -> NDArray[np.object_]:
    """An array of BYTES, which keeps zeros at the end of an element."""
    found = np.empty(len(values), np.object_)
    found[:] = values
    return found


# ---- of a request -----------------------------------------------------------------------------------------


def texts_from_json(data: bytes, count: int) -> list[str]:
    """The elements of a BYTES tensor of shape (count,) or (count, 1).

    Raises:
        InputError: there are not so many, or they are no text.
    """
    quotes = data.count(b'"')  # before objects are made of them; base64 has none
    if quotes != 2 * count:
        raise InputError(
            f"expected {_counted(count, 'text')} in base64, as the shape says, found {quotes // 2}"
        )
    is_nested = _is_nested(data)
    found: Any = _decoded(data, list[list[str]] if is_nested else list[str])
    flat: list[str] = [text for row in found for text in row] if is_nested else found
    if len(flat) != count:
        raise InputError(
            f"expected {_counted(count, 'text')} in base64, as the shape says, found {len(flat)}"
        )
    return flat


def bytes_from_binary(data: memoryview, count: int) -> list[bytes]:
    """The elements of a BYTES tensor: each follows its length, 4 bytes, little-endian.

    Raises:
        InputError: the lengths are not those of the data.
    """
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < count:
        start = at + _LENGTH.size
        length = _LENGTH.unpack_from(data, at)[0] if start <= len(data) else 0
        at = start + length
        if at > len(data):
            raise InputError(
                f"element {len(found)} ends behind the {len(data)} bytes of binary data: expected its length "
                "in 4 bytes, little-endian, and then so many bytes"
            )
        found.append(bytes(data[start:at]))
    if len(found) != count or at != len(data):
        more = " and further bytes" if at != len(data) else ""
        raise InputError(
            f"expected {_counted(count, 'element')}, as the shape says, found {len(found)}{more}"
        )
    return found


def floats_from_json(data: bytes, shape: Shape) -> Float:
    """The elements of an FP32 tensor, flat or nested as its shape.

    Raises:
        InputError: there are not so many, or they are no numbers.
    """
    size, found = math.prod(shape), data.count(b",") + 1  # before objects are made of them
    if found != size:
        raise InputError(f"expected {_counted(size, 'number')}, as the shape says, found {found}")
    kind: Any = list[float]
    if _is_nested(data):
        for _ in shape[1:]:
            kind = list[kind]
    values = _decoded(data, kind)
    try:
        with np.errstate(over="ignore"):
            array = np.array(values, np.float32)
    except ValueError:  # rows of different lengths
        array = np.zeros(0, np.float32)
    if array.shape not in (shape, (size,)):
        raise InputError(f"expected numbers nested as the shape {list(shape)}, or in one flat array")
    return array.reshape(shape)


def floats_from_binary(data: memoryview, shape: Shape) -> Float:
    """The elements of an FP32 tensor, little-endian, as a view on the data.

    Raises:
        InputError: there are not so many.
    """
    size = math.prod(shape)
    if len(data) != 4 * size:
        raise InputError(f"expected {4 * size} bytes of binary data, as the shape says, found {len(data)}")
    found: Float = np.frombuffer(data, "<f4").reshape(shape)
    return found


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise InputError(f"its data cannot be read ({exc})") from exc


def _is_nested(data: bytes) -> bool:
    return re.match(rb"\s*\[\s*\[", data) is not None


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# ---- of an answer -----------------------------------------------------------------------------------------


def to_json(values: NDArray[Any], name: str) -> list[Any]:
    """The elements of a tensor as plain values, in row-major order.

    Args:
        values: of any shape; bytes must be UTF-8.
        name: of the output, for the message.

    Raises:
        InputError: there are too many.
    """
    if values.size > MAX_JSON_VALUES:
        raise InputError(
            f"{name}: {values.size:,} values are too many for JSON, which takes {MAX_JSON_VALUES:,}: ask for "
            "it as binary data, by binary_data of the output or binary_data_output of the request"
        )
    flat: list[Any] = values.ravel().tolist()
    return [each.decode() for each in flat] if values.dtype == np.object_ else flat


def to_binary(values: NDArray[Any]) -> bytes:
    """The elements of a tensor, little-endian, in row-major order; each of BYTES follows its length."""
    if values.dtype == np.object_:
        return b"".join(_LENGTH.pack(len(each)) + each for each in values.ravel().tolist())
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
