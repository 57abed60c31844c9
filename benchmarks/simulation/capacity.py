"""What a simulated deployment holds, how it is fitted to a measured server, and what it predicts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from ...measurement.summary import percentile
from ..scale_records import MeasuredReplicas, Prediction, RequestTimes, SimulatedRange
from .simulated_cluster import (
    Deployment,
    LoadOutcome,
    Router,
    SimulatedCluster,
    outcome,
    poisson,
    simulate_closed_loop,
    simulate_open_loop,
)
from .simulated_replica import ReplicaLimits, ServiceTimes, SimulatedRequest

_STEPS = 9  # of a bisection: to a five-hundredth
_FIT_SECONDS = 300.0
_A_REPLICA = 50  # each replica gets at least this part of the requests: a cluster is empty at first


def bisected(low: float, high: float, holds: Callable[[float], bool]) -> float:
    """The largest value between the two that holds; `low` where none does."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def fitted(
    times: ServiceTimes, cores: int, clients: int, rate: float, seed: int
) -> tuple[ServiceTimes, float]:
    """Multiply the runs on one thread by a factor, so that the closed loop answers at the measured rate.

    Args:
        times: as measured.
        cores: of the server.
        clients: of the closed loop.
        rate: that it was measured to answer, requests a second.
        seed: of what is random.

    Returns:
        the times, and the factor.
    """

    def slower(factor: float) -> ServiceTimes:
        return replace(times, run={**times.run, 1: [factor * each for each in times.run[1]]})

    def is_faster(factor: float) -> bool:
        deployment = Deployment(1, ReplicaLimits(cores))
        found = simulate_closed_loop(deployment, slower(factor), clients, _FIT_SECONDS, Random(seed))
        return found.answered / _FIT_SECONDS >= rate

    factor = bisected(0.5, 2.0, is_faster)
    return slower(factor), factor


def service_times(times: RequestTimes) -> ServiceTimes:
    """Of a record, in seconds; the slowdown is in them already."""
    return ServiceTimes(
        times.upload / 1e3,
        [each / 1e3 for each in times.decode],
        {threads: [each / 1e3 for each in samples] for threads, samples in times.run.items()},
    )


def saturated_rate(deployment: Deployment, times: ServiceTimes, seed: int) -> float:
    """Requests a second that are answered when there is always one to take."""
    clients = 2 * deployment.limits.cores * deployment.replicas
    found = simulate_closed_loop(deployment, times, clients, _FIT_SECONDS, Random(seed))
    return found.answered / _FIT_SECONDS


def most_rate(
    deployment: Deployment, times: ServiceTimes, saturated: float, limit: float, requests: int, seed: int
) -> float:
    """The highest rate of Poisson arrivals at which none is refused and 99% are answered within the limit.

    Args:
        deployment, times: what is simulated.
        saturated: rate that it cannot exceed.
        limit: of the p99, seconds.
        requests: of each simulated load; more where there are many replicas.
        seed: of what is random; the same one for every rate.
    """
    count = max(requests, requests // _A_REPLICA * deployment.replicas)

    def holds(rate: float) -> bool:
        found = simulate_open_loop(deployment, times, rate, count, Random(seed))
        return not found.refused and found.p99 <= limit

    return bisected(0.0, saturated, holds)


def predict(measured: MeasuredReplicas, times: ServiceTimes, runs: int, seed: int) -> Prediction:
    """Simulate a measured load again and again, each time as long and as often as it was measured."""
    rule = measured.router
    deployment = Deployment(
        measured.replicas,
        ReplicaLimits(measured.cores),
        Router(rule.choices, rule.most_ongoing, rule.added_ms / 1e3),
        tuple(measured.machines),
    )
    found = [_as_measured(measured, deployment, times, Random(seed + number)) for number in range(runs)]
    answered = [each for each in found if each.answered]
    seconds = measured.seconds * measured.repetitions
    return Prediction(
        measured=measured,
        rate=_range([each.answered / seconds for each in found]),
        p50=_range([1e3 * each.p50 for each in answered]) if answered else None,
        p99=_range([1e3 * each.p99 for each in answered]) if answered else None,
        refused=_range([each.refused_share for each in found]),
    )


def _as_measured(
    measured: MeasuredReplicas, deployment: Deployment, times: ServiceTimes, random: Random
) -> LoadOutcome:
    requests: list[SimulatedRequest] = []
    for _ in range(measured.repetitions):
        cluster = SimulatedCluster(deployment, times, random)
        if measured.loop == "open":
            arrivals = poisson(measured.load, random)
            cluster.arrive(itertools.takewhile(lambda when: when < measured.seconds, arrivals))
            cluster.events.run()
        else:  # what is answered later is not counted
            cluster.connect(int(measured.load), measured.seconds)
            cluster.events.run(until=measured.seconds)
        requests += cluster.outcomes
    return outcome(requests)


def _range(values: Sequence[float]) -> SimulatedRange:
    low, median, high = (percentile(values, share) for share in (0.05, 0.5, 0.95))
    return SimulatedRange(low=low, median=median, high=high)
