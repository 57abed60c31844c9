"""The cores that runs share: never more than there are, in order, and always given back."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, sleep

import pytest
from yolean.serving.cpu_budget import CoreBudget, intra_op_choices, intra_op_threads

PATIENCE = 60.0  # seconds after which a test fails instead of hanging


CHOICES: list[tuple[int, tuple[int, ...]]] = [
    (1, (1,)),
    (2, (2, 1)),
    (3, (3, 1)),
    (4, (4, 1)),
    (6, (6, 1)),
    (8, (8, 2, 1)),
    (12, (12, 3, 1)),
    (16, (16, 4, 1)),
    (64, (64, 16, 4, 1)),
    (96, (96, 24, 6, 1)),
]


def test_a_run_takes_all_cores_or_a_quarter_or_so_on_to_one() -> None:
    for cores, expected in CHOICES:
        assert intra_op_choices(cores) == expected


LOADS: list[tuple[int, tuple[int, ...], int]] = [
    (1, (2, 1), 2),  # alone: all cores
    (2, (2, 1), 1),  # enough for everyone: one each
    (99, (2, 1), 1),
    (0, (2, 1), 2),
    (1, (16, 4, 1), 16),
    (2, (16, 4, 1), 16),  # two runs of four would leave half of the cores idle
    (4, (16, 4, 1), 4),
    (15, (16, 4, 1), 4),
    (16, (16, 4, 1), 1),
    (5, (12, 3, 1), 3),
    (1, (1,), 1),
    (7, (4,), 4),  # nothing to choose from
]


def test_the_fewest_threads_that_keep_all_cores_busy() -> None:
    for load, choices, threads in LOADS:
        assert intra_op_threads(load, choices) == threads


class Watch:
    """What is reserved at the moment, and the most that ever was."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def change(self, by: int) -> None:
        with self.lock:
            self.now += by
            self.most = max(self.most, self.now)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_never_more_cores_are_reserved_than_there_are(count: int) -> None:
    cores, watch = CoreBudget(count), Watch()

    def borrow(seed: int) -> None:
        for i in range(200):
            wanted = (seed + i) % count + 1
            with cores.reserve(wanted):
                watch.change(wanted)
                watch.change(-wanted)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(borrow, seed) for seed in range(8)]:
            future.result(PATIENCE)
    assert 0 < watch.most <= count
    assert watch.now == 0
    with cores.reserve(count):  # and all are there again
        pass


class Borrower:
    """A thread that holds cores until it is told to stop."""

    def __init__(self, cores: CoreBudget, wanted: int) -> None:
        self.has, self.enough = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._hold, args=(cores, wanted), daemon=True)
        self.thread.start()

    def _hold(self, cores: CoreBudget, wanted: int) -> None:
        with cores.reserve(wanted):
            self.has.set()
            self.enough.wait(PATIENCE)

    def end(self) -> None:
        self.enough.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


def wait_until_it_waits(thread: threading.Thread) -> None:
    """Until a thread has asked for cores and does not get them."""
    limit = perf_counter() + PATIENCE
    while not (frame := sys._current_frames().get(thread.ident or 0)) or frame.f_code.co_name != "wait":
        assert perf_counter() < limit
        sleep(0.001)


def test_cores_are_shared_by_those_who_fit() -> None:
    cores = CoreBudget(3)
    borrowers = [Borrower(cores, 2), Borrower(cores, 1)]
    assert all(borrower.has.wait(PATIENCE) for borrower in borrowers)
    for borrower in borrowers:
        borrower.end()


def test_whoever_wants_all_is_not_passed_by_those_who_want_few() -> None:
    cores = CoreBudget(2)
    first = Borrower(cores, 1)
    assert first.has.wait(PATIENCE)
    wide = Borrower(cores, 2)
    wait_until_it_waits(wide.thread)
    late = [Borrower(cores, 1) for _ in range(3)]  # one core is free, but others were first
    assert not late[0].has.wait(0.05)
    assert not any(borrower.has.is_set() for borrower in (wide, *late))
    first.end()
    assert wide.has.wait(PATIENCE)
    assert not any(borrower.has.is_set() for borrower in late)
    wide.end()
    assert late[0].has.wait(PATIENCE)
    for borrower in late:
        borrower.end()


def test_cores_are_reserved_in_the_order_in_which_they_were_asked_for() -> None:
    cores, lock = CoreBudget(1), threading.Lock()
    order: list[int] = []
    holder = Borrower(cores, 1)
    assert holder.has.wait(PATIENCE)

    def borrow(number: int) -> None:
        with cores.reserve(1), lock:
            order.append(number)

    threads = []
    for number in range(10):
        thread = threading.Thread(target=borrow, args=(number,), daemon=True)
        thread.start()
        wait_until_it_waits(thread)
        threads.append(thread)
    holder.end()
    for thread in threads:
        thread.join(PATIENCE)
    assert order == list(range(10))


def test_cores_come_back_after_an_error() -> None:
    cores = CoreBudget(2)
    for _ in range(3):
        with pytest.raises(RuntimeError), cores.reserve(2):
            raise RuntimeError
    assert Borrower(cores, 2).has.wait(PATIENCE)
