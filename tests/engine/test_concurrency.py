"""Answers come in the order of the items, errors in their place, and nothing runs far ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from yolean.engine.concurrency import map_in_order, prefetched
from yolean.engine.errors import InputError
from yolean.engine.images.frames import TruncatedVideo


def test_answers_keep_the_order_of_the_items() -> None:
    def work(number: int) -> int:
        time.sleep(0.01 * (number % 3 == 0))
        return number * 2

    assert list(map_in_order(work, iter(range(40)), 3)) == [number * 2 for number in range(40)]


def test_calls_run_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=10)  # broken unless three calls wait in it at once
    assert len(list(map_in_order(lambda _: together.wait(), iter(range(9)), 3))) == 9


def test_at_most_two_items_for_each_worker_are_taken_in_advance() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    for number, _ in enumerate(map_in_order(abs, items(), 2)):
        assert taken <= number + 6


def test_errors_stand_in_their_place() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise InputError("three")
        return number

    order: list[object] = []
    for answer in map_in_order(work, iter(range(6)), 2, lambda error: order.append(str(error))):
        order.append(answer)
    assert order == [0, 1, 2, "three", 4, 5]
    answers = map_in_order(work, iter(range(6)), 2)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="three"):
        next(answers)


def test_a_truncated_video_ends_without_an_error_where_nobody_listens() -> None:
    def work(number: int) -> int:
        if number == 2:
            raise TruncatedVideo("cut off")
        return number

    heard: list[InputError] = []
    assert list(map_in_order(work, iter(range(3)), 2)) == [0, 1]
    assert list(map_in_order(work, iter(range(3)), 2, heard.append)) == [0, 1]
    assert [str(error) for error in heard] == ["cut off"]


def test_an_error_of_another_kind_is_raised_whoever_listens() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_in_order(lambda number: 1 // number, iter([1, 0, 1]), 2, lambda error: None))


def test_closing_waits_for_what_has_begun_and_drops_the_rest() -> None:
    begun, ended = [], []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.05)
        ended.append(number)
        return number

    answers = map_in_order(work, iter(range(100)), 2)
    assert next(answers) == 0
    answers.close()
    assert sorted(begun) == sorted(ended)
    assert len(begun) <= 7
    before = len(begun)
    time.sleep(0.1)
    assert len(begun) == before


def test_the_next_is_computed_while_the_current_is_used() -> None:
    computed = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        computed.set()
        yield 2

    closed: list[bool] = []

    def watched() -> Iterator[int]:
        try:
            yield from items()
        finally:
            closed.append(True)

    numbers = prefetched(watched())  # type: ignore[arg-type, var-annotated]  # a generator
    assert next(numbers) == 1
    assert computed.wait(10)
    assert list(numbers) == [2]
    assert closed == [True]
