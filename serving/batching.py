"""Requests joined into runs of several images: for GPUs, and for exports with a fixed batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Condition
from time import sleep

from ..engine.batches import Outputs, Placed
from ..engine.errors import YoleanError
from ..engine.pipeline import Engine

OnOutputs = Callable[[Outputs | Exception, int], None]
"""Receives the outputs of a run and the row of the image in them, or the error of the run and 0."""


@dataclass(slots=True, eq=False)
class BatchItem:
    """One preprocessed image that waits for a run.

    Attributes:
        placed: the frame and its geometry in the input tensor.
        conf: its score threshold; files with a sparse head do less work for a higher one.
        is_wanted: checked just before the run; an image that is not wanted any more is left out.
        on_outputs: receives the outcome, once; not called for an image that was left out.
    """

    placed: Placed
    conf: float
    is_wanted: Callable[[], bool]
    on_outputs: OnOutputs


class Batcher:
    """The queue of images of one model, and the runs that they are joined into.

    It has no thread of its own. The thread that adds an image while no run is in progress executes the
    runs until the queue is empty; all others leave their image and return to decoding. So there is one
    run at a time, and each takes whatever arrived during the previous one, without waiting for more.

    Attributes:
        max_batch: largest number of images a run.
    """

    def __init__(self, engine: Engine, max_batch: int, window: float = 0.0) -> None:
        """Join images for an engine.

        Args:
            engine: executes the runs.
            max_batch: largest number of images a run.
            window: milliseconds that a batch which is not full waits for more.
        """
        self._engine, self.max_batch, self._window = engine, max_batch, window
        self._changed = Condition()
        self._waiting: deque[BatchItem] = deque()
        self._is_running = False

    def __len__(self) -> int:
        """How many images wait."""
        return len(self._waiting)

    def wait_for_room(self) -> None:
        """Block while two full batches wait: decoded images must not fill the memory."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_running or len(self._waiting) < 2 * self.max_batch)

    def add(
        self,
        item: BatchItem,
        on_run: Callable[[int], None] = lambda size: None,
        reserve: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Queue an image, and execute runs in this thread if no other thread does.

        Args:
            item: the image.
            on_run: called with the size of every run that this thread executes.
            reserve: makes a context for each run, such as one that holds the cores.
        """
        with self._changed:
            self._waiting.append(item)
            if self._is_running:
                return
            self._is_running = True
        try:
            while batch := self._next_batch():
                on_run(len(batch))
                with reserve():
                    self._run(batch)
        except BaseException:
            with self._changed:  # a bug outside the run must not block the model for ever
                self._is_running = False
                self._changed.notify_all()
            raise

    def _next_batch(self) -> list[BatchItem]:
        """The next images of one tensor shape; when there are none, this thread stops running."""
        if self._window and 0 < len(self._waiting) < self.max_batch:
            sleep(self._window / 1e3)
        with self._changed:
            batch: list[BatchItem] = []
            while self._waiting and len(batch) < self.max_batch:
                if not self._waiting[0].is_wanted():
                    self._waiting.popleft()
                elif not batch or _shape(self._waiting[0]) == _shape(batch[0]):
                    batch.append(self._waiting.popleft())
                else:
                    break
            self._is_running = bool(batch)
            self._changed.notify_all()
            return batch

    def _run(self, batch: list[BatchItem]) -> None:
        try:
            ready = self._engine.prepare([item.placed for item in batch])
            outputs = self._engine.infer(ready, min(item.conf for item in batch))
        except Exception as exc:
            if len(batch) > 1 and isinstance(exc, YoleanError):
                for item in batch:  # one image caused it, and must not fail the others
                    self._run([item])
                return
            for item in batch:
                item.on_outputs(exc, 0)
            return
        for row, item in enumerate(batch):
            item.on_outputs(outputs, row)


def _shape(item: BatchItem) -> tuple[int, int]:
    """(height, width) of the input tensor."""
    return item.placed[1].tensor
