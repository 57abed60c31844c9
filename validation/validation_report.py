"""The report of a validation, with the names of Ultralytics' metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._version import __version__
from ..postprocess.layout import Task
from ..postprocess.types import Int
from .class_scores import ClassScores
from .confusion import ConfusionMatrix
from .datasets import Findings

KINDS = {"box": ("box", "B"), "mask": ("seg", "M"), "keypoints": ("pose", "P")}
"""Kinds of overlap: the attribute of a report, and the letter in Ultralytics' names of figures."""


@dataclass(eq=False)
class ValidationReport:
    """How well a model does on a labelled dataset.

    Attributes:
        task: of the model.
        model, data, split: what was validated on what, as text.
        names: class names of the model by id.
        images: number of images that count.
        box: scores of boxes, oriented ones for obb; None for tasks without objects, as are the next two.
        seg: scores of masks.
        pose: scores of keypoints, by OKS.
        top1, top5: share of images whose class is the best, or among the best five; None for other tasks.
        instances: (nc,) number of labelled objects of each class; of images for classification, of pixels for
            semantic.
        images_with: (nc,) number of images with each class.
        confusion_matrix: counts [predicted, true].
        figures: those of semantic and depth, by name.
        class_figures: for semantic, (nc,) figures of each class by name.
        coco: COCO's own figures by kind of overlap, where they were asked for.
        speed: mean milliseconds an image of `decode`, `preprocess`, `inference` and `postprocess`.
        findings: what was left out of the dataset, and why.
        settings: thresholds and sizes.
        plots: files that were written.
    """

    task: Task
    model: str
    data: str
    split: str
    names: dict[int, str]
    findings: Findings
    images: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    instances: Int = field(default_factory=lambda: np.zeros(0, np.int64))
    images_with: Int = field(default_factory=lambda: np.zeros(0, np.int64))
    box: ClassScores | None = None
    seg: ClassScores | None = None
    pose: ClassScores | None = None
    top1: float | None = None
    top5: float | None = None
    confusion_matrix: ConfusionMatrix | None = None
    figures: dict[str, float] = field(default_factory=dict)
    class_figures: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    coco: dict[str, dict[str, float]] = field(default_factory=dict)
    speed: dict[str, float] = field(default_factory=dict)
    plots: list[str] = field(default_factory=list)

    @property
    def scores(self) -> dict[str, ClassScores]:
        """The scores that the task has, by kind of overlap."""
        every = {kind: getattr(self, name) for kind, (name, _) in KINDS.items()}
        return {kind: scores for kind, scores in every.items() if scores is not None}

    @property
    def results_dict(self) -> dict[str, float]:
        """The figures by Ultralytics' names, such as `metrics/mAP50-95(B)`."""
        found: dict[str, float] = {}
        for kind, scores in self.scores.items():
            names = ("precision", "recall", "mAP50", "mAP50-95")
            keys = (f"metrics/{name}({KINDS[kind][1]})" for name in names)
            found |= dict(zip(keys, scores.mean_results(), strict=True))
        if self.top1 is not None and self.top5 is not None:
            found |= {"metrics/accuracy_top1": self.top1, "metrics/accuracy_top5": self.top5}
        found |= {f"metrics/{name}": value for name, value in self.figures.items()}
        return found | {"fitness": self.fitness}

    @property
    def fitness(self) -> float:
        """One number, larger is better: the sum of the mAP50-95, mean of top-1 and top-5, mIoU, or delta1."""
        if self.top1 is not None and self.top5 is not None:
            return (self.top1 + self.top5) / 2
        if self.figures:
            return self.headline[1]
        return float(sum(scores.map for scores in self.scores.values()))

    @property
    def headline(self) -> tuple[str, float]:
        """The figure that a model of this task is judged by, and its name; larger is better."""
        if self.top1 is not None:
            return "top-1", self.top1
        if self.figures:
            return next(iter(self.figures.items()))
        scores = self.scores
        kind = "mask" if "mask" in scores else "keypoints" if "keypoints" in scores else "box"
        name = {"box": "mAP50-95", "mask": "mask mAP50-95", "keypoints": "keypoint mAP50-95"}[kind]
        return name, scores[kind].map

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        matrix = self.confusion_matrix
        accuracy = {} if self.top1 is None else {"top1": self.top1, "top5": self.top5}
        return {
            "task": self.task,
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "images": self.images,
            "instances": int(self.instances.sum()),
            "metrics": {kind: scores.as_dict() for kind, scores in self.scores.items()}
            | {
                name: round(value, 5)
                for name, value in (accuracy | self.figures).items()
                if value is not None
            },
            "coco": self.coco,
            "classes": self._classes(),
            "confusion_matrix": None
            if matrix is None
            else {"names": matrix.names, "predicted_true": matrix.matrix.tolist()},
            "speed_ms": {stage: round(ms, 3) for stage, ms in self.speed.items()},
            "dataset": {
                "unlabelled": self.findings.unlabelled,
                "empty": self.findings.empty,
                "duplicates": self.findings.duplicates,
                "skipped": self.findings.skipped,
            },
            "notes": self.findings.notes,
            "settings": self.settings,
            "plots": self.plots,
            "versions": {"yolean": __version__},
        }

    def _classes(self) -> list[dict[str, Any]]:
        """The classes that have labels."""
        found = []
        for class_id in np.flatnonzero(self.instances).tolist():
            row = {
                "id": class_id,
                "name": self.names.get(class_id, f"class {class_id}"),
                "images": int(self.images_with[class_id]),
                "instances": int(self.instances[class_id]),
            }
            for kind, scores in self.scores.items():
                row[kind] = scores.row_as_dict(int(np.searchsorted(scores.ap_class_index, class_id)))
            row |= {name: round(float(values[class_id]), 5) for name, values in self.class_figures.items()}
            found.append(row)
        return found
