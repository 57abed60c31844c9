"""The fields of a request: both forms, every range from edge to edge, and what is in neither."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.engine.errors import InputError
from yolean.serving.dialects.arguments import Arguments, read_arguments

# What each form calls the same thing.
NAMES = {
    "first": {"url": "url", "size": "size", "conf": "confidence", "iou": "iou", "file": "image"},
    "second": {"url": "source", "size": "imgsz", "conf": "conf", "iou": "iou", "file": "file"},
}
BOTH = pytest.mark.parametrize("form", ["first", "second"])


def refusal(fields, files=(), default="first"):
    """The line with which a request is refused."""
    with pytest.raises(InputError) as refused:
        read_arguments(fields, dict.fromkeys(files, b"x"), default)
    return checked(str(refused.value))


def checked(message):
    """A refusal, which is one line of a length that fits into one."""
    assert message.isprintable()
    assert len(message) < 400
    return message


# ---- forms ------------------------------------------------------------------------------------------------


@BOTH
def test_without_fields_the_defaults_of_the_contract_hold(form):
    names = NAMES[form]
    found = read_arguments({}, {}, form)
    assert found == Arguments(form, None, names["url"], None, names["size"], conf=0.25, iou=0.45, model=None)


@BOTH
@pytest.mark.parametrize(
    "values",
    [
        {"size": "640", "conf": "0.5", "iou": "0.6", "url": "http://a.example/b.jpg"},  # text, from forms
        {"size": 640, "conf": 0.5, "iou": 0.6, "url": "http://a.example/b.jpg"},  # typed, from JSON
        {"size": 640.0, "conf": "5e-1", "iou": "0.60", "url": "http://a.example/b.jpg"},  # other spellings
    ],
)
def test_both_forms_mean_the_same(form, values):
    found = read_arguments({NAMES[form][name]: value for name, value in values.items()}, {}, "first")
    assert (found.form, found.size, found.conf, found.iou) == (form, 640, 0.5, 0.6)
    assert (found.url, found.url_field) == ("http://a.example/b.jpg", NAMES[form]["url"])
    assert found.size_field == NAMES[form]["size"]
    assert type(found.size) is int
    assert type(found.conf) is float


@pytest.mark.parametrize(
    ("fields", "files", "default", "form"),
    [
        ({}, [], "first", "first"),  # nothing tells: the default
        ({}, [], "second", "second"),
        ({"iou": 0.5}, [], "second", "second"),  # iou is in both
        ({}, ["image"], "second", "first"),  # a file tells
        ({}, ["file"], "first", "second"),
        ({"size": 640}, [], "second", "first"),  # each field tells
        ({"confidence": 0.5}, [], "second", "first"),
        ({"url": "http://a"}, [], "second", "first"),
        ({"imgsz": 640}, [], "first", "second"),
        ({"conf": 0.5}, [], "first", "second"),
        ({"source": "http://a"}, [], "first", "second"),
        ({"model": "m"}, [], "first", "second"),
        ({"size": None}, [], "second", "first"),  # null too
    ],
)
def test_the_field_names_decide_the_form(fields, files, default, form):
    assert read_arguments(fields, dict.fromkeys(files, b"x"), default).form == form


@pytest.mark.parametrize(
    ("fields", "files", "named"),
    [
        ({"size": 640, "conf": 0.5}, [], ["'size'", "'conf'"]),
        ({"conf": 0.5}, ["image"], ["'conf'", "'image'"]),  # a file and a field
        ({"confidence": 0.5}, ["file"], ["'confidence'", "'file'"]),
        ({}, ["image", "file"], ["'image'", "'file'"]),  # two files
        ({"url": "a", "source": "b"}, [], ["'url'", "'source'"]),
        ({"size": 1, "url": "a", "imgsz": 1, "model": "m"}, [], ["'size'", "'url'", "'imgsz'", "'model'"]),
    ],
)
def test_a_mixture_of_forms_is_refused_and_names_the_fields(fields, files, named):
    message = refusal(fields, files)
    assert "two forms" in message
    assert all(name in message for name in named)


@pytest.mark.parametrize(
    ("fields", "files", "shown"),
    [
        ({"Size": 640}, [], "'Size'"),  # case counts
        ({"threshold": 0.5}, [], "'threshold'"),
        ({"size ": 640}, [], "'size '"),
        ({"": 1}, [], "''"),
        ({"a\nb": 1}, [], r"'a\nb'"),
        ({"x" * 10_000: 1}, [], "'xxx"),
        ({}, ["photo"], "'photo'"),  # a file
        ({"size": 640, "key": "k"}, ["image"], "'key'"),  # among known ones
    ],
)
def test_an_unknown_field_is_refused_by_name(fields, files, shown):
    message = refusal(fields, files)
    assert message.startswith("unknown field " + shown)
    assert "confidence" in message
    assert "imgsz" in message


@pytest.mark.parametrize(
    ("fields", "files", "parts"),
    [
        ({"image": "http://a/b.jpg"}, [], ["image", "uploaded file", "'url'"]),  # text for a file
        ({"file": "http://a/b.jpg"}, [], ["file", "uploaded file", "'source'"]),
        ({"image": "x" * 5000}, [], ["image", "uploaded file"]),
        ({}, ["size"], ["size", "expected text, found a file", "'image'"]),  # a file for text
        ({}, ["conf"], ["conf", "expected text, found a file", "'file'"]),
        ({}, ["image", "iou"], ["iou", "expected text, found a file"]),
        ({}, ["model", "file"], ["model", "expected text, found a file"]),
    ],
)
def test_a_file_is_not_text_nor_text_a_file(fields, files, parts):
    message = refusal(fields, files)
    assert all(part in message for part in parts)


# ---- ranges -----------------------------------------------------------------------------------------------

INSIDE = [
    # field, value, what it is read as
    ("size", 32, 32),
    ("size", 1280, 1280),
    ("size", "32", 32),
    ("size", "1280", 1280),
    ("size", "1e3", 1000),  # a whole number, however written
    ("size", "640.0", 640),
    ("conf", 0.01, 0.01),
    ("conf", 1, 1.0),
    ("conf", 1.0, 1.0),
    ("conf", "0.01", 0.01),
    ("conf", "1", 1.0),
    ("conf", "2.5E-1", 0.25),
    ("iou", 0, 0.0),
    ("iou", 0.95, 0.95),
    ("iou", "0", 0.0),
    ("iou", "0.95", 0.95),
    ("iou", "-0", 0.0),
    ("size", None, None),  # JSON's null is as if it were not there
    ("conf", None, 0.25),
    ("iou", None, 0.45),
    ("url", None, None),
    ("url", "x", "x"),
    ("url", "x" * 2000, "x" * 2000),
]

NO_NUMBERS = ["", " ", "a", "nan", "NaN", "inf", "-inf", "Infinity", "0x40", "0,5", "1_0", "٣", "\n",
              "1" * 5000, True, False, math.nan, math.inf, -math.inf, [], {}, b"1", object(),
              10**400]  # fmt: skip

OUTSIDE = [
    ("size", 31),
    ("size", 1281),
    ("size", "31"),
    ("size", "1281"),
    ("size", "31.9999"),
    ("size", 640.5),
    ("size", "640.5"),
    ("size", " 640"),
    ("size", "-640"),
    ("size", 0),
    ("size", 2**63),
    ("conf", 0.00999),
    ("conf", 1.00001),
    ("conf", 0),
    ("conf", "0"),
    ("conf", "1.01"),
    ("conf", "1e400"),
    ("conf", "25%"),
    ("iou", -0.00001),
    ("iou", 0.95001),
    ("iou", 1),
    *((field, value) for field in ("size", "conf", "iou") for value in NO_NUMBERS),
]


@BOTH
@pytest.mark.parametrize(("field", "value", "read"), INSIDE)
def test_within_the_range(form, field, value, read):
    found = read_arguments({NAMES[form][field]: value}, {}, form)
    assert getattr(found, field) == read
    assert type(getattr(found, field)) is type(read)


@BOTH
@pytest.mark.parametrize(("field", "value"), OUTSIDE)
def test_beyond_the_range_the_field_the_value_and_the_range_are_named(form, field, value):
    name = NAMES[form][field]
    message = refusal({name: value}, default=form)
    assert message.startswith(f"{name}=")
    if value != "" and isinstance(value, (str, int, float)) and len(str(value)[:60]) < 50:
        assert repr(value) in message
    ranges = {"size": "32 to 1280", "conf": "0.01 to 1.0", "iou": "0.0 to 0.95"}
    assert ranges[field] in message


@BOTH
@pytest.mark.parametrize("value", ["", "x" * 2001, 5, 0.5, True, [], b"http://a"], ids=lambda v: repr(v)[:20])
def test_what_is_no_address_is_refused(form, value):
    message = refusal({NAMES[form]["url"]: value}, default=form)
    assert message.startswith(f"{NAMES[form]['url']}=")
    assert "1 to 2000 characters" in message


@pytest.mark.parametrize("field", ["size", "confidence", "iou", "url"])
@pytest.mark.parametrize("value", [10**4000, -(10**4000)], ids=["huge", "huge, negative"])
def test_a_number_as_long_as_json_can_bring_is_refused_like_any_other(field, value):
    assert refusal({field: value}).startswith(f"{field}=")


@pytest.mark.parametrize(("value", "read"), [("m", "m"), ("x" * 500, "x" * 500), (None, None)])
def test_a_model_is_named_in_the_second_form(value, read):
    assert read_arguments({"model": value}, {}).model == read


@pytest.mark.parametrize("value", ["", "x" * 501, 5, True])
def test_what_is_no_name_of_a_model_is_refused(value):
    assert refusal({"model": value}).startswith("model=")


def test_the_first_wrong_field_is_named_among_right_ones():
    message = refusal({"url": "http://a", "size": 640, "confidence": 7, "iou": 0.5})
    assert message == "confidence=7: expected a number from 0.01 to 1.0"


# ---- anything ---------------------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.integers(0, 2000).map(str),
    st.floats(0, 1).map(str),
)
FIELDS = ("url", "size", "confidence", "iou", "source", "imgsz", "conf", "model", "image", "file")


@pytest.mark.parametrize("names", [FIELDS[:4], FIELDS[3:8], FIELDS], ids=["first", "second", "all"])
@settings(max_examples=50, deadline=None)  # of several fields each; test_fuzz.py sends thousands
@given(data=st.data())
def test_whatever_comes_is_within_the_ranges_or_refused_in_one_line(names, data):
    fields = data.draw(st.dictionaries(st.sampled_from(names) | st.text(max_size=9), SCALARS, max_size=5))
    files = data.draw(st.dictionaries(st.sampled_from(FIELDS), st.just(b"x"), max_size=2))
    default = data.draw(st.sampled_from(["first", "second"]))
    try:
        found = read_arguments(fields, files, default)
    except InputError as exc:
        checked(str(exc))
        return
    assert found.size is None or 32 <= found.size <= 1280
    assert 0.01 <= found.conf <= 1
    assert 0 <= found.iou <= 0.95
    assert found.url is None or 1 <= len(found.url) <= 2000
    assert found.model is None or 1 <= len(found.model) <= 500
