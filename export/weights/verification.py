"""Whether an ONNX file gives the answers of the PyTorch network that it was made from.

A float file must give the same objects within a tolerance, up to ties. Half precision is held to looser
limits, and INT8 to the verdict of `optimize`, by average precision and the change of scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...engine.images.decoding import Image
from ...engine.pipeline import Engine
from ..evaluation.agreement import Agreement, agreement
from ..evaluation.average_precision import MIN_SCORE, Quality
from ..evaluation.differences import Differences, differences
from ..evaluation.equality import (
    MAX_REFERENCE_CANDIDATES,
    TIES,
    EqualityCheck,
    Limits,
    candidates_of,
    object_limit,
    unmatched_problem,
)
from ..evaluation.paired_results import CONF
from ..evaluation.predictions import Prediction, Result
from ..evaluation.tolerance import Tolerance
from ..evaluation.verdict import above_threshold, compare
from ..progress import OnProgress
from ..trial_images import read_images
from .pytorch import CONFIDENCES, IOU, MAX_DET, ReferencePrediction

_BATCHES = (1, 2, 3)


FLOAT = Tolerance(pixels=0.5, score=0.005, mask=0.03)
"""What a float file may differ by from PyTorch."""

HALF = Tolerance(pixels=8.0, score=0.05, mask=0.15, other_class=0.02, depth=0.02)
"""The same for half precision and INT8, of which only `score` applies to single images; all apply to the
answers to one image alone and in a batch."""

HALF_IOU, HALF_MASK, HALF_POINTS = 0.95, 0.9, 0.02
"""Least mean IoU of boxes and of masks, and most mean distance of keypoints in diagonals of their box."""


@dataclass(eq=False)
class Verification:
    """How a file's answers compare with the network's.

    Attributes:
        conf: the score that the compared objects need.
        differences: the largest ones.
        agreement: recall, precision and so on, for fp16 and int8.
        quality: average precision and change of scores, for int8 of other tasks than classify.
        batches: sizes that gave every image the answer that it gets alone.
        notes: what a reader should know and is no fault.
        problems: why the file is refused.
    """

    conf: float
    differences: Differences = field(default_factory=Differences)
    agreement: Agreement | None = None
    quality: Quality | None = None
    batches: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return vars(self) | {
            "differences": self.differences.as_dict(),
            "agreement": self.agreement and self.agreement.as_dict(),
            "quality": self.quality and self.quality.as_dict(),
        }


def verify(
    engine: Engine,
    references: list[ReferencePrediction],
    conf: float,
    precision: str,
    min_agreement: float,
    on_progress: OnProgress,
) -> Verification:
    """Compare a file with the network's predictions, and its batches with single images.

    Args:
        engine: the file, loaded.
        references: at least one prediction of the network.
        conf: the score that the objects of these predictions needed; for int8 `MIN_SCORE`.
        precision: `fp32`, `fp16` or `int8`.
        min_agreement: least average precision for int8, least share of objects for fp16.
    """
    found = Verification(CONF if precision == "int8" else conf)
    if precision == "fp32":
        _compare_float(found, engine, references, on_progress)
    elif precision == "int8":
        _compare_int8(found, engine, references, min_agreement, on_progress)
    else:
        pairs = [(one.kept, _kept(engine, one, conf)) for one in _each(references, on_progress)]
        for pair in pairs:
            found.differences = found.differences.merge(differences(*pair))
        found.agreement = agreement(iter(pairs))
        found.problems += _problems_of_half(found, found.agreement, min_agreement)
    compared = found.differences
    if precision == "int8":
        pass  # the verdict has notes of its own
    elif not compared.compared:
        found.notes.append(
            f"nothing in the {len(references)} images scores above {conf:g}: "
            "no box was compared with PyTorch's"
        )
    elif conf < CONFIDENCES[0]:
        found.notes.append(f"PyTorch finds little in these images: compared is what scores above {conf:g}")
    on_progress("verifying", len(references), len(references))
    _check_batches(found, engine, references[0], FLOAT if precision == "fp32" else HALF)
    return found


def _each(references: list[ReferencePrediction], on_progress: OnProgress) -> Iterator[ReferencePrediction]:
    for done, one in enumerate(references):
        on_progress("verifying", done, len(references))
        yield one


def _kept(engine: Engine, reference: ReferencePrediction, conf: float) -> Prediction:
    return Prediction.from_result(engine(_image(engine, reference), conf=conf, iou=IOU, max_det=MAX_DET)[0])


def _image(engine: Engine, reference: ReferencePrediction) -> Image:
    return next(read_images([reference.path], engine.spec.channels)).image


def _compare_float(
    found: Verification, engine: Engine, references: list[ReferencePrediction], on_progress: OnProgress
) -> None:
    check = EqualityCheck("PyTorch", FLOAT, found.conf)
    limits = (MAX_DET, object_limit(engine, MAX_DET))
    for one in _each(references, on_progress):

        def candidates(one: ReferencePrediction = one) -> tuple[Result, Result, Limits]:
            if one.candidates is None:
                raise AssertionError("requested of every detector that is exported in float")
            result, limit = candidates_of(engine, _image(engine, one), found.conf, is_reference=False)
            return one.candidates, result, (MAX_REFERENCE_CANDIDATES, limit)

        kept = one.kept, _kept(engine, one, found.conf)
        check.add(kept, limits, engine.spec.imgsz, candidates if one.candidates is not None else None)
    found.differences = check.differences
    found.problems += check.problems()
    if check.used_candidates:
        found.notes.append(TIES)


def _compare_int8(
    found: Verification,
    engine: Engine,
    references: list[ReferencePrediction],
    min_agreement: float,
    on_progress: OnProgress,
) -> None:
    def pairs() -> Iterator[tuple[Result, Result]]:
        for one in _each(references, on_progress):
            other = _kept(engine, one, MIN_SCORE)
            found.differences = found.differences.merge(
                differences(above_threshold(one.kept), above_threshold(other))
            )
            yield one.kept, other

    judged = compare(pairs(), min_agreement, "PyTorch")
    found.agreement, found.quality = judged.agreement, judged.quality
    found.problems += judged.problems
    found.notes += judged.notes


def _problems_of_half(verification: Verification, found: Agreement, min_agreement: float) -> Iterator[str]:
    most = verification.differences
    for name, value, limit in (("score", most.score, HALF.score), ("probabilities", most.probs, HALF.score),
                               ("keypoints, in boxes,", found.keypoint_relative, HALF_POINTS),
                               ("depth, relative,", found.depth_error, HALF.depth)):  # fmt: skip
        if value is not None and not value <= limit:
            yield f"its answers differ from PyTorch's: {name} by {value:.3g}, more than {limit}"
    for name, value, limit in (("boxes", found.mean_iou, HALF_IOU), ("masks", found.mask_iou, HALF_MASK),
                               ("class maps", found.equal_pixels, 1 - HALF.other_class)):  # fmt: skip
        if value is not None and not value >= limit:
            yield f"its {name} overlap PyTorch's by {value:.3f} only, less than {limit}"
    for scores in (most.missing, most.extra):
        # Few objects decide this: those that a last digit lifts above the threshold must not count.
        certain = [score for score in scores if score > verification.conf + HALF.score]
        if len(certain) > (1 - min_agreement) * (most.matched + len(scores)):
            yield from unmatched_problem("PyTorch", certain)


def _check_batches(
    found: Verification, engine: Engine, reference: ReferencePrediction, tolerance: Tolerance
) -> None:
    """Run batches of an image and its mirror image: each must get the answer that it gets alone."""
    fixed = engine.spec.batch
    sizes = _BATCHES if fixed is None else (fixed,) if fixed > 1 else ()
    image = _image(engine, reference)
    images = [image, np.ascontiguousarray(image[:, ::-1])]
    alone = [Prediction.from_result(engine(one, conf=found.conf, iou=IOU)[0]) for one in images]
    limits = (object_limit(engine, MAX_DET),) * 2
    for size in sizes:
        given = [images[i % 2] for i in range(size)]
        check = EqualityCheck("one image alone", tolerance, found.conf)
        for i, result in enumerate(engine(given, conf=found.conf, iou=IOU, batch=size)):
            check.add((alone[i % 2], Prediction.from_result(result)), limits, engine.spec.imgsz)
        if problem := next(check.problems(), None):
            found.problems.append(f"in a batch of {size}: {problem}")
        else:
            found.batches += (size,)
