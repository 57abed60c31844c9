"""Two models side by side on the same images: their answers, and the time they take on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from time import perf_counter

from ...engine.images.preprocessing import Image
from ...engine.pipeline import Engine
from ...engine.results.results import Results

Tell = Callable[[str, int, int], None]
"""Is told the stage that runs, how many of its steps are done, and how many there are."""

CONF = 0.25
"""Confidence that the objects compared have, in either answer."""

_WARM = 3
_LEAST, _MOST = 7, 61  # pairs


@dataclass(frozen=True)
class Speed:
    """Time from image to `Results` of a candidate, divided by that of a reference.

    Attributes:
        reference_ms, candidate_ms: medians.
        ratio: median of the ratios pair by pair; below 1 the candidate is faster.
        low, high: quartiles of those ratios.
        pairs: how many there were.
        threads: of one run.
        provider: ONNX Runtime's name of where both ran.
    """

    reference_ms: float
    candidate_ms: float
    ratio: float
    low: float
    high: float
    pairs: int
    threads: int
    provider: str


def answers(
    reference: Engine, candidate: Engine, images: Iterable[Path]
) -> Iterator[tuple[Results, Results]]:
    """What two models say of the same images; those that cannot be read are left out."""
    for result in reference.stream([str(path) for path in images], conf=CONF, on_error=lambda error: None):
        yield result, candidate(result.orig_img, conf=CONF)[0]


def compare_speed(reference: Engine, candidate: Engine, image: Image, seconds: float = 5.0) -> Speed:
    """Time two models in turn on one image.

    In turn, because a machine that others use changes its pace; sessions of this package let their threads
    sleep between runs, so that two of them do not disturb each other.
    """
    for _ in range(_WARM):
        _once(reference, image)
        _once(candidate, image)
    pairs: list[tuple[float, float]] = []
    started = perf_counter()
    while len(pairs) < _LEAST or (perf_counter() - started < seconds and len(pairs) < _MOST):
        pairs.append((_once(reference, image), _once(candidate, image)))
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


def _once(engine: Engine, image: Image) -> float:
    started = perf_counter()
    engine(image)
    return (perf_counter() - started) * 1e3
