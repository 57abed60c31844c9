"""Images as text: base64 and data: URIs in their spellings, and what is neither."""

from __future__ import annotations

import base64
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.engine.errors import InputError
from yolean.serving.encoded_images import image_from_text, is_address
from yolean.serving.image_guard.headers import NotAnImage

DATA = b"\xff\xd8" + b"\xfb\xff\xbf" * 20 + os.urandom(1001)  # + and / are in it
PLAIN = base64.b64encode(DATA).decode()
SPELLINGS = [
    PLAIN,
    PLAIN.rstrip("="),
    base64.urlsafe_b64encode(DATA).decode(),
    base64.encodebytes(DATA).decode(),  # lines of 76
    f"\n {PLAIN.replace('+', ' ')}\r\n",  # as a form reads a + that was not escaped
    f"data:image/png;base64,{PLAIN}",
    f"DATA:image/jpeg;charset=utf-8;BASE64,{PLAIN}",
    f"data:application/octet-stream;base64,{PLAIN.rstrip('=')}",
]
REFUSED: list[tuple[str, type[InputError], str]] = [
    ("x", InputError, "found 'x'"),
    ("é" * 50, InputError, "found 'ééé"),
    ("image.jpg", InputError, "found 'image.jpg'"),
    ("C:\\bus.jpg", InputError, "an address (http or https), base64 or a data: URI"),
    ("a=b=", InputError, "found 'a=b='"),
    ("A" * 100_001, InputError, "..."),
    ("AAAA\x00AAAA", InputError, "found 'AAAA\\x00AAAA'"),
    ("====", InputError, "0 bytes"),
    ("data:image/png;base64,", InputError, "0 bytes"),
    ("data:image/png;base64,%%%", InputError, "found '%%%'"),
    ("data:image/png,AAAA", InputError, "in base64"),
    ("data:image/png;base64", InputError, "without content"),
    ("data:" + "x" * 300 + ",AAAA", InputError, "without content"),
    ("data:,hello", NotAnImage, "found one of 'text'"),
    ("data:text/html;base64,AAAA", NotAnImage, "found one of 'text/html'"),
    ("data:application/pdf;base64,AAAA", NotAnImage, "JPEG, PNG"),
    ("data:video/mp4;base64,AAAA", NotAnImage, "found one of 'video/mp4'"),
]


@pytest.mark.parametrize("text", SPELLINGS, ids=range(len(SPELLINGS)))
def test_every_spelling_means_the_same_bytes(text: str) -> None:
    assert image_from_text(text) == DATA


def test_what_is_no_image_as_text_is_refused_in_one_line() -> None:
    for text, kind, part in REFUSED:
        with pytest.raises(InputError) as refused:
            image_from_text(text)
        message = str(refused.value)
        assert (type(refused.value), part in message) == (kind, True), message
        assert message.isprintable()
        assert len(message) < 200


def test_addresses_are_told_from_images() -> None:
    for text in ("http://a/b.jpg", "HTTPS://a", "ftp://a", "file:///etc/passwd", "x-y.z+1://"):
        assert is_address(text)
    for text in (PLAIN, "data:image/png;base64,AA", "//a/b", "", "://", "1http://a", "a//b://c"):
        assert not is_address(text)


@settings(max_examples=50, deadline=None)
@given(text=st.text() | st.text("AZaz09+/=-_ \n", max_size=99) | st.text(max_size=30).map("data:{}".format))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert image_from_text(text)
    except InputError as exc:
        refused = str(exc)
        assert refused.isprintable()
