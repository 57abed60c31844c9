"""Reads the metadata entries of a model file. They are not trusted: lengths are limited, no code runs."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from ..errors import ModelError

MAX_SIDE = 8192
"""Largest height or width of an input, in pixels."""

_MAX_LENGTH = 500_000  # characters; ImageNet's 21,000 names need 400,000


def literal(metadata: Mapping[str, str], key: str) -> Any:
    """The Python literal in a metadata entry, or None where there is no such entry.

    Raises:
        ModelError: it is too long, or no literal.
    """
    text = metadata.get(key)
    if text is None:
        return None
    if len(text) > _MAX_LENGTH:
        raise ModelError(f"the metadata entry {key!r} is too long: {len(text)} of {_MAX_LENGTH} characters")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as exc:
        raise ModelError(f"the metadata entry {key!r} is no Python literal: {text[:60]!r}") from exc


def pair(metadata: Mapping[str, str], key: str) -> tuple[int, int] | None:
    """Two whole numbers in a metadata entry, or None where there is no such entry.

    Raises:
        ModelError: something else, or not from 1 to `MAX_SIDE`.
    """
    value = literal(metadata, key)
    if value is None:
        return None
    if isinstance(value, int) and key == "imgsz":
        value = (value, value)
    if (
        not isinstance(value, (list, tuple))
        or len(value) != 2
        or not all(type(v) is int and 0 < v <= MAX_SIDE for v in value)
    ):
        found = metadata[key][:40]  # Python does not print integers of thousands of digits
        raise ModelError(f"the metadata entry {key!r} is {found!r}: expected two whole numbers to {MAX_SIDE}")
    return value[0], value[1]


def integer(metadata: Mapping[str, str], key: str, default: int) -> int:
    """A whole number in a metadata entry, or a default where there is no such entry.

    Raises:
        ModelError: something else, or not from 1 to 4096.
    """
    text = metadata.get(key)
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 4 or not 0 < int(text) <= 4096:
        raise ModelError(f"the metadata entry {key!r} is {text[:40]!r}: expected a number from 1 to 4096")
    return int(text)
