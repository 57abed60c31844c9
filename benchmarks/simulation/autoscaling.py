"""How many replicas a cluster gets: the rules of Kubernetes' HorizontalPodAutoscaler and of Ray Serve.

Facts are from the documentation and the source of both (Apache-2.0): of the former, the ratio of the metric
to its target with a tolerance, limits of the change in a period, the stabilisation window; of the latter,
the mean of the ongoing requests over a window, and a delay for which a decision has to persist.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from .simulated_cluster import Deployment, SimulatedCluster
from .simulated_replica import ServiceTimes, SimulatedRequest


class Autoscaler(ABC):
    """Looks at a cluster again and again, and says how many replicas it shall have.

    Attributes:
        period: seconds between two looks.
        least, most: limits of the number of replicas.
    """

    period: float
    least: int
    most: int

    @abstractmethod
    def wanted(self, cluster: SimulatedCluster, replicas: int) -> int:
        """How many replicas there shall be.

        Args:
            cluster: as it is now.
            replicas: that are there, those included that are not ready yet.
        """


class QueueDepthAutoscaler(Autoscaler):
    """A HorizontalPodAutoscaler on mean queue depth of the pods, with the behaviour in `deploy/kubernetes`.

    The metric is one period old: it is scraped every 15 s, and passes through an adapter.
    """

    period = 15.0
    tolerance = 0.1
    window = 300.0
    """Seconds of recommendations, of which the highest counts when there shall be fewer."""
    down_period = 60.0
    """Seconds in which one pod may go."""

    def __init__(self, target: float = 4.0, least: int = 2, most: int = 20) -> None:
        """Aim at `target` requests that wait in each replica."""
        self.target, self.least, self.most = target, least, most
        self._scraped: float | None = None
        self._recommended: deque[tuple[float, int]] = deque()
        self._went = -math.inf

    def wanted(self, cluster: SimulatedCluster, replicas: int) -> int:
        now = cluster.events.now
        total = self._scraped
        self._scraped = sum(replica.waiting for replica in cluster.ready)
        if total is None:
            return replicas
        desired = self._desired(total, len(cluster.ready), replicas)
        self._recommended.append((now, desired))
        while self._recommended[0][0] < now - self.window:
            self._recommended.popleft()
        if desired > replicas:
            return min(desired, self.most, max(2 * replicas, replicas + 2))
        stable = max(number for _, number in self._recommended)
        if stable < replicas and now - self._went >= self.down_period:
            self._went = now
            return max(self.least, replicas - 1)
        return replicas

    def _desired(self, total: float, ready: int, replicas: int) -> int:
        """From the sum of the metric; pods that are not ready count as idle, but never turn the decision."""
        ratio = total / (self.target * max(1, ready))
        if ratio > 1 and replicas > ready:
            ratio = max(1.0, total / (self.target * replicas))
            ready = replicas
        if abs(ratio - 1) <= self.tolerance:
            return replicas
        return max(self.least, min(self.most, math.ceil(ratio * ready)))


class OngoingRequestsAutoscaler(Autoscaler):
    """Ray Serve's: the mean of the ongoing requests over a window, divided by `target_ongoing_requests`."""

    period = 1.0

    def __init__(
        self,
        target: float,
        least: int = 1,
        most: int = 20,
        *,
        window: float = 30.0,
        up_delay: float = 30.0,
        down_delay: float = 600.0,
    ) -> None:
        """Aim at `target` requests that wait or are worked on for each replica; times in seconds."""
        self.target, self.least, self.most = target, least, most
        self._samples: deque[int] = deque(maxlen=max(1, round(window / self.period)))
        self._delays = {1: up_delay, -1: down_delay}
        self._direction, self._since = 0, 0.0

    def wanted(self, cluster: SimulatedCluster, replicas: int) -> int:
        now = cluster.events.now
        self._samples.append(cluster.ongoing)
        mean = sum(self._samples) / len(self._samples)
        desired = max(self.least, min(self.most, math.ceil(mean / self.target)))
        direction = (desired > replicas) - (desired < replicas)
        if direction != self._direction:
            self._direction, self._since = direction, now
        if direction and now - self._since >= self._delays[direction]:
            self._direction = 0
            return desired
        return replicas


@dataclass(frozen=True)
class AutoscaledRun:
    """A load on a cluster that is scaled.

    Attributes:
        requests: every one that has ended.
        replicas: for each look of the autoscaler, seconds and how many were ready.
    """

    requests: list[SimulatedRequest]
    replicas: list[tuple[float, int]]


def simulate_autoscaled(
    autoscaler: Autoscaler,
    deployment: Deployment,
    times: ServiceTimes,
    rate: Callable[[float], float],
    seconds: float,
    start_seconds: float,
    random: Random,
) -> AutoscaledRun:
    """Poisson arrivals at a rate that changes.

    Args:
        autoscaler: decides, from the replicas of `deployment` on.
        deployment: at the beginning, all of it ready.
        times: of requests.
        rate: requests a second at a time.
        seconds: how long requests arrive.
        start_seconds: from the decision to a replica that is ready.
        random: draws all that is random.
    """
    cluster = SimulatedCluster(deployment, times, random)
    events, starting, seen = cluster.events, [0], []

    def start() -> None:
        if starting[0]:  # else it was given up
            starting[0] -= 1
            cluster.add()

    def look() -> None:
        replicas = len(cluster.ready) + starting[0]
        seen.append((events.now, len(cluster.ready)))
        change = autoscaler.wanted(cluster, replicas) - replicas
        for _ in range(max(0, change)):
            starting[0] += 1
            events.at(events.now + start_seconds, start)
        for _ in range(max(0, -change)):
            if starting[0]:
                starting[0] -= 1
            else:
                cluster.remove()
        if events.now + autoscaler.period <= seconds:
            events.at(events.now + autoscaler.period, look)

    events.at(0.0, look)
    cluster.arrive(_changing(rate, seconds, random))
    events.run()
    return AutoscaledRun(cluster.outcomes, seen)


def _changing(rate: Callable[[float], float], seconds: float, random: Random) -> Iterator[float]:
    """Times of arrivals at a rate that changes little between two of them."""
    when = 0.0
    while True:
        when += random.expovariate(rate(when))
        if when > seconds:
            return
        yield when
