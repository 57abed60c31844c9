"""Whether a file gives the answers of the PyTorch network that it was made from.

A float file must give the same objects within a tolerance. Two boxes whose scores are equal to the last digit
may come out in either order, and suppression then keeps one or the other of two that overlap: where what is
left after suppression differs, the best boxes before it are compared, in which order plays no part. Half
precision is held to looser numbers, and INT8 to the rule of `optimize`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.pipeline import Engine
from ..evaluation.agreement import Agreement, agreement
from ..evaluation.differences import Differences, differences
from ..evaluation.predictions import Prediction
from ..evaluation.tolerance import Tolerance
from ..progress import OnProgress
from .pytorch import CONFIDENCES, CROWD, IOU, MAX_DET, Asked

_BATCHES = (1, 2, 3)


FLOAT = Tolerance(0.5, 0.005, 0.03)
HALF = Tolerance(8.0, 0.05, 0.15)
"""Of the answers to one image alone and in a batch, where numbers are rounded to half precision or INT8."""

HALF_IOU, HALF_MASK, HALF_POINTS = 0.95, 0.9, 0.02
"""Least mean IoU of boxes and of masks, and most mean distance of keypoints in diagonals of their box."""


@dataclass(eq=False)
class Verification:
    """How a file's answers compare with the network's.

    Attributes:
        conf: the score that the compared objects need.
        differences: the largest ones.
        agreement: recall, precision and so on, for fp16 and int8.
        batches: sizes that gave every image the answer that it gets alone.
        notes: what a reader should know and is no fault.
        problems: why the file is refused.
    """

    conf: float
    differences: Differences = field(default_factory=Differences)
    agreement: Agreement | None = None
    batches: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return vars(self) | {
            "differences": self.differences.as_dict(),
            "agreement": self.agreement and self.agreement.as_dict(),
        }


def verify(
    engine: Engine,
    asked: list[Asked],
    conf: float,
    precision: str,
    min_agreement: float,
    on_progress: OnProgress,
) -> Verification:
    """Compare a file with what the network said, and its batches with single images.

    Args:
        engine: the file, loaded.
        asked: at least one answer of the network.
        conf: the score that these answers needed.
        precision: `fp32`, `fp16` or `int8`.
        min_agreement: least recall and precision, for fp16 and int8.
    """
    pairs = []
    for done, one in enumerate(asked):
        on_progress("verifying", done, len(asked))
        pairs.append((one.kept, _answer(engine, one.path, conf, IOU, MAX_DET)))
    found = Verification(conf, _largest(pairs))
    if not (found.differences.matched or found.differences.probs is not None or found.differences.missing):
        found.notes.append(
            f"nothing in the {len(asked)} images scores above {conf:g}: no box was compared with PyTorch's"
        )
    elif conf < CONFIDENCES[0]:
        found.notes.append(f"PyTorch finds little in these images: compared is what scores above {conf:g}")
    if precision == "fp32":
        _judge_float(found, engine, asked, pairs)
    else:
        found.agreement = agreement(iter(pairs))
        found.problems += (
            _of_int8(found.agreement, min_agreement)
            if precision == "int8"
            else _of_half(found, min_agreement)
        )
    on_progress("verifying", len(asked), len(asked))
    _check_batches(found, engine, asked[0].path, FLOAT if precision == "fp32" else HALF)
    return found


def _answer(engine: Engine, path: Path, conf: float, iou: float, most: int) -> Prediction:
    return Prediction.from_result(engine(str(path), conf=conf, iou=iou, max_det=most)[0])


def _largest(pairs: list[tuple[Prediction, Prediction]]) -> Differences:
    largest = Differences()
    for pair in pairs:
        largest = largest.merge(differences(*pair))
    return largest


def _judge_float(
    found: Verification, engine: Engine, asked: list[Asked], pairs: list[tuple[Prediction, Prediction]]
) -> None:
    side = max(engine.spec.imgsz)
    found.problems += _complaints(pairs, found.conf, MAX_DET, FLOAT, side)
    crowds = [(one.crowd, one.path) for one in asked if one.crowd is not None]
    if not found.problems or not crowds:
        return
    pairs = [(crowd, _answer(engine, path, found.conf, 1.0, CROWD)) for crowd, path in crowds]
    if not list(_complaints(pairs, found.conf, CROWD, FLOAT, side)):
        found.differences, found.problems = _largest(pairs), []
        found.notes.append(
            "boxes of equal scores change places in suppression: compared are the best before it"
        )


def _complaints(
    pairs: list[tuple[Prediction, Prediction]], conf: float, most: int, tolerance: Tolerance, side: int
) -> Iterator[str]:
    """What is wrong with a file that gives these answers beside those of PyTorch.

    Args:
        most: objects that an answer can have.
        side: the longer one of the input.
    """
    worst: dict[str, tuple[float, str]] = {}
    lone: list[float] = []
    for pair in pairs:
        found = differences(*pair)
        pixels = tolerance.pixels * max(1.0, max(pair[0].orig_shape) / side)
        limits = {"box": pixels, "keypoints": pixels, "mask": tolerance.mask}
        limits |= dict.fromkeys(("score", "visibility", "probs"), tolerance.score)
        for name, limit in limits.items():
            value = getattr(found, name)
            if value is not None and not value <= limit and value > worst.get(name, (0.0, ""))[0]:
                unit = " px" if limit == pixels else ""
                worst[name] = value, f"{name} by {value:.3g}{unit}, more than {limit:.3g}"
        # Near the score that is asked for, or that the last of a full answer has, either side is right.
        edges = [answer.scores.min() for answer in pair if len(answer.scores) == most]
        sure = max([conf, *edges]) + tolerance.score
        lone += [score for score in found.missing + found.extra if score > sure]
    for _, text in worst.values():
        yield f"its answers differ from PyTorch's: {text}"
    yield from _alone(lone)


def _alone(scores: list[float]) -> Iterator[str]:
    """A complaint about objects that one of the two has not found."""
    if scores:
        count = f"{len(scores)} object{'s' * (len(scores) != 1)}"
        yield f"{count} found by PyTorch alone or by the file alone, with scores up to {max(scores):.3f}"


def _of_int8(found: Agreement, min_agreement: float) -> Iterator[str]:
    if not found.empty and found.score < min_agreement:
        name = "same best class as" if found.task == "classify" else "recall or precision against"
        yield f"{name} PyTorch: {found.score:.3f}, less than {min_agreement}"


def _of_half(found: Verification, min_agreement: float) -> Iterator[str]:
    means, most = found.agreement, found.differences
    if means is None:
        raise AssertionError("the caller has set it")
    for name, value, limit in (("score", most.score, HALF.score), ("probabilities", most.probs, HALF.score),
                               ("keypoints, in boxes,", means.keypoint_relative, HALF_POINTS)):  # fmt: skip
        if value is not None and not value <= limit:
            yield f"its answers differ from PyTorch's: {name} by {value:.3g}, more than {limit}"
    for name, value, limit in (("boxes", means.mean_iou, HALF_IOU), ("masks", means.mask_iou, HALF_MASK)):
        if value is not None and not value >= limit:
            yield f"its {name} overlap PyTorch's by {value:.3f} only, less than {limit}"
    for scores in (most.missing, most.extra):
        # Few objects decide this: those that a last digit lifts above the threshold must not count.
        sure = [score for score in scores if score > found.conf + HALF.score]
        if len(sure) > (1 - min_agreement) * (most.matched + len(scores)):
            yield from _alone(sure)


def _check_batches(found: Verification, engine: Engine, path: Path, tolerance: Tolerance) -> None:
    """Run batches of two images in turn: each must get the answer that it gets alone."""
    fixed = engine.spec.batch
    sizes = _BATCHES if fixed is None else (fixed,) if fixed > 1 else ()
    image = engine(str(path))[0].orig_img
    images = [image, np.ascontiguousarray(image[:, ::-1])]
    alone = [Prediction.from_result(engine(one, conf=found.conf, iou=IOU)[0]) for one in images]
    for size in sizes:
        given = [images[i % 2] for i in range(size)]
        results = engine(given, conf=found.conf, iou=IOU, batch=size)
        pairs = [(alone[i % 2], Prediction.from_result(result)) for i, result in enumerate(results)]
        if wrong := next(_complaints(pairs, found.conf, MAX_DET, tolerance, max(engine.spec.imgsz)), None):
            found.problems.append(f"in a batch of {size}: {wrong.replace('PyTorch', 'one image alone')}")
        else:
            found.batches += (size,)
