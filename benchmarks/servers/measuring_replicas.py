"""Replicas of `yolean serve` on this machine, each bound to cores, and how long requests take in them."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter

import click

from ...engine.runtime.cpu import usable_cores
from ...measurement.summary import percentile
from ...serving.cpu_budget import intra_op_choices
from ..scale_records import MeasuredReplicas, RouterRule
from ..simulation.simulated_cluster import poisson
from .load_generators import Tally, message, send_again, send_when_due
from .server_process import Server, free_port, running, yolean_command

SYSTEM = "yolean serve"
_RUN_STAGES = ("preprocess", "inference", "postprocess")

Placement = tuple[tuple[int, ...], ...]
"""For each replica, the numbers of the CPUs that it is bound to."""


def placements() -> list[Placement]:
    """One replica on all cores, one on each core, and two on each core."""
    cpus = sorted(os.sched_getaffinity(0))[: usable_cores()]
    single = tuple((cpu,) for cpu in cpus)
    return list(dict.fromkeys([(tuple(cpus),), single, single + single]))


@contextmanager
def running_replicas(model: Path, image: bytes, placement: Placement) -> Iterator[list[Server]]:
    """Servers that have answered once, each on its CPUs.

    Raises:
        ServerError: one did not come up.
        click.ClickException: this system cannot bind a process to CPUs.
    """
    if shutil.which("taskset") is None:
        raise click.ClickException(
            "taskset, of util-linux, is not installed: replicas cannot be bound to cores"
        )
    with ExitStack() as stack:
        servers = []
        for cpus in placement:
            port = free_port()
            command = ["taskset", "-c", ",".join(map(str, cpus)), *yolean_command(model, port)]
            servers.append(stack.enter_context(running(command, image, port)))
        yield servers


@dataclass(frozen=True)
class StageTimes:
    """Of the requests to one server on all cores; ms.

    Attributes:
        upload: medians of what the client waits beyond all stages, one request at a time.
        decode: of requests one at a time.
        run: by the number of intra-op threads.
        saturated: requests a second with two connections for each core.
        start_seconds: until the first answer.
    """

    upload: float
    decode: list[float]
    run: dict[int, list[float]]
    saturated: float
    start_seconds: float


def stage_times(model: Path, image: bytes, seconds: int) -> StageTimes:
    """Start a server on all cores, and let as many clients send as lead to each number of threads."""
    (placement, *_) = placements()
    cores, started = len(placement[0]), perf_counter()
    run: dict[int, list[float]] = {}
    with running_replicas(model, image, placement) as (server,):
        start_seconds = perf_counter() - started
        request = message(server.url, image)
        asyncio.run(send_again(server.port, request, 2, min(2, seconds)))  # nothing of it counts
        alone = asyncio.run(send_again(server.port, request, 1, seconds))
        found = alone
        for threads in intra_op_choices(cores):
            clients = 2 * cores if threads == 1 else -(-cores // threads)
            if clients > 1:
                found = asyncio.run(send_again(server.port, request, clients, seconds))
            run[threads] = [sum(stages[name] for name in _RUN_STAGES) for stages in found.stages]
    if not all(run.values()):
        raise click.ClickException("the server answered nothing in time: give more --seconds")
    beyond = [
        1e3 * took - sum(stages.values()) for took, stages in zip(alone.since_due, alone.stages, strict=True)
    ]
    decode = [stages["decode"] for stages in alone.stages]
    rate = len(found.since_due) / seconds
    return StageTimes(statistics.median(beyond), decode, run, rate, start_seconds)


def poisson_load(servers: Sequence[Server], image: bytes, rate: float, seconds: float, seed: int) -> Tally:
    """Poisson arrivals, each at a server drawn at random."""
    random = Random(seed)
    times = itertools.takewhile(lambda when: when < seconds, poisson(rate, random))
    return asyncio.run(
        send_when_due(((when, random.choice(servers).port) for when in times), message(servers[0].url, image))
    )


def summed(placement: Placement, rate: float, seconds: float, tallies: Sequence[Tally]) -> MeasuredReplicas:
    """The repetitions of one open-loop load as one."""
    took = [1e3 * each for tally in tallies for each in tally.since_due]
    sent = sum(len(tally.late) for tally in tallies)
    p50, p99 = (percentile(took, share) if took else None for share in (0.5, 0.99))
    distinct = list(dict.fromkeys(placement))
    return MeasuredReplicas(
        system=SYSTEM,
        replicas=len(placement),
        cores=len(placement[0]),
        machines=[float(len(cpus)) for cpus in distinct],
        router=RouterRule(choices=1),
        loop="open",
        load=rate,
        seconds=seconds,
        repetitions=len(tallies),
        sent=sent,
        rate=len(took) / (seconds * len(tallies)),
        p50=p50,
        p99=p99,
        refused=1 - len(took) / max(1, sent),
    )
