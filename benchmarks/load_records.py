"""Records of `serve`, `micro` and `threads`: how cost grows with load, size and concurrency."""

from __future__ import annotations

from typing import Literal

from ..measurement.summary import Quartiles, paired_ratios, quartiles
from .record_base import NotMeasured, PerformanceTarget, Record, Struct


class ServeSettings(Struct):
    """Attributes: connections of the closed loop; seconds of each load; interleaved repetitions; seconds
    within which an answer of the open loop is in time."""

    concurrency: list[int]
    seconds: int
    repetitions: int
    in_time_s: float


Loop = Literal["closed", "open"]


class Load(Struct):
    """One load on a server.

    Attributes:
        answered: requests answered with 200.
        rate: of these, a second.
        p50, p90, p99: latencies in ms, in the open loop from when a request was due; None when nothing was
            answered, and in the closed loop when requests were refused, whose latencies wrk mixes in.
        broken: connections that failed, broke off, or gave nothing in time.
        refused: answers with an error status, such as the 503 of a full queue.
        memory_mb: resident memory of the server after the load, MiB.
        sent: requests; None in the closed loop, like the following.
        in_time: share of the requests sent that were answered in time.
        late_ms: p99 of sending later than due.
    """

    answered: int
    rate: float
    p50: float | None
    p90: float | None
    p99: float | None
    broken: int
    refused: int
    memory_mb: float | None = None
    sent: int | None = None
    in_time: float | None = None
    late_ms: float | None = None


class ServerLoads(Struct):
    """A server at so many connections (closed loop) or at a rate of so many requests a second (open loop)."""

    server: str
    loop: Loop
    load: float
    repetitions: list[Load]

    def quartiles(self, name: str) -> Quartiles | None:
        """Of a field of `Load` over the repetitions that have it; None when none has."""
        known = [value for each in self.repetitions if (value := getattr(each, name)) is not None]
        return quartiles(known) if known else None

    def total(self, name: str) -> int:
        """Sum of a field of `Load`."""
        return sum(getattr(each, name) for each in self.repetitions)


class UploadedImage(Struct):
    """The image that is sent."""

    name: str
    bytes: int


class SingleRequest(Struct):
    """One request at a time, median ms: the server, decoding and predicting in Python, the difference."""

    server_p50_ms: float
    engine_p50_ms: float
    added_ms: float


class Soak(Struct):
    """Resident memory of the server after many requests, MiB; None where there were fewer than 500."""

    requests: int
    mb_after_500: float | None
    mb_at_the_end: float


class ServeRecord(Record, tag_field="scenario", tag="serve", kw_only=True):
    """The server and others under load; `versions` by server, `capacity` in requests a second."""

    settings: ServeSettings
    model: str
    image: UploadedImage
    versions: dict[str, dict[str, str]]
    capacity: float | None
    loads: list[ServerLoads]
    not_measured: list[NotMeasured]
    single_request: SingleRequest | None
    soak: Soak | None

    def rows(self, loop: Loop, load: float | None = None) -> list[ServerLoads]:
        """The servers in a loop, at one load or at all of them."""
        return [row for row in self.loads if row.loop == loop and load in (None, row.load)]

    def rate_ratio(self, one: str, row: ServerLoads) -> Quartiles | None:
        """The rate of a server divided by that of another server's row, by repetition.

        None for the server itself, and where the other answered nothing in a repetition.
        """
        other = [each.rate for each in row.repetitions]
        own = next((each for each in self.rows(row.loop, row.load) if each.server == one), None)
        if own is None or row.server == one or not all(other):
            return None
        return paired_ratios([each.rate for each in own.repetitions], other)


class MicroSettings(Struct):
    """Attributes: parts measured; seconds of a case; threads of OpenCV; thresholds."""

    parts: list[str]
    seconds: float
    opencv_threads: int
    conf: float
    iou: float
    max_det: int


class MicroAgreement(Struct):
    """How far an answer agrees with yolean's: what is measured, and its value."""

    measure: str
    value: float


class MicroResult(Struct):
    """One implementation on one case.

    Attributes:
        part, case, count: what was computed, the kind of input and its size.
        implementation: `yolean` or another.
        milliseconds: of a run.
        best_ms: fastest repetition.
        repetitions: interleaved repetitions; each is the median of `runs_a_repetition` runs.
        ratio: its time divided by yolean's, by repetition.
        yolean_ratio: yolean's time divided by its, by repetition.
        agreement: of its answer with yolean's; None for yolean.
    """

    part: str
    case: str
    count: int
    implementation: str
    milliseconds: Quartiles
    best_ms: float
    repetitions: int
    runs_a_repetition: int
    ratio: Quartiles
    yolean_ratio: Quartiles
    agreement: MicroAgreement | None


class MicroNotMeasured(Struct):
    """An implementation that was not run on a case, and the reason."""

    part: str
    case: str
    count: int
    implementation: str
    reason: str


class MicroRecord(Record, tag_field="scenario", tag="micro", kw_only=True):
    """Parts of pre- and postprocessing alone."""

    settings: MicroSettings
    results: list[MicroResult]
    not_measured: list[MicroNotMeasured]
    targets: list[PerformanceTarget]


class ThreadsSettings(Struct):
    """Seconds of each measurement, and interleaved repetitions."""

    seconds: int
    repetitions: int


class CoreSharing(Struct):
    """A way to share the cores: intra-op threads of a run, runs at once, throughput, median latency in ms."""

    name: str
    threads: int
    runs_at_once: int
    images_a_second: Quartiles
    p50_ms: float


class AlternatingModel(Struct):
    """One of two models in one process: ms of a call alone, and of a call alternating with the other's."""

    model: str
    alone_ms: Quartiles
    alternating_ms: Quartiles
    ratio: Quartiles


class ThreadsRecord(Record, tag_field="scenario", tag="threads", kw_only=True):
    """Ways to share the cores of a CPU."""

    settings: ThreadsSettings
    model: str
    image: str
    cores: int
    sharing: list[CoreSharing]
    alternating: list[AlternatingModel]
