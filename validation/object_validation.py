"""Validation of the tasks that find objects: detect, segment, pose and obb."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from ..engine.errors import ModelError
from ..engine.pipeline import Engine
from ..postprocess.detections import Candidates, Options
from ..postprocess.select import ScoreRangeError, select
from ..postprocess.types import Float, Int
from .class_scores import ClassScores
from .coco_metrics import CocoImage, coco_image
from .confusion import CONF, ConfusionMatrix, confused
from .datasets import Dataset
from .model_runs import Output
from .overlaps import (
    AREA_OF_BOX,
    COCO_SIGMAS,
    box_iou,
    keypoint_similarity,
    mask_iou,
    rotated_iou,
)
from .precision_recall import RankedImage, curves_of, match
from .targets import MASK_RATIO, Targets, found_masks, targets_of
from .validation_report import KINDS, ValidationReport


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One image, compared with its labels.

    Attributes:
        ranked: labels, predictions, and which are right.
        confused: pairs of predicted and true class ids.
        speed: milliseconds of each stage.
        coco: the labels and predictions in COCO's format, where its figures are asked for.
    """

    ranked: RankedImage
    confused: tuple[Int, Int]
    speed: dict[str, float]
    coco: CocoImage | None = None


class ObjectEvaluation:
    """Compares predictions with labels, image by image; may be called from several threads."""

    def __init__(self, engine: Engine, dataset: Dataset, options: Options, coco: bool = False) -> None:
        """Prepare.

        Args:
            engine: the model.
            dataset: whose labels are compared with.
            options: thresholds of the predictions.
            coco: whether COCO's own figures are asked for.
        """
        self._spec, self._options, self._coco = engine.spec, options, coco
        self.sigmas = _sigmas(dataset) if engine.task == "pose" else None
        if len(dataset.names) > engine.spec.layout.nc:
            dataset.findings.notes.append(
                f"the model has {engine.spec.layout.nc} classes, the dataset {len(dataset.names)}: labels of "
                "the others do not count"
            )

    def __call__(self, output: Output) -> Scored:
        """Compare the predictions for one image with its labels."""
        spec, started = self._spec, perf_counter()
        try:
            found = select(output.arrays, spec.layout, self._options)
        except ScoreRangeError as exc:
            raise ModelError(
                f"expected scores from 0 to 1, found {exc}: this is no Ultralytics export"
            ) from exc
        tensor = output.placement.geometry.tensor
        if spec.layout.kind == "rtdetr":  # its boxes are shares of the tensor
            scale = np.array((tensor.width, tensor.height) * 2, np.float32)
            found = Candidates(found.boxes * scale, found.scores, found.classes, found.extra)
        labels = output.sample.labels
        if labels is None:
            raise ValueError("a dataset of objects has labels")
        targets = targets_of(labels.where(labels.classes < spec.layout.nc), output.placement, spec.task)
        overlaps = dict(self._overlaps(output, targets, found))
        hits = {kind: match(targets.classes, found.classes, values) for kind, values in overlaps.items()}
        speed = output.speed | {"postprocess": (perf_counter() - started) * 1e3}
        return Scored(
            RankedImage(targets.classes, found.classes, found.scores, hits),
            confused(
                targets.classes, found.classes, found.scores, overlaps["box"], max(CONF, self._options.conf)
            ),
            speed,
            coco_image(output, found, spec) if self._coco else None,
        )

    def _overlaps(self, output: Output, targets: Targets, found: Candidates) -> Iterator[tuple[str, Float]]:
        """(N, M) overlaps by kind."""
        task = self._spec.task
        nothing = np.zeros((len(targets.classes), len(found.scores)), np.float32)
        if not nothing.size:
            yield from ((kind, nothing) for kind in kinds_of(task))
            return
        yield "box", (rotated_iou if task == "obb" else box_iou)(targets.boxes, found.boxes)
        if targets.masks is not None:
            tensor = output.placement.geometry.tensor
            prototypes = output.arrays[self._spec.layout.prototypes]
            if prototypes.shape[1:] != (tensor.height // MASK_RATIO, tensor.width // MASK_RATIO):
                raise ModelError(
                    f"expected prototypes of a quarter of {tensor}, found {prototypes.shape[1:]}"
                )
            masks = found_masks(found, prototypes, tensor)
            yield "mask", mask_iou(targets.masks, masks.crops, masks.corners)
        if targets.keypoints is not None and self.sigmas is not None:
            points = found.extra.reshape(len(found.scores), targets.keypoints.shape[1], -1)
            sides = targets.boxes[:, 2:] - targets.boxes[:, :2]
            areas = sides[:, 0] * sides[:, 1] * AREA_OF_BOX
            yield "keypoints", keypoint_similarity(targets.keypoints, points, areas, self.sigmas)


@dataclass(eq=False)
class ObjectScores:
    """Collects the compared images, and computes the scores of all."""

    names: dict[int, str]
    task: str
    ranked: list[RankedImage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = ConfusionMatrix(list(self.names.values()))

    def add(self, scored: Scored) -> None:
        """Add an image."""
        self.ranked.append(scored.ranked)
        self.confusion.add(*scored.confused)

    def fill(self, report: ValidationReport) -> None:
        """Write the scores of all images into a report."""
        number = len(self.names)
        report.confusion_matrix = self.confusion
        every = [image.labels for image in self.ranked]
        report.instances = np.bincount(np.concatenate(every), minlength=number)
        report.images_with = np.bincount(np.concatenate([np.unique(i) for i in every]), minlength=number)
        for kind in kinds_of(self.task):
            scores = ClassScores(curves_of(self.ranked, kind), number)
            setattr(report, KINDS[kind][0], scores)
        if not report.instances.any():
            report.findings.notes.append("there is no label in the images: the scores mean nothing")


def kinds_of(task: str) -> tuple[str, ...]:
    """The kinds of overlap that a task is scored by."""
    return ("box", *{"segment": ("mask",), "pose": ("keypoints",)}.get(task, ()))


def _sigmas(dataset: Dataset) -> Float:
    """(K,) constants of the keypoints: of the dataset, of COCO for its 17 points, or equal ones."""
    if dataset.sigmas:
        return np.array(dataset.sigmas, np.float32)
    if dataset.kpt_shape is None:
        raise ValueError("a dataset of poses has keypoints")
    points = dataset.kpt_shape[0]
    return COCO_SIGMAS if dataset.kpt_shape == (17, 3) else np.full(points, 1 / points, np.float32)
