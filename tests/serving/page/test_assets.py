"""The page runs what is its own and nothing else, and comes with images to try."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yolean
from yolean.models import DEMO_MODELS, demo_model
from yolean.serving.page.assets import PAGE, Page, demo_image, read_page


class Reader(HTMLParser):
    """Elements of a page, and what its scripts and styles hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.contents: list[tuple[str, str]] = []
        self._inside: str | None = None
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._inside = tag
            self.contents.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.contents[-1] = (self._inside, self.contents[-1][1] + data)


@pytest.fixture(scope="module")
def page() -> Page:
    return read_page()


@pytest.fixture(scope="module")
def reader(page: Page) -> Reader:
    return Reader(page.html.decode())


@pytest.fixture(scope="module")
def policy(page: Page) -> dict[str, list[str]]:
    """The content security policy, by directive."""
    parts = [part.split() for part in page.headers["content-security-policy"].split(";")]
    assert len({name for name, *_ in parts}) == len(parts)
    return {name: sources for name, *sources in parts}


def test_every_script_and_style_of_the_page_is_let_in_and_no_other(
    reader: Reader, policy: dict[str, list[str]]
) -> None:
    for tag in ("script", "style"):
        contents = [content for name, content in reader.contents if name == tag]
        assert contents
        digests = [base64.b64encode(sha256(content.encode()).digest()).decode() for content in contents]
        assert policy[f"{tag}-src"] == [f"'sha256-{digest}'" for digest in digests]


def test_every_source_is_in_the_page_and_the_page_needs_no_other_file(page: Page) -> None:
    for file in PAGE.parent.iterdir():
        if file.suffix in (".js", ".css"):
            assert page.html.count(file.read_bytes()) == 1, file.name
    assert not re.findall(rb"<script[^>]+src=|<link[^>]+stylesheet", page.html)


def test_the_page_has_the_line_breaks_that_browsers_hash(page: Page) -> None:
    assert b"\r" not in page.html  # they take it out before they compare


def test_nothing_is_fetched_from_elsewhere_and_nobody_frames_the_page(policy: dict[str, list[str]]) -> None:
    assert policy["default-src"] == ["'none'"]
    for name in ("base-uri", "form-action", "frame-ancestors"):
        assert policy[name] == ["'none'"]
    assert policy["connect-src"] == ["'self'"]
    allowed = {
        source for sources in policy.values() for source in sources if not source.startswith("'sha256-")
    }
    assert allowed == {"'none'", "'self'", "blob:", "data:"}


def test_the_page_needs_nothing_that_its_policy_forbids(reader: Reader) -> None:
    for tag, attributes in reader.elements:
        forbidden = [name for name in attributes if name.startswith("on") or name == "style"]
        assert not forbidden, (tag, forbidden)
        assert tag not in ("base", "iframe", "object", "embed", "frame")
        for name in ("src", "href", "action", "srcset", "poster"):
            value = attributes.get(name) or ""
            if tag == "a":
                continue  # leading elsewhere is no fetching
            assert not re.match(r"(?i)(https?:)?//|javascript:", value), (tag, value)
        assert tag != "script" or "src" not in attributes
        assert tag != "link" or (attributes.get("href") or "").startswith("data:")


def test_links_that_lead_elsewhere_do_not_hand_over_the_window(reader: Reader, page: Page) -> None:
    assert page.headers["referrer-policy"] == "no-referrer"
    for tag, attributes in reader.elements:
        if tag == "a" and attributes.get("target") == "_blank":
            assert "noopener" in (attributes.get("rel") or "noopener")  # the default of today's browsers


def test_the_page_names_its_language_encoding_and_title(reader: Reader) -> None:
    elements = {tag for tag, _ in reader.elements}
    assert "title" in elements
    assert ("html", "en") in [(tag, attributes.get("lang")) for tag, attributes in reader.elements]
    assert "utf-8" in [
        (attributes.get("charset") or "").lower() for tag, attributes in reader.elements if tag == "meta"
    ]


def test_headers_are_lines_of_ascii(page: Page) -> None:
    for name, value in page.headers.items():
        assert re.fullmatch(r"[a-z-]+", name)
        assert value.isascii()
        assert value.isprintable()
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-cache"


def test_the_tag_changes_with_the_page_and_only_with_it(page: Page, tmp_path: Path) -> None:
    assert re.fullmatch(r'"[0-9a-f]{16}"', page.headers["etag"])
    assert read_page().headers == page.headers
    other = tmp_path / "index.html"
    other.write_bytes(page.html + b"<!-- -->")
    assert read_page(other).headers["etag"] != page.headers["etag"]


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_a_demo_model_finds_something_in_its_demo_image(task: str) -> None:
    (results,) = yolean.load(demo_model(task), "cpu", threads=1)(str(demo_image(DEMO_MODELS[task])))
    assert len(results) >= (1 if task in ("classify", "semantic", "depth") else 2)
    assert results.probs is None or results.probs.top1conf > 0.8


def test_whatever_the_model_there_is_a_demo_image() -> None:
    for model_id in ["", "unknown", "../../etc/passwd", "shapes\0", "x" * 10_000]:
        assert demo_image(model_id).read_bytes()[:2] == b"\xff\xd8"
