"""The end of a server: from SIGTERM to exit without losing a request."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from dataclasses import dataclass
from time import perf_counter
from types import FrameType
from typing import Any

log = logging.getLogger("yolean.server")

QUIET_SECONDS = 0.3
"""Connections on which nobody has spoken for so long, after the socket was closed, are idle."""

LISTEN_SECONDS = 0.5
"""How long newcomers are turned away with a 503 at least. What connects in the moment in which the socket is
closed is reset, so clients must have heard that they should wait."""

CUT_SECONDS = 1.0
"""What the web server gets, of the drain time, to end connections that will not end."""


@dataclass(slots=True)
class Traffic:
    """What the drain watches.

    Attributes:
        inside: requests that are not answered yet.
        latest: when the last one came or was answered, on the clock of `perf_counter`.
    """

    inside: int = 0
    latest: float = 0.0


class Drain:
    """Holds back the signal that ends the web server until nothing is left to answer.

    A web server that is told to end closes the connections on which no request has been read yet, and a
    client that has just sent one there loses it. So it is told later. First the server says that it is not
    ready, turns new predictions away with a 503, and answers those that it has. Then its socket is closed,
    and who has connected before is answered. Only then the web server ends.

    Attributes:
        is_draining: whether the end has begun.
    """

    def __init__(self, seconds: float) -> None:
        """Remember how long it may take."""
        self._seconds = seconds
        self._task: asyncio.Task[None] | None = None
        self.is_draining = False

    def install(self, traffic: Traffic) -> None:
        """Take over SIGTERM and SIGINT from the web server, which is running already."""
        if threading.current_thread() is not threading.main_thread():
            return  # signals do not come here: whoever embeds the server ends it
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handler(signal.getsignal(number), loop, traffic))

    def _handler(self, end: Any, loop: asyncio.AbstractEventLoop, traffic: Traffic) -> Any:
        def handle(number: int, frame: FrameType | None) -> None:
            if not self.is_draining:
                self.is_draining = True
                loop.call_soon_threadsafe(begin, number)
            elif number == signal.SIGINT and callable(end):  # Ctrl-C again: at once
                end(number, frame)

        def begin(number: int) -> None:
            self._task = loop.create_task(self._drain(number, end, traffic))

        return handle

    async def _drain(self, number: int, end: Any, traffic: Traffic) -> None:
        log.info("%s: no new requests, %d to answer", signal.Signals(number).name, traffic.inside)
        begun = perf_counter()
        limit = begun + max(0.0, self._seconds - CUT_SECONDS)
        while (traffic.inside or perf_counter() < begun + LISTEN_SECONDS) and perf_counter() < limit:
            await asyncio.sleep(0.02)
        # The handler that we replaced is a method of uvicorn's server, which has the sockets.
        for listener in getattr(getattr(end, "__self__", None), "servers", []):
            listener.close()
        closed = perf_counter()
        while (now := perf_counter()) < limit:
            if not traffic.inside and now - max(closed, traffic.latest) > QUIET_SECONDS:
                break
            await asyncio.sleep(0.02)
        cut = traffic.inside
        log.info("%s", f"{cut} requests cut off by --drain" if cut else "all answered")
        if callable(end):
            end(number, None)
        else:  # nobody had taken it: it means what the system means by it
            signal.signal(number, signal.SIG_DFL if end is None else end)
            signal.raise_signal(number)
