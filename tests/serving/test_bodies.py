"""Request bodies: as clients make them, as no client should, and as an attacker would."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multipart_bodies import JPEG, checked, file, multipart, text
from starlette.requests import Request
from starlette.types import Message
from yolean.engine.errors import InputError, YoleanError
from yolean.serving.bodies import BodyTooLarge, UnknownBody, read_submission
from yolean.serving.client_limits import Pace, SlowUpload
from yolean.serving.forms import Submission
from yolean.serving.tickets import ClientGone

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"


class Sent(NamedTuple):
    """A request, and what was read of it so far."""

    request: Request
    taken: list[Message]


DECLARED = (InputError, UnknownBody, BodyTooLarge)


def request(
    chunks: Sequence[bytes],
    content_type: str | None,
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    end: Message | None = None,
) -> Sent:
    """A request whose body comes in these chunks; `end` is what comes after them, if not its end."""
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append(end or {"type": "http.request", "body": b"", "more_body": False})
    taken: list[Message] = []

    async def receive() -> Message:
        message = messages[len(taken)]
        taken.append(message)
        return message

    names = [(b"content-type", content_type.encode("latin-1"))] if content_type is not None else []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": query,
        "headers": [*names, *headers],
    }
    return Sent(Request(scope, receive), taken)


def read(sent: Sent, limit: int) -> Coroutine[Any, Any, Submission]:
    """A submission that comes at its own pace."""
    return read_submission(sent.request, limit, Pace(1, 60), lambda amount: None)


def submit(body: bytes, content_type: str | None, query: bytes = b"", limit: int = 10**6) -> Submission:
    return asyncio.run(read(request([body], content_type, query), limit))


def refusal(
    body: bytes,
    content_type: str | None,
    query: bytes = b"",
    limit: int = 10**6,
    kind: type[YoleanError] = InputError,
) -> str:
    """The line with which a body is refused."""
    with pytest.raises(kind) as refused:
        submit(body, content_type, query, limit)
    return checked(str(refused.value))


# ---- what a body may be -----------------------------------------------------------------------------------


IMAGE_TYPES = [
    "image/jpeg",
    "image/png",
    "IMAGE/WEBP",
    "image/x-anything",
    "image/jpeg; q=1",
    "application/octet-stream",
]


def test_an_image_may_be_the_body_itself() -> None:
    for kind in IMAGE_TYPES:
        found = submit(JPEG, kind, b"size=640&iou=0.5")
        assert (found.fields, found.files, found.raw) == ({"size": "640", "iou": "0.5"}, {}, JPEG)
        assert submit(b"", kind).raw == b""


OTHER_TYPES = [
    "text/plain",
    "video/mp4",
    "multipart/mixed; boundary=XX",
    "application/xml",
    "form-data",
    ";",
    '"',
    "\xff/\xfe",
    "application/jsonp",
    "image",
    "x" * 5000,
    "text/plain\timage/jpeg",
]


def test_another_kind_of_body_is_refused_and_named() -> None:
    for kind in OTHER_TYPES:
        message = refusal(JPEG, kind, kind=UnknownBody)
        assert "multipart/form-data" in message
        assert message.isprintable()


def test_a_body_of_no_kind_is_refused() -> None:
    for kind in [None, ""]:
        assert "found none" in refusal(JPEG, kind, kind=UnknownBody)


BODIES_WITH_SIZE = [
    (multipart(text(b"size", b"640")), MULTIPART),
    (multipart(file(b"size")), MULTIPART),  # a file
    (b"size=640", FORM),
    (b'{"size": 640}', JSON),
]


def test_what_is_in_the_query_and_in_the_body_is_twice() -> None:
    for body, kind in BODIES_WITH_SIZE:
        assert "size: expected once, found twice" in refusal(body, kind, b"size=640")
        assert submit(body, kind, b"iou=0.5").fields["iou"] == "0.5"


def test_a_body_in_pieces_is_the_same_as_in_one() -> None:
    body = multipart(file(), text(b"size", b"640"))
    for size in (1, 2, 3, 7, 64):
        chunks = [body[i : i + size] for i in range(0, len(body), size)]
        found = asyncio.run(read(request(chunks, MULTIPART), 10**6))
        assert (found.fields, found.files) == ({"size": "640"}, {"image": JPEG})


def test_the_query_is_read_like_a_form() -> None:
    assert submit(JPEG, "image/jpeg", b"a+b=c%26&a=").fields == {"a b": "c&", "a": ""}
    for query, reason in ((b"a=1&a=2", "found twice"), (b"a=%ff", "the query cannot be read")):
        assert reason in refusal(JPEG, "image/jpeg", query)
    assert submit(b'{"iou": 1}', "Application/JSON; charset=utf-8").fields == {"iou": 1}


# ---- how much, how long -----------------------------------------------------------------------------------


def test_a_body_as_large_as_the_limit_is_taken() -> None:
    assert submit(b"x" * 1000, "image/jpeg", limit=1000).raw == b"x" * 1000


def test_a_larger_body_is_refused() -> None:
    for size in [1001, 5000, 100_000]:
        for kind in ["image/jpeg", MULTIPART, FORM, JSON]:
            assert "1,000 bytes" in refusal(b"x" * size, kind, kind=BodyTooLarge, limit=1000)


def too_large(chunks: Sequence[bytes], headers: Sequence[tuple[bytes, bytes]] = (), limit: int = 1000) -> int:
    """How many chunks are read of a body before it is refused."""
    sent = request(chunks, "image/jpeg", headers=headers)
    with pytest.raises(BodyTooLarge):
        asyncio.run(read(sent, limit))
    return len(sent.taken)


def test_what_is_declared_too_large_is_not_read() -> None:
    assert too_large([b"x" * 100] * 11, [(b"content-length", b"1100")]) == 0


LENGTHS: list[list[tuple[bytes, bytes]]] = [
    [],  # chunked
    [(b"content-length", b"10")],  # a lie
    [(b"content-length", b"-1")],
    [(b"content-length", b"many")],
]


def test_what_turns_out_too_large_is_read_no_further() -> None:
    for headers in LENGTHS:
        assert too_large([b"x" * 100] * 1000, headers) == 11


def test_a_body_is_kept_to_its_pace_and_takes_its_memory() -> None:
    async def slow() -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    scope = {"type": "http", "headers": [(b"content-type", b"image/jpeg")], "query_string": b""}
    taken: list[int] = []
    with pytest.raises(SlowUpload):
        asyncio.run(read_submission(Request(scope, slow), 10**6, Pace(1000, 0.05), taken.append))
    assert taken
    assert set(taken) == {1}


def test_a_client_that_leaves_while_it_sends_is_gone() -> None:
    for chunks in [[], [b"--XX\r\n"]]:
        for kind in ["image/jpeg", MULTIPART, FORM, JSON]:
            sent = request(chunks, kind, end={"type": "http.disconnect"})
            with pytest.raises(ClientGone):
                asyncio.run(read(sent, 1000))


# ---- anything ---------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=80))
@example('multipart/form-data; boundary="')
@example("multipart/form-data; boundary=")
@example("multipart/form-data;;;boundary")
def test_any_content_type_is_understood_or_refused_in_one_line(kind: str) -> None:
    try:
        submit(multipart(file()), kind)
    except DECLARED as exc:
        checked(str(exc))
