"""Validation of classification: top-1 and top-5."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..engine.concurrency import map_in_order
from ..engine.errors import InputError
from ..engine.pipeline import Engine
from ..postprocess.types import Int
from .confusion import ConfusionMatrix
from .datasets import Sample
from .model_runs import Skipped, read_image
from .validation_report import ValidationReport


@dataclass(frozen=True, slots=True, eq=False)
class Classified:
    """One image: its true class, the best classes (at most five), and milliseconds of each stage."""

    true: int
    best: Int
    speed: dict[str, float]


def classify(
    engine: Engine, samples: Sequence[Sample], imgsz: int | tuple[int, int] | None
) -> Iterator[Classified | Skipped]:
    """Classify images as a prediction does: Ultralytics validates with the same resizing and crop."""
    one_thread = engine.with_one_thread()
    used = one_thread or engine

    def work(sample: Sample) -> Classified | Skipped:
        try:
            frame = read_image(sample, engine.spec.channels)
        except InputError as exc:
            return Skipped(sample, str(exc))
        (result,) = used(frame.image, imgsz=imgsz)
        probs = np.zeros(0, np.float32) if result.probs is None else result.probs.data.numpy()
        best = np.argsort(-probs, kind="stable")[:5]
        return Classified(sample.class_id, best, result.speed | {"decode": frame.decode_ms})

    yield from map_in_order(work, iter(samples), engine.session.threads if one_thread else 1)


@dataclass(eq=False)
class Accuracy:
    """Collects classified images, and computes the shares of right ones."""

    names: dict[int, str]
    images: list[Classified] = field(default_factory=list)

    def add(self, image: Classified) -> None:
        """Add an image."""
        self.images.append(image)

    def fill(self, report: ValidationReport) -> None:
        """Write the figures of all images into a report."""
        true = np.array([image.true for image in self.images], np.int64)
        best = np.stack([image.best for image in self.images])
        right = best == true[:, None]
        report.top1, report.top5 = float(right[:, 0].mean()), float(right.any(axis=1).mean())
        report.instances = np.bincount(true, minlength=len(self.names))
        report.images_with = report.instances
        report.confusion_matrix = ConfusionMatrix(list(self.names.values()), background=False)
        report.confusion_matrix.add(best[:, 0], true)
