"""How inference runs share the cores of a CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition


def intra_op_choices(cores: int) -> tuple[int, ...]:
    """The numbers of intra-op threads that a run may use: all cores, a quarter of them, ..., one.

    A run on all cores has the lowest latency. One thread a run has the highest throughput: on two cores
    yolov8n gives 19.5 images a second in two concurrent runs of one thread each, 16.6 in consecutive runs
    of two threads, and 15.2 in two concurrent runs of two threads each, which is what sharing one session
    without a budget amounts to. The steps between keep many cores busy when few requests are there.

    Args:
        cores: at least 1.

    Returns:
        Strictly decreasing, from `cores` to 1.
    """
    choices = [cores]
    while choices[-1] > 1:
        choices.append(max(1, choices[-1] // 4))
    return tuple(choices)


def intra_op_threads(load: int, choices: Sequence[int]) -> int:
    """The fewest intra-op threads with which `load` concurrent runs still keep all cores busy.

    Args:
        load: requests in the server.
        choices: as `intra_op_choices` gives them; the first is the number of cores.
    """
    cores = choices[0]
    return next(n for n in reversed(choices) if n * load >= cores or n == cores)


class CoreBudget:
    """A counting lock over the cores, first come first served: runs never hold more than there are."""

    def __init__(self, cores: int) -> None:
        """All of `cores` are free."""
        self._free = cores
        self._changed = Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def reserve(self, cores: int) -> Iterator[None]:
        """Wait until `cores` are free, and hold them inside the context."""
        place = object()
        with self._changed:
            self._waiting.append(place)
            # Strictly in order, or a run that needs all cores would starve while small ones keep coming.
            self._changed.wait_for(lambda: self._waiting[0] is place and self._free >= cores)
            self._waiting.popleft()
            self._free -= cores
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += cores
                self._changed.notify_all()
