"""Which dialect a request is written in, and what is in none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.engine.errors import InputError
from yolean.serving.dialects.accepted import (
    DIALECTS,
    PREDICT,
    PREDICT_BY_FIELD,
    ROUTES,
    is_platform_path,
    read_arguments,
)
from yolean.serving.dialects.dialect import Arguments, Dialect
from yolean.serving.dialects.hub_v1 import HUB_V1
from yolean.serving.dialects.hub_v2 import HUB_V2
from yolean.serving.dialects.platform import PLATFORM

V1_FIRST, V2_FIRST = (HUB_V1, HUB_V2), (HUB_V2, HUB_V1)


def refusal(
    fields: Mapping[str, Any], files: Sequence[str] = (), accepted: Sequence[Dialect] = DIALECTS
) -> str:
    """The one line with which a request is refused."""
    with pytest.raises(InputError) as refused:
        read_arguments(fields, dict.fromkeys(files, b"x"), accepted)
    return one_line(str(refused.value))


def one_line(message: str) -> str:
    """A message, which is one line of a length that fits into one."""
    assert message.isprintable()
    assert len(message) < 400
    return message


def test_the_routes_of_the_contract() -> None:
    assert ROUTES == {
        PREDICT: (HUB_V1, HUB_V2),
        PREDICT_BY_FIELD: (HUB_V2,),
        "/api/models/{owner}/{project}/{model}/predict": (PLATFORM,),
        "/api/models/{model_id}/predict": (PLATFORM,),
        "/api/deployments/{owner}/{deployment}/predict": (PLATFORM,),
        "/predict": (PLATFORM,),
    }
    assert {path for path in ROUTES if is_platform_path(path)} == set(ROUTES) - {PREDICT, PREDICT_BY_FIELD}
    assert HUB_V1.names == ["image", "url", "size", "confidence", "iou"]
    assert HUB_V2.names == ["file", "source", "imgsz", "conf", "iou", "model"]
    assert PLATFORM.names == [
        *("file", "source", "imgsz", "conf", "iou", "normalize", "decimals", "vid_stride", "bits"),
        *("tile", "overlap"),
    ]  # fmt: skip


CHOICES: list[tuple[dict[str, Any], list[str], tuple[Dialect, ...], Dialect]] = [
    ({}, [], V1_FIRST, HUB_V1),  # nothing tells: the first that the route accepts
    ({}, [], V2_FIRST, HUB_V2),
    ({"iou": 0.5}, [], V1_FIRST, HUB_V1),  # iou is in both
    ({"iou": 0.5}, [], V2_FIRST, HUB_V2),
    ({}, ["image"], V2_FIRST, HUB_V1),  # a file tells
    ({}, ["file"], V1_FIRST, HUB_V2),
    *(({name: None}, [], V2_FIRST, HUB_V1) for name in ("url", "size", "confidence")),  # null too
    *(({name: None}, [], V1_FIRST, HUB_V2) for name in ("source", "imgsz", "conf", "model")),
]


def test_the_field_names_decide() -> None:
    for fields, files, accepted, dialect in CHOICES:
        found = read_arguments(fields, dict.fromkeys(files, b"x"), accepted)
        assert found == Arguments(dialect, None, None, 0.25, fields.get("iou", 0.45), None), (fields, files)


REFUSED: list[tuple[dict[str, Any], list[str], list[str]]] = [
    # fields, files, parts of the message
    # a mixture names what does not belong together
    ({"size": 640, "conf": 0.5}, [], ["'conf', 'size' do not belong together", "HUB v1", "HUB v2"]),
    ({"conf": 0.5, "iou": 0.5}, ["image"], ["'conf', 'image' do not"]),
    ({"confidence": 0.5}, ["file"], ["'confidence', 'file' do not"]),
    ({}, ["image", "file"], ["'file', 'image' do not"]),
    ({"size": 1, "url": "a", "imgsz": 1, "model": "m"}, [], ["'imgsz', 'model', 'size', 'url'"]),
    # an unknown field is named, and all that are known
    ({"Size": 640}, [], ["unknown field 'Size'", "confidence", "imgsz"]),  # case counts
    ({"threshold": 0.5}, [], ["unknown field 'threshold'"]),
    ({"size ": 640}, [], ["unknown field 'size '"]),
    ({"": 1}, [], ["unknown field ''"]),
    ({"a\nb": 1}, [], [r"unknown field 'a\nb'"]),
    ({"x" * 10_000: 1}, [], ["unknown field 'xxx"]),
    ({}, ["photo"], ["unknown field 'photo'"]),
    ({"size": 640, "key": "k"}, ["image"], ["unknown field 'key'"]),
    # a file is not text, nor text a file
    ({"image": "http://a/b.jpg"}, [], ["image: expected an uploaded file", "'url'"]),
    ({"file": "http://a/b.jpg"}, [], ["file: expected an uploaded file", "'source'"]),
    ({"image": "x" * 5000}, [], ["image: expected an uploaded file"]),
    ({}, ["size"], ["size: expected text, found a file", "'image'"]),
    ({}, ["conf"], ["conf: expected text, found a file", "'file'"]),
    ({}, ["model", "file"], ["model: expected text, found a file"]),
]


def test_what_belongs_to_no_dialect_is_refused() -> None:
    for fields, files, parts in REFUSED:
        message = refusal(fields, files)
        assert [part for part in parts if part not in message] == [], message


def test_a_dialect_that_the_route_does_not_accept_is_sent_to_one_that_does() -> None:
    message = refusal({"size": "320"}, ["image"], ROUTES[PREDICT_BY_FIELD])
    assert message.startswith("image, size: fields of HUB v1")
    assert "/v1/predict/MODEL_ID" in message


def test_dialects_of_other_routes_are_told_where_to_go() -> None:
    of_platform = ROUTES["/predict"]
    for fields, files, route, message in (
        (
            {"normalize": "1"},
            ["file"],
            ROUTES[PREDICT],
            "of Ultralytics Platform, which go to /api/models/MODEL",
        ),
        ({"confidence": "0.5"}, [], of_platform, "of HUB v1, which go to /v1/predict/MODEL_ID"),
        ({"model": "a"}, ["file"], of_platform, "of HUB v2, which go to /v1/predict/MODEL_ID"),
        (
            {"confidence": "0.5", "bits": "8"},
            ["file"],
            of_platform,
            "do not belong together: expected some of",
        ),
        ({"normalize": "1", "model": "m"}, ["file"], ROUTES[PREDICT], "'normalize' do not belong together"),
    ):
        assert message in refusal(fields, files, route)
    assert read_arguments({"iou": "0.5"}, {"file": b"x"}, of_platform).dialect is PLATFORM


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.integers(0, 2000).map(str), st.floats(0, 1).map(str),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(data=st.data(), names=st.sampled_from([*(d.names for d in DIALECTS), [*HUB_V1.names, *HUB_V2.names]]))
def test_whatever_comes_is_within_the_ranges_or_refused_in_one_line(
    data: st.DataObject, names: list[str]
) -> None:
    fields = data.draw(st.dictionaries(st.sampled_from(names) | st.text(max_size=9), SCALARS, max_size=5))
    files = data.draw(st.sets(st.sampled_from(names), max_size=2))
    try:
        found = read_arguments(fields, dict.fromkeys(files, b"x"))
    except InputError as exc:
        one_line(str(exc))
        return
    assert found.size is None or 32 <= found.size <= 1280
    assert 0.01 <= found.conf <= 1
    assert 0 <= found.iou <= 0.95
    assert found.url is None or 1 <= len(found.url) <= 2000
    assert found.model is None or 1 <= len(found.model) <= 500
