"""What many replicas hold, and how autoscalers follow a load: everything in a record that is simulated."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from ..scale_records import PEAK, AutoscaledLoad, ReplicaCapacity, RouterName, ScaleRecord, ScaleSettings
from .autoscaling import (
    AutoscaledRun,
    Autoscaler,
    OngoingRequestsAutoscaler,
    QueueDepthAutoscaler,
    simulate_autoscaled,
)
from .capacity import most_rate, predict, saturated_rate, service_times
from .simulated_cluster import Deployment, Router, outcome
from .simulated_replica import ReplicaLimits, ServiceTimes

CHOICES: dict[RouterName, int] = {"at random": 1, "the shorter of two queues": 2}
REPLICAS = (1, 2, 4, 10, 100)
"""Of which the capacity is simulated; at random, the requests of each are those of one alone."""


def capacities(times: ServiceTimes, cores: int, settings: ScaleSettings) -> list[ReplicaCapacity]:
    """What replicas of one core, and of as many as this machine has, hold within the limit."""
    found = []
    for each in sorted({1, cores}):
        saturated = saturated_rate(Deployment(1, ReplicaLimits(each)), times, settings.seed)
        for router, choices in CHOICES.items():
            for replicas in REPLICAS if choices > 1 else REPLICAS[:1]:
                deployment = Deployment(replicas, ReplicaLimits(each), Router(choices))
                most = most_rate(
                    *(deployment, times, saturated * replicas),
                    *(settings.limit_ms / 1e3, settings.requests, settings.seed),
                )
                found.append(ReplicaCapacity(router, each, replicas, most / replicas, saturated))
    return found


def autoscaled_loads(
    times: ServiceTimes, start_seconds: float, cores: int, saturated: float, settings: ScaleSettings
) -> list[AutoscaledLoad]:
    """A steady load, and one that becomes four times as high, on replicas that each rule scales."""
    peak, seconds = PEAK * saturated, settings.autoscaled_seconds
    loads: dict[str, Callable[[float], float]] = {
        f"{peak:.0f} a second": lambda when: peak,
        f"{peak / 4:.0f} a second, then {peak:.0f}": lambda when: peak if when > seconds / 2 else peak / 4,
    }
    rules: dict[str, tuple[Callable[[], Autoscaler], RouterName]] = {
        "Kubernetes, 4 waiting": (lambda: QueueDepthAutoscaler(4.0), "at random"),
        f"Ray Serve, {2 * cores} ongoing": (
            lambda: OngoingRequestsAutoscaler(2.0 * cores, 2, 8, up_delay=10.0, down_delay=300.0),
            "the shorter of two queues",
        ),
    }
    found = []
    for load, rate in loads.items():
        for rule, (make, router) in rules.items():
            run = simulate_autoscaled(
                *(make(), Deployment(2, ReplicaLimits(cores), Router(CHOICES[router])), times, rate),
                *(seconds, start_seconds, Random(settings.seed)),
            )
            found.append(_summed_run(rule, load, run, settings.limit_ms / 1e3))
    return found


def _summed_run(rule: str, load: str, run: AutoscaledRun, limit: float) -> AutoscaledLoad:
    whole, ready = outcome(run.requests), [count for _, count in run.replicas]
    minutes: dict[int, list[int]] = {}
    for number, request in enumerate(run.requests):
        minutes.setdefault(int(request.arrived // 60), []).append(number)
    each = [outcome([run.requests[number] for number in numbers]) for numbers in minutes.values()]
    bad = sum(minute.refused > 0 or minute.p99 > limit for minute in each)
    return AutoscaledLoad(
        *(rule, load, whole.p99 * 1e3, whole.refused_share, bad / len(each)),
        *(sum(ready) / len(ready), max(ready)),
    )


def simulated(record: ScaleRecord) -> ScaleRecord:
    """The record with everything simulated anew from what was measured."""
    settings, times = record.settings, service_times(record.times)
    found = capacities(times, record.cores, settings)
    saturated = next(row.saturated for row in found if row.cores == record.cores)
    measured = [each.measured for each in record.predictions]
    return msgspec.structs.replace(
        record,
        predictions=[predict(each, times, settings.runs, settings.seed) for each in measured],
        capacities=found,
        autoscaled=autoscaled_loads(
            times, record.times.start_seconds.median, record.cores, saturated, settings
        ),
    )
