"""Whether two models give the same objects, as far as ties allow.

Two boxes whose scores are equal to the last digit may come out in either order. Suppression then keeps one or
the other of two that overlap, and a limit on the number of objects one or the other of the last. So where the
objects kept differ, the candidates before suppression are compared, in which order plays no part, and an
object whose score is that of the threshold or of the last object of a full prediction may lack its partner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ...engine.images.decoding import Image
from ...engine.pipeline import Engine
from .differences import Differences, differences
from .image_comparison import Floors
from .predictions import Result
from .tolerance import Tolerance

MAX_REFERENCE_CANDIDATES = 100
"""Most boxes an image of a reference before suppression: each may have a mask as large as the input."""

_MAX_CANDIDATES = 3000

TIES = "objects of equal scores change places: where they do, the candidates before suppression are compared"
"""The note for a report where `EqualityCheck.used_candidates`."""

Limits = tuple[int, int]
"""The most objects that the reference's and the candidate's prediction can hold."""


class EqualityCheck:
    """Compares predictions of a reference and a candidate, image by image.

    Attributes:
        differences: the largest ones so far.
        used_candidates: whether objects before suppression had to be compared for an image.
    """

    def __init__(self, reference: str, tolerance: Tolerance, conf: float) -> None:
        """Begin with no image.

        Args:
            reference: what the reference is called in `problems`, such as `PyTorch`.
            tolerance: `pixels` in pixels of the network's input.
            conf: score that the objects of all predictions need.
        """
        self.reference, self.tolerance, self.conf = reference, tolerance, conf
        self.differences, self.used_candidates = Differences(), False
        self._exceeded: dict[str, tuple[float, str]] = {}
        self._unmatched: list[float] = []

    def add(
        self,
        kept: tuple[Result, Result],
        limits: Limits,
        imgsz: tuple[int, int],
        candidates: Callable[[], tuple[Result, Result, Limits]] | None = None,
    ) -> None:
        """Compare the predictions for one image.

        Args:
            kept: objects of the reference and of the candidate after suppression.
            imgsz: (height, width) of the network's input.
            candidates: gives the objects before suppression, if `kept` differ.
        """
        tolerance = self.tolerance.at_scale(kept[0].orig_shape, imgsz)
        floors = self._floors(*kept, limits)
        found = differences(*kept)
        if candidates is not None and (tolerance.exceeded(found) or _unmatched(found, floors)):
            one, other, limits = candidates()
            before_floors = self._floors(one, other, limits)
            before = differences(one, other, floors=before_floors)
            if before.matched and not tolerance.exceeded(before) and not _unmatched(before, before_floors):
                found, floors, self.used_candidates = before, before_floors, True
        self.differences = self.differences.merge(found)
        self._unmatched += _unmatched(found, floors)
        for name, value in tolerance.exceeded(found).items():
            if value > self._exceeded.get(name, (0.0, ""))[0]:
                unit = " px" if name in ("box", "keypoints") else ""
                text = f"{name} by {value:.3g}{unit}, more than {tolerance.limit(name):.3g}"
                self._exceeded[name] = value, text

    def problems(self) -> Iterator[str]:
        """What makes the two differ; nothing where they are equal."""
        for _, text in self._exceeded.values():
            yield f"its answers differ from {self.reference}'s: {text}"
        yield from unmatched_problem(self.reference, self._unmatched)

    def _floors(self, reference: Result, candidate: Result, limits: Limits) -> Floors:
        lowest = (_lowest_of_full(*pair) for pair in zip((reference, candidate), limits, strict=True))
        one, other = (max(self.conf, score) + self.tolerance.score for score in lowest)
        return one, other


def unmatched_problem(reference: str, scores: list[float]) -> Iterator[str]:
    """The problem of objects with these scores that only one of the two has found; none without scores."""
    if scores:
        count = f"{len(scores)} object{'s' * (len(scores) != 1)}"
        yield f"{count} found by {reference} alone or by the file alone, with scores up to {max(scores):.3f}"


def object_limit(engine: Engine, max_det: int) -> int:
    """The most objects that an engine gives for an image: end-to-end heads have a limit of their own."""
    layout = engine.spec.layout
    rows = layout.head.limit if layout.head else None
    if layout.kind == "end2end":
        declared = engine.session.outputs[0].shape[1]
        rows = declared if isinstance(declared, int) else 300
    return min(max_det, rows or max_det)


def candidates_of(engine: Engine, image: Image, conf: float, is_reference: bool) -> tuple[Result, int]:
    """An engine's objects before suppression, and the most that there can be."""
    max_det = MAX_REFERENCE_CANDIDATES if is_reference else _MAX_CANDIDATES
    return engine(image, conf=conf, iou=1.0, max_det=max_det)[0], object_limit(engine, max_det)


def _unmatched(found: Differences, floors: Floors) -> list[float]:
    """Scores of missing objects that the candidate must have, and of extra ones that the reference must."""
    missing = [score for score in found.missing if score > floors[1]]
    return missing + [score for score in found.extra if score > floors[0]]


def _lowest_of_full(result: Result, limit: int) -> float:
    """The lowest score of a prediction that holds as many objects as it can; else minus infinity."""
    view = result.boxes if result.obb is None else result.obb
    return float(view.conf.min()) if view is not None and len(view) >= limit else -math.inf
