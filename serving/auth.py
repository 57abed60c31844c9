"""API keys."""

from __future__ import annotations

import hmac
import ipaddress
import os
from hashlib import sha256
from pathlib import Path

from ..engine.errors import InputError

VARIABLE = "YOLEAN_API_KEY"


class Keys:
    """The keys that open the server, of which only SHA-256 digests are kept."""

    def __init__(self, keys: list[str]) -> None:
        """Take keys as the client sends them."""
        self._digests = tuple({_digest(key) for key in keys})

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __repr__(self) -> str:
        return f"<{len(self._digests)} keys>"

    def accept(self, given: str | None) -> bool:
        """Whether this is one of the keys.

        Takes as long for a wrong key as for a right one: all digests are compared, each in constant time.
        """
        digest = _digest(given or "")
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return given is not None and any(matches)


def read_keys(file: Path | None) -> Keys:
    """Keys from a file and from YOLEAN_API_KEY, one a line; empty lines and lines from # are left out.

    Raises:
        InputError: there is a file, but nothing in it, or it cannot be read; or a key has a blank in it.
    """
    keys = _lines(os.environ.get(VARIABLE, ""), VARIABLE)
    if file is not None:
        try:
            found = _lines(file.read_text(encoding="utf-8-sig"), "the file of --api-keys")
        except (OSError, UnicodeDecodeError) as exc:
            reason = getattr(exc, "strerror", None) or "it is not text"
            raise InputError(f"--api-keys: the file cannot be read ({reason})") from exc
        if not found:
            raise InputError("--api-keys: the file holds no key; write one a line")
        keys += found
    return Keys(keys)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on this address or name."""
    if host in ("localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _lines(text: str, source: str) -> list[str]:
    keys = [line.strip() for line in text.splitlines()]
    keys = [key for key in keys if key and not key.startswith("#")]
    for number, key in enumerate(keys, 1):
        # A header cannot carry it. Names the place and not the key, which belongs in no log.
        if not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(f"key {number} of {source}: expected printable ASCII without blanks")
    return keys


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
