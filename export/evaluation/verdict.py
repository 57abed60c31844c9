"""Whether a file that changes the answers, in INT8 or half precision, agrees well enough with its source."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .agreement import Agreement, agreement
from .average_precision import Quality, QualityMeasurement, objects_needed
from .paired_results import CONF
from .predictions import Result, has_objects

_FEW_MAPS = 10  # images; every one has as many judgements as pixels, but of one scene


@dataclass(eq=False)
class Comparison:
    """A file compared with its source.

    Attributes:
        agreement: means over the objects above the usual threshold.
        quality: average precision and change of scores over all thresholds; None for tasks without objects.
        problems: why it does not agree well enough.
        notes: what the images cannot show.
    """

    agreement: Agreement
    quality: Quality | None
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(
    pairs: Iterable[tuple[Result, Result]], least: float, reference: str = "the source"
) -> Comparison:
    """Compare a file with its source, or with the network that it was made from.

    Args:
        pairs: predictions of the source and of the file, image by image, of all objects that score above
            `average_precision.MIN_SCORE`.
        least: average precision at IoU 0.5, share of equal best classes, or mean IoU of the classes of
            pixels that is asked for, 0 to 1. Scores may differ by 1 - `least`, as a root mean square, and
            depths as a mean.
        reference: its name, for the problems.
    """
    measurement = QualityMeasurement()

    def at_threshold() -> Iterable[tuple[Result, Result]]:
        for pair in pairs:
            if has_objects(pair[0]):
                measurement.add(*pair)
            yield above_threshold(pair[0]), above_threshold(pair[1])

    means = agreement(at_threshold())
    if means.task == "classify":
        return _of_classes(means, least, reference)
    if means.task in ("semantic", "depth"):
        return _of_maps(means, least, reference)
    quality = measurement.result()
    made = Comparison(means, quality)
    if not quality.objects:
        made.problems.append(
            "neither file finds an object in the images, so nothing tells how they agree"
            if means.empty
            else f"it finds objects in images where {reference} finds none"
        )
        return made
    needed = objects_needed(least)
    few = quality.objects < needed
    if few:
        made.notes.append(_too_few(quality.objects, "object", least, needed))
    if (_at_best(quality) if few else quality.ap50) < least:
        made.problems.append(
            f"average precision against {reference} is {quality.ap50:.3f} at IoU 0.5, less than {least:g}"
        )
    change = math.hypot(quality.score_mean or 0.0, quality.score_deviation or 0.0)
    if change > 1 - least and quality.scored >= needed:
        made.problems.append(
            f"scores differ from {reference}'s by {change:.3f} (root mean square), more than {1 - least:.2g}"
        )
    return made


def _of_classes(means: Agreement, least: float, reference: str) -> Comparison:
    made, needed = Comparison(means, None), objects_needed(least)
    if means.images < needed:
        made.notes.append(_too_few(means.images, "image", least, needed))
    if means.score < least:
        made.problems.append(f"top-1 against {reference} is {means.score:.3f}, less than {least:g}")
    return made


def _of_maps(means: Agreement, least: float, reference: str) -> Comparison:
    made = Comparison(means, None)
    if means.images < _FEW_MAPS:
        made.notes.append(f"{means.images} images are too few for a verdict: {_FEW_MAPS} or more are needed")
    if not means.score >= least:
        made.problems.append(
            f"mean IoU of the classes against {reference} is {means.score:.3f}, less than {least:g}"
            if means.task == "semantic"
            else f"depth differs from {reference}'s by {means.depth_error:.3f} (mean, relative), "
            f"more than {1 - least:.2g}"
        )
    return made


def _too_few(number: int, noun: str, least: float, needed: int) -> str:
    have = f"{number} {noun} is" if number == 1 else f"{number} {noun}s are"
    return f"{have} too few for a verdict on {least:g}, which needs {needed}: add images"


def _at_best(quality: Quality) -> float:
    """The average precision that the objects, too few for a verdict, do not rule out."""
    spread = 2 * math.sqrt(quality.ap50 * (1 - quality.ap50) / quality.objects)
    return max(quality.ap50_interval[1], quality.ap50 + spread)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some of the objects of a prediction."""

    orig_shape: tuple[int, int]
    boxes: Any = None
    obb: Any = None
    masks: Any = None
    keypoints: Any = None
    probs: Any = None
    semantic_mask: Any = None
    depth: Any = None


def above_threshold(result: Result) -> Result:
    """The objects above the usual threshold."""
    boxes = result.obb if result.boxes is None else result.boxes
    if boxes is None:
        return result
    chosen = boxes.conf > CONF
    views = {name: getattr(result, name) for name in ("boxes", "obb", "masks", "keypoints")}
    kept = {name: view[chosen] for name, view in views.items() if view is not None}
    return _Part(result.orig_shape, **kept)
