"""What the parsers of all formats share: limits, and reading that stops where the data ends.

An `InputError` from this folder's parsers says what was found; `headers.read_header` makes a sentence of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ...engine.errors import InputError
from ...engine.images.containers import Part
from ...postprocess.types import Size

Bytes = bytes | memoryview

MAX_EXIF = 1 << 17
"""Bytes of EXIF. OpenCV's time for it grows with the square: 1 MB takes 18 s. A JPEG holds 64 kB."""


def unpack(form: str, data: Bytes, at: int) -> tuple[int, ...]:
    """`struct.unpack_from` of integers.

    Raises:
        InputError: the data ends before the values do.
    """
    if at + struct.calcsize(form) > len(data):
        raise InputError(f"its end after {len(data)} bytes, inside the header")
    return struct.unpack_from(form, data, at)


def limit(what: str, found: int, most: int) -> None:
    """Check a number against its limit.

    Raises:
        InputError: there is more of something than is taken.
    """
    if found > most:
        raise InputError(f"{found} {what}, more than {most}")


def bounded(parts: Iterator[Part], what: str, most: int) -> Iterator[Part]:
    """The parts of a container.

    Raises:
        InputError: behind the last that is taken.
    """
    for count, part in enumerate(parts):
        if count == most:
            raise InputError(f"more than {most} {what}")
        yield part


def area(size: Size) -> int:
    """Pixels."""
    return size.height * size.width


def largest(sizes: list[Size]) -> Size:
    """The size with the most pixels.

    Raises:
        InputError: there is none.
    """
    if not sizes:
        raise InputError("no size")
    return max(sizes, key=area)
