"""The two ways in which worker threads execute requests: each image alone, or joined into batches.

Both decode the image, run the model and render the answer; they differ in who runs the model and when.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from time import perf_counter

from ..engine.batches import Outputs, Placed
from ..engine.images.decoding import image_from_bytes
from ..engine.images.frames import Frame
from ..engine.results.results import Results
from .batching import Batcher, BatchItem
from .cpu_budget import CoreBudget, intra_op_threads
from .image_guard.headers import check_pixels
from .metrics import Metrics
from .tickets import DeadlineError, Ticket, Work


class WorkTime:
    """Seconds of work that a request takes, smoothed over the last 16 or so; 0.05 before the first."""

    def __init__(self) -> None:
        """Nothing has been observed."""
        self.seconds = 0.05

    def observe(self, seconds: float) -> None:
        """Count the work of one request."""
        self.seconds += (seconds - self.seconds) / 16


class Execution(ABC):
    """One way to bring requests from the encoded image to the body of the answer, on worker threads."""

    def __init__(self, budget: CoreBudget, metrics: Metrics, work_time: WorkTime, max_pixels: int) -> None:
        """Share what all executions of one scheduler have in common.

        Args:
            budget: the cores, of which every run on the CPU reserves some.
            metrics: counts refusals and sizes of batches.
            work_time: is told of every answer.
            max_pixels: largest image, width times height.
        """
        self._budget, self._metrics, self._work_time = budget, metrics, work_time
        self._max_pixels = max_pixels

    def execute(self, work: Work, ticket: Ticket) -> None:
        """Take a request as far as this thread has to; its outcome or error goes to its ticket."""
        ticket.stages["queue"] = (perf_counter() - ticket.queued_at) * 1e3
        try:
            if self._is_wanted(ticket):
                self._execute(work, ticket)
        except Exception as exc:
            ticket.deliver(exc)

    @abstractmethod
    def _execute(self, work: Work, ticket: Ticket) -> None:
        """The same, for a request that is still wanted; may raise."""

    def _is_wanted(self, ticket: Ticket) -> bool:
        """Whether a request should still be run; one that is too late is answered with the error."""
        if ticket.is_cancelled:
            return False
        if ticket.is_late(self._work_time.seconds):
            self._metrics.shed.labels("deadline").inc()
            ticket.deliver(DeadlineError("the request waited too long for its turn, and was not run"))
            return False
        return True

    def _decode(self, work: Work) -> Placed:
        """Check and decode the image, and place it, or its next slice, in the input tensor.

        Raises:
            InputError: the image is unreadable, or has too many pixels or slices.
        """
        frame = self._read(work) if work.frame is None else work.frame
        if work.sliced is not None:
            return work.sliced.place(work.model.engine, frame, work.size)
        return work.model.engine.place(frame, work.size)

    def _read(self, work: Work) -> Frame:
        """The image, whose encoded bytes are dropped.

        Raises:
            InputError: it is unreadable or has too many pixels.
        """
        started = perf_counter()
        check_pixels(work.data, self._max_pixels, work.field)
        image = image_from_bytes(work.data, work.field, work.model.engine.spec.channels)
        work.data = b""
        return Frame(image, work.field, 0, None, (perf_counter() - started) * 1e3)

    def _answer(
        self,
        work: Work,
        ticket: Ticket,
        outputs: Outputs | Exception,
        row: int,
        decoded_at: float | None = None,
    ) -> None:
        """Postprocess one row of the outputs, render the answer and deliver it, or the error.

        Args:
            work, ticket: the request.
            outputs: of the run, or its error.
            row: of the image in the outputs.
            decoded_at: when the image was ready for a batch, on the clock of `perf_counter`; what it
                waited since then counts as time in the queue. None where it did not wait.
        """
        try:
            if isinstance(outputs, Exception):
                raise outputs
            results, speed = _results(work, outputs, row)
            started = perf_counter()
            body = b"" if results is None else work.render(results)
            now = perf_counter()
            speed["postprocess"] += (now - started) * 1e3
            if decoded_at is not None:
                waited = (now - decoded_at) * 1e3 - (sum(speed.values()) - speed["decode"])
                ticket.stages["queue"] += max(0.0, waited)
            ticket.stages |= speed
            self._work_time.observe(sum(speed.values()) / 1e3)
            ticket.objects = 0 if results is None else len(results)
        except Exception as exc:
            ticket.deliver(exc)
        else:
            ticket.deliver(body)


class SingleExecution(Execution):
    """Each image is run alone, by the thread that decoded it, with as many threads as the load leaves it.

    For CPUs, where batches bring nothing.
    """

    def __init__(
        self,
        budget: CoreBudget,
        metrics: Metrics,
        work_time: WorkTime,
        max_pixels: int,
        load: Callable[[], int],
    ) -> None:
        """As for `Execution`.

        Args:
            budget, metrics, work_time, max_pixels: as for `Execution`.
            load: gives the requests in the scheduler at the moment.
        """
        super().__init__(budget, metrics, work_time, max_pixels)
        self._load = load

    def _execute(self, work: Work, ticket: Ticket) -> None:
        placed = self._decode(work)
        engines = work.model.engines
        threads = intra_op_threads(max(ticket.load, self._load()), tuple(engines))
        asked_at = perf_counter()
        with self._budget.reserve(threads):
            ticket.stages["queue"] += (perf_counter() - asked_at) * 1e3
            if not self._is_wanted(ticket):
                return
            engine = engines[threads]
            outputs = engine.infer(engine.prepare([placed]), work.options.conf)
        self._metrics.batches.labels(work.model.id).observe(1)
        self._answer(work, ticket, outputs, 0)


class BatchExecution(Execution):
    """Decoded images wait for a run of several: for GPUs, and for exports with a fixed batch.

    Any thread may execute a run; answers are rendered by whichever thread is free after it.
    """

    def __init__(
        self,
        budget: CoreBudget,
        metrics: Metrics,
        work_time: WorkTime,
        max_pixels: int,
        cores: int,
        defer: Callable[[Callable[[], None]], None],
    ) -> None:
        """As for `Execution`.

        Args:
            budget, metrics, work_time, max_pixels: as for `Execution`.
            cores: that a run on the CPU reserves.
            defer: queues a task for the worker threads, before requests that are not begun.
        """
        super().__init__(budget, metrics, work_time, max_pixels)
        self._cores, self._defer = cores, defer

    def _execute(self, work: Work, ticket: Ticket) -> None:
        batcher = work.model.batcher
        assert isinstance(batcher, Batcher)
        batcher.wait_for_room()
        ticket.stages["queue"] = (perf_counter() - ticket.queued_at) * 1e3
        placed = self._decode(work)
        decoded_at = perf_counter()

        def on_outputs(outputs: Outputs | Exception, row: int) -> None:
            self._defer(lambda: self._answer(work, ticket, outputs, row, decoded_at))

        on_cpu = not work.model.engine.session.device.is_gpu
        batcher.add(
            BatchItem(placed, work.options.conf, lambda: self._is_wanted(ticket), on_outputs),
            self._metrics.batches.labels(work.model.id).observe,
            partial(self._budget.reserve, self._cores) if on_cpu else nullcontext,
        )


def _results(work: Work, outputs: Outputs, row: int) -> tuple[Results | None, dict[str, float]]:
    """What was found, None before the last slice of an image; and milliseconds by stage of this run."""
    if work.sliced is not None:
        return work.sliced.take(work.model.engine, outputs, row, work.options)
    results = work.model.engine.result(outputs, row, work.options)
    return results, dict(results.speed)
