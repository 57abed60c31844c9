"""The end of a server: nobody who has been let in is lost, and the end comes in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

import pytest
from yolean.serving import shutdown
from yolean.serving.shutdown import Drain

PATIENCE = 10.0  # seconds after which a test fails instead of hanging


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Short times, and what was logged."""
    monkeypatch.setattr(shutdown, "TURN_AWAY_SECONDS", 0.06)
    monkeypatch.setattr(shutdown, "CLOSE_SECONDS", 0.0)
    monkeypatch.setattr(logging.getLogger("yolean"), "propagate", True)
    caplog.set_level(logging.INFO, "yolean.server")
    return caplog


def draining(drain: Drain, during: Callable[[asyncio.Task[None]], Awaitable[None]]) -> float:
    """Run a drain and, beside it, `during`; returns how many seconds the drain took."""

    async def run() -> float:
        async with asyncio.timeout(PATIENCE):
            started = perf_counter()
            task = asyncio.create_task(drain.run("SIGTERM"))
            await asyncio.sleep(0)
            await during(task)
            await task
            return perf_counter() - started

    return asyncio.run(run())


async def nothing(task: asyncio.Task[None]) -> None:
    """Let the drain be alone."""


def test_an_idle_server_turns_new_requests_away_for_a_moment(log: pytest.LogCaptureFixture) -> None:
    drain = Drain(5)
    assert not drain.is_draining

    async def during(task: asyncio.Task[None]) -> None:
        assert drain.is_draining  # at once: /readyz says so from now on

    assert 0.06 <= draining(drain, during) < 2
    assert log.messages == ["SIGTERM: no new requests, 0 to answer", "all answered"]


def test_requests_inside_are_answered_first(log: pytest.LogCaptureFixture) -> None:
    drain = Drain(5)
    drain.inside = 2

    async def during(task: asyncio.Task[None]) -> None:
        for left in (1, 0):
            await asyncio.sleep(0.1)
            assert not task.done()
            drain.inside = left

    draining(drain, during)
    assert log.messages == ["SIGTERM: no new requests, 2 to answer", "all answered"]


@pytest.mark.parametrize("reserved", [0.0, 0.2])
def test_the_end_comes_in_time_whoever_is_still_inside(
    reserved: float, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "CLOSE_SECONDS", reserved)  # for the web server
    drain = Drain(0.3)
    drain.inside = 3
    seconds = draining(drain, nothing)
    assert 0.3 - reserved <= seconds < 2
    assert log.messages[-1] == "3 requests cut off by --drain"
