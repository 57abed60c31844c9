"""The page at `/` in a real Chromium, in front of a real server.

Each tab is watched: a word on its console that a test did not announce, or a request to anywhere but the
server, fails that test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser_tab import KEY, SHAPES, Open, Tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.fail("the tests of the page need playwright: pip install '.[slow]'", pytrace=False)
    if not CHROMIUM.is_file():
        pytest.fail(f"the tests of the page need {CHROMIUM}: apt-get install chromium", pytrace=False)
    video = tmp_path_factory.mktemp("video") / "shapes.mjpeg"  # what the webcam sees, over and over
    video.write_bytes(SHAPES.read_bytes())
    words = (
        "no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        "disable-component-update disable-sync use-fake-device-for-media-stream "
        f"use-fake-ui-for-media-stream use-file-for-fake-video-capture={video}"
    )
    options = [f"--{word}" for word in words.split()]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=options) as browser,
    ):
        yield browser


@pytest.fixture
def open_page(chromium: Browser, server: Any) -> Iterator[Open]:
    """Open the page, of the common server or of another, in a fresh browser profile."""
    tabs: list[Tab] = []

    def open_(of: Any = server, **options: Any) -> Tab:
        options = {"viewport": {"width": 1280, "height": 860}} | options
        tabs.append(Tab(chromium.new_context(**options), of))
        return tabs[-1]

    yield open_
    for tab in tabs:
        tab.page.context.close()
    for tab in tabs:
        tab.check()


@pytest.fixture
def tab(open_page: Open) -> Tab:
    return open_page()


@pytest.fixture(scope="module")
def locked(start_module_server: Callable[..., Any]) -> Any:
    """A server that wants a key."""
    return start_module_server(env={"YOLEAN_API_KEY": KEY})
