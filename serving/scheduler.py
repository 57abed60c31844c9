"""When each request is decoded, run and encoded, and by which thread.

The event loop only hands jobs in and answers out. As many lanes as there are cores take jobs from one
queue, first come first served, and each takes its job from bytes to bytes: decode, preprocess, run,
postprocess, JSON. So the stages of different requests overlap, while the threads of runs never exceed the
cores (see `cores.py`).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Thread
from time import perf_counter
from weakref import WeakSet

import cv2

from ..engine.errors import ServerBusy, YoleanError
from ..engine.images.decoding import image_from_bytes
from ..engine.images.sources import Frame
from ..engine.pipeline import Outputs
from ..engine.results.results import Results
from ..postprocess.detections import Options
from ..postprocess.types import Size
from .batching import Batches, Item
from .cpu_budget import Cores, width_for, widths
from .image_guard.headers import check_pixels
from .metrics import Metrics
from .model_registry import Served

_STUCK_SECONDS = 60.0


class DeadlineError(YoleanError):
    """The request waited for longer than the server lets it; it was not run."""


class ClientGone(YoleanError):
    """The client closed its connection before the answer."""


@dataclass(slots=True, eq=False)
class Job:
    """One image on its way through the server.

    Attributes:
        served: the model, as it was when the request came.
        data: the encoded image.
        name: the request's field that held it, for messages.
        size: (height, width) to run at.
        options: thresholds.
        render: makes the body of the answer; called in a lane.
        deadline: on the clock of `perf_counter`: not begun after that.
        stages: milliseconds by stage, filled on the way.
        objects: how many were found.
        load: most requests in the system that this one has seen.
        gone: whether the client has left.
    """

    served: Served
    data: bytes
    name: str
    size: Size
    options: Options
    render: Callable[[Results], bytes]
    deadline: float
    stages: dict[str, float] = field(default_factory=dict)
    objects: int = 0
    load: int = 1
    gone: bool = False
    answer: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    queued_at: float = 0.0


class Scheduler:
    """A bounded queue, and the lanes that work on it."""

    def __init__(self, cores: int, max_queue: int, max_pixels: int, metrics: Metrics) -> None:
        """Set up; `start` starts the lanes.

        Args:
            cores: how many this server may keep busy.
            max_queue: jobs that may wait.
            max_pixels: largest image.
            metrics: where to count.
        """
        self.widths = widths(cores)
        self._cores, self._max_queue, self._max_pixels, self._metrics = cores, max_queue, max_pixels, metrics
        self._lent = Cores(cores)
        self._queue: deque[Callable[[], None]] = deque()
        self._finishing: deque[Callable[[], None]] = deque()
        self._batches: WeakSet[Batches] = WeakSet()  # of the models that have had jobs
        self._there = Condition()
        self._closed = False
        self._inside = 0  # jobs handed in and not answered; touched by the event loop alone
        self._service = 0.05  # seconds of work a job, smoothed
        self._taken_at = perf_counter()
        self._lanes: list[Thread] = []

    def start(self) -> None:
        """Start the lanes: in the process that serves, which may be a child of the one that built this."""
        cv2.setNumThreads(1)  # a lane is one thread; OpenCV's pool would be a second one on each core
        self._closed = False
        names = [f"yolean-lane-{i}" for i in range(self._cores)]
        self._lanes = [Thread(target=self._lane, name=name, daemon=True) for name in names]
        for lane in self._lanes:
            lane.start()

    @property
    def inside(self) -> int:
        """Jobs that wait or are at work."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Jobs that wait: to be decoded, or decoded for a batch."""
        return len(self._queue) + sum(len(batches) for batches in self._batches)

    @property
    def is_stuck(self) -> bool:
        """Whether jobs wait although no lane has taken one for a minute."""
        return bool(self._queue) and perf_counter() - self._taken_at > _STUCK_SECONDS

    def check_room(self) -> None:
        """See whether a job could wait now.

        Raises:
            ServerBusy: the queue is full.
        """
        waiting = self.waiting
        if waiting >= self._max_queue:
            self._metrics.shed.labels("queue").inc()
            after = max(1, math.ceil(waiting * self._service / self._cores))
            raise ServerBusy(f"{waiting} requests wait already, send it again in {after} s", after)

    async def run(self, job: Job, left: Callable[[], Awaitable[None]]) -> bytes:
        """Do a job; returns the body of the answer.

        Args:
            job: what to do.
            left: returns when the client is gone.

        Raises:
            ServerBusy: the queue is full.
            DeadlineError: it waited too long.
            ClientGone: the client left; if the job had not been run yet, it never is.
            YoleanError: what the engine says about the image.
        """
        self.check_room()
        self._inside += 1
        if job.served.batches is not None:
            self._batches.add(job.served.batches)
        job.load, job.queued_at = self._inside, perf_counter()
        if not self._queue:
            self._taken_at = job.queued_at  # nothing waited until now: see `is_stuck`
        self._put(self._queue, lambda: self._work(job))
        watch = asyncio.ensure_future(left())
        try:
            await asyncio.wait((job.answer, watch), return_when=asyncio.FIRST_COMPLETED)
            if not job.answer.done():
                self._metrics.left.inc()
                raise ClientGone("the client has left")
            return job.answer.result()
        finally:
            job.gone = True
            self._inside -= 1
            watch.cancel()

    def close(self) -> None:
        """Let the lanes end; jobs that wait are left undone."""
        with self._there:
            self._closed = True
            self._there.notify_all()
        for lane in self._lanes:
            lane.join(1)

    # ---- in the lanes -------------------------------------------------------------------------------------

    def _put(self, queue: deque[Callable[[], None]], task: Callable[[], None]) -> None:
        with self._there:
            queue.append(task)
            self._there.notify()

    def _lane(self) -> None:
        while True:
            with self._there:
                self._there.wait_for(lambda: self._closed or self._finishing or self._queue)
                if self._closed:
                    return
                # What has been run is answered first: its memory is freed, its client waits longest.
                task = (self._finishing or self._queue).popleft()
                self._taken_at = perf_counter()
            task()

    def _work(self, job: Job) -> None:
        """Decode, and everything after it where images run alone."""
        started = perf_counter()
        job.stages["queue"] = (started - job.queued_at) * 1e3
        try:
            if not self._is_wanted(job):
                return
            if job.served.batches is not None:
                job.served.batches.wait_for_room()
                started = perf_counter()
                job.stages["queue"] = (started - job.queued_at) * 1e3
            check_pixels(job.data, self._max_pixels, job.name)
            engine = job.served.engine
            image = image_from_bytes(job.data, job.name, engine.spec.channels)
            job.data = b""
            frame = Frame(image, job.name, 0, None, (perf_counter() - started) * 1e3)
            placed = engine.place(frame, job.size)
            batches = job.served.batches
            if batches is not None:
                waiting_since = perf_counter()
                item = Item(
                    placed,
                    still_wanted=lambda: self._is_wanted(job),
                    ready=lambda outputs, row: self._put(
                        self._finishing, lambda: self._finish(job, outputs, row, waiting_since)
                    ),
                )
                on_cpu = not engine.session.device.is_gpu
                turn = partial(self._lent.lent, self._cores) if on_cpu else nullcontext
                batches.add(item, self._metrics.batches.labels(job.served.id).observe, turn)
                return
            width = width_for(max(job.load, self._inside), tuple(job.served.engines))
            asked = perf_counter()
            with self._lent.lent(width):
                job.stages["queue"] += (perf_counter() - asked) * 1e3
                if not self._is_wanted(job):
                    return
                engine = job.served.engines[width]
                outputs = engine.infer(engine.prepare([placed]))
            self._metrics.batches.labels(job.served.id).observe(1)
        except Exception as exc:
            self._deliver(job, exc)
            return
        self._finish(job, outputs, 0)

    def _finish(self, job: Job, outputs: Outputs | Exception, row: int, since: float | None = None) -> None:
        try:
            if isinstance(outputs, Exception):
                raise outputs
            results = job.served.engine.result(outputs, row, job.options)
            started = perf_counter()
            body = job.render(results)
            speed = dict(results.speed)
            speed["postprocess"] += (perf_counter() - started) * 1e3
            if since is not None:
                work = (perf_counter() - since) * 1e3 - sum(speed.values()) + speed["decode"]
                job.stages["queue"] += max(0.0, work)
            job.stages |= speed
            self._service += (sum(speed.values()) / 1e3 - self._service) / 16
            job.objects = len(results)
        except Exception as exc:
            self._deliver(job, exc)
        else:
            self._deliver(job, body)

    def _is_wanted(self, job: Job) -> bool:
        """Whether a job is still worth running; one whose time is over is told so."""
        if job.gone:
            return False
        # Not begun either if it would come too late; but only once half of its time is over. Were it refused
        # before for slow runs in the past, perhaps of another model, nothing would tell that they are over.
        ahead = min(self._service, (job.deadline - job.queued_at) / 2)
        if perf_counter() + ahead > job.deadline:
            self._metrics.shed.labels("deadline").inc()
            self._deliver(job, DeadlineError("the request waited too long for its turn, and was not run"))
            return False
        return True

    def _deliver(self, job: Job, outcome: bytes | Exception) -> None:
        def settle() -> None:
            if job.answer.done():
                return
            if isinstance(outcome, Exception):
                job.answer.set_exception(outcome)
                job.answer.exception()  # nobody may be left to read it, which is no reason for a warning
            else:
                job.answer.set_result(outcome)

        try:
            job.answer.get_loop().call_soon_threadsafe(settle)
        except RuntimeError:  # the loop has closed: the server is gone, and the client with it
            job.gone = True
