"""Request bodies: read within limits, and taken apart into fields and files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from ..engine.errors import InputError, YoleanError
from .tickets import ClientGone

UPLOAD_SECONDS = 60.0
"""Longest time that a body may take to arrive: a client that trickles must not hold its place for ever."""

_MAX_PARTS = 16
_MAX_TEXT = 16 * 1024  # of all that is not a file: names, values, headers


class BodyTooLarge(YoleanError):
    """The body is larger than the server takes."""


class UnknownBody(YoleanError):
    """The body is of a kind that the server does not take."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a request sent.

    Attributes:
        fields: values by name, from the query and the body.
        files: uploaded files by field.
        raw: the body itself, where it is the image; else None.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    raw: bytes | None = None

    def add(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Add fields; the same twice could mean either.

        Raises:
            InputError: one of them is there already.
        """
        for name, value in pairs:
            self.check_new(name)
            self.fields[name] = value

    def check_new(self, name: str) -> None:
        """See that a field or file is not there yet.

        Raises:
            InputError: it is.
        """
        if name in self.fields or name in self.files:
            raise InputError(f"{_shown(name)}: expected once, found twice")


async def read_submission(request: Request, limit: int) -> Submission:
    """Read and take apart the body of a request, of at most `limit` bytes.

    Raises:
        BodyTooLarge, UnknownBody: as their names say.
        InputError: the body is not what its type says, or took too long.
        ClientGone: the client left while sending.
    """
    kind, options = parse_options_header(request.headers.get("content-type", "").encode("latin-1"))
    kind = kind.lower()
    read = _READERS.get(kind.decode("latin-1"))
    is_image = kind.startswith(b"image/") or kind == b"application/octet-stream"
    if read is None and not is_image:
        found = repr(kind.decode("latin-1")[:60]) if kind else "none"
        raise UnknownBody(
            "expected a Content-Type of multipart/form-data, image/*, application/json or "
            f"application/x-www-form-urlencoded, found {found}"
        )
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            body = await _read(request, limit)
    except TimeoutError as exc:
        raise InputError(f"the body took longer than {UPLOAD_SECONDS:.0f} s to arrive") from exc
    except ClientDisconnect as exc:
        raise ClientGone("the client left while sending") from exc
    submission = Submission(raw=body) if read is None else read(body, options)
    submission.add(_urlencoded(request.scope["query_string"], "the query").fields.items())
    return submission


async def _read(request: Request, limit: int) -> bytes:
    complaint = f"the body is larger than the {limit:,} bytes that this server takes"
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise BodyTooLarge(complaint)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(complaint)
        chunks.append(chunk)
    return b"".join(chunks)


def _urlencoded(body: bytes, where: str = "the form") -> Submission:
    if len(body) > _MAX_TEXT:
        raise InputError(
            f"{where} has {len(body)} bytes: expected at most {_MAX_TEXT}; files go as multipart"
        )
    if body.count(b"&") >= _MAX_PARTS:
        raise InputError(f"{where} has more than {_MAX_PARTS} fields")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as exc:
        raise InputError(f"{where} cannot be read: expected name=value&name=value in UTF-8") from exc
    submission = Submission()
    submission.add(pairs)
    return submission


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every key that was written: a dict would keep the last of two and say nothing."""


def _json(body: bytes) -> Submission:
    if len(body) > _MAX_TEXT:
        raise InputError(f"the JSON has {len(body)} bytes: expected at most {_MAX_TEXT}")
    try:
        fields = json.loads(body.decode(), object_pairs_hook=_Pairs)
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()  # NaN, and half a surrogate pair
    except (ValueError, RecursionError) as exc:
        reason = str(exc).splitlines()[0][:120]
        raise InputError(f"the JSON cannot be read ({reason})") from exc
    if not isinstance(fields, _Pairs) or any(isinstance(value, list) for _, value in fields):
        raise InputError('the JSON: expected an object of plain values, such as {"url": "..."}')
    submission = Submission()
    submission.add(fields)
    return submission


class _Parts:
    """Callbacks of the multipart parser: collects parts within limits."""

    def __init__(self) -> None:
        self.submission = Submission()
        self._chunks: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._header: list[bytes] = [b"", b""]
        self._count = self._text = 0
        self.ended = False

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._take_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._take_header(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._chunks.append(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._count += 1
        if self._count > _MAX_PARTS:
            raise InputError(f"the form has more than {_MAX_PARTS} parts")
        self._chunks, self._headers = [], {}

    def _take_header(self, which: int, data: bytes) -> None:
        self._count_text(len(data))
        self._header[which] += data

    def _end_header(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or b"name" not in options:
            raise InputError("a part of the form lacks its Content-Disposition: form-data; name=...")
        name = _text(options[b"name"], "a field's name")
        content = b"".join(self._chunks)
        if b"filename" not in options:
            self._count_text(len(content))
            self.submission.add([(name, _text(content, name))])
        else:
            self.submission.check_new(name)
            self.submission.files[name] = content

    def _finish(self) -> None:
        self.ended = True

    def _count_text(self, size: int) -> None:
        self._text += size
        if self._text > _MAX_TEXT:
            raise InputError(
                f"the form has more than {_MAX_TEXT} bytes of text: a file needs a filename in its part"
            )


def _multipart(body: bytes, options: Mapping[bytes, bytes]) -> Submission:
    parts = _Parts()
    try:
        parser = MultipartParser(options[b"boundary"], parts.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except KeyError as exc:
        raise InputError("the Content-Type multipart/form-data lacks its boundary") from exc
    except FormParserError as exc:
        raise InputError("the form cannot be read: expected multipart/form-data as clients make it") from exc
    if not parts.ended:
        raise InputError("the form is cut off: its closing boundary is missing")
    return parts.submission


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise InputError(f"{_shown(name)}: expected UTF-8 text") from exc


def _shown(name: str) -> str:
    """A field's name in a message: as it is where that is one short line."""
    return name if name.isprintable() and len(name) <= 60 else f"{name[:60]!r}"


_READERS: dict[str, Callable[[bytes, Mapping[bytes, bytes]], Submission]] = {
    "multipart/form-data": _multipart,
    "application/x-www-form-urlencoded": lambda body, options: _urlencoded(body),
    "application/json": lambda body, options: _json(body),
}
