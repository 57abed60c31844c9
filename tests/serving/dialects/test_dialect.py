"""The fields of a request: every range from edge to edge, in every dialect."""

from __future__ import annotations

import math
from typing import Any

import pytest
from yolean.engine.errors import InputError
from yolean.serving.dialects.accepted import DIALECTS
from yolean.serving.dialects.dialect import Arguments, Dialect
from yolean.serving.dialects.hub_v1 import HUB_V1
from yolean.serving.dialects.hub_v2 import HUB_V2
from yolean.serving.dialects.platform import PLATFORM

IN_ALL = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.title)


def refusal(dialect: Dialect, fields: dict[str, Any]) -> str:
    """The one line with which fields are refused."""
    with pytest.raises(InputError) as refused:
        dialect.read(fields)
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 400
    return message


def test_the_names_of_the_contract() -> None:
    for attribute, v1, v2 in (
        ("url", "url", "source"), ("size", "size", "imgsz"), ("conf", "confidence", "conf"),
        ("iou", "iou", "iou"),
    ):  # fmt: skip
        assert (HUB_V1.wire_name(attribute), HUB_V2.wire_name(attribute)) == (v1, v2)
        assert PLATFORM.wire_name(attribute) == v2


@IN_ALL
def test_text_and_typed_values_mean_the_same(dialect: Dialect) -> None:
    url = "http://a.example/b.jpg"
    for values in (
        {"size": "640", "conf": "0.5", "iou": "0.6", "url": url},  # text, from forms
        {"size": 640, "conf": 0.5, "iou": 0.6, "url": url},  # typed, from JSON
        {"size": 640.0, "conf": "5e-1", "iou": "0.60", "url": url},  # other spellings
    ):
        found = dialect.read({dialect.wire_name(name): value for name, value in values.items()})
        assert found == Arguments(dialect, url, 640, 0.5, 0.6, None)
        assert (type(found.size), type(found.conf)) == (int, float)


INSIDE: dict[str, list[tuple[Any, Any]]] = {
    # field: value, what it is read as
    "size": [(32, 32), (1280, 1280), ("32", 32), ("1280", 1280), ("1e3", 1000), ("640.0", 640)],
    "conf": [(0.01, 0.01), (1, 1.0), (1.0, 1.0), ("0.01", 0.01), ("1", 1.0), ("2.5E-1", 0.25)],
    "iou": [(0, 0.0), (0.95, 0.95), ("0", 0.0), ("0.95", 0.95), ("-0", 0.0)],
    "url": [("http://x", "http://x"), ("http://" + "x" * 1993, "http://" + "x" * 1993)],
}


@IN_ALL
def test_within_the_range(dialect: Dialect) -> None:
    for field, rows in INSIDE.items():
        for value, read in rows:
            found = getattr(dialect.read({dialect.wire_name(field): value}), field)
            assert (found, type(found)) == (read, type(read)), (field, value)


NO_NUMBERS = ["", " ", "a", "nan", "NaN", "inf", "-inf", "Infinity", "0x40", "0,5", "1_0", "٣", "\n",
              "1" * 5000, True, False, math.nan, math.inf, -math.inf, [], {}, b"1", object(),
              10**400, 10**4000, -(10**4000)]  # fmt: skip
OUTSIDE: dict[str, tuple[str, list[Any]]] = {
    # field: what is expected, values
    "size": ("a whole number from 32 to 1280", [31, 1281, "31", "1281", "31.9999", 640.5, "640.5", " 640",
                                                "-640", 0, 2**63, *NO_NUMBERS]),
    "conf": ("a number from 0.01 to 1.0", [0.00999, 1.00001, 0, "0", "1.01", "1e400", "25%", *NO_NUMBERS]),
    "iou": ("a number from 0.0 to 0.95", [-0.00001, 0.95001, 1, *NO_NUMBERS]),
    "url": ("text of 1 to 2000 characters", ["", "x" * 2001, 5, 0.5, True, [], b"http://a", 10**4000]),
}  # fmt: skip


