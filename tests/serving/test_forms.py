"""Forms and JSON: as clients make them, as no client should, and as an attacker would."""

from __future__ import annotations

import base64
import io
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multipart_bodies import JPEG, checked, file, multipart, part, text
from python_multipart.multipart import parse_options_header
from yolean.engine.errors import InputError
from yolean.serving.dialects.accepted import read_arguments
from yolean.serving.forms import Submission, parse_json, parse_multipart, parse_urlencoded

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"


def submit(body: bytes, content_type: str, long_field: str | None = None) -> Submission:
    """What a body of this type holds."""
    kind, options = parse_options_header(content_type.encode())
    if kind.lower() == b"multipart/form-data":
        return parse_multipart(body, options, long_field)
    if content_type == JSON:
        return parse_json(body, long_field)
    return parse_urlencoded(body, long_field=long_field)


def refusal(body: bytes, content_type: str, long_field: str | None = None) -> str:
    """The line with which a body is refused."""
    with pytest.raises(InputError) as refused:
        submit(body, content_type, long_field)
    return checked(str(refused.value))


# ---- multipart as clients make it -------------------------------------------------------------------------


def test_a_form_as_requests_makes_it() -> None:
    made = requests.Request(
        "POST",
        "http://a",
        files={"image": ("büs.jpg", io.BytesIO(JPEG))},
        data={"size": 640, "confidence": 0.25, "iou": 0.45},
    ).prepare()
    assert isinstance(made.body, bytes)
    found = submit(made.body, str(made.headers["content-type"]))
    assert found.fields == {"size": "640", "confidence": "0.25", "iou": "0.45"}
    assert found.files == {"image": JPEG}
    assert found.raw is None


CURL = (
    b"--------------------------d74496d66958873e\r\n"
    b'Content-Disposition: form-data; name="image"; filename="bus.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\n" + JPEG + b"\r\n"
    b"--------------------------d74496d66958873e\r\n"
    b'Content-Disposition: form-data; name="size"\r\n\r\n640\r\n'
    b"--------------------------d74496d66958873e--\r\n"
)
FIREFOX = CURL.replace(b"------------------------d74496d66958873e", b"---geckoformboundary123")
CHROME = CURL.replace(b"------------------------d74496d66958873e", b"----WebKitFormBoundary7MA4YWxkTrZu0gW")
DOTNET = (
    b"--b\r\nContent-Disposition: form-data; name=image; filename=bus.jpg; filename*=utf-8''bus.jpg\r\n\r\n"
    + JPEG
    + b'\r\n--"b"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=size'
    b'\r\n\r\n640\r\n--"b"--\r\n'
).replace(b'--"b"', b"--b")
OKHTTP = (
    b'--b\r\nContent-Disposition: form-data; name="image"; filename="bus.jpg"\r\nContent-Type: image/jpeg\r\n'
    b"Content-Length: %d\r\n\r\n"
    % len(JPEG)
    + JPEG
    + b'\r\n--b\r\nContent-Disposition: form-data; name="size"\r\nContent-Length: 3\r\n\r\n640\r\n--b--\r\n'
)


CLIENTS = [
    (CURL, "multipart/form-data; boundary=------------------------d74496d66958873e"),
    (CHROME, "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"),
    (FIREFOX, "multipart/form-data; boundary=---geckoformboundary123"),
    (DOTNET, 'multipart/form-data; boundary="b"'),  # quoted there, not in the body
    (OKHTTP, "multipart/form-data; boundary=b"),
    (CURL, "Multipart/Form-Data; Boundary=------------------------d74496d66958873e"),  # any case
    (CURL, "multipart/form-data;charset=utf-8;boundary=------------------------d74496d66958873e"),
]


def test_a_form_as_other_clients_make_it() -> None:
    for body, content_type in CLIENTS:
        found = submit(body, content_type)
        assert (found.fields, found.files, found.raw) == ({"size": "640"}, {"image": JPEG}, None)


