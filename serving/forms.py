"""Bodies of bytes, taken apart into fields and files: multipart, urlencoded and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..engine.errors import InputError

MAX_PARTS = 16
"""Fields and files of a request."""

MAX_TEXT = 16 * 1024
"""Bytes of all that is neither a file nor a long field: names, values, headers of parts."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a request sent.

    Attributes:
        fields: values by name, from the query and the body: text, or typed from JSON.
        files: contents of uploaded files by field.
        raw: the body, if it is the image itself; else None.
        names: of uploaded files, by field, as the client calls them.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    raw: bytes | None = None
    names: dict[str, str] = field(default_factory=dict)

    def add(self, pairs: Iterable[tuple[str, Any]]) -> None:
        """Add fields.

        Raises:
            InputError: one of them is there already.
        """
        for name, value in pairs:
            self.check_new(name)
            self.fields[name] = value

    def check_new(self, name: str) -> None:
        """Check that a field or file is not there yet.

        Raises:
            InputError: it is.
        """
        if name in self.fields or name in self.files:
            raise InputError(f"{_shown(name)}: expected once, found twice")


def parse_multipart(body: bytes, options: Mapping[bytes, bytes], long_field: str | None = None) -> Submission:
    """Parse `multipart/form-data`, whose parameters are `options`.

    Args:
        body: as it was sent.
        options: parameters of the Content-Type.
        long_field: the field whose text may have any length: an image in base64.

    Raises:
        InputError: it is not what clients make, has too many parts or too much text, or a name twice.
    """
    parts = _Parts(long_field)
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


def parse_urlencoded(body: bytes, where: str = "the form", long_field: str | None = None) -> Submission:
    """Parse `application/x-www-form-urlencoded`, or a query.

    Args:
        body: as it was sent.
        where: says which in the errors.
        long_field: the field whose text may have any length: an image in base64.

    Raises:
        InputError: it is too long, not UTF-8, or has a name twice.
    """
    if body.count(b"&") >= MAX_PARTS:
        raise InputError(f"{where} has more than {MAX_PARTS} fields")
    body, long_text = _without_long(body, long_field)
    if len(body) > MAX_TEXT:
        raise InputError(f"{where} has {len(body)} bytes: expected at most {MAX_TEXT}; files go as multipart")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
        long_pairs = [] if long_text is None else [(str(long_field), _unescaped(long_text))]
    except ValueError as exc:
        raise InputError(f"{where} cannot be read: expected name=value&name=value in UTF-8") from exc
    submission = Submission()
    submission.add([*pairs, *long_pairs])
    return submission


def parse_json(body: bytes, long_field: str | None = None) -> Submission:
    """Parse a JSON object of plain values.

    Args:
        body: as it was sent.
        long_field: the field whose text may have any length: an image in base64.

    Raises:
        InputError: it is too long, something else, or has a name twice.
    """
    # A long one has to be an image and a few values: counting spares the objects that others are made of.
    is_flat = body.count(b"{") == 1 and b"[" not in body and body.count(b",") <= 2 * MAX_PARTS
    if len(body) > MAX_TEXT and not (long_field and is_flat):
        raise InputError(f"the JSON has {len(body)} bytes: expected at most {MAX_TEXT}")
    try:
        fields = json.loads(body.decode(), object_pairs_hook=_Pairs)
        json.dumps(fields, ensure_ascii=False, allow_nan=False).encode()  # NaN, and half a surrogate pair
    except (ValueError, RecursionError) as exc:
        reason = str(exc).splitlines()[0][:120]
        raise InputError(f"the JSON cannot be read ({reason})") from exc
    if not isinstance(fields, _Pairs) or any(isinstance(value, list) for _, value in fields):
        raise InputError('the JSON: expected an object of plain values, such as {"url": "..."}')
    others = sum(len(v) for name, v in fields if isinstance(v, str) and name != long_field)
    if others > MAX_TEXT:
        raise InputError(f"the JSON has {others} characters of text: expected at most {MAX_TEXT}")
    submission = Submission()
    submission.add(fields)
    return submission


def _without_long(body: bytes, long_field: str | None) -> tuple[bytes, bytes | None]:
    """A urlencoded body without its long field, and the value of that, if it is long."""
    if long_field is None or len(body) <= MAX_TEXT:
        return body, None
    start = long_field.encode() + b"="
    pairs = body.split(b"&")
    found = [pair for pair in pairs if pair.startswith(start)]
    if len(found) != 1:  # none is too long then, or one of two that are one too many
        return body, None
    return b"&".join(pair for pair in pairs if pair is not found[0]), found[0].removeprefix(start)


def _unescaped(value: bytes) -> str:
    """A long value: `unquote` would make an object for each escape, and base64 has few of them."""
    for character in b"+/=:;,\r\n":
        for escape in (b"%%%02X" % character, b"%%%02x" % character):
            value = value.replace(escape, bytes([character]))
    return value.decode("ascii")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every key that was written: a dict would keep the last of two and say nothing."""


class _Parts:
    """Collects the parts of a form within limits, by the callbacks of the multipart parser."""

    def __init__(self, long_field: str | None) -> None:
        self.submission = Submission()
        self._long_field = long_field
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
        if self._count > MAX_PARTS:
            raise InputError(f"the form has more than {MAX_PARTS} parts")
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
            self._count_text(0 if name == self._long_field else len(content))
            self.submission.add([(name, _text(content, name))])
        else:
            self.submission.check_new(name)
            self.submission.files[name] = content
            self.submission.names[name] = options[b"filename"].decode("utf-8", "replace")

    def _finish(self) -> None:
        self.ended = True

    def _count_text(self, size: int) -> None:
        self._text += size
        if self._text > MAX_TEXT:
            raise InputError(
                f"the form has more than {MAX_TEXT} bytes of text: a file needs a filename in its part"
            )


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise InputError(f"{_shown(name)}: expected UTF-8 text") from exc


def _shown(name: str) -> str:
    """A field's name in a message: as it is where that is one short line."""
    return name if name.isprintable() and len(name) <= 60 else f"{name[:60]!r}"
