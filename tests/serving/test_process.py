"""What a process of `yolean serve` does with signals and with a failed start."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import cast

import cv2
import pytest
from yolean.engine.errors import ModelError
from yolean.serving import shutdown
from yolean.serving.app_state import AppState
from yolean.serving.process import process_lifespan
from yolean.serving.shutdown import Drain

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

PATIENCE = 10.0


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short times; at last the handlers and threads of this process as they were."""
    monkeypatch.setattr(shutdown, "TURN_AWAY_SECONDS", 0.02)
    monkeypatch.setattr(shutdown, "CLOSE_SECONDS", 0.0)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    threads = cv2.getNumThreads()
    yield
    cv2.setNumThreads(threads)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


class State:
    """The part of an `AppState` that a process deals with, and what was done with it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.drain = Drain(5)
        self.events: list[str] = []
        self.ended = asyncio.Event()
        self._error = error

    async def reload(self) -> bool:
        self.events.append("reload")
        return True

    async def loaded(self) -> None:
        if self._error:
            raise self._error

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        """As uvicorn takes a signal."""
        self.events.append(signal.Signals(number).name)
        self.ended.set()


def hosting(test: Callable[[State], Awaitable[None]], error: Exception | None = None) -> None:
    """Run a test in a process that serves, below a web server that handles signals."""

    async def run() -> None:
        state = State(error)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, state.handle_exit)
        async with asyncio.timeout(PATIENCE), process_lifespan(cast(AppState, state)):
            await test(state)

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_web_server_after_the_drain(number: signal.Signals) -> None:
    async def test(state: State) -> None:
        state.drain.inside = 1
        for _ in range(3 if number == signal.SIGTERM else 1):  # again changes nothing
            signal.raise_signal(number)
            assert state.drain.is_draining  # at once: /readyz says so from now on
            await asyncio.sleep(0.05)
        assert state.events == []
        state.drain.inside = 0
        await state.ended.wait()
        await asyncio.sleep(0.05)
        assert state.events == [number.name]

    hosting(test)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_ctrl_c_again_ends_at_once(first: signal.Signals) -> None:
    async def test(state: State) -> None:
        state.drain.inside = 1
        signal.raise_signal(first)
        await asyncio.sleep(0.05)
        signal.raise_signal(signal.SIGINT)
        assert state.events == ["SIGINT"]

    hosting(test)


def test_sighup_reloads() -> None:
    async def test(state: State) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGHUP)
            await asyncio.sleep(0.05)
        assert state.events == ["reload"] * 2

    hosting(test)


def test_opencv_has_one_thread() -> None:
    async def test(state: State) -> None:
        assert cv2.getNumThreads() == 1

    cv2.setNumThreads(2)
    hosting(test)


def test_a_start_that_fails_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(logging, "shutdown", lambda: None)

    async def test(state: State) -> None:
        while not ended:
            await asyncio.sleep(0.001)

    hosting(test, ModelError("broken.onnx cannot be read"))
    assert ended == [2]