PART_HEADERS = [
    b'Content-Disposition: form-data; name="image"; filename="bus.jpg"',
    b'content-disposition: FORM-DATA; NAME="image"; FILENAME="bus.jpg"',  # any case
    b'Content-Disposition:form-data;name="image";filename="bus.jpg"',  # no blanks
    b'Content-Disposition: form-data; filename="bus.jpg"; name="image"',  # another order
    b"Content-Disposition: form-data; name=image; filename=bus.jpg",  # no quotes
    b'Content-Disposition: form-data; name="image"; filename="b\xc3\xbcs.jpg"',  # UTF-8
    b'Content-Disposition: form-data; name="image"; filename="b\xfcs.jpg"',  # Latin-1
    b'Content-Disposition: form-data; name="image"; filename="a \\"b\\"; name=c; d.jpg"',  # quotes inside
    b'Content-Disposition: form-data; name="image"; filename="C:\\Users\\me\\bus.jpg"',  # a whole path
    b'Content-Disposition: form-data; name="image"; filename="bus.jpg"; filename*=UTF-8\'\'b%C3%BCs.jpg',
    b'Content-Type: image/jpeg\r\nContent-Disposition: form-data; name="image"; filename="bus.jpg"',
    b'Content-Disposition: form-data; name="image"; filename="' + b"x" * 1000 + b'"',  # a long name
    b'Content-Disposition: form-data; name="image"; filename="../../etc/passwd"',
]


def test_a_file_whatever_its_part_says_of_it() -> None:
    for head in PART_HEADERS:
        assert submit(multipart(part(head, JPEG)), MULTIPART).files == {"image": JPEG}


CONTENTS = [
    b"",  # an empty file
    b"\r\n",
    b"\n--XX\n",  # nearly a boundary
    b"a\r\n--X",
    b"a\r\n--XY\r\n",
    b"--XX--",  # in the first line of the content it is one only after a line break
    bytes(range(256)) * 300,
    b"\r" * 5000,
]


def test_a_file_comes_through_byte_for_byte() -> None:
    for content in CONTENTS:
        assert submit(multipart(file(content=content)), MULTIPART).files == {"image": content}


SURROUNDED = [
    b"\r\n" + multipart(file()),  # a line break before
    multipart(file())[:-2],  # none at the end
    multipart(file()) + b"whatever follows",  # an epilogue
    multipart(file()) + b"\r\n" * 9,
]


def test_what_surrounds_the_parts_does_not_matter() -> None:
    for body in SURROUNDED:
        assert submit(body, MULTIPART).files == {"image": JPEG}


def test_text_is_utf8_and_comes_as_it_is() -> None:
    found = submit(multipart(text(b"model", "é \r\n日本 ".encode()), text(b"size", b"")), MULTIPART)
    assert found.fields == {"model": "é \r\n日本 ", "size": ""}


# ---- multipart as nobody should make it -------------------------------------------------------------------


