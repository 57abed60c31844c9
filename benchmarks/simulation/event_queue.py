"""Simulated time: what happens when, and cores that tasks share."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from functools import partial

Action = Callable[[], None]


class EventQueue:
    """Actions in the order of their times; those of one time in the order in which they were added.

    Attributes:
        now: simulated time, seconds from 0.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()

    def at(self, when: float, action: Action) -> None:
        """Do something at a time, now at the earliest."""
        heapq.heappush(self._events, (max(when, self.now), next(self._numbers), action))

    def run(self, until: float = float("inf")) -> None:
        """Do everything up to a time, or all that there is."""
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()


class SharedCores:
    """Cores on which tasks run at full speed while there is one for each thread; else all slow down alike.

    This is processor sharing, as an operating system gives it to threads of one priority. What it leaves out:
    caches and memory that tasks take from one another, and time that is lost by switching.
    """

    def __init__(self, events: EventQueue, cores: float) -> None:
        """So many cores, all idle."""
        self._events, self._cores = events, cores
        self._threads = 0
        self._speed = 1.0
        self._done = 0.0  # seconds of work that a task has got which runs since the beginning
        self._since = 0.0
        self._ends: list[tuple[float, int, int, Action]] = []  # on the clock of `_done`
        self._version = itertools.count()
        self._current = 0

    def work(self, seconds: float, threads: int, then: Action) -> None:
        """Run a task.

        Args:
            seconds: that it takes on cores of its own.
            threads: cores that it keeps busy meanwhile.
            then: called when it has ended.
        """
        self._advance()
        heapq.heappush(self._ends, (self._done + seconds, next(self._version), threads, then))
        self._threads += threads
        self._schedule()

    def _advance(self) -> None:
        self._done += (self._events.now - self._since) * self._speed
        self._since = self._events.now

    def _schedule(self) -> None:
        """Expect the end of the task that ends first; an earlier expectation is void."""
        self._current = next(self._version)
        if self._ends:
            self._speed = min(1.0, self._cores / self._threads)
            wait = (self._ends[0][0] - self._done) / self._speed
            self._events.at(self._events.now + wait, partial(self._end, self._current))

    def _end(self, version: int) -> None:
        if version != self._current:
            return
        self._advance()
        self._done, _, threads, then = heapq.heappop(self._ends)
        self._threads -= threads
        self._schedule()
        then()
