"""What clients may send: no slower than a rate, and no more at a time than the share of their address."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest
from yolean.engine.errors import ServerBusy
from yolean.models import demo_images, demo_model
from yolean.serving.client_limits import BODY_SPREAD, Pace, SharedBudget, SlowUpload
from yolean.serving.settings import ModelSource, Settings

WINDOW = 0.1


def arriving(*parts: tuple[float, int]) -> float:
    """Keep a pace of 1,000 bytes a second over (seconds before it, size) parts; returns the seconds taken."""

    async def run() -> float:
        started = perf_counter()
        async with Pace(1000, WINDOW).keep() as arrived:
            for seconds, size in parts:
                await asyncio.sleep(seconds)
                arrived(size)
        return perf_counter() - started

    return asyncio.run(run())


@pytest.mark.parametrize(
    "parts",
    [
        [],  # nothing at all
        [(0.0, 3)],  # the whole body at once, however small
        [(0.05, 100)] * 8,  # twice as fast as it must be, for longer than the window
        [(0.04, 50)] * 2 + [(0.04, 1)],  # the rest may be less
    ],
)
def test_a_body_that_comes_fast_enough_is_read(parts: list[tuple[float, int]]) -> None:
    assert arriving(*parts) < 5


@pytest.mark.parametrize(
    "parts",
    [
        [(60.0, 1)],  # nothing comes
        [(0.01, 1)] * 6000,  # a byte now and then
        [(0.0, 10**6), (60.0, 1)],  # a fast beginning earns no rest
    ],
)
def test_a_body_that_comes_too_slowly_is_given_up_in_time(parts: list[tuple[float, int]]) -> None:
    started = perf_counter()
    with pytest.raises(SlowUpload, match="expected 1,000 bytes a second"):
        arriving(*parts)
    assert WINDOW <= perf_counter() - started < BODY_SPREAD * WINDOW + 2


def test_one_client_cannot_take_everything() -> None:
    refusals: list[None] = []
    budget = SharedBudget(10, 6, "too much", lambda: refusals.append(None))
    with budget.request("192.0.2.1") as first, budget.request("192.0.2.1") as second:
        first(4)
        second(2)
        with pytest.raises(ServerBusy, match="too much") as refusal:
            second(1)
        assert refusal.value.retry_after == 1
        with budget.request("192.0.2.2") as other:
            other(4)
            with pytest.raises(ServerBusy):
                other(1)  # of its own share there is more, but not of the whole
        with budget.request("192.0.2.3") as third:  # what was given back
            third(4)
    assert len(refusals) == 2
    with budget.request("192.0.2.1") as again:
        again(6)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),  # a household has 2**64 addresses
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),  # a socket file
    ],
)
def test_clients_are_told_apart_by_address(first: str, second: str, same: bool) -> None:
    budget = SharedBudget(2, 1, "too much")
    with budget.request(first) as one, budget.request(second) as other:
        one(1)
        if same:
            with pytest.raises(ServerBusy):
                other(1)
        else:
            other(1)


# ---- over HTTP --------------------------------------------------------------------------------------------

SHAPES = demo_images()[0].read_bytes()
PREDICT = "/v1/predict/shapes"


def begun(size: int) -> bytes:
    """The head of a request with a body of so many bytes."""
    lines = [f"POST {PREDICT} HTTP/1.1", "Host: x", "Content-Type: image/jpeg", f"Content-Length: {size}"]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_slow_body_is_answered_408_and_holds_up_nobody(start_local: Callable[[Settings], Any]) -> None:
    server = start_local(Settings(models=(ModelSource(demo_model()),), max_queue=1, rate_window=0.5))
    with server.connect() as slow, slow.makefile("rb") as answer:
        slow.sendall(begun(1000) + b"abc")
        reply = server.http.post(PREDICT, data=SHAPES, headers={"content-type": "image/jpeg"})
        assert reply.status_code == 200
        assert answer.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
        headers = http.client.parse_headers(answer)
        assert headers["connection"] == "close"
        assert headers["x-request-id"]
        body = json.loads(answer.read(int(headers["content-length"])))
        assert "expected 1,024 bytes a second" in body["message"]
    assert server.metric("yolean_requests_total", status="408") == 1
    assert "status=408" in server.wait_for_line("status=408")


def test_uploads_together_are_limited(
    start_local: Callable[[Settings], Any], wait_until: Callable[..., Any]
) -> None:
    limit = len(SHAPES) + 1000
    model = (ModelSource(demo_model()),)
    server = start_local(Settings(models=model, max_body=limit, max_uploads=limit, max_client_uploads=1))

    def post() -> Any:
        return server.http.post(PREDICT, data=SHAPES, headers={"content-type": "image/jpeg"})

    with server.connect() as other, other.makefile("rb") as answer:
        other.sendall(begun(limit) + b"x" * 2000)
        wait_until(lambda: post().status_code == 503, "what has come of the other body")
        reply = post()
        server.check_refusal(reply, 503, "too much is being uploaded")
        assert reply.headers["retry-after"] == "1"
        assert server.metric("yolean_shed_total", reason="uploads") >= 1
        other.sendall(b"x" * (limit - 2000))
        assert b" 415 " in answer.readline()
    assert post().status_code == 200
