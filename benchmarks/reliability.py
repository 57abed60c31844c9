"""What the server does when things go wrong: overload, SIGTERM, a killed process.

    python -m yolean.benchmarks reliability [--model FILE] [--image FILE] [--seconds 30] [--json FILE]

Without a model: a demo model. A lost request is one without an answer, as `load.py` says. The exit status is
1 when a promise was broken.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import urlopen

import click

from ..models import demo_model
from .load import crowd, flood, message
from .options import model_image_json
from .record import write
from .servers import Server, free_port, process_tree, running, wrk, wrk_program, yolean_command

TIMEOUT = 10.0  # the server's own, by default


def overload(model: Path, image: bytes, seconds: float) -> dict[str, Any]:
    """Ten times the capacity: all are answered 200, 503 or 504, and what is accepted is in time."""
    port = free_port()
    with running(yolean_command(model, port), image, port, query=_query(model)) as server:
        capacity = wrk(server, image, 8, 5).rate
        tally = asyncio.run(flood(port, message(server.url, image), 10 * capacity, seconds))
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


def terminated(model: Path, image: bytes, workers: int) -> dict[str, Any]:
    """SIGTERM under load: no request is lost, and the exit status is 0."""
    port = free_port()
    command = yolean_command(model, port, "--workers", str(workers))
    with running(command, image, port, query=_query(model)) as server:
        took = 0.0

        async def end() -> None:
            nonlocal took
            await asyncio.sleep(3)
            server.process.send_signal(signal.SIGTERM)
            started = perf_counter()
            while server.process.poll() is None and perf_counter() - started < 40:
                await asyncio.sleep(0.05)
            took = perf_counter() - started

        tally = asyncio.run(crowd(port, message(server.url, image), 16, end))
        status = server.process.poll()
    kept = not tally.lost and status == 0 and set(tally.statuses) <= {200, 503}
    return {"workers": workers, **tally.figures(), "exit": status, "seconds_to_exit": took, "kept": kept}


def killed(model: Path, image: bytes) -> dict[str, Any]:
    """kill -9 of one of two workers: the other serves on, and it comes back.

    What the killed process had in its hands breaks off; that is counted, and is at most what it could have
    held: the clients of the load.
    """
    port, clients = free_port(), 8
    command = yolean_command(model, port, "--workers", "2")
    with running(command, image, port, query=_query(model)) as server:
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

        tally = asyncio.run(crowd(port, message(server.url, image), clients, kill))
        after = _workers(server)
    kept = len(after) == 2 and before[0] not in after and len(tally.lost) <= clients
    return {**tally.figures(), "back_after_s": back, "kept": kept and set(tally.statuses) <= {200, 503}}


def _query(model: Path) -> str:
    """Of what is asked for: of a demo model much, or no client could ask for ten times of what it does."""
    return "?size=1280" if model == demo_model() else ""


def _workers(server: Server) -> list[int]:
    """The processes that serve; the parent and multiprocessing's helper are left out."""
    return [
        pid
        for pid in process_tree(server.process.pid)[1:]
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@click.command()
@model_image_json
@click.option("--seconds", type=click.IntRange(1), default=30, show_default=True, help="Of overload.")
def main(model: Path, image: Path, target: Path | None, seconds: int) -> None:
    """See what the server does when things go wrong."""
    wrk_program()
    data = image.read_bytes()
    record: dict[str, Any] = {"model": model.name, "bytes": len(data)}
    record["overload"] = overload(model, data, seconds)
    click.echo(f"ten times the capacity: {record['overload']}")
    record["terminated"] = [terminated(model, data, workers) for workers in (1, 2)]
    click.echo(f"SIGTERM under load: {record['terminated']}")
    record["killed"] = killed(model, data)
    click.echo(f"kill -9 of a worker: {record['killed']}")
    write(target, record, {"seconds": seconds})
    if not all(part["kept"] for part in (record["overload"], *record["terminated"], record["killed"])):
        raise click.ClickException("a promise was broken")
