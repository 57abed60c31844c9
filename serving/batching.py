"""Requests joined into runs of several images: for GPUs, and for exports with a fixed batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Condition
from time import sleep

from ..engine.errors import YoleanError
from ..engine.pipeline import Engine, Outputs, Placed

Ready = Callable[[Outputs | Exception, int], None]
"""Is handed the outputs of the run and the row in them, or what went wrong."""


@dataclass(slots=True, eq=False)
class Item:
    """One image that waits for a run.

    Attributes:
        placed: the frame and where it goes.
        still_wanted: asked just before the run; an image that nobody wants any more is left out.
        ready: is handed the outcome.
    """

    placed: Placed
    still_wanted: Callable[[], bool]
    ready: Ready


class Batches:
    """The images that wait for one model, and the runs that they go into.

    No thread of its own: the thread that brings an image while no run is going does the runs, until
    nothing waits; every other leaves its image and goes back to decoding. So one run goes at a time, and
    takes whatever came while the one before it went, without waiting for more.
    """

    def __init__(self, engine: Engine, most: int, window: float = 0.0) -> None:
        """Join images for an engine.

        Args:
            engine: whose runs they are.
            most: images a run.
            window: milliseconds that a batch which is not full waits for more.
        """
        self._engine, self._most, self._window = engine, most, window
        self._changed = Condition()
        self._waiting: deque[Item] = deque()
        self._going = False

    def __len__(self) -> int:
        return len(self._waiting)

    def wait_for_room(self) -> None:
        """Wait while two batches' worth of images waits: decoded images must not fill the memory."""
        with self._changed:
            self._changed.wait_for(lambda: not self._going or len(self._waiting) < 2 * self._most)

    def add(
        self,
        item: Item,
        on_run: Callable[[int], None] = lambda size: None,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Leave an image; runs what waits if nobody else does.

        Args:
            item: the image.
            on_run: is told the size of every run.
            turn: makes a context in which a run may go, such as one that holds the cores.
        """
        with self._changed:
            self._waiting.append(item)
            if self._going:
                return
            self._going = True
        try:
            while batch := self._take():
                on_run(len(batch))
                with turn():
                    self._run(batch)
        except BaseException:
            with self._changed:  # a bug around the run; the next image must not find it going for ever
                self._going = False
                self._changed.notify_all()
            raise

    def _take(self) -> list[Item]:
        """The next images of one tensor shape; when there are none, this thread's turn is over."""
        if self._window and 0 < len(self._waiting) < self._most:
            sleep(self._window / 1e3)
        with self._changed:
            batch: list[Item] = []
            while self._waiting and len(batch) < self._most:
                if not self._waiting[0].still_wanted():
                    self._waiting.popleft()
                elif not batch or _shape(self._waiting[0]) == _shape(batch[0]):
                    batch.append(self._waiting.popleft())
                else:
                    break
            self._going = bool(batch)
            self._changed.notify_all()
            return batch

    def _run(self, batch: list[Item]) -> None:
        try:
            outputs = self._engine.infer(self._engine.prepare([item.placed for item in batch]))
        except Exception as exc:
            if len(batch) > 1 and isinstance(exc, YoleanError):
                for item in batch:  # whichever it was: it must not fail its neighbours
                    self._run([item])
                return
            for item in batch:
                item.ready(exc, 0)
            return
        for row, item in enumerate(batch):
            item.ready(outputs, row)


def _shape(item: Item) -> tuple[int, int]:
    return item.placed[1].tensor
