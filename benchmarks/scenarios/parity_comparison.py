"""One model's answers compared with those of a reference file, image by image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...engine.errors import InputError
from ...engine.loading import load
from ...export.evaluation.differences import Differences
from ...export.evaluation.tolerance import Tolerance
from ..answers import PlainAnswer, compare
from ..model_records import AtThreshold, ModelParity, Tolerances, Worst
from ..reference_runner import answer
from ..references import Reference


class ParityComparison:
    """One model's answers compared with a reference, image by image.

    Attributes:
        images: number of images compared.
        agree: of these, those within the tolerances.
        disagreeing: by image, the kinds of difference beyond the tolerances.
        worst: by kind of difference, its largest value and the image.
        at_threshold: objects of one of the two whose score is within the tolerance of the threshold.
        missing, extra: objects of one of the two, those at the threshold not counted.
        objects: of the reference; None for tasks without objects.
        top1, top5: images with the same best class, and with the same five; None unless classify.
    """

    def __init__(self, tolerances: Tolerances, conf: float) -> None:
        self._tolerance = Tolerance(tolerances.pixels, tolerances.score, 1 - tolerances.mask)
        self._conf = conf
        self.images = self.missing = self.extra = 0
        self.objects: int | None = None
        self.top1: int | None = None
        self.top5: int | None = None
        self.at_threshold: list[AtThreshold] = []
        self.worst: dict[str, tuple[float, str]] = {}
        self.disagreeing: dict[str, list[str]] = {}

    def add(self, image: str, reference: PlainAnswer, answered: PlainAnswer) -> None:
        """Compare one image more.

        Raises:
            InputError: the answers are not comparable.
        """
        found = compare(reference, answered)
        wrong = list(self._tolerance.exceeded(found))
        if missing := self._beyond_threshold(image, found.missing, "Ultralytics"):
            wrong.append("missing")
        if extra := self._beyond_threshold(image, found.extra, "yolean"):
            wrong.append("extra")
        self.missing, self.extra = self.missing + missing, self.extra + extra
        self._keep_worst(image, found)
        self.images += 1
        if "top5" in reference:
            one, other = reference["top5"], answered["top5"]
            self.top1 = (self.top1 or 0) + (one[:1] == other[:1])
            self.top5 = (self.top5 or 0) + (set(one) == set(other))
        elif "cls" in reference:
            self.objects = (self.objects or 0) + len(reference["cls"])
        if wrong:
            self.disagreeing[image] = wrong

    def _beyond_threshold(self, image: str, scores: Sequence[float], found_by: str) -> int:
        """How many of the scores are not at the threshold; the others are listed."""
        near = [score for score in scores if abs(score - self._conf) <= self._tolerance.score]
        self.at_threshold += [AtThreshold(image, round(score, 6), found_by) for score in near]
        return len(scores) - len(near)

    def _keep_worst(self, image: str, found: Differences) -> None:
        for kind, value in found.largest().items():
            if value > self.worst.get(kind, (-1.0, ""))[0]:
                self.worst[kind] = value, image

    def record_of_worst(self) -> dict[str, Worst]:
        """As recorded: for masks the IoU; what is not finite is None."""
        record = {}
        for kind, (value, image) in self.worst.items():
            shown = 1 - value if kind == "mask" else value
            rounded = round(shown, 5) + 0.0 if math.isfinite(shown) else None
            record["mask_iou" if kind == "mask" else kind] = Worst(value=rounded, image=image)
        return record


def compare_model(
    file: Path,
    reference: Reference,
    images: Path,
    tolerances: Tolerances,
    loading: dict[str, Any],
) -> ModelParity:
    """One model's answers compared with a reference.

    Args:
        file: the model.
        reference: answers of Ultralytics.
        images: the folder of the images.
        tolerances: what equal means.
        loading: arguments of `yolean.load`.

    Raises:
        YoleanError: the model does not load, or an image cannot be read or compared.
    """
    model = load(file, **loading)
    found, absent = ParityComparison(tolerances, reference.options["conf"]), []
    for name, expected in reference.images.items():
        if not (images / name).is_file():
            absent.append(name)
            continue
        result = model(str(images / name), **reference.options)[0]
        try:
            found.add(name, expected, answer(result))
        except InputError as exc:
            raise InputError(f"{name}: {exc}") from exc
    session = model.session
    return ModelParity(
        model=file.stem,
        task=model.task,
        layout=model.spec.layout.kind,
        provider=session.provider,
        device=str(session.device),
        threads=session.threads,
        reference_version=reference.version,
        images=found.images,
        agree=found.images - len(found.disagreeing),
        objects=found.objects,
        missing=found.missing,
        extra=found.extra,
        at_threshold=found.at_threshold,
        worst=found.record_of_worst(),
        top1=found.top1,
        top5=found.top5,
        disagreeing=found.disagreeing,
        absent=absent,
    )
