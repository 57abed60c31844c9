"""How runs share the cores of a CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Condition


def widths(cores: int) -> tuple[int, ...]:
    """Numbers of threads that a run may take, most first: all cores, a quarter of that, ... and one.

    A run on all cores answers one request soonest. One thread a run answers most requests a second: on two
    cores yolov8n gives 19.5 images a second in two runs of one thread each, 16.6 in one run of two after
    the other, and 15.2 in two runs of two threads each, which is what a session that is shared without
    thought does. The steps between keep many cores busy when only a few requests are there.
    """
    found = [cores]
    while found[-1] > 1:
        found.append(max(1, found[-1] // 4))
    return tuple(found)


def width_for(load: int, choices: Sequence[int]) -> int:
    """The fewest threads a run with which `load` requests still keep all cores busy."""
    cores = choices[0]
    return next(n for n in reversed(choices) if n * load >= cores or n == cores)


class Cores:
    """Cores, lent to runs in the order in which they ask: never more than there are."""

    def __init__(self, count: int) -> None:
        """All of `count` are free."""
        self._free = count
        self._changed = Condition()
        self._waiting: deque[object] = deque()

    @contextmanager
    def lent(self, wanted: int) -> Iterator[None]:
        """Hold `wanted` cores inside the context; waits for them."""
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            # In turn, or a run that wants all cores would wait for as long as small ones keep coming.
            self._changed.wait_for(lambda: self._waiting[0] is turn and self._free >= wanted)
            self._waiting.popleft()
            self._free -= wanted
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += wanted
                self._changed.notify_all()
