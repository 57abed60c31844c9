"""Measures all servers in interleaved repetitions, and sums the repetitions up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import click
import msgspec

from ...measurement.interleave import interleaved
from ...measurement.summary import Quartiles, paired_ratios, quartiles
from ..load_records import ClosedLoad, ClosedLoop, OpenLoad, OpenLoop
from ..record_base import YOLEAN_SERVE, NotMeasured
from .load_generators import closed_loop, message, open_loop
from .server_process import Server, ServerError, free_port, running
from .servers_under_test import ServerUnderTest

WARM_SECONDS = 3
_START_SECONDS = 6  # that a server needs to start and to end, for the estimate of the time that all takes


@dataclass(frozen=True)
class Plan:
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


@dataclass(frozen=True)
class Loads:
    """What one server did in one repetition: by connections, and by offered rate."""

    closed: dict[int, ClosedLoad]
    open: dict[float, OpenLoad]


Repetition = dict[str, Loads]
"""By the name of the server."""


def repetitions(
    servers: Sequence[ServerUnderTest], plan: Plan, missing: list[NotMeasured]
) -> Iterator[Repetition]:
    """Measure all servers again and again; one that fails is left out from then on, and added to `missing`.

    Raises:
        ServerError: yolean itself failed.
    """
    systems: dict[str, Callable[[], Loads | ServerError]] = {
        server.name: partial(_measure_or_fail, server, plan) for server in servers
    }
    for found in interleaved(systems):
        measured: Repetition = {}
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


def _measure_or_fail(server: ServerUnderTest, plan: Plan) -> Loads | ServerError:
    try:
        return measure(server, plan)
    except ServerError as exc:
        return exc


def measure(server: ServerUnderTest, plan: Plan) -> Loads:
    """Start a server and put every load on it.

    Raises:
        ServerError: it did not come up, or stopped answering.
    """
    port = free_port()
    with running(server.command(port), plan.image, port, server.env) as process:
        closed_loop(process.url, plan.image, 4, plan.warm)
        closed: dict[int, ClosedLoad] = {}
        for concurrency in plan.concurrency:
            process.wait_until_idle(plan.image)
            load = closed_loop(process.url, plan.image, concurrency, plan.seconds)
            closed[concurrency] = msgspec.structs.replace(load, memory_mb=process.memory_mb())
        return Loads(closed, {rate: _offered(process, plan, rate) for rate in plan.rates})


def _offered(process: Server, plan: Plan, rate: float) -> OpenLoad:
    process.wait_until_idle(plan.image)
    request = message(process.url, plan.image)
    return asyncio.run(open_loop(process.port, request, rate, plan.seconds)).summary(plan.in_time)


def capacity(server: ServerUnderTest, plan: Plan) -> float:
    """What a server answers a second with eight connections."""
    port = free_port()
    with running(server.command(port), plan.image, port, server.env) as process:
        closed_loop(process.url, plan.image, 8, plan.warm)
        return closed_loop(process.url, plan.image, 8, plan.seconds).rate


def closed_rows(found: Sequence[Repetition]) -> list[ClosedLoop]:
    """A row for each number of connections and each server that was measured in all repetitions."""
    rows = []
    names = _measured_throughout(found)
    for concurrency in sorted({c for name in names for c in found[0][name].closed}):
        loads = {name: [each[name].closed[concurrency] for each in found] for name in names}
        rates = {name: [load.rate for load in own] for name, own in loads.items()}
        for name, own in loads.items():
            row = ClosedLoop(
                server=name,
                concurrency=concurrency,
                rate=quartiles(rates[name]),
                p50=_known([load.p50 for load in own]),
                p90=_known([load.p90 for load in own]),
                p99=_known([load.p99 for load in own]),
                memory_mb=quartiles(load.memory_mb or 0.0 for load in own),
                broken=sum(load.broken for load in own),
                refused=sum(load.refused for load in own),
                rate_ratios={
                    other: paired_ratios(rates[name], others)
                    for other, others in rates.items()
                    if other != name and all(others)  # 0: nothing was answered
                },
                repetitions=own,
            )
            rows.append(row)
    return rows


def open_rows(found: Sequence[Repetition]) -> list[OpenLoop]:
    """A row for each offered rate and each server that was measured in all repetitions."""
    rows = []
    names = _measured_throughout(found)
    for rate in sorted({r for name in names for r in found[0][name].open}):
        for name in names:
            own = [each[name].open[rate] for each in found]
            row = OpenLoop(
                server=name,
                offered=rate,
                p50=_known([load.p50 for load in own]),
                p99=_known([load.p99 for load in own]),
                in_time=quartiles(load.in_time for load in own),
                late_ms=quartiles(load.late_ms for load in own),
                asked=sum(load.asked for load in own),
                broken=sum(load.broken for load in own),
                refused=sum(load.refused for load in own),
                repetitions=own,
            )
            rows.append(row)
    return rows


def _measured_throughout(found: Sequence[Repetition]) -> list[str]:
    return [name for name in found[0] if all(name in each for each in found)] if found else []


def _known(values: Sequence[float | None]) -> Quartiles | None:
    """Quartiles over the repetitions that have the figure; None when none has."""
    known = [value for value in values if value is not None]
    return quartiles(known) if known else None
