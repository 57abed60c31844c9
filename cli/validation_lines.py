"""The report of a validation for people: a table of classes, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..validation.datasets import Findings
from ..validation.validation_report import ValidationReport
from .console import printable

_MOST_REASONS = 5
_TITLES = {"box": "", "mask": "mask ", "keypoints": "pose "}


def lines(report: ValidationReport) -> Iterator[str]:
    """The figures of all classes together and of each, then speed, plots and what was left out."""
    rows = list(_rows(report))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *cells)).rstrip()
    for kind, figures in report.coco.items():
        shown = ("AP_all", "AP_50", "AP_75", "AP_small", "AP_medium", "AP_large")
        known = (f"{name} {figures[name]:.3f}" for name in shown if figures.get(name, -1) >= 0)
        yield f"COCO's own figures, {kind}: {', '.join(known)}"
    stages = ", ".join(f"{stage} {ms:.1f}" for stage, ms in report.speed.items())
    yield f"mean ms an image: {stages}"
    for path in report.plots:
        yield f"Saved {printable(path)}"
    yield from _findings(report.findings)


def _rows(report: ValidationReport) -> Iterator[tuple[str, ...]]:
    """The rows of the table, its head first."""
    if report.top1 is not None and report.top5 is not None:
        yield ("class", "images", "top-1", "top-5")
        yield ("all", str(report.images), f"{report.top1:.4f}", f"{report.top5:.4f}")
        return
    scores = report.scores
    if not scores:
        yield from _rows_of_maps(report)
        return
    columns = ("P", "R", "mAP50", "mAP50-95")
    head = (f"{_TITLES[kind]}{name}" for kind in scores for name in columns)
    yield ("class", "images", "instances", *head)
    means = (f"{value:.4f}" for found in scores.values() for value in found.mean_results())
    yield ("all", str(report.images), str(int(report.instances.sum())), *means)
    present = np.flatnonzero(report.instances).tolist()
    for row, class_id in enumerate(present if len(present) > 1 else []):
        values = (f"{value:.4f}" for found in scores.values() for value in found.class_result(row))
        name = printable(report.names.get(class_id, f"class {class_id}"))
        yield (name, str(report.images_with[class_id]), str(report.instances[class_id]), *values)


def _rows_of_maps(report: ValidationReport) -> Iterator[tuple[str, ...]]:
    """The same for semantic and depth; only classes of pixels have rows."""
    pixels = [] if not report.class_figures else ["pixels"]
    yield ("class", "images", *pixels, *report.figures)
    means = (f"{value:.4f}" for value in report.figures.values())
    yield ("all", str(report.images), *(str(int(report.instances.sum())) for _ in pixels), *means)
    for class_id in np.flatnonzero(report.instances).tolist():
        values = (f"{figures[class_id]:.4f}" for figures in report.class_figures.values())
        name = printable(report.names.get(class_id, f"class {class_id}"))
        yield (name, str(report.images_with[class_id]), str(report.instances[class_id]), *values)


def _findings(findings: Findings) -> Iterator[str]:
    """What was wrong with the dataset, counted."""
    for number, what in (
        (findings.unlabelled, "without a label file: nothing is expected in them"),
        (findings.empty, "with an empty label file: nothing is expected in them"),
    ):
        if number:
            yield f"{number} image{'s' * (number != 1)} {what}"
    if findings.duplicates:
        yield f"{findings.duplicates} labels were there twice and count once"
    for note in findings.notes:
        yield printable(f"Note: {note}")
    skipped = list(findings.skipped.items())
    if skipped:
        yield f"{len(skipped)} image{'s were' if len(skipped) != 1 else ' was'} left out:"
    for path, reason in skipped[:_MOST_REASONS]:
        yield printable(f"  {reason}" if path in reason else f"  {path}: {reason}")
    if len(skipped) > _MOST_REASONS:
        yield f"  and {len(skipped) - _MOST_REASONS} more: --json tells all"
