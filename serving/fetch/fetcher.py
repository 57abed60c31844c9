"""Fetches the URL of a request from the public internet, and from nowhere else.

The order makes it safe: the name is resolved once, each of its addresses is checked, and the connection goes
to a checked address; nothing resolves the name again in between. Each redirect starts over.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Any

import httpcore

from ..._version import __version__
from ...engine.errors import InputError
from .addresses import PORTS, Address, Network, Target, canonical, is_allowed, is_trusted

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives all addresses of a host, as text, for a host and a port."""

# One message for all that did not come from a public server: telling a refused address, an unknown name, a
# closed port and a silent host apart would map the network of the server.
UNREACHABLE = (
    "expected the address of an image on the public internet (http or https, port 80 or 443) "
    "that answers in time, and got no such answer; check it, or send the image itself"
)

_MAX_REDIRECTS = 3
_MAX_TRIES = 8  # addresses of one name that are tried
_MOVED = (301, 302, 303, 307, 308)

# Bytes that an answer may have beside its body. h11 ends header lines of 100 KiB but takes any number of
# "100 Continue" and of one-byte chunks, each a hundred times the work of the byte that it costs to send.
_OVERHEAD = 128 * 1024

_FAILURES = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    OSError,  # TimeoutError, socket.gaierror and ssl.SSLError among them
)


class FetchError(InputError):
    """The URL of a request was refused, or gave no image. The message follows the name of the field."""


async def _resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a host, by the system's resolver.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Fetcher:
    """Fetches the URLs of requests. Proxies that the environment names are not used: they resolve names."""

    def __init__(
        self,
        *,
        max_bytes: int,
        timeout: float,
        trusted: Sequence[Network] = (),
        resolver: Resolver = _resolve,
    ) -> None:
        """Set the limits.

        Args:
            max_bytes: largest body.
            timeout: seconds for everything together, redirects included.
            trusted: networks that may be fetched from though they are not public, on any port.
            resolver: gives the addresses of a name.
        """
        self._max_bytes = max_bytes
        self._timeout = timeout
        self._trusted = tuple(trusted)
        self._resolver = resolver
        self._tls = httpcore.default_ssl_context()

    async def fetch(self, url: str) -> bytes:
        """Fetch a URL; the Content-Type of the answer does not matter.

        Raises:
            FetchError: the URL is refused, or gives nothing in time.
        """
        try:
            target = Target.parse(url)
        except ValueError as error:
            raise FetchError(str(error)) from None
        try:
            async with asyncio.timeout(self._timeout):
                return await self._follow(target)
        except _FAILURES as error:
            raise FetchError(UNREACHABLE) from error

    async def _follow(self, target: Target) -> bytes:
        deadline = asyncio.get_running_loop().time() + self._timeout
        for _ in range(_MAX_REDIRECTS + 1):
            wire = _Wire(self._resolver, self._trusted, deadline)
            try:
                answer = await self._get(target, wire)
            finally:
                await wire.aclose()
            if isinstance(answer, bytes):
                return answer
            target = answer
        raise FetchError(f"expected at most {_MAX_REDIRECTS} redirects; give the address they lead to")

    async def _get(self, target: Target, wire: _Wire) -> bytes | Target:
        """Send one request; gives the body of the answer, or the target of its redirect."""
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        headers = {
            "Host": target.authority,
            "User-Agent": f"yolean/{__version__}",
            "Accept": "image/*",
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        connection = httpcore.AsyncHTTPConnection(url.origin, ssl_context=self._tls, network_backend=wire)
        async with connection.stream("GET", url, headers=list(headers.items())) as response:
            if response.status in _MOVED and (location := _header(response, b"location")):
                try:
                    return target.redirected(location)
                except ValueError:
                    raise FetchError(UNREACHABLE) from None
            if response.status != 200:
                raise FetchError(f"expected an image, its server answered {response.status}")
            return await self._body(response, wire)

    async def _body(self, response: httpcore.Response, wire: _Wire) -> bytes:
        """Read the body, up to the limit."""
        if _header(response, b"content-encoding").lower() not in (b"", b"identity"):
            raise FetchError("expected the bytes of an image as they are, its server compressed them")
        too_large = FetchError(f"expected at most {self._max_bytes} bytes; send a smaller image")
        length = _header(response, b"content-length")
        if length.isdigit() and int(length) > self._max_bytes:
            raise too_large
        body = bytearray()
        async for chunk in response.aiter_stream():
            body += chunk
            if len(body) > self._max_bytes:
                raise too_large
            wire.allowance += len(chunk) + len(chunk) // 8
        return bytes(body)


def _header(response: httpcore.Response, name: bytes) -> bytes:
    """The value of a header, several joined by commas; empty if there is none."""
    return b", ".join(value for key, value in response.headers if key.lower() == name).strip()


class _Wire(httpcore.AsyncNetworkBackend):
    """The network of one request: one connection, to an address that was checked.

    Attributes:
        allowance: bytes that may still be read; grows with the body (see `_OVERHEAD`).
    """

    def __init__(self, resolver: Resolver, trusted: Sequence[Network], deadline: float) -> None:
        self.allowance = _OVERHEAD
        self._resolver = resolver
        self._trusted = trusted
        self._deadline = deadline  # seconds on the loop's clock
        self._stream: httpcore.AsyncNetworkStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of the host that answers.

        Raises:
            ConnectError: an address is not allowed, or none answers.
            OSError: the name has no address.
        """
        addresses = (await self._addresses(host, port))[:_MAX_TRIES]
        loop = asyncio.get_running_loop()
        for tried, address in enumerate(addresses):
            # a silent address (IPv6 without a route) must leave time for the others
            share = (self._deadline - loop.time()) / (len(addresses) - tried)
            try:
                stream = await httpcore.AnyIOBackend().connect_tcp(str(address), port, timeout=share)
            except (httpcore.NetworkError, httpcore.TimeoutException):
                continue
            self._stream = stream
            return _Metered(stream, self)
        raise httpcore.ConnectError("no address answered")

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """The addresses of a host, if all of them are allowed.

        Raises:
            ConnectError: one is not.
            OSError: there is none.
        """
        try:
            found = [ip_address(host)]
        except ValueError:
            found = [ip_address(text) for text in await self._resolver(host, port)]
        for address in found:
            usual = port in PORTS.values() and is_allowed(address, self._trusted)
            if not usual and not is_trusted(address, self._trusted):
                raise httpcore.ConnectError("an address that is not allowed")
        return list(dict.fromkeys(canonical(address) for address in found))

    async def aclose(self) -> None:
        """Close the connection in any state: httpcore does not close one whose TLS handshake was cut off."""
        if self._stream is not None:
            await self._stream.aclose()


class _Metered(httpcore.AsyncNetworkStream):
    """A connection, with or without TLS, that reads no more than its wire allows."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, wire: _Wire) -> None:
        self._stream = stream
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read up to `max_bytes`; nothing at the end.

        Raises:
            ReadError: more than the allowance.
        """
        data = await self._stream.read(max_bytes, timeout)
        self._wire.allowance -= len(data)
        if self._wire.allowance < 0:
            raise httpcore.ReadError("too much beside the body")
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """The same connection with TLS, its certificate checked against the name in the URL."""
        return _Metered(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._wire)

    def get_extra_info(self, info: str) -> Any:
        """Facts that httpcore wants to know, such as the protocol that TLS agreed on."""
        return self._stream.get_extra_info(info)
