"""Interleaved repetitions: who comes first, when it ends, what an interruption leaves."""

from __future__ import annotations

from functools import partial
from itertools import islice

import pytest
from yolean.measurement.interleave import for_seconds, interleaved


def test_each_repetition_begins_with_another_system() -> None:
    order: list[str] = []

    def measure(name: str) -> int:
        order.append(name)
        return len(order)

    systems = {name: partial(measure, name) for name in "abc"}
    found = list(islice(interleaved(systems), 4))
    assert "".join(order) == "abcbcacababc"
    assert found[1] == {"a": 6, "b": 4, "c": 5}
    assert all(list(each) == ["a", "b", "c"] for each in found)


def test_a_system_may_be_removed_between_repetitions() -> None:
    systems = {name: partial(str, name) for name in "abc"}
    repetitions = interleaved(systems)
    next(repetitions)
    del systems["b"]
    assert next(repetitions) == {"a": "a", "c": "c"}
    systems.clear()
    assert list(repetitions) == []


def test_an_interruption_leaves_the_complete_repetitions() -> None:
    calls = iter(range(5))

    def measure() -> int:
        try:
            return next(calls)
        except StopIteration:
            raise KeyboardInterrupt from None

    found: list[dict[str, int]] = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(interleaved({"a": measure, "b": measure}))
    assert found == [{"a": 0, "b": 1}, {"b": 2, "a": 3}]


def test_there_are_enough_repetitions_however_short_the_time() -> None:
    shares: list[float] = []
    assert list(for_seconds(iter(range(9)), 1e-9, 3, shares.append)) == [0, 1, 2]
    assert shares == [0, 1 / 3, 2 / 3]
