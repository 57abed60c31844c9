"""A round of `serve`: every server in turn meets every load."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

import click

from .entrants import YOLEAN, Entrant
from .load import Tally, flood, message
from .record import percentile
from .servers import Server, ServerError, free_port, running, settled, wrk

Row = dict[str, Any]
Round = dict[str, dict[str, dict[float, Row]]]
"""By server, `closed` or `open`, and connections or rate: figures."""

WARM_SECONDS = 3
START_GUESS = 6
"""Seconds that a server needs to start and to end, for the estimate of the time that all takes."""


@dataclass(frozen=True)
class Plan:
    """What a server meets in its turn.

    Attributes:
        image: that is sent, encoded.
        concurrency: connections of the closed loop, one load after the other.
        rates: requests a second of the open loop.
        seconds: of each load.
        in_time: seconds within which an answer of the open loop is in time.
    """

    image: bytes
    concurrency: tuple[int, ...]
    rates: tuple[float, ...]
    seconds: int
    in_time: float

    @property
    def warm(self) -> int:
        """Seconds of load before anything counts."""
        return min(WARM_SECONDS, self.seconds)

    @property
    def minutes(self) -> float:
        """That one server's turn takes, about."""
        loads = len(self.concurrency) + len(self.rates)
        return (self.warm + START_GUESS + self.seconds * loads) / 60


def one_round(number: int, servers: list[Entrant], plan: Plan, missing: dict[str, str]) -> Round:
    """All servers in turn, another one first each time; a peer that fails goes from `servers` into `missing`.

    Raises:
        ServerError: yolean itself failed.
    """
    found = {}
    start = number % len(servers)
    for entrant in servers[start:] + servers[:start]:
        try:
            found[entrant.name] = turn(entrant, plan)
        except ServerError as exc:
            if entrant.name == YOLEAN:
                raise ServerError(f"{YOLEAN} {exc.message}") from exc
            servers.remove(entrant)
            missing[entrant.name] = exc.message
            click.echo(f"round {number + 1}: {entrant.name} {exc.message}", err=True)
            continue
        rates = [figures["rate"] for figures in found[entrant.name]["closed"].values()]
        click.echo(f"round {number + 1}: {entrant.name}: up to {max(rates):.1f}/s", err=True)
    return found


def turn(entrant: Entrant, plan: Plan) -> dict[str, dict[float, Row]]:
    """Start a server and put every load on it.

    Raises:
        ServerError: it did not come up, or stopped answering.
    """
    port = free_port()
    with running(entrant.command(port), plan.image, port, env=entrant.env) as server:
        wrk(server, plan.image, 4, plan.warm)
        closed: dict[float, Row] = {}
        for concurrency in plan.concurrency:
            settled(server, plan.image)
            load = wrk(server, plan.image, concurrency, plan.seconds)
            closed[concurrency] = asdict(load) | {"memory_mb": server.memory()}
        return {"closed": closed, "open": {rate: _offered(server, plan, rate) for rate in plan.rates}}


def _offered(server: Server, plan: Plan, rate: float) -> Row:
    settled(server, plan.image)
    request = message(server.url, plan.image)
    return figures_of(asyncio.run(flood(server.port, request, rate, plan.seconds)), plan.in_time)


def figures_of(tally: Tally, in_time: float) -> Row:
    """Of an open loop, latencies of what was answered in milliseconds from when it was due.

    `in_time`, seconds, becomes the share of all requests that were answered within it.
    """
    times, asked = tally.since_due, len(tally.late)
    return {
        "asked": asked,
        "answered": len(times),
        "p50": percentile(times, 0.5) * 1e3 if times else None,
        "p99": percentile(times, 0.99) * 1e3 if times else None,
        "in_time": sum(seconds <= in_time for seconds in times) / asked,
        "broken": len(tally.lost) + tally.refused,
        "refused": sum(tally.statuses.values()) - len(times),
        "late_ms": percentile(tally.late, 0.99) * 1e3,
    }


def capacity(entrant: Entrant, plan: Plan) -> float:
    """What a server answers a second with eight connections."""
    port = free_port()
    with running(entrant.command(port), plan.image, port, env=entrant.env) as server:
        wrk(server, plan.image, 8, plan.warm)
        return wrk(server, plan.image, 8, plan.seconds).rate