BAD_FORMS = [
    (multipart(file()), "multipart/form-data", "lacks its boundary"),
    (multipart(file()), "multipart/form-data; boundary*=utf-8''XX", "lacks its boundary"),
    (multipart(file()), "multipart/form-data; boundary=YY", "cannot be read"),  # another one
    (multipart(file()), "multipart/form-data; boundary=" + "X" * 5000, "cannot be read"),
    (b"", MULTIPART, "cut off"),
    (b"--XX\r\n", MULTIPART, "cut off"),
    (multipart(file())[:-8], MULTIPART, "cut off"),  # no closing boundary
    (file()[:30], MULTIPART, "cut off"),  # within a header
    (file()[:70], MULTIPART, "cut off"),  # within the image
    (file() + b"--XX-", MULTIPART, "cut off"),  # within the closing boundary
    (
        multipart(part(b'Content-Disposition: form-data; name="a"', b"b", b"\n")),
        MULTIPART,
        "cannot be read",
    ),
    (b"nothing of the sort", MULTIPART, "cannot be read"),
    (b"--XX\r\nno header\r\n\r\n\r\n--XX--\r\n", MULTIPART, "cannot be read"),
    (b"--XX\r\n: empty\r\n\r\n\r\n--XX--\r\n", MULTIPART, "cannot be read"),
    (b"--XX\r\n\r\nabc\r\n--XX--\r\n", MULTIPART, "Content-Disposition"),  # no headers at all
    (multipart(part(b"Content-Type: image/jpeg", JPEG)), MULTIPART, "Content-Disposition"),
    (multipart(part(b"Content-Disposition: form-data", JPEG)), MULTIPART, "Content-Disposition"),
    (
        multipart(part(b'Content-Disposition: attachment; name="a"', JPEG)),
        MULTIPART,
        "Content-Disposition",
    ),
    (multipart(*[text(b"f%d" % i, b"1") for i in range(17)]), MULTIPART, "more than 16 parts"),
    (multipart(*[file(b"f%d" % i, b"1") for i in range(17)]), MULTIPART, "more than 16 parts"),
    (multipart(part(b"X-Long: " + b"x" * 20_000, b"")), MULTIPART, ""),  # a header of 20 kB
    (multipart(part(b"\r\n".join(b"X-%d: x" % i for i in range(5000)), b"")), MULTIPART, ""),
    (multipart(file(more=b'; filename="%s"' % (b"x" * 20_000))), MULTIPART, ""),
    (multipart(text(b"size", b"1" * 20_000)), MULTIPART, "bytes of text"),
    (multipart(*[text(b"f%d" % i, b"1" * 2000) for i in range(9)]), MULTIPART, "bytes of text"),  # in sum
    (multipart(text(b"size", b"\xff")), MULTIPART, "size: expected UTF-8 text"),
    (multipart(text(b"\xff", b"1")), MULTIPART, "name: expected UTF-8 text"),
    (multipart(text(b"size", b"1"), text(b"size", b"2")), MULTIPART, "size: expected once, found twice"),
    (multipart(text(b"size", b"1"), text(b"size", b"1")), MULTIPART, "size: expected once, found twice"),
    (multipart(file(), file()), MULTIPART, "image: expected once, found twice"),
    (multipart(file(), text(b"image", b"http://a")), MULTIPART, "image: expected once, found twice"),
    (multipart(text(b"image", b"http://a"), file()), MULTIPART, "image: expected once, found twice"),
    (multipart(text(b"a\nb", b"1"), text(b"a\nb", b"1")), MULTIPART, "expected once, found twice"),
    (multipart(text(b"a\nb", b"\xff")), MULTIPART, "expected UTF-8 text"),
    (multipart(text(b"x" * 3000, b"\xff")), MULTIPART, "expected UTF-8 text"),
]


def test_a_form_that_cannot_be_understood_is_refused_in_one_line() -> None:
    for body, content_type, reason in BAD_FORMS:
        assert reason in refusal(body, content_type)


OLD_FORMS = [
    b"This is a multi-part message in MIME format.\r\n" + multipart(file()),  # a preamble
    multipart(part(b"Content-Disposition: form-data; name=\"image\"; filename*=UTF-8''b.jpg", JPEG)),
    multipart(part(b'Content-Disposition: form-data;\r\n name="image"; filename="b.jpg"', JPEG)),  # folded
    multipart(
        part(
            b'Content-Disposition: form-data; name="image"\r\nContent-Type: multipart/mixed; boundary=YY',
            b'--YY\r\nContent-Disposition: file; filename="b.jpg"\r\n\r\n' + JPEG + b"\r\n--YY--",
        )
    ),  # a form in a form
]


def test_what_the_standards_have_left_behind_is_understood_or_refused() -> None:
    for body in OLD_FORMS:
        try:
            assert submit(body, MULTIPART).files == {"image": JPEG}
        except InputError as exc:
            checked(str(exc))


def test_sixteen_parts_are_not_too_many() -> None:
    assert len(submit(multipart(*[text(b"f%d" % i, b"1") for i in range(16)]), MULTIPART).fields) == 16


# ---- text forms -------------------------------------------------------------------------------------------


TEXT_FORMS: list[tuple[bytes, dict[str, str]]] = [
    (b"size=640&iou=0.5", {"size": "640", "iou": "0.5"}),
    (b"", {}),
    (b"&&", {}),
    (b"size", {"size": ""}),
    (b"size=", {"size": ""}),
    (b"=1", {"": "1"}),
    (b"a+b=c+d", {"a b": "c d"}),
    (b"url=http%3A%2F%2Fa%2Fb%3Fc%3Dd%26e%2B", {"url": "http://a/b?c=d&e+"}),
    (b"model=%E6%97%A5", {"model": "日"}),
    (b"a=b=c", {"a": "b=c"}),
    (b"a=1;b=2", {"a": "1;b=2"}),  # no separator any more
    (b"a=%", {"a": "%"}),
]


