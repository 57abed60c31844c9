"""What a deployment holds, how it is fitted to a measured server, and what is predicted."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from yolean.benchmarks.scale_records import MeasuredReplicas, RouterRule
from yolean.benchmarks.simulation.capacity import bisected, fitted, most_rate, predict, saturated_rate
from yolean.benchmarks.simulation.simulated_cluster import Deployment, Router, simulate_open_loop
from yolean.benchmarks.simulation.simulated_replica import ReplicaLimits, ServiceTimes

TIMES = ServiceTimes(0.004, [0.008, 0.009], {1: [0.09, 0.1, 0.11], 2: [0.055, 0.06]})
SERVER = Deployment(1, ReplicaLimits(2))


def test_a_bisection_finds_what_still_holds() -> None:
    assert bisected(0.0, 10.0, lambda value: value <= 7.3) == pytest.approx(7.3, abs=0.02)
    assert bisected(0.0, 10.0, lambda value: False) == 0.0


def test_runs_are_fitted_to_the_measured_rate() -> None:
    slower = replace(TIMES, run={**TIMES.run, 1: [1.3 * each for each in TIMES.run[1]]})
    found, factor = fitted(TIMES, 2, 4, saturated_rate(SERVER, slower, 3), 3)
    assert factor == pytest.approx(1.3, abs=0.02)
    assert found.run[1] == pytest.approx(slower.run[1], rel=0.02)
    assert found.run[2] == TIMES.run[2]


def test_the_highest_rate_keeps_the_limit_and_the_next_does_not() -> None:
    saturated = saturated_rate(SERVER, TIMES, 1)
    assert saturated == pytest.approx(2 / (0.1 + 0.0085 + 0.004), rel=0.03)
    found = {
        choices: most_rate(
            replace(SERVER, replicas=choices, router=Router(choices)),
            TIMES,
            choices * saturated,
            0.4,
            1500,
            1,
        )
        for choices in (1, 2)
    }
    held = simulate_open_loop(SERVER, TIMES, found[1], 1500, Random(1))
    above = simulate_open_loop(SERVER, TIMES, found[1] * 1.1, 1500, Random(1))
    assert held.p99 <= 0.4 < above.p99
    assert 0.5 * saturated < found[1] < found[2] / 2 < saturated


@pytest.mark.parametrize(("loop", "load"), [("open", 12.0), ("open", 40.0), ("closed", 4.0)])
def test_a_load_is_predicted_with_its_length_and_repetitions(loop: str, load: float) -> None:
    measured = MeasuredReplicas(
        *("yolean serve", 2, 1, [2.0], RouterRule(choices=1)),
        *("open" if loop == "open" else "closed", load, 10.0, 2, 240),
        *(12.0, 100.0, 300.0, 0.0),
    )
    found = predict(measured, TIMES, 6, 1)
    assert found.measured is measured
    assert found.rate.low <= found.rate.median <= found.rate.high
    assert found.p50 is not None
    assert found.p99 is not None
    assert found.p50.median < found.p99.median
    if load == 40.0:  # twice what the two can do: queues of 64 fill within 10 s, and answer after that
        assert found.p99.low > 4000
        assert found.refused.median > 0.05
    else:
        assert found.refused.high == 0.0
        assert found.rate.median == pytest.approx(12.0 if loop == "open" else 17.5, rel=0.15)
