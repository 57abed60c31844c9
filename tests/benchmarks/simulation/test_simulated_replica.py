"""A simulated server refuses, shares its cores and gives up as the real one does."""

from __future__ import annotations

import math
from random import Random

import pytest
from yolean.benchmarks.simulation.event_queue import EventQueue, SharedCores
from yolean.benchmarks.simulation.simulated_replica import (
    ReplicaLimits,
    ServiceTimes,
    SimulatedReplica,
    SimulatedRequest,
)
from yolean.serving.settings import Settings


def replica(events: EventQueue, limits: ReplicaLimits, times: ServiceTimes) -> SimulatedReplica:
    return SimulatedReplica(events, SharedCores(events, limits.cores), limits, times, Random(0))


def ended(events: EventQueue, server: SimulatedReplica, arrivals: list[float]) -> list[float | None]:
    """Seconds of each request that arrives at these times, in the order of their ends."""
    found: list[float | None] = []

    def end(request: SimulatedRequest) -> None:
        found.append(None if request.seconds is None else round(request.seconds, 9))

    for when in arrivals:
        events.at(when, lambda: server.take(SimulatedRequest(events.now, end)))
    events.run()
    return found


def test_the_limits_are_those_of_the_server() -> None:
    assert (ReplicaLimits().max_queue, ReplicaLimits().timeout) == (Settings().max_queue, Settings().timeout)


def test_a_full_queue_refuses_at_once() -> None:
    events = EventQueue()
    server = replica(events, ReplicaLimits(1, max_queue=2), ServiceTimes(0.0, [0.0], {1: [1.0]}))
    assert ended(events, server, [0.0, 0.0, 0.0, 0.0, 1.5]) == [None, 1.0, 2.0, 3.0, 2.5]


def test_a_request_that_has_waited_too_long_is_not_run() -> None:
    events = EventQueue()
    server = replica(events, ReplicaLimits(1, timeout=1.5), ServiceTimes(0.0, [0.0], {1: [1.0]}))
    assert ended(events, server, [0.0, 0.0, 0.0, 0.0]) == [1.0, 2.0, None, None]
    assert server.in_flight == 0


def test_a_request_alone_gets_all_cores_and_several_get_one_each() -> None:
    times = ServiceTimes(0.0, [0.1], {1: [1.0], 2: [0.6]})
    events = EventQueue()
    assert ended(events, replica(events, ReplicaLimits(2), times), [0.0]) == [0.7]
    events = EventQueue()
    assert ended(events, replica(events, ReplicaLimits(2), times), [0.0, 0.0]) == [1.1, 1.1]
    # The second finds the first one on both cores: it is decoded beside it, and then waits for a core.
    events = EventQueue()
    (first, second) = ended(events, replica(events, ReplicaLimits(2), times), [0.0, 0.2])
    assert first == pytest.approx(0.7 + 0.05)  # three threads on two cores for 0.15 s
    assert second == pytest.approx(0.75 - 0.2 + 1.0)


def test_uploads_cost_time_before_the_queue() -> None:
    events = EventQueue()
    server = replica(events, ReplicaLimits(1), ServiceTimes(0.25, [0.0], {1: [1.0]}))
    assert ended(events, server, [0.0]) == [1.25]


def test_the_share_that_is_refused_is_that_of_a_bounded_queue() -> None:
    """M/M/1/K: P(K) = (1 - rho) rho^K / (1 - rho^(K + 1))."""
    random, rho, places = Random(5), 0.9, 3
    # Quantiles of the exponential distribution, so that the samples have its mean.
    samples = [-math.log(1 - (n + 0.5) / 2000) for n in range(2000)]
    events = EventQueue()
    server = replica(
        events, ReplicaLimits(1, places - 1, timeout=1e9), ServiceTimes(0.0, [0.0], {1: samples})
    )
    arrivals, when = [], 0.0
    for _ in range(15_000):
        when += random.expovariate(rho)
        arrivals.append(when)
    found = ended(events, server, arrivals)
    expected = (1 - rho) * rho**places / (1 - rho ** (places + 1))
    assert found.count(None) / len(found) == pytest.approx(expected, rel=0.05)
