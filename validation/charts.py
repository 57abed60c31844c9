"""Plots of a validation: confusion matrix and curves, as PNG files with Ultralytics' names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .class_scores import ClassScores
from .precision_recall import LEVELS, smoothed
from .validation_report import KINDS, ValidationReport

_IN_LEGEND = 20  # classes: more are drawn grey
_IN_CELLS = 30  # classes: of more, the confusion matrix has no numbers
_NAMED = 100  # classes: of more, it has no names


def draw_charts(report: ValidationReport, folder: Path) -> list[Path]:
    """Draw what a task has into PNG files.

    Args:
        report: of the validation.
        folder: an existing one.

    Returns:
        the files.
    """
    return list(_drawn(report, folder))


def _drawn(report: ValidationReport, folder: Path) -> Iterator[Path]:
    matrix = report.confusion_matrix
    if matrix is not None:
        for normalised, name in ((True, "confusion_matrix_normalized.png"), (False, "confusion_matrix.png")):
            yield _confusion(matrix.matrix, matrix.names, normalised, folder / name)
    for kind, scores in report.scores.items():
        prefix = f"{KINDS[kind][0].capitalize()}"
        curves = scores.curves
        yield _curves(
            (LEVELS, curves.precision_by_recall),
            ("Recall", "Precision"),
            [f"{value:.3f}" for value in scores.ap50],
            f"all classes {scores.map50:.3f} mAP50",
            (report, scores),
            folder / f"{prefix}PR_curve.png",
        )
        by_confidence = {
            "F1": curves.f1_by_confidence,
            "Precision": curves.precision_by_confidence,
            "Recall": curves.recall_by_confidence,
        }
        for word, values in by_confidence.items():
            mean = smoothed(values.mean(axis=0)) if len(values) else np.zeros(len(LEVELS))
            best = int(mean.argmax())
            yield _curves(
                (LEVELS, values),
                ("Confidence", word),
                ["" for _ in values],
                f"all classes {mean[best]:.2f} at {LEVELS[best]:.3f}",
                (report, scores),
                folder / f"{prefix}{word[0] if word != 'F1' else word}_curve.png",
            )


def _figure(size: tuple[float, float]) -> tuple[Any, Any]:
    """A figure and its axes, without a display and without matplotlib's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _confusion(matrix: NDArray[np.int64], names: list[str], normalised: bool, file: Path) -> Path:
    """Draw counts [predicted, true], or their share of the objects of each true class."""
    values = matrix / np.maximum(matrix.sum(axis=0, keepdims=True), 1) if normalised else matrix
    side = min(4 + 0.45 * len(names), 24.0)
    figure, axes = _figure((side + 1.5, side))
    most = 1.0 if normalised else max(float(values.max()), 1.0)
    image = axes.imshow(np.where(matrix > 0, values, np.nan), cmap="Blues", vmin=0, vmax=most)
    figure.colorbar(image, ax=axes, fraction=0.046)
    axes.set(
        xlabel="True",
        ylabel="Predicted",
        title="Confusion matrix" + (", share of each true class" if normalised else ", counts"),
    )
    if len(names) <= _NAMED:
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
    if len(names) <= _IN_CELLS:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            value = float(values[row, column])
            axes.text(
                column,
                row,
                f"{value:.2f}" if normalised else f"{value:.0f}",
                ha="center",
                va="center",
                color="white" if value > most * 0.55 else "black",
            )
    figure.savefig(file)
    return file


def _curves(
    points: tuple[NDArray[np.float64], NDArray[np.float64]],
    axis_names: tuple[str, str],
    remarks: list[str],
    of_all: str,
    of: tuple[ValidationReport, ClassScores],
    file: Path,
) -> Path:
    """Draw a curve for each class, and their mean.

    Args:
        points: x (P,), and y (C, P).
        axis_names: of x and y.
        remarks: for each class, behind its name in the legend.
        of_all: the mean's line in the legend.
        of: the report, and the scores of the classes.
    """
    report, scores = of
    x, y = points
    figure, axes = _figure((9, 6))
    named = len(y) <= _IN_LEGEND
    for class_id, curve, remark in zip(scores.ap_class_index.tolist(), y, remarks, strict=True):
        label = f"{report.names.get(class_id, class_id)} {remark}".rstrip() if named else None
        axes.plot(x, curve, linewidth=1, label=label, color=None if named else "grey")
    if len(y):
        axes.plot(x, y.mean(axis=0), linewidth=3, color="blue", label=of_all)
        axes.legend(bbox_to_anchor=(1.02, 1), loc="upper left")
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1], xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"{axis_names[1]} over {axis_names[0].lower()}")
    figure.savefig(file)
    return file
