"""The rules by which replicas come and go, and a cluster that follows them."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from yolean.benchmarks.simulation.autoscaling import (
    Autoscaler,
    OngoingRequestsAutoscaler,
    QueueDepthAutoscaler,
    simulate_autoscaled,
)
from yolean.benchmarks.simulation.simulated_cluster import Deployment, SimulatedCluster, outcome
from yolean.benchmarks.simulation.simulated_replica import ReplicaLimits, ServiceTimes, SimulatedRequest

TIMES = ServiceTimes(0.0, [0.0], {1: [1.0]})
LIMITS = ReplicaLimits(1, timeout=1e9)


def cluster(replicas: int, requests: int) -> SimulatedCluster:
    """Replicas with so many requests each, of which one is at work."""
    found = SimulatedCluster(Deployment(replicas, LIMITS), TIMES, Random(0))
    for replica in found.ready:
        for _ in range(requests):
            replica.take(SimulatedRequest(0.0, lambda request: None))
    return found


def looks(autoscaler: Autoscaler, found: SimulatedCluster, replicas: int, seconds: float) -> list[int]:
    """What an autoscaler wants in each period of a time in which nothing else changes."""
    wanted = []
    for number in range(round(seconds / autoscaler.period) + 1):
        found.events.now = number * autoscaler.period
        wanted.append(autoscaler.wanted(found, replicas))
    return wanted


def test_queue_depth_asks_for_as_many_as_keep_the_target() -> None:
    # 10 wait in each of 4: 40 / 4 = 10 replicas, but at most twice as many at once.
    assert looks(QueueDepthAutoscaler(4.0), cluster(4, 11), 4, 15) == [4, 8]
    assert looks(QueueDepthAutoscaler(4.0), cluster(4, 7), 4, 15) == [4, 6]
    assert looks(QueueDepthAutoscaler(4.0), cluster(1, 13), 1, 15) == [1, 3]
    # Within the tolerance of a tenth nothing changes, and above `most` nothing goes.
    assert looks(QueueDepthAutoscaler(10.5), cluster(4, 12), 4, 15) == [4, 4]
    assert looks(QueueDepthAutoscaler(4.0, most=5), cluster(4, 11), 4, 15) == [4, 5]


def test_pods_that_are_not_ready_count_as_idle() -> None:
    # 2 ready with 6 waiting each, 2 that start: 12 / 4 = 3 wanted, but never fewer than there are.
    assert looks(QueueDepthAutoscaler(4.0), cluster(2, 7), 4, 15) == [4, 4]
    assert looks(QueueDepthAutoscaler(4.0), cluster(2, 16), 4, 15) == [4, 8]


def test_pods_go_one_a_minute_after_five_quiet_minutes() -> None:
    autoscaler, found = QueueDepthAutoscaler(4.0), cluster(6, 5)
    assert looks(autoscaler, found, 6, 15) == [6, 6]  # 4 wait in each: as many as there shall be
    quiet = cluster(6, 0)
    wanted = []
    replicas = 6
    for number in range(2, 40):
        quiet.events.now = number * autoscaler.period
        replicas = autoscaler.wanted(quiet, replicas)
        wanted.append(replicas)
    changed = [15 * (number + 3) for number, (one, other) in enumerate(pairwise(wanted)) if one != other]
    assert wanted[-1] == 2
    assert changed[0] > 300
    assert [later - earlier for earlier, later in pairwise(changed)] == [60.0] * 3


def test_ongoing_requests_ask_after_a_delay() -> None:
    autoscaler = OngoingRequestsAutoscaler(2.0, up_delay=5.0, down_delay=20.0)
    assert looks(autoscaler, cluster(2, 7), 2, 5) == [2, 2, 2, 2, 2, 7]
    autoscaler = OngoingRequestsAutoscaler(2.0, up_delay=5.0, down_delay=20.0)
    wanted = looks(autoscaler, cluster(5, 1), 5, 25)
    assert wanted.index(3) == 20
    assert looks(OngoingRequestsAutoscaler(1.0, most=3, up_delay=0.0), cluster(2, 9), 2, 1) == [3, 3]


@pytest.mark.parametrize(
    "autoscaler",
    [QueueDepthAutoscaler(2.0), OngoingRequestsAutoscaler(2.0, 2, up_delay=10.0, down_delay=120.0)],
    ids=["queue depth", "ongoing requests"],
)
def test_a_cluster_grows_with_its_load_and_shrinks_after_it(autoscaler: Autoscaler) -> None:
    run = simulate_autoscaled(
        autoscaler,
        Deployment(2, LIMITS),
        TIMES,
        lambda when: 6.0 if 300 <= when < 900 else 0.5,
        1800.0,
        start_seconds=10.0,
        random=Random(7),
    )
    ready = dict(run.replicas)
    assert ready[285.0] == 2
    assert max(ready.values()) >= 7  # 6 a second need 6 that do nothing else
    assert ready[1800.0] <= 3
    assert min(ready.values()) >= autoscaler.least
    assert outcome(run.requests).refused_share < 0.05
    assert len(run.requests) == pytest.approx(600 * 6 + 1200 * 0.5, rel=0.1)
