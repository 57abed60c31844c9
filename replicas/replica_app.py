"""The server's application as a replica of Ray Serve runs it, behind a proxy with ways of its own.

Three things differ from uvicorn. The proxy gives every answer an `x-request-id`, which would stand there
twice. It cancels the request of a client that leaves, where uvicorn only says so; cancelled, the server would
answer that it shuts down. And it hides the error of an application that does not start, so the server has
started before its application is handed over, and the lifespan only ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from ..serving.settings import Network

_DISCONNECT: Message = {"type": "http.disconnect"}


class ReplicaApp:
    """ASGI application around that of a server which has started.

    Attributes:
        routes, router: of the server; Ray names requests by them in its logs and metrics.
    """

    def __init__(
        self, app: Starlette, trusted_proxy: Sequence[Network], close: Callable[[], Awaitable[object]]
    ) -> None:
        """Wrap an application.

        Args:
            app: the server's.
            trusted_proxy: proxies before Ray's whose X-Forwarded-For names the client.
            close: ends the server.
        """
        self.routes, self.router = app.routes, app.router
        self._app: ASGIApp = app
        if trusted_proxy:
            named = [str(network) for network in trusted_proxy]
            self._app = ProxyHeadersMiddleware(app, named)  # type: ignore[arg-type, assignment]
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(receive, send)
        work = asyncio.ensure_future(_run(self._app, scope, exchange))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            exchange.leave()
            await work
            raise


async def _run(app: ASGIApp, scope: Scope, exchange: _Exchange) -> None:
    await app(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its answer, whose client may be said to have left."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._left = asyncio.get_running_loop().create_future()

    def leave(self) -> None:
        """From now on the client has left: nothing is received from it or sent to it."""
        if not self._left.done():
            self._left.set_result(None)

    async def receive(self) -> Message:
        if self._left.done():
            return _DISCONNECT
        message = asyncio.ensure_future(self._receive())
        try:
            await asyncio.wait((message, self._left), return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() else _DISCONNECT
        finally:
            message.cancel()

    async def send(self, message: Message) -> None:
        if self._left.done():
            return
        if message["type"] == "http.response.start":
            headers = [header for header in message["headers"] if header[0] != b"x-request-id"]
            message = {**message, "headers": headers}
        await self._send(message)
