"""Threads for many images: one that prepares the next, or one for each core."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .errors import InputError
from .images.frames import TruncatedVideo

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AHEAD = 2
"""Items for each thread that are begun or finished and not yet yielded: they hold their images in memory."""


def map_in_order(
    work: Callable[[Item], Answer],
    items: Iterator[Item],
    workers: int,
    on_error: Callable[[InputError], None] | None = None,
) -> Generator[Answer, None, None]:
    """Call a function on all items, in several threads, and yield what it returns in the order of the items.

    Args:
        work: called in the threads.
        items: taken by the consumer's thread, at most two for each worker in advance.
        workers: number of threads.
        on_error: called in the consumer's thread with each `InputError`, in the place of the answer; without
            it the error is raised there.

    Closing the generator early, as Ctrl-C does, waits for the calls that have begun and drops the others.
    """
    pending: deque[Future[Answer]] = deque()
    with ThreadPoolExecutor(workers, "yolean-worker") as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > _AHEAD * workers:
                    yield from _settled(pending.popleft(), on_error)
            while pending:
                yield from _settled(pending.popleft(), on_error)
        finally:
            pool.shutdown(cancel_futures=True)


def prefetched(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """The same items, while a thread computes the next one in advance.

    Closing it early, as Ctrl-C does, waits for that one and closes `items`.
    """
    with ThreadPoolExecutor(1, "yolean-prepare") as pool:
        try:
            upcoming = pool.submit(next, items, None)
            while (item := upcoming.result()) is not None:
                upcoming = pool.submit(next, items, None)
                yield item
        finally:
            pool.shutdown()
            items.close()


def _settled(
    future: Future[Answer], on_error: Callable[[InputError], None] | None
) -> Generator[Answer, None, None]:
    """The answer, or none where the error is reported."""
    try:
        answer = future.result()
    except InputError as error:
        if on_error is not None:
            on_error(error)
        elif not isinstance(error, TruncatedVideo):  # the frames before are good
            raise
        return
    yield answer
