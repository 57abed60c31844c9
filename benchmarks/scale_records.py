"""The record of `scale`: times of requests, what was simulated from them, and what was measured."""

from __future__ import annotations

from typing import Literal

from ..measurement.summary import Quartiles
from .load_records import Loop, UploadedImage
from .record_base import Record, Struct

PEAK = 4.0
"""The load on autoscaled replicas, in what a saturated one answers; where it changes, a quarter before."""


class ScaleSettings(Struct):
    """Attributes: seconds of each measured load; repetitions of each; simulated requests of each capacity;
    simulated runs of each prediction; seed of all that is random; limit of the p99 in ms; US dollars a
    vCPU-hour; seconds of each autoscaled run."""

    seconds: int
    repetitions: int
    requests: int
    runs: int
    seed: int
    limit_ms: float
    price: float
    autoscaled_seconds: float


class RequestTimes(Struct):
    """How long a request occupies cores of one server; ms, quantiles of what was measured.

    Attributes:
        upload: on one core: what the client waits beyond the stages that the server reports; median.
        decode: on one core.
        run: everything else, by the number of intra-op threads.
        slowdown: what `run` on one thread was multiplied by, so that the simulated closed loop answers as
            many requests a second as the measured one: runs side by side share more than cores.
        saturated: requests a second of that closed loop.
        start_seconds: from the start of the process to the first answer.
    """

    upload: float
    decode: list[float]
    run: dict[int, list[float]]
    slowdown: float
    saturated: float
    start_seconds: Quartiles


class RouterRule(Struct):
    """Attributes: replicas of which the one with the fewest requests is taken; requests of a replica above
    which others wait at the router, None without limit; ms of a core that the router takes."""

    choices: int
    most_ongoing: int | None = None
    added_ms: float = 0.0


class MeasuredReplicas(Struct):
    """A load on replicas of this machine, as it was measured.

    Attributes:
        system: what served.
        replicas: how many.
        cores: that each takes for itself to have.
        machines: cores that replicas share: replica n has those of entry n modulo their number.
        router: in front of them.
        loop: closed, or open with Poisson arrivals.
        load: connections, or requests a second.
        seconds: of each repetition.
        repetitions: whose requests are taken together.
        sent: requests that have ended.
        rate: answered requests a second.
        p50, p99: ms, of those answered; None where none was, or they are not known.
        refused: share of the requests that were not answered.
    """

    system: str
    replicas: int
    cores: int
    machines: list[float]
    router: RouterRule
    loop: Loop
    load: float
    seconds: float
    repetitions: int
    sent: int
    rate: float
    p50: float | None
    p99: float | None
    refused: float


class SimulatedRange(Struct):
    """Of simulated runs as long as the measured one: the median, and the range of nine in ten."""

    low: float
    median: float
    high: float


class Prediction(Struct):
    """What was measured, and what the simulation gives for the same load: requests a second, ms, a share."""

    measured: MeasuredReplicas
    rate: SimulatedRange
    p50: SimulatedRange | None
    p99: SimulatedRange | None
    refused: SimulatedRange


RouterName = Literal["at random", "the shorter of two queues"]


class ReplicaCapacity(Struct):
    """The most that replicas hold.

    Attributes:
        router: to which replica a request goes; as a Kubernetes Service does it, or Ray Serve.
        cores: of each replica, its own.
        replicas: how many.
        rate: requests a second of each, of which none was refused and 99% were answered within the limit.
        saturated: requests a second of each that has always work, without a limit.
    """

    router: RouterName
    cores: int
    replicas: int
    rate: float
    saturated: float


class AutoscaledLoad(Struct):
    """A load on replicas that are scaled.

    Attributes:
        rule: what scales them.
        load: how it changes.
        p99: ms, over all of it.
        refused: share of the requests.
        bad_minutes: share of the minutes in which a request was refused, or the p99 was above the limit.
        mean_replicas, most_replicas: that were ready.
    """

    rule: str
    load: str
    p99: float
    refused: float
    bad_minutes: float
    mean_replicas: float
    most_replicas: int


class ScaleRecord(Record, tag_field="scenario", tag="scale", kw_only=True):
    """From one server to many: `cores` of the machine that was measured."""

    settings: ScaleSettings
    model: str
    image: UploadedImage
    cores: int
    times: RequestTimes
    predictions: list[Prediction]
    capacities: list[ReplicaCapacity]
    autoscaled: list[AutoscaledLoad]

    def capacity(self, cores: int, router: RouterName, replicas: int) -> ReplicaCapacity:
        """What replicas hold that are so many: as measured for as many, or for the next fewer."""
        rows = [row for row in self.capacities if row.router == router and row.cores == cores]
        return max((row for row in rows if row.replicas <= replicas), key=lambda row: row.replicas)
