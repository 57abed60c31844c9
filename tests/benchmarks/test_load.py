"""Open and closed loop against a server that answers as it is told."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from yolean.benchmarks import load
from yolean.benchmarks.load import Tally, ask, crowd, flood, form, message

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n"
REQUEST = message("http://127.0.0.1/v1/predict/m?size=64", b"image")


@asynccontextmanager
async def answering(answers, after=0.0):
    """The port of a server with one answer a connection, from a list whose last is repeated."""
    left, seen = list(answers), []

    async def handle(reader, writer):
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


def asked(*answers, times=1):
    """The tally after so many requests, and what the last one returned."""

    async def go():
        tally = Tally()
        async with answering(answers) as (port, _):
            for _ in range(times):
                wait = await ask(port, REQUEST, tally)
        return tally, wait

    return asyncio.run(go())


def test_what_is_sent():
    async def go():
        async with answering([OK]) as (port, seen):
            await ask(port, REQUEST, Tally())
        return seen

    head, _, body = asyncio.run(go())[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/predict/m?size=64 HTTP/1.1\r\n")
    assert body == form(b"image")
    assert b'name="image"' in body
    assert b"\r\n\r\nimage\r\n" in body


def test_answers_and_refusals_are_told_apart():
    tally, wait = asked(OK, BUSY, times=2)
    assert tally.statuses == {200: 1, 503: 1}
    assert len(tally.seconds) == 1
    assert not tally.lost
    assert wait == 3.0


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        (b"", "no answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{", "the answer broke off"),
        (b"HTTP/1.1 2", "the answer broke off"),
    ],
)
def test_half_an_answer_is_a_lost_request(answer, how):
    tally, _ = asked(answer)
    assert tally.lost == [how]
    assert not tally.statuses
    assert not tally.seconds


def test_a_connection_that_nobody_takes_is_no_loss():
    async def go():
        async with answering([OK]) as (port, _):
            pass
        tally = Tally()
        await ask(port, REQUEST, tally)
        return tally

    tally = asyncio.run(go())
    assert (tally.refused, tally.lost) == (1, [])
    assert tally.figures()["p50_s"] is None


def test_a_client_gives_up(monkeypatch):
    monkeypatch.setattr(load, "PATIENCE", 0.05)

    async def go():
        tally = Tally()
        async with answering([OK], after=0.2) as (port, _):
            await ask(port, REQUEST, tally)
            await asyncio.sleep(0.2)  # for the server to end
        return tally

    assert asyncio.run(go()).lost == ["TimeoutError"]


def test_an_open_loop_does_not_wait_for_answers():
    async def go():
        async with answering([OK], after=0.25) as (port, _):
            started = asyncio.get_running_loop().time()
            tally = await flood(port, REQUEST, rate=50, seconds=0.2)
            return tally, asyncio.get_running_loop().time() - started

    tally, took = asyncio.run(go())
    assert tally.statuses == {200: 10}
    assert took < 10 * 0.25  # what one after the other takes
    assert all(seconds >= 0.25 for seconds in tally.seconds)


def test_an_open_loop_counts_from_when_a_request_was_due():
    """A client that is held up must not hide that its requests were late."""

    async def go():
        async with answering([OK]) as (port, _):
            loop = asyncio.create_task(flood(port, REQUEST, rate=20, seconds=0.5))
            await asyncio.sleep(0.01)
            time.sleep(0.3)  # nothing is sent meanwhile
            return await loop

    tally = asyncio.run(go())
    assert tally.statuses == {200: 10}
    assert max(tally.late) >= 0.15
    assert max(tally.since_due) >= max(tally.late)
    assert max(tally.seconds) < max(tally.since_due)


def closed_loop(answer, clients):
    """What clients get within 0.3 s, and how often they asked."""

    async def meanwhile():
        await asyncio.sleep(0.3)

    async def go():
        async with answering([answer], after=0.02) as (port, seen):
            return await crowd(port, REQUEST, clients, meanwhile), len(seen)

    return asyncio.run(go())


def test_a_closed_loop_asks_again_when_it_is_answered():
    tally, asked_for = closed_loop(OK, 2)
    assert 4 <= tally.statuses[200] == asked_for <= 32


def test_a_closed_loop_honours_retry_after():
    tally, asked_for = closed_loop(BUSY.replace(b": 3", b": 1"), 3)
    assert tally.statuses[503] == asked_for == 3


def test_figures_of_a_tally():
    tally = Tally(refused=1, lost=["b", "a", "a"], seconds=[1.0, 3.0, 2.0])
    tally.statuses.update({503: 2, 200: 3})
    assert tally.figures() == {
        "answers": {"200": 3, "503": 2},
        "refused": 1,
        "lost": 3,
        "how": ["a", "b"],
        "p50_s": 2.0,
        "worst_s": 3.0,
    }
