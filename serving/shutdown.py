"""The end of a server: from the signal to exit without losing a request."""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter

log = logging.getLogger("yolean.server")

CANNOT_START = 2
"""Exit status of `yolean serve` when it has not started."""

TURN_AWAY_SECONDS = 0.5
"""Shortest time in which new requests are answered 503 before the socket is closed. What connects at the
moment of closing is reset, so clients must have heard before that they should wait."""

CLOSE_SECONDS = 1.0
"""Part of the drain time that the web server gets to close its connections."""


class Drain:
    """The requests that a server has, and its waiting for them before it ends.

    A draining server is not ready, answers new predictions with a 503, and answers those that it has.

    Attributes:
        inside: requests that are not answered yet.
        is_draining: whether the server is about to end.
    """

    def __init__(self, seconds: float) -> None:
        """Limit the drain to `seconds`, of which `CLOSE_SECONDS` are left for what follows."""
        self._seconds = seconds
        self.inside = 0
        self.is_draining = False

    async def run(self, cause: str) -> None:
        """Wait until all requests are answered or the time is over.

        Args:
            cause: why the server ends, for the log.
        """
        self.is_draining = True
        log.info("%s: no new requests, %d to answer", cause, self.inside)
        started = perf_counter()
        limit = started + max(0.0, self._seconds - CLOSE_SECONDS)
        while (self.inside or perf_counter() < started + TURN_AWAY_SECONDS) and perf_counter() < limit:
            await asyncio.sleep(0.02)
        log.info("%s", f"{self.inside} requests cut off by --drain" if self.inside else "all answered")
