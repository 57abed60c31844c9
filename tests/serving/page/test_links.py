"""Links that keep the model and the thresholds, and the browser's Back."""

from __future__ import annotations

import pytest
from browser_tab import SHAPES, WIDE, Open, Tab

pytestmark = pytest.mark.browser


def settings(tab: Tab) -> list[str]:
    """Model, confidence and IoU as the page has them."""
    return [tab.page.input_value(f"#{name}") for name in ("model", "conf", "iou")]


def go(tab: Tab, query: str) -> None:
    tab.page.goto(tab.server.url + query)
    tab.page.wait_for_function("() => document.querySelector('#model option') && model")


def test_a_copied_link_restores_the_settings(open_page: Open) -> None:
    tab = open_page(permissions=["clipboard-read", "clipboard-write"])
    tab.upload(SHAPES)
    tab.choose("shapes-seg")
    tab.slide("conf", 0.6)
    tab.slide("iou", 0.3)
    tab.page.click("[data-copy=link]")
    tab.page.wait_for_function("() => document.querySelector('[data-copy=link]').textContent === 'Copied'")
    link = tab.page.evaluate("() => navigator.clipboard.readText()")
    assert link == f"{tab.server.url}/?model=shapes-seg&conf=0.6&iou=0.3"
    tab.page.wait_for_url(link)

    other = open_page()
    go(other, link.removeprefix(other.server.url))
    assert settings(other) == ["shapes-seg", "0.6", "0.3"]
    assert "0.6" in other.text("#curl")
    other.upload(WIDE)
    assert {name: other.json["metadata"][name] for name in ("model", "conf", "iou")} == {
        "model": "shapes-seg",
        "conf": 0.6,
        "iou": 0.3,
    }


def test_the_address_stays_plain_until_something_is_chosen(tab: Tab) -> None:
    tab.upload(SHAPES)
    tab.page.wait_for_timeout(600)
    assert tab.page.url == tab.server.url + "/"


def test_back_and_forward(tab: Tab) -> None:
    tab.upload(SHAPES)
    tab.choose("shapes-obb")
    tab.page.wait_for_url("**/?model=shapes-obb&conf=0.25&iou=0.45")
    tab.slide("conf", 0.7)
    tab.page.wait_for_url("**/?model=shapes-obb&conf=0.7&iou=0.45")
    tab.choose("shapes-pose")
    tab.page.wait_for_url("**/?model=shapes-pose&conf=0.7&iou=0.45")

    tab.page.go_back()
    tab.page.wait_for_function("() => ui.json.textContent.includes('shapes-obb')")
    tab.settle()
    assert settings(tab) == ["shapes-obb", "0.7", "0.45"]
    assert tab.json["metadata"]["conf"] == 0.7
    tab.page.go_back()
    tab.page.wait_for_function("() => ui.conf.value === '0.25'")
    tab.settle()
    assert tab.json["metadata"]["conf"] == 0.25
    tab.page.go_back()
    tab.page.wait_for_function("() => ui.model.value === 'shapes'")
    assert tab.page.url == tab.server.url + "/"
    tab.page.go_forward()
    tab.page.wait_for_function("() => ui.model.value === 'shapes-obb'")
    tab.settle()
    assert tab.json["metadata"]["model"] == "shapes-obb"
    assert tab.text("#caption").startswith("shapes.jpg")  # the images are still there


def test_a_link_that_makes_no_sense(tab: Tab) -> None:
    """Says so where a model is gone; numbers that are none are as without a link."""
    go(tab, "/?model=gone<b>&conf=nonsense&iou=")
    assert settings(tab) == ["shapes", "0.25", "0.45"]
    assert tab.text("#linknote") == (
        "The link names the model “gone<b>”, which this server does not have. This is shapes."
    )
    tab.choose("shapes-seg")
    tab.page.wait_for_function("() => !document.getElementById('linknote').textContent")
    go(tab, "/?conf=7&iou=-1&unknown=x")
    assert settings(tab) == ["shapes", "1", "0"]
    assert tab.text("#linknote") == ""
