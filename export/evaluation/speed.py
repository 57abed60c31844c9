"""Time of a candidate model relative to a reference model, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter

from ...engine.images.decoding import Image
from ...engine.pipeline import Engine

_WARM_UP_RUNS = 3
MIN_PAIRS, MAX_PAIRS = 7, 61
"""Numbers of pairs of runs: at least, however long they take, and at most."""


@dataclass(frozen=True)
class Speed:
    """Time from image to `Results` of a candidate, divided by that of a reference.

    Attributes:
        reference_ms, candidate_ms: medians in milliseconds.
        ratio: median of the ratios of all pairs of runs; below 1 the candidate is faster.
        low, high: first and third quartile of those ratios.
        pairs: number of pairs of runs.
        threads: intra-op threads of the candidate.
        provider: ONNX Runtime's name of the execution provider of the candidate.
    """

    reference_ms: float
    candidate_ms: float
    ratio: float
    low: float
    high: float
    pairs: int
    threads: int
    provider: str


def compare_speed(reference: Engine, candidate: Engine, image: Image, seconds: float = 5.0) -> Speed:
    """Time two models on one image, run by run in alternation.

    Alternation cancels changes of the machine's pace. Sessions of this package let their threads sleep
    between runs, so that two of them do not disturb each other.

    Args:
        seconds: measuring stops after this time, but not before 7 pairs of runs.
    """
    for _ in range(_WARM_UP_RUNS):
        _run_ms(reference, image)
        _run_ms(candidate, image)
    pairs: list[tuple[float, float]] = []
    started = perf_counter()
    while len(pairs) < MIN_PAIRS or (perf_counter() - started < seconds and len(pairs) < MAX_PAIRS):
        pairs.append((_run_ms(reference, image), _run_ms(candidate, image)))
    ones, others = zip(*pairs, strict=True)
    low, middle, high = quantiles([other / one for one, other in pairs], n=4)
    return Speed(
        reference_ms=quantiles(ones, n=2)[0],
        candidate_ms=quantiles(others, n=2)[0],
        ratio=middle,
        low=low,
        high=high,
        pairs=len(pairs),
        threads=candidate.session.threads,
        provider=candidate.session.provider,
    )


def _run_ms(engine: Engine, image: Image) -> float:
    started = perf_counter()
    engine(image)
    return (perf_counter() - started) * 1e3