def test_a_text_form() -> None:
    for body, fields in TEXT_FORMS:
        found = submit(body, FORM)
        assert (found.fields, found.files, found.raw) == (fields, {}, None)


BAD_TEXT_FORMS = [
    (b"size=640&size=641", "size: expected once, found twice"),
    (b"a%0Ab=1&a%0Ab=2", "expected once, found twice"),
    (b"size=%ff", "cannot be read"),
    (b"\xff=1", "cannot be read"),
    ("größe=1".encode(), "cannot be read"),
    (b"&".join(b"f%d=" % i for i in range(17)), ""),
    (b"a=" + b"x" * 20_000, "at most 16384"),
    (b"&" * 10_000, ""),
]


def test_a_text_form_that_cannot_be_understood_is_refused_in_one_line() -> None:
    for body, reason in BAD_TEXT_FORMS:
        assert reason in refusal(body, FORM)


# ---- JSON -------------------------------------------------------------------------------------------------


GOOD_JSON: list[tuple[bytes, dict[str, Any]]] = [
    (b"{}", {}),
    (b' {"url": "http://a", "size": 640, "iou": 0.5} ', {"url": "http://a", "size": 640, "iou": 0.5}),
    (b'{"size": null, "iou": true}', {"size": None, "iou": True}),
    (b'{"size": "640"}', {"size": "640"}),
    (b'{"size": 1e3}', {"size": 1000.0}),
    (b'{"model": "\\u65e5\\ud83d\\ude00"}', {"model": "日😀"}),
    (b'{"size": ' + b"9" * 400 + b"}", {"size": int("9" * 400)}),  # the arguments refuse it
]


def test_json() -> None:
    for body, fields in GOOD_JSON:
        found = submit(body, JSON)
        assert (found.fields, found.files, found.raw) == (fields, {}, None)


BAD_JSON = [
    b"",
    b"null",
    b"[]",
    b'"size"',
    b"640",
    b"{",
    b'{"size": }',
    b'{"size": 640,}',
    b"{} {}",
    b"{'size': 640}",
    b'{"size": {"is": 640}}',  # nested
    b'{"size": [640]}',
    b'{"a": ' + b"[" * 16_000,  # deep
    b'{"a": ' + b'{"a": ' * 2_700,
    b'{"size": ' + b"9" * 5000 + b"}",
    b'{"url": "\xff"}',  # not UTF-8
    b'{"url": "\\ud800"}',  # half a character
    b'{"\\udfff": ""}',
    b'{"size": 640, "size": 641}',  # twice
    b"\xef\xbb\xbf{}",  # a byte order mark
    "{}".encode("utf-16"),
    b'{"url": "' + b"x" * 20_000 + b'"}',
]


def test_what_is_no_object_of_plain_values_is_refused_in_one_line() -> None:
    for body in BAD_JSON:
        message = refusal(body, JSON)
        assert "JSON" in message or "found twice" in message


