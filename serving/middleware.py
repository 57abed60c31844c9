"""Around every request: its id, its line in the log, and an answer to whatever goes wrong."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..engine.errors import ServerBusy
from .error_responses import reply_to
from .shutdown import Drain
from .tickets import ClientGone

log = logging.getLogger("yolean.access")
server_log = logging.getLogger("yolean.server")

LINGER_SECONDS = 5.0
LINGER_BYTES = 256 * 2**20
"""What is read at most of a request that has its answer already."""

_ID = re.compile(rb"[\w.:=+/-]{1,128}")


class Access:
    """ASGI middleware, outside of everything else.

    Endpoints find `request_id` and `notes` in the request's state; what they write into the notes stands in
    the log line.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        """Wrap an app; while the server drains, connections end with their answer."""
        self._app, self._drain = app, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        notes: dict[str, Any] = {}
        state["request_id"], state["notes"] = request_id, notes
        exchange = _Exchange(scope, receive, send, self._extra_headers(request_id))
        self._drain.inside += 1
        started = perf_counter()
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except ClientGone:
            notes["left"] = True
        except asyncio.CancelledError:  # the web server ends and waits no longer
            exchange.do_not_linger()
            if not exchange.status:
                await _answer(
                    ServerBusy("this server has shut down, send it again", 1),
                    request_id,
                    scope,
                    exchange.send,
                )
        except Exception as exc:
            if exchange.status:  # half an answer is out: nothing can be said to the client any more
                server_log.exception("request %s broke off", request_id)
                raise
            await _answer(exc, request_id, scope, exchange.send)
        finally:
            milliseconds = (perf_counter() - started) * 1e3
            log.info("", extra={"request": _line(scope, request_id, exchange.status, milliseconds, notes)})
            try:
                await exchange.linger()
            finally:
                self._drain.inside -= 1

    def _extra_headers(self, request_id: str) -> Callable[[], list[tuple[bytes, bytes]]]:
        def headers() -> list[tuple[bytes, bytes]]:
            own = [(b"x-request-id", request_id.encode("latin-1"))]
            return [*own, (b"connection", b"close")] if self._drain.is_draining else own

        return headers


class _Exchange:
    """One request and its answer, where the answer may be complete before the request is.

    A connection that is closed while its client still sends is reset, and the client may never see the
    answer that was there for it. So such an answer goes out at once, but its end is held back until the
    rest of the request has been read and dropped.
    """

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, headers: Callable[[], list[tuple[bytes, bytes]]]
    ) -> None:
        self._receive, self._send, self._headers = receive, send, headers
        names = {name for name, _ in scope["headers"]}
        self._read = not names & {b"content-length", b"transfer-encoding"}
        self._held = False
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._read |= not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *self._headers()]}
        elif not self._read and not message.get("more_body", False):
            self._held = True
            message = {**message, "more_body": True}
        await self._send(message)

    def do_not_linger(self) -> None:
        """Take what has been read for everything."""
        self._read = True

    async def linger(self) -> None:
        """Read what is still coming, within limits, and end the answer."""
        if not self._held:
            return
        left = LINGER_BYTES
        with suppress(TimeoutError, asyncio.CancelledError):  # the latter: the web server waits no longer
            async with asyncio.timeout(LINGER_SECONDS):
                while not self._read and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def _answer(error: Exception, request_id: str, scope: Scope, send: Send) -> None:
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    status, body, headers = reply_to(error, request_id, path)
    if status == 500:
        server_log.error("request %s failed", request_id, exc_info=error)
    own = [
        ("content-type", "application/json"),
        ("content-length", str(len(body))),
        ("x-content-type-options", "nosniff"),
    ]
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in [*own, *headers]]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope) -> str:
    """The client's own id if it is harmless in a log, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _ID.fullmatch(value):
            found: str = value.decode("latin-1")
            return found
    return secrets.token_hex(8)


def _line(
    scope: Scope, request_id: str, status: int, milliseconds: float, notes: dict[str, Any]
) -> dict[str, Any]:
    """What is logged of a request: no header, and of its address only the path."""
    client = scope.get("client")
    return {
        "id": request_id,
        "client": client[0] if client else "",
        "method": scope["method"],
        "path": scope["path"][:200],
        "status": status,
        "ms": round(milliseconds, 1),
        **notes,
    }
