"""What Ray's proxy does otherwise than uvicorn, and the server does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from ipaddress import ip_network
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message
from yolean.replicas.replica_app import ReplicaApp

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


class Proxy:
    """Hands one request over as Ray's proxy does."""

    def __init__(self, endpoint: Endpoint, *trusted: str) -> None:
        self.closed = 0
        self.app = ReplicaApp(
            Starlette(routes=[Route("/", endpoint, methods=["POST"])]),
            [ip_network(network) for network in trusted],
            self._close,
        )
        self.sent: list[Message] = []
        self.received: asyncio.Queue[Message] = asyncio.Queue()

    async def _close(self) -> None:
        self.closed += 1

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def request(self, *headers: tuple[bytes, bytes]) -> None:
        scope = {
            **{"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b""},
            **{"headers": list(headers), "scheme": "http", "client": ("10.0.0.9", 1), "server": ("x", 1)},
        }
        await self.app(scope, self.received.get, self.send)


def test_a_request_is_answered_and_the_proxy_names_it() -> None:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return PlainTextResponse(body, headers={"x-request-id": "own", "server-timing": "a;dur=1"})

    async def test() -> None:
        proxy = Proxy(endpoint)
        for part in (b"one", b"two"):
            proxy.received.put_nowait({"type": "http.request", "body": part, "more_body": part == b"one"})
        await proxy.request()
        start, body = proxy.sent
        assert (start["status"], body["body"]) == (200, b"onetwo")
        names = [name for name, _ in start["headers"]]
        assert b"server-timing" in names
        assert b"x-request-id" not in names

    asyncio.run(test())


def test_a_request_that_is_cancelled_is_that_of_a_client_that_left() -> None:
    ends: list[str] = []

    async def endpoint(request: Request) -> Response:
        assert (await request.receive())["type"] == "http.request"
        try:
            while (await request.receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        assert await request.is_disconnected()
        ends.append("left")
        return PlainTextResponse("nobody reads this")

    async def test() -> None:
        proxy = Proxy(endpoint)
        proxy.received.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        task = asyncio.create_task(proxy.request())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ends == ["left"]
        assert proxy.sent == []

    asyncio.run(test())


def test_an_error_of_the_proxy_reaches_the_server() -> None:
    async def endpoint(request: Request) -> Response:
        with pytest.raises(OSError, match="lost"):
            await request.body()
        return PlainTextResponse("")

    async def lost() -> Message:
        raise OSError("lost")

    async def test() -> None:
        proxy = Proxy(endpoint)
        proxy.received.get = lost  # type: ignore[method-assign]
        await proxy.request()
        assert proxy.sent[0]["status"] == 200

    asyncio.run(test())


def test_a_trusted_proxy_before_rays_names_the_client() -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(request.client.host if request.client else "")

    async def test() -> None:
        for trusted, client in ((("10.0.0.0/8",), b"1.2.3.4"), ((), b"10.0.0.9")):
            proxy = Proxy(endpoint, *trusted)
            await proxy.request((b"x-forwarded-for", b"1.2.3.4"))
            assert proxy.sent[1]["body"] == client

    asyncio.run(test())


def test_the_lifespan_ends_the_server() -> None:
    async def endpoint(request: Request) -> Response:
        raise AssertionError

    async def test() -> None:
        proxy = Proxy(endpoint)
        proxy.received.put_nowait({"type": "lifespan.startup"})
        task = asyncio.create_task(proxy.app({"type": "lifespan"}, proxy.received.get, proxy.send))
        await asyncio.sleep(0.01)
        assert (proxy.sent, proxy.closed) == ([{"type": "lifespan.startup.complete"}], 0)
        proxy.received.put_nowait({"type": "lifespan.shutdown"})
        await task
        assert (proxy.sent[1:], proxy.closed) == ([{"type": "lifespan.shutdown.complete"}], 1)

    asyncio.run(test())
