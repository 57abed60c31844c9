"""Simulated replicas behind a router, compared with the formulas of queueing theory."""

from __future__ import annotations

import math
from random import Random

import pytest
from yolean.benchmarks.simulation.simulated_cluster import (
    Deployment,
    Router,
    SimulatedCluster,
    outcome,
    poisson,
    simulate_closed_loop,
    simulate_open_loop,
)
from yolean.benchmarks.simulation.simulated_replica import ReplicaLimits, ServiceTimes

UNLIMITED = ReplicaLimits(1, max_queue=10**9, timeout=1e9)
EXPONENTIAL = [-math.log(1 - (n + 0.5) / 2000) for n in range(2000)]
CONSTANT = [1.0]


def mean_seconds(samples: list[float], rate: float, servers: int = 1, requests: int = 20_000) -> float:
    """Mean time of a request in a queue that `servers` replicas take from, one request each."""
    router = Router(most_ongoing=1 if servers > 1 else None)
    deployment = Deployment(servers, UNLIMITED, router)
    random = Random(11)
    cluster = SimulatedCluster(deployment, ServiceTimes(0.0, [0.0], {1: samples}), random)
    arrivals = poisson(rate, random)
    cluster.arrive(next(arrivals) for _ in range(requests))
    cluster.events.run()
    seconds = [request.seconds for request in cluster.outcomes if request.seconds is not None]
    assert len(seconds) == requests
    return sum(seconds) / requests


def erlang_c(servers: int, offered: float) -> float:
    """The share of requests that wait in M/M/c."""
    blocked = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return blocked / (sum(offered**n / math.factorial(n) for n in range(servers)) + blocked)


def test_exponential_times_wait_as_in_m_m_1() -> None:
    """W = 1 / (mu - lambda)."""
    assert mean_seconds(EXPONENTIAL, 0.6) == pytest.approx(1 / (1 - 0.6), rel=0.05)


def test_constant_times_wait_as_in_m_d_1() -> None:
    """Pollaczek and Khinchine: W = 1 + rho / (2 (1 - rho))."""
    assert mean_seconds(CONSTANT, 0.7) == pytest.approx(1 + 0.7 / (2 * 0.3), rel=0.05)


def test_one_queue_of_several_replicas_waits_as_in_m_m_c() -> None:
    """W = 1 + C(c, a) / (c - a), by Erlang."""
    expected = 1 + erlang_c(3, 1.8) / (3 - 1.8)
    assert mean_seconds(EXPONENTIAL, 1.8, servers=3) == pytest.approx(expected, rel=0.05)


def test_the_shorter_of_two_queues_waits_less_than_any_at_random() -> None:
    times = ServiceTimes(0.0, [0.0], {1: CONSTANT})
    p99 = {
        choices: simulate_open_loop(
            Deployment(8, UNLIMITED, Router(choices)), times, 6.4, 6000, Random(1)
        ).p99
        for choices in (1, 2)
    }
    assert p99[2] < 0.6 * p99[1]


def test_replicas_share_the_cores_of_their_machines() -> None:
    times = ServiceTimes(0.0, [0.0], {1: CONSTANT})
    for machines, expected in ((None, 4.0), ((2.0,), 2.0), ((1.0, 1.0), 2.0)):
        deployment = Deployment(4, ReplicaLimits(1), Router(2), machines)
        found = simulate_closed_loop(deployment, times, 8, 300.0, Random(2))
        assert found.answered / 300 == pytest.approx(expected, rel=0.1)
        assert found.refused == 0


def test_a_router_takes_its_time_and_cores() -> None:
    times = ServiceTimes(0.0, [0.0], {1: CONSTANT})
    apart = simulate_closed_loop(Deployment(1, router=Router(seconds=0.25)), times, 1, 100.0, Random(0))
    assert apart.p50 == pytest.approx(1.25)
    deployment = Deployment(1, router=Router(seconds=0.25), machines=(1.0,))
    shared = simulate_closed_loop(deployment, times, 4, 200.0, Random(0))
    assert shared.answered / 200 == pytest.approx(1 / 1.25, rel=0.02)


def test_what_is_refused_is_counted() -> None:
    deployment = Deployment(1, ReplicaLimits(1, max_queue=2))
    found = simulate_open_loop(deployment, ServiceTimes(0.0, [0.0], {1: CONSTANT}), 4.0, 4000, Random(4))
    assert found.answered + found.refused == 4000
    assert found.refused_share == pytest.approx(0.75, abs=0.01)  # four times what it can do
    assert found.p99 <= 3.0
    assert outcome([]).p99 == math.inf


def test_the_same_seed_gives_the_same_outcome() -> None:
    times = ServiceTimes(0.0, [0.01], {1: EXPONENTIAL})
    runs = [simulate_open_loop(Deployment(2), times, 1.5, 500, Random(seed)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
