"""Replicas behind a router, and the requests that they meet."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random

from ...measurement.summary import percentile
from .event_queue import EventQueue, SharedCores
from .simulated_replica import ReplicaLimits, ServiceTimes, SimulatedReplica, SimulatedRequest

_REFUSED_PAUSE = 0.001  # seconds until a client sends again what was refused: what a refusal takes


@dataclass(frozen=True)
class Router:
    """How requests find a replica.

    Attributes:
        choices: replicas that are drawn at random, of which the one with the fewest requests gets the next:
            1 as a Kubernetes Service does it, 2 as Ray Serve does it.
        most_ongoing: requests of a replica, above which they wait at the router; None for no limit.
        seconds: of one core that the router itself takes for a request.
    """

    choices: int = 1
    most_ongoing: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Deployment:
    """Replicas, and where they run.

    Attributes:
        replicas: how many.
        limits: of each.
        router: in front of them.
        machines: cores of each machine; replica n runs on machine n modulo their number, the router on all
            of them in turn. None: every replica has its cores to itself, and the router costs it none.
    """

    replicas: int = 1
    limits: ReplicaLimits = field(default_factory=ReplicaLimits)
    router: Router = field(default_factory=Router)
    machines: tuple[float, ...] | None = None


class SimulatedCluster:
    """A router and the replicas behind it; replicas may come and go.

    Attributes:
        events: the simulated time.
        ready: replicas that get requests.
        outcomes: every request that has ended.
    """

    def __init__(self, deployment: Deployment, times: ServiceTimes, random: Random) -> None:
        self.events = EventQueue()
        self.ready: list[SimulatedReplica] = []
        self.outcomes: list[SimulatedRequest] = []
        self._router, self._limits = deployment.router, deployment.limits
        self._times, self._random = times, random
        self._held: deque[SimulatedRequest] = deque()
        given = deployment.machines
        self._machines = None if given is None else [SharedCores(self.events, cores) for cores in given]
        self._turns = itertools.cycle(self._machines or ())
        for number in range(deployment.replicas):
            self.add(number)

    def add(self, number: int = 0) -> None:
        """One more replica, which is ready now; `number` says on which of the machines."""
        if self._machines is None:
            machine = SharedCores(self.events, self._limits.cores)
        else:
            machine = self._machines[number % len(self._machines)]
        self.ready.append(SimulatedReplica(self.events, machine, self._limits, self._times, self._random))
        self._send_held()

    def remove(self) -> None:
        """The replica with the fewest requests gets no more, and ends what it has."""
        self.ready.remove(min(self.ready, key=lambda replica: replica.in_flight))

    @property
    def ongoing(self) -> int:
        """Requests that are worked on or wait, at the router too."""
        return len(self._held) + sum(replica.in_flight for replica in self.ready)

    def send(self, request: SimulatedRequest) -> None:
        """Route a request that arrives now."""
        if self._machines is not None and self._router.seconds:
            next(self._turns).work(self._router.seconds, 1, partial(self._route, request))
        elif self._router.seconds:
            later = self.events.now + self._router.seconds
            self.events.at(later, partial(self._route, request))
        else:
            self._route(request)

    def _route(self, request: SimulatedRequest) -> None:
        self._held.append(request)
        self._send_held()

    def _send_held(self) -> None:
        limit = self._router.most_ongoing
        while self._held:
            ready = self.ready
            if limit is not None:
                ready = [replica for replica in ready if replica.in_flight < limit]
            if not ready:
                return
            drawn = self._random.sample(ready, min(self._router.choices, len(ready)))
            min(drawn, key=lambda replica: replica.in_flight).take(self._held.popleft())

    def arrive(self, arrivals: Iterator[float]) -> None:
        """Let requests arrive at these times, ascending."""
        when = next(arrivals, None)
        if when is None:
            return

        def arrived() -> None:
            self.send(SimulatedRequest(self.events.now, self._ended))
            self.arrive(arrivals)

        self.events.at(when, arrived)

    def connect(self, clients: int, seconds: float) -> None:
        """Let clients send a request each, and the next when they are answered, for so many seconds."""

        def again(request: SimulatedRequest) -> None:
            self._ended(request)
            if self.events.now < seconds:
                self.events.at(self.events.now + (_REFUSED_PAUSE if request.seconds is None else 0.0), send)

        def send() -> None:
            self.send(SimulatedRequest(self.events.now, again))

        for _ in range(clients):
            send()

    def _ended(self, request: SimulatedRequest) -> None:
        self.outcomes.append(request)
        if self._held:  # the replica has room now; it is told apart from the event that made it
            self.events.at(self.events.now, self._send_held)


@dataclass(frozen=True)
class LoadOutcome:
    """What became of the requests of a load.

    Attributes:
        answered: how many were answered.
        refused: how many were not: the queue was full, or they waited too long.
        p50, p99: seconds from sending to the answer; infinite where nothing was answered.
    """

    answered: int
    refused: int
    p50: float
    p99: float

    @property
    def refused_share(self) -> float:
        """Of all requests."""
        return self.refused / max(1, self.answered + self.refused)


def outcome(requests: Sequence[SimulatedRequest]) -> LoadOutcome:
    """Sum up what became of requests."""
    seconds = [request.seconds for request in requests if request.seconds is not None]
    p50, p99 = (percentile(seconds, share) if seconds else float("inf") for share in (0.5, 0.99))
    return LoadOutcome(len(seconds), len(requests) - len(seconds), p50, p99)


def poisson(rate: float, random: Random) -> Iterator[float]:
    """Times of arrivals without end: independent of one another, `rate` a second."""
    when = 0.0
    while True:
        when += random.expovariate(rate)
        yield when


def simulate_open_loop(
    deployment: Deployment, times: ServiceTimes, rate: float, requests: int, random: Random
) -> LoadOutcome:
    """Poisson arrivals, whatever becomes of them.

    Args:
        deployment: what they meet, empty at first.
        times: of requests.
        rate: requests a second.
        requests: how many.
        random: draws all that is random; the same one gives the same outcome.
    """
    cluster = SimulatedCluster(deployment, times, random)
    cluster.arrive(itertools.islice(poisson(rate, random), requests))
    cluster.events.run()
    return outcome(cluster.outcomes)


def simulate_closed_loop(
    deployment: Deployment, times: ServiceTimes, clients: int, seconds: float, random: Random
) -> LoadOutcome:
    """So many clients, each of which sends again when it has its answer, for so many seconds."""
    cluster = SimulatedCluster(deployment, times, random)
    cluster.connect(clients, seconds)
    cluster.events.run()
    return outcome(cluster.outcomes)
