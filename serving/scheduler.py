"""Which request is worked on next, and by which thread.

The event loop only hands requests in and answers out. As many worker threads as there are cores take
requests from one queue, first come first served; `execution.py` says what they do with each. So the stages
of different requests overlap, while the intra-op threads of all runs together never exceed the cores
(see `cpu_budget.py`).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from threading import Condition, Thread
from time import perf_counter
from weakref import WeakSet

from ..engine.errors import ServerBusy
from .batching import Batcher
from .cpu_budget import CoreBudget, intra_op_choices
from .execution import BatchExecution, SingleExecution, WorkTime
from .metrics import Metrics
from .tickets import ClientGone, Ticket, Work

Task = Callable[[], None]


class Scheduler:
    """A bounded queue of requests, and the worker threads that serve it.

    Attributes:
        intra_op_choices: numbers of intra-op threads that a run may use, most first; a model needs an
            engine for each.
    """

    def __init__(
        self, cores: int, max_queue: int, max_pixels: int, metrics: Metrics, stuck_after: float = 60.0
    ) -> None:
        """Set up; `start` starts the threads.

        Args:
            cores: how many this server may keep busy, and how many worker threads there are.
            max_queue: requests that may wait.
            max_pixels: largest image, width times height.
            metrics: counts what happens.
            stuck_after: seconds without progress after which `is_stuck` is true.
        """
        self.intra_op_choices = intra_op_choices(cores)
        self._cores, self._max_queue, self._metrics = cores, max_queue, metrics
        self._stuck_after = stuck_after
        self._work_time = WorkTime()
        shared = CoreBudget(cores), metrics, self._work_time, max_pixels
        self._single = SingleExecution(*shared, load=lambda: self._in_flight)
        self._batched = BatchExecution(
            *shared, cores=cores, defer=lambda task: self._put(self._finishing, task)
        )
        self._queue: deque[Task] = deque()
        self._finishing: deque[Task] = deque()
        self._batchers: WeakSet[Batcher] = WeakSet()  # of the models that have had requests
        self._changed = Condition()
        self._is_closed = False
        self._in_flight = 0  # changed by the event loop alone
        self._taken_at = perf_counter()
        self._workers: list[Thread] = []

    def start(self) -> None:
        """Start the threads: in the process that serves, which may be a child of the one that built this."""
        self._is_closed = False
        names = [f"yolean-worker-{i}" for i in range(self._cores)]
        self._workers = [Thread(target=self._work, name=name, daemon=True) for name in names]
        for worker in self._workers:
            worker.start()

    @property
    def in_flight(self) -> int:
        """Requests that wait or are worked on."""
        return self._in_flight

    @property
    def waiting(self) -> int:
        """Requests that wait: to be decoded, or decoded for a batch."""
        return len(self._queue) + sum(len(batcher) for batcher in self._batchers)

    @property
    def is_stuck(self) -> bool:
        """Whether requests wait although no thread has taken one for `stuck_after` seconds."""
        return bool(self._queue) and perf_counter() - self._taken_at > self._stuck_after

    def check_room(self) -> None:
        """Check that one more request may wait.

        Raises:
            ServerBusy: the queue is full.
        """
        waiting = self.waiting
        if waiting >= self._max_queue:
            self._metrics.shed.labels("queue").inc()
            after = max(1, math.ceil(waiting * self._work_time.seconds / self._cores))
            raise ServerBusy(f"{waiting} requests wait already, send it again in {after} s", after)

    async def run(self, work: Work, ticket: Ticket, client_left: Callable[[], Awaitable[object]]) -> bytes:
        """Serve one request.

        Args:
            work: what to do; its image is dropped on the way.
            ticket: its place; its stages and objects are filled on the way.
            client_left: returns when the client has left.

        Returns:
            The body of the answer.

        Raises:
            ServerBusy: the queue is full.
            DeadlineError: it waited too long.
            ClientGone: the client left; the request is not run if that had not begun.
            YoleanError: the image or the model is at fault.
        """
        self.check_room()
        self._in_flight += 1
        if work.model.batcher is not None:
            self._batchers.add(work.model.batcher)
        ticket.enter(self._in_flight)
        if not self._queue:
            self._taken_at = ticket.queued_at  # nothing waited until now: see `is_stuck`
        execution = self._single if work.model.batcher is None else self._batched
        self._put(self._queue, lambda: execution.execute(work, ticket))
        watch = asyncio.ensure_future(client_left())
        try:
            await asyncio.wait((ticket.answer, watch), return_when=asyncio.FIRST_COMPLETED)
            if not ticket.answer.done():
                self._metrics.left.inc()
                raise ClientGone("the client has left")
            return ticket.answer.result()
        finally:
            ticket.is_cancelled = True
            self._in_flight -= 1
            watch.cancel()

    def close(self) -> None:
        """End the threads after what they are doing; requests that wait are not run."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join(1)

    def _put(self, queue: deque[Task], task: Task) -> None:
        with self._changed:
            queue.append(task)
            self._changed.notify()

    def _work(self) -> None:
        """What each worker thread does."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._finishing or self._queue)
                if self._is_closed:
                    return
                # What has been run is answered first: its client has waited longest, its memory is freed.
                task = (self._finishing or self._queue).popleft()
                self._taken_at = perf_counter()
            task()
