"""Records of `serve`, `micro` and `threads`: how cost grows with load, size and concurrency."""

from __future__ import annotations

from ..measurement.summary import Quartiles
from .record_base import NotMeasured, Record, Struct, Target


class ServeSettings(Struct):
    """Attributes: connections of the closed loop; seconds of each load; interleaved repetitions; seconds
    within which an answer of the open loop is in time."""

    concurrency: list[int]
    seconds: int
    repetitions: int
    in_time_s: float


class ClosedLoad(Struct):
    """One closed-loop load. Attributes: answers with 200 and their rate a second; latencies in ms, None when
    requests were refused; connections that broke; answers with an error status; resident memory, MiB."""

    requests: int
    rate: float
    p50: float | None
    p90: float | None
    p99: float | None
    worst: float | None
    broken: int
    refused: int
    memory_mb: float | None = None


class OpenLoad(Struct):
    """One open-loop load. Attributes: requests sent and answered with 200; latencies in ms from when a
    request was due; share answered in time; requests lost; refused; p99 of sending too late, ms."""

    asked: int
    answered: int
    p50: float | None
    p99: float | None
    in_time: float
    broken: int
    refused: int
    late_ms: float


class ClosedLoop(Struct):
    """A server at one number of connections. `rate_ratios`: its rate divided by each other server's, by
    repetition."""

    server: str
    concurrency: int
    rate: Quartiles
    p50: Quartiles | None
    p90: Quartiles | None
    p99: Quartiles | None
    memory_mb: Quartiles
    broken: int
    refused: int
    rate_ratios: dict[str, Quartiles]
    repetitions: list[ClosedLoad]


class OpenLoop(Struct):
    """A server at one offered rate, requests a second."""

    server: str
    offered: float
    p50: Quartiles | None
    p99: Quartiles | None
    in_time: Quartiles
    late_ms: Quartiles
    asked: int
    broken: int
    refused: int
    repetitions: list[OpenLoad]


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
    closed: list[ClosedLoop]
    open: list[OpenLoop]
    not_measured: list[NotMeasured]
    single_request: SingleRequest | None
    soak: Soak | None


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
    targets: list[Target]


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
