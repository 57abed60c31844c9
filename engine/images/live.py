"""The newest frame of a source that does not wait: a camera, or a stream."""

from __future__ import annotations

from collections.abc import Generator
from threading import Condition, Thread
from typing import TypeVar

Item = TypeVar("Item")


def newest(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """The newest item each time that one is asked for; those that came before it meanwhile are dropped.

    A thread takes every item as it comes: what nobody takes queues up in the driver or at the sender, and a
    model that is slower than a camera would fall behind further and further. The last item is never dropped,
    and errors of `items` are raised after it.

    Closing it early waits for the item that is being read, and closes `items`.
    """
    changed, waiting = Condition(), list[Item]()
    ended, stopped, errors = False, False, list[BaseException]()

    def read() -> None:
        nonlocal ended
        try:
            for item in items:
                with changed:
                    waiting[:] = [item]
                    changed.notify()
                    if stopped:
                        break
        except BaseException as error:
            errors.append(error)
        with changed:
            ended = True
            changed.notify()

    thread = Thread(target=read, name="yolean-live", daemon=True)
    thread.start()
    try:
        while True:
            with changed:
                changed.wait_for(lambda: waiting or ended)
                if not waiting:
                    break
                item = waiting.pop()
            yield item
        for error in errors:
            raise error
    finally:
        with changed:
            stopped = True
        thread.join()
        items.close()
