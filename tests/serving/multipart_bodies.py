"""Multipart bodies made by hand, and what a refusal of one may look like."""

from __future__ import annotations

JPEG = b"\xff\xd8\xff\xe0 not much of an image \r\n--\xff\xd9"


def checked(message: str) -> str:
    """A refusal, which is one line of a length that fits into one."""
    assert len(message.splitlines()) == 1
    assert len(message) < 400
    return message


def part(head: bytes, content: bytes = b"", newline: bytes = b"\r\n") -> bytes:
    return b"--XX" + newline + head + newline * 2 + content + newline


def multipart(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XX--\r\n"


def text(name: bytes, value: bytes) -> bytes:
    return part(b'Content-Disposition: form-data; name="%s"' % name, value)


def file(name: bytes = b"image", content: bytes = JPEG, more: bytes = b'; filename="bus.jpg"') -> bytes:
    return part(b'Content-Disposition: form-data; name="%s"%s' % (name, more), content)
