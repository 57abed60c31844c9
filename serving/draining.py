"""The end of a server: from SIGTERM to exit without losing a request."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from time import perf_counter
from types import FrameType
from typing import Any

log = logging.getLogger("yolean.server")

QUIET_SECONDS = 0.3
"""Without a request for so long, the connections that remain are idle."""

CUT_SECONDS = 1.0
"""What the web server gets, of the drain time, to end connections that will not end."""


class Drain:
    """Holds back the signal that ends the web server until nothing is left to answer.

    A web server closes its socket as soon as it is told to end, and connections that it has not accepted
    yet are reset. So here it is told later: first the server says that it is not ready, turns new
    predictions away with a 503 and answers those that it has.

    Attributes:
        is_draining: whether the end has begun.
    """

    def __init__(self, seconds: float) -> None:
        """Remember how long it may take."""
        self._seconds = seconds
        self.is_draining = False

    def install(self, inside: Callable[[], int]) -> None:
        """Take over SIGTERM and SIGINT from the web server, which is running already.

        Args:
            inside: tells how many requests are not answered yet.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # signals do not come here: whoever embeds the server ends it
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handler(signal.getsignal(number), loop, inside))

    def _handler(self, end: Any, loop: asyncio.AbstractEventLoop, inside: Callable[[], int]) -> Any:
        def handle(number: int, frame: FrameType | None) -> None:
            if self.is_draining:
                if number == signal.SIGINT and callable(end):  # Ctrl-C again: at once
                    end(number, frame)
                return
            self.is_draining = True
            loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(drain(number))))

        async def drain(number: int) -> None:
            log.info("%s: no new requests, %d to answer", signal.Signals(number).name, inside())
            limit = perf_counter() + max(0.0, self._seconds - CUT_SECONDS)
            quiet_since = perf_counter()
            while (now := perf_counter()) < limit and now - quiet_since < QUIET_SECONDS:
                if inside():
                    quiet_since = now
                await asyncio.sleep(0.02)
            log.info("%s", "all answered" if not inside() else f"{inside()} requests cut off by --drain")
            if callable(end):
                end(number, None)

        tasks: list[asyncio.Task[None]] = []
        return handle
