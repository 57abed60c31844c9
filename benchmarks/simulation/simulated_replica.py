"""One `yolean serve`, as its scheduler works: a bounded queue, a worker thread a core, a budget of cores.

`serving/scheduler.py` and `serving/execution.py` are what this follows; the number of threads of a run is
decided by the server's own functions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from ...serving.cpu_budget import intra_op_choices, intra_op_threads
from ...serving.settings import Settings
from .event_queue import EventQueue, SharedCores

MAX_QUEUE = Settings().max_queue
TIMEOUT = Settings().timeout


@dataclass(frozen=True)
class ServiceTimes:
    """How long a request occupies cores, from which a simulated one is drawn; seconds.

    Attributes:
        upload: on one core, before the request is in the queue, and for its answer.
        decode: on one core, before a run; samples.
        run: by the number of intra-op threads, everything else; samples.
    """

    upload: float
    decode: Sequence[float]
    run: Mapping[int, Sequence[float]]

    def run_samples(self, threads: int) -> Sequence[float]:
        """Of runs with so many threads, or with the nearest number that was measured."""
        return self.run[min(self.run, key=lambda measured: abs(measured - threads))]


@dataclass(slots=True, eq=False)
class SimulatedRequest:
    """A request.

    Attributes:
        arrived: when it was sent.
        on_end: called when it is answered, and when it is refused.
        seconds: from `arrived` to the answer; None before that, and where it was refused.
        load: requests in the replica when it entered, itself included.
        queued_at: when it entered the queue.
    """

    arrived: float
    on_end: Callable[[SimulatedRequest], None]
    seconds: float | None = None
    load: int = 1
    queued_at: float = 0.0


@dataclass
class ReplicaLimits:
    """Attributes: cores, which are worker threads; requests that may wait; seconds that one may wait."""

    cores: int = 1
    max_queue: int = MAX_QUEUE
    timeout: float = TIMEOUT


@dataclass
class SimulatedReplica:
    """A server that takes requests.

    Attributes:
        events: the simulated time.
        machine: the cores that it runs on, perhaps with other replicas.
        limits: see `ReplicaLimits`.
        times: of requests.
        random: draws from `times`.
        in_flight: requests that wait or are worked on.
    """

    events: EventQueue
    machine: SharedCores
    limits: ReplicaLimits
    times: ServiceTimes
    random: Random
    in_flight: int = 0
    _queue: deque[SimulatedRequest] = field(default_factory=deque)
    _runs: deque[tuple[SimulatedRequest, int]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._idle = self._free = self.limits.cores
        self._choices = intra_op_choices(self.limits.cores)

    @property
    def waiting(self) -> int:
        """Requests in the queue: the metric `yolean_queue_depth`."""
        return len(self._queue)

    def take(self, request: SimulatedRequest) -> None:
        """Receive a request; it is refused when the queue is full, before its body and after."""
        if self.waiting >= self.limits.max_queue:
            request.on_end(request)
        elif self.times.upload:
            self.machine.work(self.times.upload, 1, partial(self._enter, request))
        else:
            self._enter(request)

    def _enter(self, request: SimulatedRequest) -> None:
        if self.waiting >= self.limits.max_queue:
            request.on_end(request)
            return
        self.in_flight += 1
        request.load, request.queued_at = self.in_flight, self.events.now
        self._queue.append(request)
        self._decode_next()

    def _decode_next(self) -> None:
        while self._idle and self._queue:
            request = self._queue.popleft()
            if self.events.now - request.queued_at > self.limits.timeout:
                self.in_flight -= 1
                request.on_end(request)
                continue
            self._idle -= 1
            self.machine.work(self.random.choice(self.times.decode), 1, partial(self._reserve, request))

    def _reserve(self, request: SimulatedRequest) -> None:
        threads = intra_op_threads(max(request.load, self.in_flight), self._choices)
        self._runs.append((request, threads))
        self._run_next()

    def _run_next(self) -> None:
        """Begin runs for which there are cores, strictly in order."""
        while self._runs and self._runs[0][1] <= self._free:
            request, threads = self._runs.popleft()
            self._free -= threads
            seconds = self.random.choice(self.times.run_samples(threads))
            self.machine.work(seconds, threads, partial(self._answer, request, threads))

    def _answer(self, request: SimulatedRequest, threads: int) -> None:
        self._free += threads
        self._idle += 1
        self.in_flight -= 1
        request.seconds = self.events.now - request.arrived
        request.on_end(request)
        self._run_next()
        self._decode_next()