@IN_ALL
@pytest.mark.parametrize("field", OUTSIDE)
def test_beyond_the_range_the_field_the_value_and_the_range_are_named(dialect: Dialect, field: str) -> None:
    name = dialect.wire_name(field)
    expected, values = OUTSIDE[field]
    if dialect is PLATFORM and field == "url":  # an image is longer than an address
        expected, values = "text of at least 1 characters", ["", 5, 0.5, True, [], b"http://a", 10**4000]
    for value in values:
        message = refusal(dialect, {name: value})
        assert message.startswith(f"{name}="), value
        assert message.endswith(f": expected {expected}"), value
        if isinstance(value, (str, float)) and len(str(value)) < 50:
            assert repr(value) in message


def test_a_field_may_name_the_model_in_hub_v2() -> None:
    for name in ("m", "x" * 500):
        assert HUB_V2.read({"model": name}).model == name
    for value in ("", "x" * 501, 5, True):
        assert refusal(HUB_V2, {"model": value}).startswith("model=")


OF_PLATFORM: dict[str, tuple[str, list[tuple[Any, Any]], list[Any]]] = {
    # field: what is expected, values and what they are read as, values that are refused
    "normalize": ("true or false",
                  [("true", True), ("True", True), ("false", False), ("0", False), ("1", True), (True, True)],
                  ["maybe", "", "yes", 2, "2", "null", []]),
    "decimals": ("a whole number from 0 to 10", [(0, 0), ("10", 10), ("5", 5)], [-1, 11, 99, "99", "1.5"]),
    "vid_stride": ("a whole number from 1 to 10000", [(1, 1), ("10000", 10000)], [0, "0", -1, 10001, "x"]),
    "bits": ("8, 12 or 16", [(8, 8), ("12", 12), ("16", 16)], [9, "9", "", 0, 32, "8.5", "eight"]),
    "tile": ("a whole number from 32 to 8192", [(32, 32), ("8192", 8192)], [31, "0", -1, 8193, "64.5", "x"]),
    "overlap": ("a number from 0.0 to 0.9", [(0, 0), ("0.9", 0.9)], [-0.1, "0.91", 1, "nan", "x", ""]),
}  # fmt: skip


@pytest.mark.parametrize("field", OF_PLATFORM)
def test_fields_of_platform_alone(field: str) -> None:
    expected, inside, outside = OF_PLATFORM[field]
    for value, read in inside:
        assert getattr(PLATFORM.read({field: value}), field) == read
    for value in outside:
        message = refusal(PLATFORM, {field: value})
        assert (message.startswith(f"{field}="), message.endswith(f": expected {expected}")) == (True, True)


def test_platform_has_defaults_of_its_own() -> None:
    found = PLATFORM.read({})
    assert (found.conf, found.iou, found.size) == (0.25, 0.7, None)
    assert (found.normalize, found.decimals, found.vid_stride, found.bits) == (False, 5, 1, 8)
    assert (found.tile, found.overlap) == (None, 0.2)


def test_a_source_of_platform_is_an_address_or_the_image() -> None:
    for address in ("http://a.example/b.jpg", "HTTPS://a.example", "ftp://a", "file:///etc/passwd"):
        found = PLATFORM.read({"source": address})
        assert (found.url, found.encoded) == (address, None)
    for text in ("data:image/png;base64,AA", "iVBORw0KGgo=", "x" * 5_000_000):
        found = PLATFORM.read({"source": text})
        assert (found.url, found.encoded) == (None, text)
    assert "of up to 2000 characters" in refusal(PLATFORM, {"source": "http://" + "x" * 1994})


def test_the_wrong_field_is_named_among_right_ones() -> None:
    message = refusal(HUB_V1, {"url": "http://a", "size": 640, "confidence": 7, "iou": 0.5})
    assert message == "confidence=7: expected a number from 0.01 to 1.0"
