"""Validation of the tasks with a value for every pixel: semantic and depth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engine.errors import InputError
from ..engine.pipeline import Engine
from ..postprocess import depth, semantic
from ..postprocess.geometry import Geometry
from ..postprocess.types import ClassMap, Float, Int, Size
from .confusion import ConfusionMatrix
from .datasets import Dataset, Sample
from .model_runs import Output, Skipped
from .pixel_labels import IGNORED, DepthFiles, MaskFiles, positive
from .validation_report import ValidationReport

DEPTH_FIGURES = ("delta1", "delta2", "delta3", "abs_rel", "rmse", "silog")

_LEAST_DEPTH, _MOST_DEPTH = 0.001, 100.0  # metres: others do not count; `max_depth:` of a dataset is the most
_LEAST_PIXELS = 10  # with a depth, for an image to count
_DELTA = 1.25  # largest ratio of two depths that are close, for delta1


@dataclass(frozen=True, slots=True, eq=False)
class PixelCounts:
    """One image: (C, C) number of pixels [predicted, true], and milliseconds of each stage."""

    matrix: Int
    speed: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class DepthErrors:
    """One image: (6,) `DEPTH_FIGURES`, and milliseconds of each stage."""

    figures: NDArray[np.float64]
    speed: dict[str, float]


class SemanticEvaluation:
    """Compares class maps with masks, at the size of the tensor; may be called from several threads."""

    def __init__(self, engine: Engine, dataset: Dataset) -> None:
        """Prepare.

        Raises:
            InputError: the dataset YAML is wrong.
        """
        self._layout, self._options, self._files = engine.spec.layout, engine.options(), MaskFiles(dataset)
        self._number = matrix_side(engine.spec.layout.nc)
        if len(dataset.names) > engine.spec.layout.nc:
            dataset.findings.notes.append(
                f"the model has {engine.spec.layout.nc} classes, the dataset {len(dataset.names)}: pixels of "
                "the others do not count"
            )

    def check(self, sample: Sample, image: Size) -> None:
        """Read the mask of an image of this size.

        Raises:
            InputError: it cannot be used.
        """
        self._files.read(_target(sample), image)

    def __call__(self, output: Output) -> PixelCounts | Skipped:
        """Count the pixels of an image by predicted and true class."""
        try:
            mask = self._files.read(_target(output.sample), output.original)
        except InputError as exc:
            return Skipped(output.sample, str(exc))
        started = perf_counter()
        tensor = output.placement.geometry.tensor
        whole = Geometry.stretch(tensor, tensor)
        found = semantic.decode(output.arrays, self._layout, whole, self._options).class_map
        if found is None:
            raise ValueError("a semantic model has a class map")
        matrix = _counted(found, _placed(mask, output.placement.geometry, IGNORED), self._number)
        return PixelCounts(matrix, output.speed | {"postprocess": (perf_counter() - started) * 1e3})


class DepthEvaluation:
    """Compares depths at the size of the tensor; may be called from several threads."""

    def __init__(self, engine: Engine, dataset: Dataset) -> None:
        """Prepare.

        Raises:
            InputError: the dataset YAML is wrong.
        """
        self._layout, self._options, self._files = engine.spec.layout, engine.options(), DepthFiles(dataset)
        self._most = positive(dataset, "max_depth", _MOST_DEPTH)

    def check(self, sample: Sample, image: Size) -> None:
        """Read the depth of an image of this size.

        Raises:
            InputError: it cannot be used.
        """
        self._files.read(_target(sample), image)

    def __call__(self, output: Output) -> DepthErrors | Skipped:
        """The errors of an image."""
        try:
            true = self._files.read(_target(output.sample), output.original)
        except InputError as exc:
            return Skipped(output.sample, str(exc))
        started = perf_counter()
        tensor = output.placement.geometry.tensor
        whole = Geometry.stretch(tensor, tensor)
        found = depth.decode(output.arrays, self._layout, whole, self._options).depth_at_input
        if found is None:
            raise ValueError("a depth model has a depth")
        figures = depth_errors(found, _placed(true, output.placement.geometry, 0), self._most)
        if figures is None:
            return Skipped(
                output.sample,
                f"fewer than {_LEAST_PIXELS} pixels have a depth from {_LEAST_DEPTH:g} to {self._most:g} m",
            )
        return DepthErrors(figures, output.speed | {"postprocess": (perf_counter() - started) * 1e3})


def depth_errors(found: Float, true: Float, most: float = _MOST_DEPTH) -> NDArray[np.float64] | None:
    """The errors of predicted depths, once their median is that of the true ones.

    Args:
        found: (H, W) metres.
        true: (H, W) metres; those outside 0.001 to `most` do not count.
        most: metres.

    Returns:
        (6,) the shares of pixels whose ratio to the true depth is below 1.25, 1.25^2 and 1.25^3, the mean
        relative error, the root mean square error in metres, and the standard deviation of the logarithm of
        the ratio times 100 (Eigen et al., 2014); None where fewer than ten pixels count.
    """
    counts = (true > _LEAST_DEPTH) & (true < most)
    if counts.sum() < _LEAST_PIXELS:
        return None
    true, found = true[counts], found[counts].astype(np.float32)
    finite = np.isfinite(found)
    if finite.any():
        own = _median(np.maximum(found[finite], np.float32(_LEAST_DEPTH)))
        found = found * (_median(true[finite]) / own)
    found = np.nan_to_num(found, nan=most, posinf=most, neginf=_LEAST_DEPTH)
    found = np.clip(found, np.float32(_LEAST_DEPTH), np.float32(most))
    ratio = np.maximum(found / true, true / found)
    logarithms = np.log(found.astype(np.float64)) - np.log(true.astype(np.float64))
    error = found.astype(np.float64) - true
    close = [float((ratio < _DELTA**power).mean()) for power in (1, 2, 3)]
    relative, square = (np.abs(error) / true).mean(), np.sqrt((error**2).mean())
    return np.array((*close, relative, square, logarithms.std() * 100))


@dataclass(eq=False)
class PixelScores:
    """Collects counted pixels, and computes the intersection over union of each class."""

    names: dict[int, str]
    images: int = 0

    def __post_init__(self) -> None:
        side = matrix_side(len(self.names))
        self.matrix = np.zeros((side, side), np.int64)
        self.present = np.zeros(side, np.int64)

    def add(self, image: PixelCounts) -> None:
        """Add an image."""
        self.matrix += image.matrix
        self.present += image.matrix.any(axis=0)

    def fill(self, report: ValidationReport) -> None:
        """Write the figures of all images into a report. Of one class, the background has no row."""
        names = list(self.names.values())
        rows = slice(1, None) if len(names) == 1 else slice(None)
        report.confusion_matrix = ConfusionMatrix(["background", *names][-len(self.matrix) :], False)
        report.confusion_matrix.matrix = self.matrix
        right, true = np.diagonal(self.matrix), self.matrix.sum(axis=0)
        union = true + self.matrix.sum(axis=1) - right
        iou = (right / np.maximum(union, 1))[rows]
        report.instances, report.images_with = true[rows], self.present[rows]
        labelled = report.instances > 0
        # The IoU of a single class counts without labels, too, as in Ultralytics: it is 0.
        report.figures = {
            "mIoU": float(iou[labelled].mean()) if labelled.any() else 0.0,
            "pixel_acc": float(right.sum() / max(self.matrix.sum(), 1)),
        }
        report.class_figures = {"IoU": iou, "pixel_acc": (right / np.maximum(true, 1))[rows]}
        if not labelled.any():
            report.findings.notes.append("there is no labelled pixel in the masks: the scores mean nothing")


@dataclass(eq=False)
class MeanDepthErrors:
    """Collects the errors of images, and computes their means: each image has the same weight."""

    images: list[DepthErrors] = field(default_factory=list)

    def add(self, image: DepthErrors) -> None:
        """Add an image."""
        self.images.append(image)

    def fill(self, report: ValidationReport) -> None:
        """Write the figures of all images into a report."""
        means = np.mean([image.figures for image in self.images], axis=0)
        report.figures = dict(zip(DEPTH_FIGURES, means.tolist(), strict=True))


def matrix_side(classes: int) -> int:
    """The number of ids of so many classes: one class has a background."""
    return 2 if classes == 1 else classes


def _counted(found: ClassMap, true: NDArray[np.uint8], number: int) -> Int:
    """(number, number) pixels [predicted, true]; those beyond do not count."""
    counts = (true != IGNORED) & (true < number) & (found >= 0) & (found < number)
    pairs = found[counts].astype(np.int64) * number + true[counts]
    return np.bincount(pairs, minlength=number**2).reshape(number, number)


def _placed(labels: NDArray[Any], geometry: Geometry, outside: int) -> NDArray[Any]:
    """A map where its image lies in the tensor, resized by nearest neighbour as often as the image."""
    for size in (geometry.original, geometry.resized):
        if Size.of(labels) != size:
            labels = cv2.resize(labels, (size.width, size.height), interpolation=cv2.INTER_NEAREST)
    result = np.full(geometry.tensor, outside, labels.dtype)
    (left, top), (height, width) = geometry.pad, geometry.resized
    result[top : top + height, left : left + width] = labels
    return result


def _median(values: Float) -> np.float32:
    """The median, of an even number of values the lower one in the middle, as torch has it."""
    middle = (len(values) - 1) // 2
    return np.float32(np.partition(values, middle)[middle])


def _target(sample: Sample) -> Path:
    if sample.target is None:
        raise ValueError("a dataset of maps has a file for each image")
    return sample.target
