"""Images that a request has as text: in base64, or as a `data:` URI (RFC 2397) in base64."""

from __future__ import annotations

import binascii
import re

from ..engine.errors import InputError
from .image_guard.headers import FORMATS, NotAnImage

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_DATA = re.compile(r"data:", re.IGNORECASE)
_LONGEST_HEAD = 200
"""Characters of a data: URI before its comma."""

# Forms read a + as a blank; no image begins with one. RFC 4648, section 5, has - and _ for addresses.
_SPELLINGS = str.maketrans(" -_", "++/")
_TYPES = ("image/", "application/octet-stream")


def is_address(text: str) -> bool:
    """Whether a text is an address of whatever scheme, and not base64, in which no colon stands."""
    return _ADDRESS.match(text) is not None


TAKEN = "an address (http or https), base64 or a data: URI of an image"


def image_from_text(text: str, expected: str = TAKEN) -> bytes:
    """The encoded image in a text.

    Args:
        text: base64, of the standard alphabet or of the one for addresses, on one line or several; padding
            may be missing. Or a `data:` URI of an image in base64.
        expected: what the field takes, for messages.

    Raises:
        NotAnImage: a `data:` URI says that it holds something else.
        InputError: it is neither.
    """
    if _DATA.match(text):
        text = _content(text)
    packed = "".join(text.lstrip().splitlines()).rstrip("=").translate(_SPELLINGS)
    try:
        data = binascii.a2b_base64(packed + "=" * (-len(packed) % 4), strict_mode=True)
    except ValueError:  # characters beyond ASCII, or of no alphabet; a length that no bytes have
        found = repr(text[:41]) if len(text) <= 40 else f"{text[:40]!r}..."
        raise InputError(f"expected {expected}, found {found}") from None
    if not data:
        raise InputError("expected an image, found 0 bytes")
    return data


def _content(uri: str) -> str:
    """The base64 in a `data:` URI."""
    head, comma, content = uri.partition(",")
    if not comma or len(head) > _LONGEST_HEAD:
        raise InputError("expected a data: URI such as data:image/jpeg;base64,..., found one without content")
    kind, *parameters = head[len("data:") :].lower().split(";")
    if not kind.strip().startswith(_TYPES):
        raise NotAnImage(
            f"expected a data: URI of an image ({FORMATS}), found one of {kind[:40] or 'text'!r}"
        )
    if not parameters or parameters[-1].strip() != "base64":
        raise InputError("expected a data: URI in base64, such as data:image/jpeg;base64,...")
    return content
