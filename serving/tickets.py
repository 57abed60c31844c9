"""A request inside the scheduler: what is asked of the model, and the place of the request in the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

from ..engine.errors import YoleanError
from ..engine.images.frames import Frame
from ..engine.results.results import Results
from ..postprocess.detections import Options
from ..postprocess.types import Size
from .model_registry import LoadedModel
from .sliced_image import SlicedImage


class DeadlineError(YoleanError):
    """The request waited longer than the server allows, and was not run."""


class ClientGone(YoleanError):
    """The client closed its connection before the answer."""


@dataclass(slots=True, eq=False)
class Work:
    """What a request asks for: one image through one model.

    Attributes:
        model: the model as it was when the request arrived; a reload does not change it.
        data: the encoded image; emptied after decoding.
        field: the field of the request that held the image, for messages.
        size: (height, width) of the input tensor.
        options: thresholds.
        render: makes the body of the answer; called on a worker thread.
        frame: the image, where it is decoded already.
        sliced: where the image is sliced, its slices, of which the next is to be run; `render` is called with
            the last.
    """

    model: LoadedModel
    data: bytes
    field: str
    size: Size
    options: Options
    render: Callable[[Results], bytes]
    frame: Frame | None = None
    sliced: SlicedImage | None = None


class Ticket:
    """The place of a request in the scheduler: its deadline, whether its client waits, and its answer.

    Made on the event loop that awaits `answer`; worker threads may call the methods and fill the rest.

    Attributes:
        deadline: on the clock of `perf_counter`, seconds; inference does not begin after it.
        queued_at: when it entered the queue, on the same clock.
        load: requests in the scheduler when it entered, itself included.
        stages: milliseconds by stage.
        objects: how many objects were found.
        is_cancelled: whether nobody waits for the answer any more.
        answer: the body, or the error.
    """

    def __init__(self, deadline: float, stages: Mapping[str, float] | None = None) -> None:
        """Wait until `deadline` at most; `stages` are those that are over before the queue."""
        self.deadline = deadline
        self.stages = dict(stages or {})
        self.queued_at = 0.0
        self.load = 1
        self.objects = 0
        self.is_cancelled = False
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def enter(self, load: int) -> None:
        """Note that the request enters the queue, as one of `load` in the scheduler."""
        self.load, self.queued_at = load, perf_counter()

    def is_late(self, expected: float) -> bool:
        """Whether work of `expected` seconds that began now would end after the deadline.

        The expectation counts for at most half of the time that the request may wait. It is made of past
        runs, perhaps of another model: if slow runs alone could refuse every request, no run would show
        that they are over.
        """
        ahead = min(expected, (self.deadline - self.queued_at) / 2)
        return perf_counter() + ahead > self.deadline

    def deliver(self, outcome: bytes | Exception) -> None:
        """Settle `answer` from any thread; only the first outcome counts."""

        def settle() -> None:
            if self.answer.done():
                return
            if isinstance(outcome, Exception):
                self.answer.set_exception(outcome)
                self.answer.exception()  # a cancelled request never reads it, which needs no warning
            else:
                self.answer.set_result(outcome)

        try:
            self.answer.get_loop().call_soon_threadsafe(settle)
        except RuntimeError:  # the loop has closed, and the connection with it
            self.is_cancelled = True
