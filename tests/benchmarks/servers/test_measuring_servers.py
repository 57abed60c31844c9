"""Repetitions of all servers: ratios within a repetition, servers that fail, rows of both loops."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from yolean.benchmarks.load_records import Load, ServeRecord, ServeSettings, UploadedImage
from yolean.benchmarks.record_base import YOLEAN_SERVE, NotMeasured
from yolean.benchmarks.servers import measuring_servers
from yolean.benchmarks.servers.measuring_servers import (
    LoadPlan,
    Loads,
    ServerRepetition,
    repetitions,
    rows,
)
from yolean.benchmarks.servers.server_process import ServerError
from yolean.benchmarks.servers.servers_under_test import ServerUnderTest
from yolean.measurement.summary import Quartiles

PLAN = LoadPlan(b"", (1,), (), 1, 1.0)


def closed(rate: float, p50: float | None = 1.0, broken: int = 0) -> Load:
    return Load(10, rate, p50, 2.0, 3.0, broken, 0, 99.0)


def offered(p99: float | None) -> Load:
    return Load(9, 9.0, 1.0, None, p99, 0, 1, None, 10, 0.5, 0.1)


def loads(one: Load, eight: Load, slow: Load, fast: Load) -> Loads:
    return {("closed", 8): eight, ("closed", 1): one, ("open", 5): fast, ("open", 2.5): slow}


FOUND: list[ServerRepetition] = [
    {
        YOLEAN_SERVE: loads(closed(10.0), closed(20.0), offered(20.0), offered(30.0)),
        "other": loads(closed(5.0), closed(10.0), offered(40.0), offered(None)),
    },
    {
        YOLEAN_SERVE: loads(closed(40.0), closed(8.0), offered(20.0), offered(50.0)),
        "other": loads(closed(10.0, broken=3), closed(0.0, p50=None), offered(40.0), offered(None)),
    },
]


def record(found: list[ServerRepetition]) -> ServeRecord:
    return ServeRecord(
        settings=ServeSettings([1, 8], 1, 2, 1.0), model="m", image=UploadedImage("i", 1), versions={},
        capacity=None, loads=rows(found), not_measured=[], single_request=None, soak=None,
    )  # fmt: skip


def test_ratios_are_taken_repetition_by_repetition() -> None:
    made = record(FOUND)
    own, other, own_8, other_8 = made.rows("closed")
    assert [(row.load, row.server) for row in (own, other, own_8, other_8)] == [
        (1, YOLEAN_SERVE), (1, "other"), (8, YOLEAN_SERVE), (8, "other"),
    ]  # fmt: skip
    assert own.quartiles("rate") == Quartiles(25.0, 17.5, 32.5)
    assert made.rate_ratio(YOLEAN_SERVE, other) == Quartiles(3.0, 2.5, 3.5)  # of 2 and 4, and not 25 / 7.5
    assert made.rate_ratio("other", own) == Quartiles(0.375, 0.3125, 0.4375)
    assert made.rate_ratio(YOLEAN_SERVE, own) is None
    assert made.rate_ratio(YOLEAN_SERVE, other_8) is None  # it answered nothing in one repetition
    assert other_8.quartiles("p50") == Quartiles(1.0, 1.0, 1.0)  # of the repetition that has one
    assert other.total("broken") == 3


def test_rows_of_the_open_loop() -> None:
    slow, _, fast, other = record(FOUND).rows("open")
    assert (slow.load, fast.load) == (2.5, 5)
    assert fast.quartiles("p99") == Quartiles(40.0, 35.0, 45.0)
    assert other.quartiles("p99") is None
    assert other.total("refused") == 2


def test_a_server_that_failed_once_has_no_rows() -> None:
    found = [FOUND[0], {YOLEAN_SERVE: FOUND[1][YOLEAN_SERVE]}]
    assert {row.server for row in rows(found)} == {YOLEAN_SERVE}
    assert rows([]) == []


def test_a_server_that_fails_is_listed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def measure(server: ServerUnderTest, plan: LoadPlan) -> Loads:
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
