"""Measures all servers in interleaved repetitions, and sums the repetitions up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import click
import msgspec

from ...measurement.interleave import interleaved
from ..load_records import Load, Loop, ServerLoads
from ..record_base import YOLEAN_SERVE, NotMeasured
from .load_generators import closed_loop, message, open_loop
from .server_process import ServerError, free_port, running
from .servers_under_test import ServerUnderTest

WARM_SECONDS = 3
_START_SECONDS = 6  # that a server needs to start and to end, for the estimate of the time that all takes


@dataclass(frozen=True)
class LoadPlan:
    """What a server meets in one repetition.

    Attributes:
        image: that is sent, encoded.
        concurrency: connections of the closed loop, one load after the other.
        rates: requests a second of the open loop, likewise.
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
        """About how long one server takes in one repetition."""
        loads = len(self.concurrency) + len(self.rates)
        return (self.warm + _START_SECONDS + self.seconds * loads) / 60


Loads = dict[tuple[Loop, float], Load]
"""By the loop, and by its connections or its offered rate."""

ServerRepetition = dict[str, Loads]
"""By the name of the server."""


def repetitions(
    servers: Sequence[ServerUnderTest], plan: LoadPlan, missing: list[NotMeasured]
) -> Iterator[ServerRepetition]:
    """Measure all servers again and again; one that fails is left out from then on, and added to `missing`.

    Raises:
        ServerError: yolean itself failed.
    """
    systems: dict[str, Callable[[], Loads | ServerError]] = {
        server.name: partial(_measure_or_fail, server, plan) for server in servers
    }
    for found in interleaved(systems):
        measured: ServerRepetition = {}
        for name, loads in found.items():
            if not isinstance(loads, ServerError):
                measured[name] = loads
            elif name == YOLEAN_SERVE:
                raise ServerError(f"{name} {loads.message}")
            else:
                del systems[name]
                missing.append(NotMeasured(system=name, reason=loads.message))
                click.echo(f"{name} {loads.message}", err=True)
        yield measured


def _measure_or_fail(server: ServerUnderTest, plan: LoadPlan) -> Loads | ServerError:
    try:
        return measure(server, plan)
    except ServerError as exc:
        return exc


def measure(server: ServerUnderTest, plan: LoadPlan) -> Loads:
    """Start a server and put every load on it.

    Raises:
        ServerError: it did not come up, or stopped answering.
    """
    port = free_port()
    with running(server.command(port), plan.image, port, server.env) as process:
        closed_loop(process.url, plan.image, 4, plan.warm)
        found: Loads = {}
        for concurrency in plan.concurrency:
            process.wait_until_idle(plan.image)
            load = closed_loop(process.url, plan.image, concurrency, plan.seconds)
            found["closed", float(concurrency)] = msgspec.structs.replace(load, memory_mb=process.memory_mb())
        request = message(process.url, plan.image)
        for rate in plan.rates:
            process.wait_until_idle(plan.image)
            tally = asyncio.run(open_loop(process.port, request, rate, plan.seconds))
            found["open", rate] = tally.summary(plan.seconds, plan.in_time)
        return found


def capacity(server: ServerUnderTest, plan: LoadPlan) -> float:
    """What a server answers a second with eight connections."""
    port = free_port()
    with running(server.command(port), plan.image, port, server.env) as process:
        closed_loop(process.url, plan.image, 8, plan.warm)
        return closed_loop(process.url, plan.image, 8, plan.seconds).rate


def rows(found: Sequence[ServerRepetition]) -> list[ServerLoads]:
    """A row for each load and each server that was measured in all repetitions."""
    if not found:
        return []
    servers = [name for name in found[0] if all(name in each for each in found)]
    loads = sorted({load for name in servers for load in found[0][name]})
    return [
        ServerLoads(name, loop, load, [each[name][loop, load] for each in found])
        for loop, load in loads
        for name in servers
    ]
