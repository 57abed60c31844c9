"""Closed and open loop against servers that answer as they are told."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from click import ClickException
from yolean.benchmarks.servers import load_generators
from yolean.benchmarks.servers.load_generators import (
    Tally,
    closed_loop,
    form,
    message,
    open_loop,
    send,
    wrk_program,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n"
REQUEST = message("http://127.0.0.1/v1/predict/m?size=64", b"image")


@asynccontextmanager
async def answering(answers: Sequence[bytes], after: float = 0.0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """The port of a server with one answer a connection, from a list whose last is repeated."""
    left, seen = list(answers), list[bytes]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0])
        seen.append(head + await reader.readexactly(size))
        answer = left.pop(0) if len(left) > 1 else left[0]
        await asyncio.sleep(after)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


def sent(*answers: bytes, times: int = 1) -> Tally:
    """The tally after so many requests."""

    async def run() -> Tally:
        tally = Tally()
        async with answering(answers) as (port, _):
            for _ in range(times):
                await send(port, REQUEST, tally)
        return tally

    return asyncio.run(run())


def test_what_is_sent() -> None:
    async def run() -> list[bytes]:
        async with answering([OK]) as (port, seen):
            await send(port, REQUEST, Tally())
        return seen

    head, _, body = asyncio.run(run())[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/predict/m?size=64 HTTP/1.1\r\n")
    assert body == form(b"image")
    assert b'name="image"' in body
    assert b"\r\n\r\nimage\r\n" in body


def test_answers_and_refusals_are_told_apart() -> None:
    tally = sent(OK, BUSY, times=2)
    assert tally.statuses == {200: 1, 503: 1}
    assert len(tally.since_due) == 1
    assert not tally.lost


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        (b"", "no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{", "the answer broke off"),
        (b"HTTP/1.1 2", "the answer broke off"),
    ],
)
def test_half_an_answer_is_a_lost_request(answer: bytes, how: str) -> None:
    tally = sent(answer)
    assert tally.lost == [how]
    assert not tally.statuses
    assert not tally.since_due


def test_a_refused_connection_is_no_loss() -> None:
    async def run() -> Tally:
        async with answering([OK]) as (port, _):
            pass
        tally = Tally()
        await send(port, REQUEST, tally)
        return tally

    tally = asyncio.run(run())
    assert (tally.refused, tally.lost) == (1, [])


def test_a_client_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_generators, "PATIENCE", 0.05)

    async def run() -> Tally:
        tally = Tally()
        async with answering([OK], after=0.2) as (port, _):
            await send(port, REQUEST, tally)
            await asyncio.sleep(0.2)  # for the server to end
        return tally

    assert asyncio.run(run()).lost == ["TimeoutError"]


def test_an_open_loop_does_not_wait_for_answers() -> None:
    async def run() -> tuple[Tally, float]:
        async with answering([OK], after=0.25) as (port, _):
            started = asyncio.get_running_loop().time()
            tally = await open_loop(port, REQUEST, rate=50, seconds=0.2)
            return tally, asyncio.get_running_loop().time() - started

    tally, took = asyncio.run(run())
    assert tally.statuses == {200: 10}
    assert took < 10 * 0.25  # what one after the other takes
    assert all(seconds >= 0.25 for seconds in tally.since_due)


def test_an_open_loop_counts_from_when_a_request_was_due() -> None:
    """A client that is held up must not hide that its requests were late."""

    async def run() -> Tally:
        async with answering([OK]) as (port, _):
            loop = asyncio.create_task(open_loop(port, REQUEST, rate=20, seconds=0.5))
            await asyncio.sleep(0.01)
            time.sleep(0.3)  # nothing is sent meanwhile
            return await loop

    tally = asyncio.run(run())
    assert tally.statuses == {200: 10}
    assert max(tally.late) >= 0.15
    assert max(tally.since_due) >= max(tally.late)


def test_the_summary_of_an_open_loop() -> None:
    tally = Tally(refused=1, lost=["x", "y"], since_due=[0.1, 0.2, 0.9], late=[0.0] * 8)
    tally.statuses.update({200: 3, 503: 2})
    found = tally.summary(seconds=2, in_time=0.5)
    assert (found.sent, found.rate) == (8, 1.5)
    assert found.p50 == pytest.approx(200)
    assert found.in_time == pytest.approx(2 / 8)  # of all, not only of those answered
    assert (found.answered, found.broken, found.refused) == (3, 3, 2)
    nothing = Tally(refused=2, late=[0.0, 0.0]).summary(seconds=1, in_time=1)
    assert (nothing.p50, nothing.p99, nothing.in_time) == (None, None, 0)


# ---- closed loop ------------------------------------------------------------------------------------------

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@needs_wrk
@pytest.mark.slow  # wrk counts whole seconds
def test_wrk_sends_the_image_and_counts_answers(answered: Any) -> None:
    load = closed_loop(answered.url, b"image", 2, 1)
    (body,) = answered.bodies
    assert body == form(b"image")
    assert load.answered > 10
    assert load.rate == pytest.approx(load.answered, rel=0.3)
    latencies = [load.p50, load.p90, load.p99]
    assert all(0 < latency < 1000 for latency in latencies if latency is not None)
    assert None not in latencies
    assert (load.broken, load.refused) == (0, 0)


@needs_wrk
@pytest.mark.slow
def test_refusals_are_not_answers(answered: Any) -> None:
    """A 503 takes no time: counted as an answer, it would make a full server look fast."""
    answered.statuses[:] = [200, 503, 503, 503]
    load = closed_loop(answered.url, b"image", 2, 1)
    assert load.refused == pytest.approx(3 * load.answered, rel=0.1)
    assert load.rate == pytest.approx(load.answered, rel=0.3)
    assert [load.p50, load.p90, load.p99] == [None] * 3  # wrk does not tell whose they are


def test_without_wrk_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ClickException, match=r"^wrk is not installed: apt-get install wrk"):
        wrk_program()
