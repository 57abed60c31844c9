"""Tensors as JSON and as binary data: both ways, and what does not fit its shape."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from yolean.engine.errors import InputError
from yolean.serving.dialects.tensor_data import (
    MAX_JSON_VALUES,
    as_bytes,
    bytes_from_binary,
    datatype_of,
    floats_from_binary,
    floats_from_json,
    texts_from_json,
    to_binary,
    to_json,
)

NUMBERS = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) / 7


def elements(*values: bytes) -> memoryview:
    return memoryview(b"".join(struct.pack("<I", len(value)) + value for value in values))


def test_numbers_may_be_nested_or_flat_or_binary() -> None:
    shape = NUMBERS.shape
    for values in (NUMBERS.tolist(), NUMBERS.ravel().tolist()):
        for text in (json.dumps(values), json.dumps(values, indent=1)):
            np.testing.assert_array_equal(floats_from_json(text.encode(), shape), NUMBERS)
    np.testing.assert_array_equal(floats_from_binary(memoryview(NUMBERS.tobytes()), shape), NUMBERS)
    unaligned = memoryview(b"{}\n" + NUMBERS.tobytes())[3:]
    np.testing.assert_array_equal(floats_from_binary(unaligned, shape), NUMBERS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1, 2, 3]", "expected 4 numbers, as the shape says, found 3"),
        ("[1, 2, 3, 4, 5]", "found 5"),
        ('[1, 2, 3, "4"]', "Expected `float`, got `str`"),
        ("[1, 2, 3, null]", "Expected `float`, got `null`"),
        ("[[1, 2, 3], [4]]", "nested as the shape [2, 2]"),
        ("[[1], [2, 3, 4]]", "nested as the shape [2, 2]"),
        ("[[1], [2], [3], [4]]", "nested as the shape [2, 2]"),
        ("[[[1, 2], [3, 4]]]", "Expected `float`, got `array`"),
        ("[[1, 2], 3, 4]", "Expected `array`, got `int`"),
        ("[1, 2, 3, 1e999]", "out of range"),
        ('{"a": 1, "b": 2, "c": 3, "d": 4}', "Expected `array`, got `object`"),
        ("[[],[],[],[]]", "nested as the shape [2, 2]"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError) as found:
        floats_from_json(text.encode(), (2, 2))
    assert words in str(found.value)


def test_numbers_beyond_float32_are_infinite() -> None:
    assert floats_from_json(b"[1e300, -1e300]", (2,)).tolist() == [np.inf, -np.inf]


def test_texts() -> None:
    assert texts_from_json(b'["a", "b/+="]', 2) == ["a", "b/+="]
    assert texts_from_json(b' [ ["a"], ["b"]]', 2) == ["a", "b"]
    for text, count, words in (
        (b'["a"]', 2, "expected 2 texts in base64, as the shape says, found 1"),
        (b'["a", "b"]', 1, "expected 1 text in base64"),
        (b"[1, 2]", 2, "found 0"),
        (b'[["a", "b"], []]', 2, None),
        (b'["a", 5, "b"]', 2, "Expected `str`, got `int`"),
        (b'["a\\"", "b]', 2, "cannot be read"),
        (b'"a""b"', 2, "cannot be read"),
        (b'[{"b": "c"}]', 2, "got `object`"),
        (b'["\xff"]', 1, "cannot be read"),
    ):
        if words is None:
            assert texts_from_json(text, count) == ["a", "b"]
            continue
        with pytest.raises(InputError) as found:
            texts_from_json(text, count)
        assert words in str(found.value)


def test_elements_of_bytes_follow_their_length() -> None:
    values = [b"", b"a\x00", bytes(range(256)) * 3]
    assert bytes_from_binary(elements(*values), 3) == values
    assert bytes_from_binary(memoryview(to_binary(as_bytes(values))), 3) == values
    whole = elements(b"abc", b"d")
    for data, count, words in (
        (whole, 1, "expected 1 element, as the shape says, found 1 and further bytes"),
        (whole, 3, "expected 3 elements, as the shape says, found 2"),
        (whole[:-1], 2, "element 1 ends behind the 11 bytes"),
        (whole[:9], 2, "element 1 ends behind"),
        (memoryview(b"\xff\xff\xff\xff"), 1, "element 0 ends behind the 4 bytes"),
        (memoryview(b""), 1, "found 0"),
    ):
        with pytest.raises(InputError) as found:
            bytes_from_binary(data, count)
        assert words in str(found.value)


def test_binary_numbers_have_the_size_of_their_shape() -> None:
    for data, shape in ((bytes(12), (4,)), (bytes(17), (4,)), (b"", (1, 3, 2**40, 2**40))):
        with pytest.raises(InputError, match=f"found {len(data)}"):
            floats_from_binary(memoryview(data), shape)


@pytest.mark.parametrize(
    ("values", "datatype", "plain"),
    [
        (NUMBERS, "FP32", NUMBERS.ravel().tolist()),
        (np.array([[-1, 2**40]]), "INT64", [-1, 2**40]),
        (np.array([[0, 255]], np.uint8), "UINT8", [0, 255]),
        (np.array([300], np.int16), "INT16", [300]),
        (np.array([-70_000], np.int32), "INT32", [-70_000]),
        (as_bytes(["é".encode(), b""]), "BYTES", ["é", ""]),
        (np.zeros((0, 4), np.float32), "FP32", []),
    ],
)
def test_outputs(values: Any, datatype: str, plain: list[Any]) -> None:
    assert datatype_of(values) == datatype
    assert to_json(values, "boxes") == plain
    binary = to_binary(values)
    if datatype == "BYTES":
        assert binary == bytes(elements("é".encode(), b""))
    else:
        np.testing.assert_array_equal(np.frombuffer(binary, values.dtype), values.ravel())
        assert to_binary(values.astype(values.dtype.newbyteorder(">"))) == binary


def test_json_has_a_limit() -> None:
    with pytest.raises(
        InputError, match=r"depth: 2,097,153 values are too many for JSON.*binary_data_output"
    ):
        to_json(np.broadcast_to(np.float32(0), (MAX_JSON_VALUES + 1,)), "depth")
