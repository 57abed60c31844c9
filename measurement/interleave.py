"""Interleaved repetitions of systems under test.

A machine that others use changes its pace by a factor within minutes. So every system is measured once in
each repetition, and systems are compared by ratios within a repetition (`paired_ratios`), where a change of
pace falls on all of them. Each repetition begins with another system.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import TypeVar

T = TypeVar("T")


def interleaved(systems: Mapping[str, Callable[[], T]]) -> Iterator[dict[str, T]]:
    """Measure all systems again and again.

    Args:
        systems: by name, what measures a system once. Names may be removed between repetitions.

    Yields:
        for each complete repetition, what each system gave. The caller decides when to stop, and keeps what
        was yielded when a later repetition is interrupted.
    """
    number = 0
    while systems:
        names = list(systems)
        first = number % len(names)
        found = {name: systems[name]() for name in names[first:] + names[:first]}
        yield {name: found[name] for name in names}
        number += 1


def for_seconds(
    repetitions: Iterator[T],
    seconds: float,
    at_least: int,
    on_progress: Callable[[float], None] = lambda share: None,
) -> Iterator[T]:
    """The repetitions that begin within so many seconds, and at least so many.

    Args:
        on_progress: is called before each repetition with the share, 0 to 1, that is done.
    """
    started, done = perf_counter(), 0
    while (passed := perf_counter() - started) < seconds or done < at_least:
        on_progress(min(passed / seconds, done / at_least, 1.0))
        yield next(repetitions)
        done += 1
