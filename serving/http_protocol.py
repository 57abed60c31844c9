"""uvicorn's HTTP/1.1 with limits on the heads of requests, and an end that loses none of them.

`yolean serve` uses it. Plain uvicorn takes it by name:
`uvicorn yolean.server:app --http yolean.serving.http_protocol:HttpProtocol`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from random import uniform
from time import perf_counter
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .client_limits import HEAD_LIMITS, HEAD_SPREAD, HeadLimits

log = logging.getLogger("yolean.access")

QUIET_SECONDS = 0.3
"""A connection on which nothing has come for so long, after the server was told to end, is idle."""

LINGER_SECONDS = 2.0
"""How long a connection is read from after its client has been refused."""


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    uvicorn itself waits for a head without end, of any size, and when it is told to end it closes connections
    on which a request may be under way. Bodies are the application's: see `client_limits.Pace`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits: HeadLimits = app_state.get(HEAD_LIMITS) or HeadLimits()
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0  # of a head that is not complete
        self._in_head = False  # whether its first byte has come
        self._is_refused = self._is_ending = False
        self._received_at = 0.0

    @property
    def _is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    # ---- called by the transport --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._received_at = perf_counter()
        if self._in_head or self._is_idle:
            self._head_bytes += len(data)  # until `on_headers_complete`
        super().data_received(data)
        if self.transport.is_closing() or not (self._in_head or self._is_idle):
            return
        if self._head_timer is None:
            self._start_head_timer()
        self._limit_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    # ---- called by the parser -----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._stop_head_timer()
        super().on_headers_complete()

    # ---- called by the exchange of a request and its answer, and by timers --------------------------------

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The rest of a body that nobody has read would be read, and kept alive, for ever.
        if self._is_idle and (self._is_ending or self.cycle.more_body):
            self.transport.close()
        self._limit_head()

    def timeout_keep_alive_handler(self) -> None:
        if not self._in_head:  # its own timer is running
            super().timeout_keep_alive_handler()

    def shutdown(self) -> None:
        """Called when the server ends: take the request that may be under way, and close."""
        self._is_ending = True
        if self._is_idle:
            self._received_at = perf_counter()  # or will be, of a connection that has just been made
            self._close_when_quiet()
        else:
            super().shutdown()

    def _close_when_quiet(self) -> None:
        if self.transport.is_closing() or not self._is_idle:
            return
        quiet = perf_counter() - self._received_at
        if quiet >= QUIET_SECONDS:
            self.transport.close()
        else:
            self.loop.call_later(QUIET_SECONDS - quiet + 0.001, self._close_when_quiet)

    # ---- heads --------------------------------------------------------------------------------------------

    def _start_head_timer(self) -> None:
        seconds = self._limits.seconds * uniform(1, HEAD_SPREAD)
        self._head_timer = self.loop.call_later(seconds, self._end_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _end_head(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if not self._is_idle:  # a pipelined request: an answer to an earlier one is under way
            self._start_head_timer()
        elif self._in_head:
            seconds = self._limits.seconds
            self._refuse(408, f"the head of the request was not complete within {seconds:g} s")
        else:  # opened in advance, as browsers do: an answer would be taken for one to the next request
            self.transport.close()

    def _limit_head(self) -> None:
        if self._head_bytes <= self._limits.size or self.transport.is_closing():
            return
        if self._is_idle:
            self._refuse(431, f"the head of the request is larger than {self._limits.size:,} bytes")
        else:  # a pipelined request: an answer to an earlier one is under way
            self.flow.pause_reading()

    def _refuse(self, status: int, message: str) -> None:
        """Answer a request that has no complete head, and close the connection.

        Our side is closed at once, the other after a moment: a client that still sends on a connection that
        is closed altogether is reset, and may lose the answer.
        """
        self._is_refused = True
        self._stop_head_timer()
        body = json.dumps({"success": False, "message": message}).encode()
        headers: Mapping[bytes, bytes] = {
            **dict(self.server_state.default_headers),
            b"content-type": b"application/json",
            b"content-length": str(len(body)).encode(),
            b"connection": b"close",
        }
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
        lines += [name + b": " + value for name, value in headers.items()]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.close)
        else:
            self.transport.close()
        client = self.client[0] if self.client else ""
        log.info("", extra={"request": {"client": client, "status": status, "reason": message}})
