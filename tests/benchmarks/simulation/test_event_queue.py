"""Simulated time and shared cores, compared with what queueing theory gives."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from yolean.benchmarks.simulation.event_queue import EventQueue, SharedCores
from yolean.benchmarks.simulation.simulated_cluster import poisson


def test_actions_come_in_the_order_of_their_times() -> None:
    events, seen = EventQueue(), list[tuple[str, float]]()

    def note(name: str) -> Callable[[], None]:
        return lambda: seen.append((name, events.now))

    for when, name in ((2.0, "c"), (1.0, "a"), (1.0, "b"), (9.0, "d")):
        events.at(when, note(name))
    events.run(until=5.0)
    assert seen == [("a", 1.0), ("b", 1.0), ("c", 2.0)]
    events.at(0.0, note("now"))
    events.run()
    assert seen[3:] == [("now", 2.0), ("d", 9.0)]


def test_tasks_slow_down_when_there_are_more_threads_than_cores() -> None:
    events, ends = EventQueue(), list[float]()
    cores = SharedCores(events, 2)

    def work(seconds: float, threads: int) -> None:
        cores.work(seconds, threads, lambda: ends.append(round(events.now, 9)))

    work(1.0, 1)
    work(1.0, 2)  # three threads on two cores: both get two thirds
    events.at(0.75, lambda: work(0.5, 1))  # a half is done; four threads: one half of the speed
    events.run()
    assert ends == [1.75, 1.75, 1.75]


@pytest.mark.parametrize("kind", ["exponential", "constant"])
def test_shared_cores_are_processor_sharing(kind: str) -> None:
    """M/G/1-PS: the mean time is 1 / (mu - lambda), whatever the distribution of the work."""
    events, random, times = EventQueue(), Random(3), list[float]()
    cores = SharedCores(events, 1)

    def arrive() -> None:
        begun = events.now
        work = random.expovariate(1.0) if kind == "exponential" else 1.0
        cores.work(work, 1, lambda: times.append(events.now - begun))

    arrivals = poisson(0.5, random)
    for _ in range(15_000):
        events.at(next(arrivals), arrive)
    events.run()
    assert sum(times) / len(times) == pytest.approx(1 / (1 - 0.5), rel=0.05)
