"""What the server does when things go wrong: overload, SIGTERM, a killed process.

    python -m yolean.benchmarks.reliability [--model FILE] [--picture FILE] [--seconds 30] [--json FILE]

Without a model: a demo model. A request is lost when its connection was taken and no answer came. A refused
connection is not a loss: the client knows at once that nobody has its request. The exit status is 1 when a
promise was broken.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import urlopen

import click

from ..models import demo_model, demo_pictures
from .machine import machine
from .servers import BOUNDARY, Server, form, free_port, process_tree, running, wrk, yolean_command

TIMEOUT = 10.0  # the server's own, by default


@dataclass
class Tally:
    """Answers by status, what was lost, and how long accepted requests took."""

    statuses: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """As JSON has it."""
        times = sorted(self.seconds)
        return {
            "answers": {str(status): n for status, n in sorted(self.statuses.items())},
            "refused": self.refused,
            "lost": len(self.lost),
            "how": sorted(set(self.lost))[:3],
            "p50_s": statistics.median(times) if times else None,
            "worst_s": times[-1] if times else None,
        }


def message(server: Server, picture: bytes) -> bytes:
    """A whole request, ready to be sent."""
    body = form(picture)
    path = server.url.partition(str(server.port))[2]
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def ask(port: int, request: bytes, tally: Tally) -> float | None:
    """One request on a connection of its own; returns the Retry-After of a 503."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        tally.refused += 1
        return None
    started = perf_counter()
    try:
        writer.write(request)
        await writer.drain()
        answer = await reader.read()
        status = int(answer.split(b" ", 2)[1])
    except (OSError, IndexError, ValueError) as exc:
        tally.lost.append(type(exc).__name__)
        return None
    finally:
        writer.close()
    tally.statuses[status] += 1
    if status == 200:
        tally.seconds.append(perf_counter() - started)
    found = answer.partition(b"retry-after: ")[2].partition(b"\r\n")[0]
    return float(found) if status == 503 and found else None


async def flood(port: int, request: bytes, rate: float, seconds: float) -> Tally:
    """An open loop: `rate` requests a second, whatever becomes of them."""
    tally, begun, asked = Tally(), perf_counter(), []
    count = int(rate * seconds)
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number / rate - perf_counter()))
        asked.append(asyncio.create_task(ask(port, request, tally)))
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


def overload(model: Path, picture: bytes, seconds: float) -> dict[str, Any]:
    """Ten times the capacity: all are answered 200, 503 or 504, and what is accepted is in time."""
    port = free_port()
    with running(yolean_command([model], port), _target(model), picture, port) as server:
        capacity = wrk(server, picture, 8, 5).rate
        tally = asyncio.run(flood(port, message(server, picture), 10 * capacity, seconds))
        # Alive and well right after.
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as ready:
            healthy = ready.status == 200
    figures = tally.figures()
    kept = (
        not tally.lost
        and not tally.refused
        and set(tally.statuses) <= {200, 503, 504}
        and (figures["worst_s"] or 0) <= TIMEOUT
        and healthy
    )
    return {"capacity": capacity, "asked": 10 * capacity * seconds, **figures, "kept": kept}


def terminated(model: Path, picture: bytes, workers: int) -> dict[str, Any]:
    """SIGTERM under load: no request is lost, and the exit status is 0."""
    port = free_port()
    command = yolean_command([model], port, "--workers", str(workers))
    with running(command, _target(model), picture, port) as server:
        took = 0.0

        async def end() -> None:
            nonlocal took
            await asyncio.sleep(3)
            server.process.send_signal(signal.SIGTERM)
            started = perf_counter()
            while server.process.poll() is None and perf_counter() - started < 40:
                await asyncio.sleep(0.05)
            took = perf_counter() - started

        tally = asyncio.run(crowd(port, message(server, picture), 16, end))
        status = server.process.poll()
    kept = not tally.lost and status == 0 and set(tally.statuses) <= {200, 503}
    return {"workers": workers, **tally.figures(), "exit": status, "seconds_to_exit": took, "kept": kept}


def killed(model: Path, picture: bytes) -> dict[str, Any]:
    """kill -9 of one of two workers: the other serves on, and it comes back.

    What the killed process had in its hands breaks off; that is counted, and is at most what it could have
    held: the clients of the load.
    """
    port, clients = free_port(), 8
    with running(yolean_command([model], port, "--workers", "2"), _target(model), picture, port) as server:
        before = _workers(server)
        back = 0.0

        async def kill() -> None:
            nonlocal back
            await asyncio.sleep(3)
            os.kill(before[0], signal.SIGKILL)
            started = perf_counter()
            while len(set(_workers(server)) - {before[0]}) < 2 and perf_counter() - started < 30:
                await asyncio.sleep(0.05)
            back = perf_counter() - started
            await asyncio.sleep(5)

        tally = asyncio.run(crowd(port, message(server, picture), clients, kill))
        after = _workers(server)
    kept = len(after) == 2 and before[0] not in after and len(tally.lost) <= clients
    return {**tally.figures(), "back_after_s": back, "kept": kept and set(tally.statuses) <= {200, 503}}


def _target(model: Path) -> str:
    """What is asked for: of a demo model much, or no client could ask for ten times of what it does."""
    return f"{model.stem}?size=1280" if model == demo_model() else model.stem


def _workers(server: Server) -> list[int]:
    """The processes that serve; the parent and multiprocessing's helper are left out."""
    return [
        pid
        for pid in process_tree(server.process.pid)[1:]
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="An .onnx file.")
@click.option("--picture", type=click.Path(exists=True, path_type=Path), help="What is sent.")
@click.option("--seconds", default=30.0, show_default=True, help="Of overload.")
@click.option("--json", "json_to", type=click.Path(path_type=Path), help="Write everything into this file.")
def main(model: Path | None, picture: Path | None, seconds: float, json_to: Path | None) -> None:
    """See what the server does when things go wrong."""
    model = model or demo_model()
    data = (picture or demo_pictures()[0]).read_bytes()
    record: dict[str, Any] = {"machine": machine(), "model": model.name, "bytes": len(data)}
    record["overload"] = overload(model, data, seconds)
    click.echo(f"ten times the capacity: {record['overload']}")
    record["terminated"] = [terminated(model, data, workers) for workers in (1, 2)]
    click.echo(f"SIGTERM under load: {record['terminated']}")
    record["killed"] = killed(model, data)
    click.echo(f"kill -9 of a worker: {record['killed']}")
    if json_to:
        json_to.write_text(json.dumps(record, indent=1) + "\n")
    if not all(part["kept"] for part in (record["overload"], *record["terminated"], record["killed"])):
        raise click.ClickException("a promise was broken")


if __name__ == "__main__":
    main()
