"""The page at `/`, and the demo images that it offers.

The page is sent as one file without external resources. Its sources are `index.html` and beside it the style
and the scripts that it names; they are put in their places when the page is read.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ...models import DEMO_MODELS, demo_images

PAGE = Path(__file__).parent / "index.html"

_STYLE = re.compile(rb'<link rel="stylesheet" href="(\w+\.css)">')
_SCRIPT = re.compile(rb'<script src="(\w+\.js)"></script>')


@dataclass(frozen=True, slots=True)
class Page:
    """The page.

    Attributes:
        html: the body.
        headers: of the answer, without Content-Type.
    """

    html: bytes
    headers: dict[str, str]


def read_page(file: Path = PAGE) -> Page:
    """Read the page; its Content-Security-Policy allows its own scripts and style and nothing else.

    Args:
        file: the markup. Styles and scripts that it names by a bare file name lie beside it.
    """
    html = _inline(file)
    script, style = (_hashes(html, tag) for tag in (b"script", b"style"))
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src 'self' blob: data:; "
        "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
        "etag": f'"{sha256(html).hexdigest()[:16]}"',
    }
    return Page(html, headers)


def demo_image(model_id: str) -> Path:
    """The file of an image in which the demo model of this id finds something."""
    stem = "star" if model_id == DEMO_MODELS["classify"] else "shapes"  # one object, not many
    images = {image.stem: image for image in demo_images()}
    return images[stem]


def _inline(file: Path) -> bytes:
    """The markup of a page with the styles and scripts that it names in their places."""

    def source(match: re.Match[bytes]) -> bytes:
        return (file.parent / match[1].decode()).read_bytes()

    html = _STYLE.sub(lambda match: b"<style>\n" + source(match) + b"</style>", file.read_bytes())
    return _SCRIPT.sub(lambda match: b"<script>\n" + source(match) + b"</script>", html)


def _hashes(html: bytes, tag: bytes) -> str:
    contents = re.findall(rb"<%s[^>]*>(.*?)</%s>" % (tag, tag), html, re.DOTALL)
    digests = (base64.b64encode(sha256(content).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
