"""A tab of a browser with the page, as tests operate it and look at it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolean.models import demo_images

if TYPE_CHECKING:  # with `pip install ".[test]"` there is no playwright, and these tests are deselected
    from playwright.sync_api import BrowserContext, Page, Request

SECONDS = 10.0
"""Longest that the page may take for anything."""

IMAGES = {image.stem: image for image in demo_images()}
SHAPES, STAR, WIDE = IMAGES["shapes"], IMAGES["star"], IMAGES["wide"]
KEY = "a-key-Kf83hd"
AT_ONCE = 3
"""Predictions that the page asks for at the same time, at most: the image in view and two others."""

Points = list[tuple[float, float]]
Open = Callable[..., "Tab"]

# What the overlay holds: the share of it that is painted, the colours (RGBA) at points given in parts of its
# sides, and a sum of all pixels. On a canvas of its own, for Chromium warns of those that are often read.
_READ_OVERLAY = """points => {
  const overlay = document.getElementById("overlay"), {width, height} = overlay;
  const copy = Object.assign(document.createElement("canvas"), {width, height});
  const pen = copy.getContext("2d", {willReadFrequently: true});
  if (!width || !height) return {share: 0, colours: [], sum: 0};
  pen.drawImage(overlay, 0, 0);
  const {data} = pen.getImageData(0, 0, width, height);
  let painted = 0, sum = 0;
  for (let at = 0; at < data.length; at++) {
    if (at % 4 === 3 && data[at]) painted++;
    sum = (sum * 31 + data[at]) % 1000003;
  }
  const limit = (part, side) => Math.min(side - 1, Math.max(0, Math.floor(part * side)));
  const colours = points.map(([x, y]) => {
    const at = 4 * (limit(y, height) * width + limit(x, width));
    return Array.from(data.slice(at, at + 4));
  });
  return {share: painted / (width * height), colours, sum};
}"""


class Tab:
    """A tab that shows the page of a server.

    Attributes:
        page: Playwright's page.
        server: the server.
        asked: every request of the tab so far.
        answers: how many predictions have been answered.
        most_at_once: how many predictions were under way at the same time, at most.
        expected: patterns of what its console may say.
    """

    def __init__(self, context: BrowserContext, server: Any) -> None:
        self.server = server
        self.asked: list[Request] = []
        self.answers = self.most_at_once = self._under_way = 0
        self.expected: list[str] = []
        self.said: list[str] = []
        context.set_default_timeout(SECONDS * 1000)
        context.on("request", self._on_request)
        context.on("requestfinished", self._on_end)
        context.on("requestfailed", self._on_end)
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation', ({violatedDirective, blockedURI}) =>"
            " console.error(`policy: ${violatedDirective} ${blockedURI}`))"
        )
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.said.append(f"exception: {error}"))
        self.page.goto(server.url + "/")
        self.page.wait_for_selector("#model option", state="attached")

    def _on_request(self, request: Request) -> None:
        self.asked.append(request)
        if "/v1/predict/" in request.url:
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)

    def _on_end(self, request: Request) -> None:
        if "/v1/predict/" in request.url:
            self._under_way -= 1
            self.answers += 1

    # ---- doing ----

    def settle(self, state: str = "done", caption: str = "") -> None:
        """Wait until the page is in this state and the caption holds these words."""
        try:
            self.page.wait_for_function(
                "([state, caption]) => document.body.dataset.state === state"
                " && document.getElementById('caption').textContent.includes(caption)",
                arg=[state, caption],
            )
        except Exception as exc:
            texts = [self.text(name) for name in ("#caption", "#status", "#error")]
            raise AssertionError(f"not {state!r} but {self.state!r}: {texts}, {self.said}") from exc

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for what is seen from here and not from within the page."""
        limit = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < limit, f"not within {SECONDS} s: {what}"
            self.page.wait_for_timeout(10)

    def upload_all(self, files: Sequence[Path]) -> None:
        """Choose several images at once; wait until the first is in view and all are answered."""
        before = self.page.locator("#thumbs li").count()
        self.page.set_input_files("#file", list(files))
        self.settle("done", files[0].name)
        self.wait_for(lambda: self.page.locator("#thumbs li").count() == before + len(files), "thumbnails")
        self.wait_for_all()

    def wait_for_all(self) -> None:
        """Wait until every image of the strip is answered, or has a problem."""
        self.page.wait_for_function(
            "() => Array.from(document.querySelectorAll('#thumbs li'))"
            ".every(one => ['done', 'problem'].includes(one.dataset.state))"
            " && !document.getElementById('progresstext').textContent.includes('answered')"
        )

    def upload(self, file: Path, state: str = "done") -> None:
        self.page.set_input_files("#file", file)
        self.settle(state, file.name)

    def choose(self, model: str) -> None:
        self.page.select_option("#model", model)
        self.settle("done" if self.page.is_visible("#frame") else "empty")

    def slide(self, name: str, value: float) -> None:
        """Move a slider."""
        self.page.fill(f"#{name}", f"{value:g}")
        self.settle()

    # ---- looking ----

    @property
    def state(self) -> str:
        return str(self.page.evaluate("() => document.body.dataset.state"))

    @property
    def focus(self) -> str:
        return str(self.page.evaluate("() => document.activeElement.id"))

    @property
    def count(self) -> int:
        """Objects that the overlay says it has drawn; the list beside it has as many."""
        count = int(self.page.get_attribute("#overlay", "data-count") or -1)
        assert self.page.locator("#results li").count() == count
        return count

    @property
    def badges(self) -> list[str]:
        """What the thumbnails say in a word."""
        return self.page.locator("#thumbs .badge").all_text_contents()

    @property
    def json(self) -> Any:
        return json.loads(self.text("#json"))

    def text(self, selector: str) -> str:
        return self.page.text_content(selector) or ""

    def overlay(self, points: Points | None = None) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate(_READ_OVERLAY, points or [])
        return found

    def css(self, selector: str, name: str) -> str:
        return str(
            self.page.eval_on_selector(selector, "(element, name) => getComputedStyle(element)[name]", name)
        )

    def check(self) -> None:
        """That nothing unexpected was said, and nobody else was asked."""
        said = [line for line in self.said if not any(re.search(e, line) for e in self.expected)]
        assert not said, said
        own = (self.server.url + "/", "data:", "blob:")
        strangers = [request for request in self.asked if not request.url.startswith(own)]
        left = [r.url for r in strangers if r.failure != "csp"]  # those were held back
        assert not left, left


def predict(server: Any, model: str, image: bytes, **fields: object) -> list[dict[str, Any]]:
    """What the server itself finds in an image."""
    fields = {"conf": 0.25, "iou": 0.45} | fields
    response = server.http.post(f"/v1/predict/{model}", files={"file": image}, data=fields)
    assert response.status_code == 200, response.text
    return list(response.json()["images"][0]["results"])