def test_what_is_no_finite_number_gets_no_further_than_to_the_arguments() -> None:
    for name in ["size", "confidence", "iou", "url"]:
        for number in [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400"]:
            with pytest.raises(InputError) as refused:
                read_arguments(submit(b'{"%s": %s}' % (name.encode(), number), JSON).fields, {})
            checked(str(refused.value))


# ---- one field may be long --------------------------------------------------------------------------------

IMAGE = base64.b64encode(bytes(range(256)) * 300).decode()
ESCAPED = quote(IMAGE, safe="").encode()
LONG_BODIES = [
    (multipart(text(b"source", IMAGE.encode()), text(b"conf", b"0.5")), MULTIPART),
    (b"source=%s&conf=0.5" % ESCAPED, FORM),
    (b"conf=0.5&source=%s" % ESCAPED.replace(b"%2B", b"%2b"), FORM),
    (f'{{"source": "{IMAGE}", "conf": "0.5"}}'.encode(), JSON),
    (f'{{"conf": "0.5", "source": "{IMAGE}"}}'.replace("/", "\\/").encode(), JSON),  # as PHP writes it
]


def test_a_field_may_be_as_long_as_the_body() -> None:
    for body, kind in LONG_BODIES:
        assert submit(body, kind, "source").fields == {"source": IMAGE, "conf": "0.5"}
        for other in (None, "conf"):  # its length is the exception of one field
            assert "16384" in refusal(body, kind, other)


def test_a_long_field_of_a_form_keeps_the_escapes_that_base64_has_not() -> None:
    long = "data:image/png;base64," + IMAGE + "%41\u00e9"
    assert submit(b"source=" + quote(long, safe="").encode(), FORM, "source").fields == {
        "source": long.replace("%41\u00e9", "%2541%C3%A9")
    }


LONG_REFUSED = [
    (b"source=%s&source=%s" % (ESCAPED, ESCAPED), FORM, "16384"),
    (b"source=%s&conf=" % ESCAPED + b"1" * 20_000, FORM, "16384"),
    (b"source=" + "\u00e9".encode() * 20_000, FORM, "cannot be read"),
    (b"conf=1&conf=2&source=" + ESCAPED, FORM, "conf: expected once"),
    (f'{{"source": "{IMAGE}", "source": "{IMAGE}"}}'.encode(), JSON, "source: expected once"),
    (f'{{"source": "{IMAGE}", "conf": "{IMAGE}"}}'.encode(), JSON, "16384"),
    (b'{"source": [' + b"1," * 20_000 + b"1]}", JSON, "16384"),
    (b'{"source": {"a": "' + IMAGE.encode() + b'"}}', JSON, "16384"),
    (b"[" * 20_000, JSON, "16384"),
    (b"{" + b'"a":1,' * 20_000 + b'"a":1}', JSON, "16384"),
    (multipart(text(b"source", b"\xff" * 20_000)), MULTIPART, "source: expected UTF-8"),
    (multipart(text(b"source", IMAGE.encode()), text(b"conf", b"1" * 17_000)), MULTIPART, "16384"),
]


def test_what_is_long_beside_that_field_is_refused() -> None:
    for body, kind, reason in LONG_REFUSED:
        assert reason in refusal(body, kind, "source"), body[:40]


# ---- anything ---------------------------------------------------------------------------------------------

PIECES = st.sampled_from([
    b"--XX", b"--XX--", b"\r\n", b"\r", b"\n", b"--", b":", b";", b'"', b"=",
    b"Content-Disposition: form-data", b'; name="image"', b'; filename="a.jpg"', b"; name=size",
    b"Content-Type: image/jpeg", JPEG, b"640", b"\0", b"{", b"}", b"[", b",",
    b'"size"', b"1e9", b"size=1", b"&", b"%", b"%ff", b"\\u", b"-0", b"\xc3",
])  # fmt: skip
BODIES = st.binary(max_size=300) | st.lists(PIECES | st.binary(max_size=9), max_size=40).map(b"".join)


@pytest.mark.parametrize("kind", [MULTIPART, FORM, JSON])
@settings(max_examples=15, deadline=None)
@given(body=BODIES)
@example(body=multipart(file(), text(b"size", b"640")))
def test_any_bytes_are_understood_or_refused_in_one_line(kind: str, body: bytes) -> None:
    try:
        found = submit(body, kind)
    except InputError as exc:
        checked(str(exc))
        return
    assert all(isinstance(name, str) for name in (*found.fields, *found.files))
    assert all(isinstance(content, bytes) for content in found.files.values())


@settings(max_examples=12, deadline=None)
@given(
    fields=st.dictionaries(st.text("abcdefg", min_size=1, max_size=5), st.text(max_size=40), max_size=8),
    image=st.binary(max_size=2000),
)
def test_what_requests_sends_is_what_is_found(fields: dict[str, str], image: bytes) -> None:
    made = requests.Request("POST", "http://a", files={"image": ("x.jpg", image)}, data=fields).prepare()
    assert isinstance(made.body, bytes)
    found = submit(made.body, str(made.headers["content-type"]))
    assert (found.fields, found.files) == (fields, {"image": image})
