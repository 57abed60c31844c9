"""Load on a server from this process, in asyncio: an open loop, and a closed one of patient clients.

Every request has a connection of its own, as from clients that do not know of each other. One process is
enough for some hundred requests a second; how late requests were sent is counted, so that a client that is
too slow for its rate is not taken for a slow server.

A request is lost when its connection was taken and no answer came. A refused connection is not a loss: the
client knows at once that nobody has its request.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from .record import percentile

BOUNDARY = "yolean-benchmark"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
PATIENCE = 60.0
"""Seconds until a client gives up."""


@dataclass
class Tally:
    """What became of requests; times in seconds.

    Attributes:
        statuses: number of answers by status.
        refused: connections that nobody took.
        lost: for each lost request, what the client saw.
        seconds: from sending to the end of the answer, for each 200.
        since_due: the same from the moment the request was due; in a closed loop, when it was sent.
        late: from due to sent, for every request.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    since_due: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Answers and losses, as JSON has them."""
        return {
            "answers": {str(status): n for status, n in sorted(self.statuses.items())},
            "refused": self.refused,
            "lost": len(self.lost),
            "how": sorted(set(self.lost))[:3],
            "p50_s": percentile(self.seconds, 0.5) if self.seconds else None,
            "worst_s": max(self.seconds, default=None),
        }


def form(image: bytes) -> bytes:
    """A multipart body with the image in the field `image`."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


def message(url: str, image: bytes) -> bytes:
    """A whole request, ready to be sent."""
    body, address = form(image), urlsplit(url)
    path = address.path + (f"?{address.query}" if address.query else "")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def ask(port: int, request: bytes, tally: Tally, due: float | None = None) -> float | None:
    """One request on a connection of its own; gives the Retry-After of a 503, in seconds.

    Args:
        port: on this machine.
        request: as `message` makes it.
        tally: where the outcome is counted.
        due: when it should have been sent, by `perf_counter`; None for now.
    """
    started = perf_counter()
    due = started if due is None else due
    tally.late.append(started - due)
    try:
        async with asyncio.timeout(PATIENCE):
            answer = await _exchange(port, request, tally)
    except TimeoutError:
        tally.lost.append("TimeoutError")
        return None
    if answer is None:
        return None
    ended = perf_counter()
    status, wait = answer
    tally.statuses[status] += 1
    if status == 200:
        tally.seconds.append(ended - started)
        tally.since_due.append(ended - due)
    return wait if status == 503 else None


async def _exchange(port: int, request: bytes, tally: Tally) -> tuple[int, float | None] | None:
    """Status and Retry-After of the answer; None if there was none, which has been counted then."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        tally.refused += 1
        return None
    try:
        writer.write(request)
        await writer.drain()
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    except OSError as exc:
        tally.lost.append(type(exc).__name__)
        return None
    finally:
        writer.close()
    status = re.match(rb"HTTP/1\.1 (\d{3})", head)
    size = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
    if status is None or (size is not None and len(body) < int(size[1])):
        tally.lost.append("the answer broke off" if head else "no answer")
        return None
    wait = re.search(rb"(?i)\nretry-after: *(\d+)", head)
    return int(status[1]), float(wait[1]) if wait else None


async def flood(port: int, request: bytes, rate: float, seconds: float) -> Tally:
    """An open loop: `rate` requests a second, whatever becomes of them; returns when all have ended."""
    tally, begun, asked = Tally(), perf_counter(), []
    for number in range(max(1, int(rate * seconds))):
        due = begun + number / rate
        await asyncio.sleep(max(0.0, due - perf_counter()))
        asked.append(asyncio.create_task(ask(port, request, tally, due)))
    await asyncio.gather(*asked)
    return tally


async def crowd(port: int, request: bytes, clients: int, meanwhile: Callable[[], Awaitable[None]]) -> Tally:
    """A closed loop of clients, which honour Retry-After, while something happens to the server."""
    tally, over = Tally(), asyncio.Event()

    async def client() -> None:
        while not over.is_set() and not tally.refused:
            wait = await ask(port, request, tally)
            if wait is not None:
                await asyncio.sleep(wait)

    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    await meanwhile()
    over.set()
    await asyncio.gather(*tasks)
    return tally
