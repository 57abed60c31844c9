"""Repetitions of all servers: ratios within a repetition, servers that fail, rows of both loops."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from yolean.benchmarks.load_records import ClosedLoad, OpenLoad
from yolean.benchmarks.record_base import YOLEAN_SERVE, NotMeasured
from yolean.benchmarks.servers import measuring_servers
from yolean.benchmarks.servers.measuring_servers import (
    Loads,
    Plan,
    Repetition,
    closed_rows,
    open_rows,
    repetitions,
)
from yolean.benchmarks.servers.server_process import ServerError
from yolean.benchmarks.servers.servers_under_test import ServerUnderTest

PLAN = Plan(b"", (1,), (), 1, 1.0)


def closed(rate: float, p50: float | None = 1.0, broken: int = 0) -> ClosedLoad:
    return ClosedLoad(10, rate, p50, 2.0, 3.0, 4.0, broken, 0, 99.0)


def offered(p99: float | None) -> OpenLoad:
    return OpenLoad(10, 9, 1.0, p99, 0.5, 0, 1, 0.1)


FOUND: list[Repetition] = [
    {
        YOLEAN_SERVE: Loads({1: closed(10.0), 8: closed(20.0)}, {5: offered(30.0), 2.5: offered(20.0)}),
        "other": Loads({1: closed(5.0), 8: closed(10.0)}, {5: offered(None), 2.5: offered(40.0)}),
    },
    {
        YOLEAN_SERVE: Loads({1: closed(40.0), 8: closed(8.0)}, {5: offered(50.0), 2.5: offered(20.0)}),
        "other": Loads(
            {1: closed(10.0, broken=3), 8: closed(0.0, p50=None)}, {5: offered(None), 2.5: offered(40.0)}
        ),
    },
]


def test_ratios_are_taken_repetition_by_repetition() -> None:
    rows = closed_rows(FOUND)
    own, other, own_8, other_8 = rows
    assert [(row.concurrency, row.server) for row in rows] == [
        (1, YOLEAN_SERVE), (1, "other"), (8, YOLEAN_SERVE), (8, "other"),
    ]  # fmt: skip
    assert own.rate.median == 25.0
    assert own.rate_ratios["other"].median == 3.0  # of 2 and 4, and not 25 / 7.5
    assert other.rate_ratios[YOLEAN_SERVE].median == pytest.approx((0.5 + 0.25) / 2)
    assert other.broken == 3
    assert own_8.rate_ratios == {}  # the other answered nothing in one repetition
    assert other_8.rate_ratios[YOLEAN_SERVE].median == pytest.approx(0.25)
    assert other_8.p50 is not None
    assert other_8.p50.median == 1.0  # of the repetition that has one
    assert own.repetitions == [closed(10.0), closed(40.0)]


def test_rows_of_the_open_loop() -> None:
    rows = open_rows(FOUND)
    assert [(row.offered, row.server) for row in rows][:2] == [(2.5, YOLEAN_SERVE), (2.5, "other")]
    assert rows[2].p99 is not None
    assert rows[2].p99.median == 40.0
    assert rows[3].p99 is None
    assert rows[3].refused == 2


def test_a_server_that_failed_once_has_no_rows() -> None:
    found = [FOUND[0], {YOLEAN_SERVE: FOUND[1][YOLEAN_SERVE]}]
    assert {row.server for row in closed_rows(found)} == {YOLEAN_SERVE}
    assert closed_rows([]) == []
    assert open_rows([]) == []


def test_a_server_that_fails_is_listed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def measure(server: ServerUnderTest, plan: Plan) -> Loads:
        order.append(server.name)
        if server.name == "broken":
            raise ServerError("did not come up: no such module")
        return FOUND[0]["other"]

    monkeypatch.setattr(measuring_servers, "measure", measure)
    servers = [ServerUnderTest(name, lambda port: []) for name in (YOLEAN_SERVE, "broken", "other")]
    missing: list[NotMeasured] = []
    first, second = islice(repetitions(servers, PLAN, missing), 2)
    assert set(first) == set(second) == {YOLEAN_SERVE, "other"}
    assert missing == [NotMeasured("broken", "did not come up: no such module")]
    assert order == [YOLEAN_SERVE, "broken", "other", "other", YOLEAN_SERVE]  # another one first


def test_yolean_itself_must_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: Any) -> Loads:
        raise ServerError("did not come up: x")

    monkeypatch.setattr(measuring_servers, "measure", measure)
    with pytest.raises(ServerError, match="yolean serve did not come up: x"):
        next(repetitions([ServerUnderTest(YOLEAN_SERVE, lambda port: [])], PLAN, []))
