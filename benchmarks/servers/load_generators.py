"""Load on a server: a closed loop by `wrk`, and an open loop from this process, in asyncio.

In the open loop every request has a connection of its own, as from clients that do not know of each other.
One process is enough for some hundred requests a second; how late requests were sent is counted, so that a
client that is too slow for its rate is not taken for a slow server.

A request is lost when its connection was accepted and no answer came. A refused connection is not a loss: the
client knows at once that nobody has its request.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import click

from ...measurement.summary import percentile
from ..load_records import Load

BOUNDARY = "yolean-benchmark"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
PATIENCE = 60.0
"""Seconds until a client gives up."""

_LUA = """
local file = io.open(os.getenv("YOLEAN_BENCH_BODY"), "rb")
wrk.body = file:read("*a")
file:close()
wrk.method = "POST"
wrk.headers["Content-Type"] = "%s"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("YOLEAN %%d %%d %%f %%f %%f %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status))
end
"""


def form(image: bytes) -> bytes:
    """A multipart body with the image in the field `image`."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


# ---- closed loop ------------------------------------------------------------------------------------------


def closed_loop(url: str, image: bytes, concurrency: int, seconds: int) -> Load:
    """`concurrency` connections, each of which sends its next request as soon as it has its answer.

    Latencies are None when requests were refused: wrk does not separate them from those of answered ones.

    Raises:
        click.ClickException: wrk is not installed, or failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder, "body"), Path(folder, "post.lua")
        body.write_bytes(form(image))
        script.write_text(_LUA % CONTENT_TYPE)
        command = [wrk_program(), "-t1", f"-c{concurrency}", f"-d{seconds}s", "--timeout", "60s"]
        done = subprocess.run(
            [*command, "-s", str(script), url],
            env={**os.environ, "YOLEAN_BENCH_BODY": str(body)},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"YOLEAN (.*)", done.stdout)
    if found is None:
        raise click.ClickException(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    count, micros, *latencies, broken, refused = map(float, found[1].split())
    answered = int(count - refused)
    known = answered > 0 and not refused
    p50, p90, p99 = (value / 1e3 if known else None for value in latencies)
    return Load(answered, answered / micros * 1e6, p50, p90, p99, int(broken), int(refused))


def wrk_program() -> str:
    """Where wrk is.

    Raises:
        click.ClickException: it is not installed.
    """
    program = shutil.which("wrk")
    if program is None:
        raise click.ClickException("wrk is not installed: apt-get install wrk, or brew install wrk")
    return program


# ---- open loop --------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Outcomes of requests; times in seconds.

    Attributes:
        statuses: number of answers by status.
        refused: connections that were not accepted.
        lost: for each lost request, what the client saw.
        since_due: for each 200, from when the request was due to the end of the answer.
        stages: for each 200, ms by stage as its Server-Timing says; empty where it says nothing.
        late: for every request, from when it was due to when it was sent.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    since_due: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def summary(self, seconds: float, in_time: float) -> Load:
        """Of a load of so many seconds; an answer is in time within `in_time` seconds."""
        times, sent = [1e3 * each for each in self.since_due], len(self.late)
        p50, p90, p99 = (percentile(times, share) if times else None for share in (0.5, 0.9, 0.99))
        return Load(
            answered=len(times),
            rate=len(times) / seconds,
            p50=p50,
            p90=p90,
            p99=p99,
            broken=len(self.lost) + self.refused,
            refused=sum(self.statuses.values()) - len(times),
            sent=sent,
            in_time=sum(ms <= in_time * 1e3 for ms in times) / sent,
            late_ms=percentile(self.late, 0.99) * 1e3,
        )


def message(url: str, image: bytes) -> bytes:
    """A whole HTTP request, ready to be sent."""
    body, address = form(image), urlsplit(url)
    path = address.path + (f"?{address.query}" if address.query else "")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def open_loop(port: int, request: bytes, rate: float, seconds: float) -> Tally:
    """`rate` requests a second, whatever becomes of them; returns when all have ended."""
    times = (number / rate for number in range(max(1, int(rate * seconds))))
    return await send_when_due(((when, port) for when in times), request)


async def send_when_due(times: Iterable[tuple[float, int]], request: bytes) -> Tally:
    """A request at each of these times, seconds from now, to the port beside it; ends with the last."""
    tally, begun, sent = Tally(), perf_counter(), []
    for when, port in times:
        due = begun + when
        await asyncio.sleep(max(0.0, due - perf_counter()))
        sent.append(asyncio.create_task(send(port, request, tally, due)))
    await asyncio.gather(*sent)
    return tally


async def send_again(port: int, request: bytes, clients: int, seconds: float) -> Tally:
    """So many clients, each of which sends its next request when it has its answer; for so many seconds."""
    tally, end = Tally(), perf_counter() + seconds

    async def client() -> None:
        while perf_counter() < end:
            await send(port, request, tally)

    await asyncio.gather(*(client() for _ in range(clients)))
    return tally


async def send(port: int, request: bytes, tally: Tally, due: float | None = None) -> None:
    """One request on a connection of its own.

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
        return
    if answer is not None:
        status, head = answer
        tally.statuses[status] += 1
        if status == 200:
            tally.since_due.append(perf_counter() - due)
            tally.stages.append(_stages(head))


def _stages(head: bytes) -> dict[str, float]:
    timing = re.search(rb"(?i)\nserver-timing: *([^\r\n]*)", head)
    found = re.findall(r"([\w-]+);dur=([\d.]+)", timing[1].decode() if timing else "")
    return {stage: float(value) for stage, value in found}


async def _exchange(port: int, request: bytes, tally: Tally) -> tuple[int, bytes] | None:
    """Status and head of the answer; None if there was none, which has been counted then."""
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
    return int(status[1]), head
