"""What the shell shows while a file is made, and of what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..export.evaluation.agreement import Agreement
from ..export.evaluation.average_precision import FAINT_SCORE, Quality
from ..export.evaluation.differences import Differences
from ..export.evaluation.labelled import LabelledScores
from ..export.evaluation.speed import Speed
from ..export.optimizer import OptimizeReport
from .console import printable

if TYPE_CHECKING:
    from ..export.weights.exporting import ExportReport

_SHOWN = {
    "recall": "recall {:.3f}",
    "precision": "precision {:.3f}",
    "top1": "same best class {:.3f}",
    "mean_iou": "IoU {:.3f}",
    "confidence_change": "score {:+.3f}",
    "mask_iou": "mask IoU {:.3f}",
    "keypoint_distance": "keypoints {:.1f} px",
    "corner_distance": "corners {:.1f} px",
    "equal_pixels": "equal pixels {:.4f}",
    "mean_class_iou": "mIoU {:.4f}",
    "depth_error": "depth within {:.2%} on average",
}
_WITHIN = {
    "box": "box",
    "score": "score",
    "keypoints": "keypoints",
    "visibility": "visibility",
    "probs": "probabilities",
    "depth": "depth, relative,",
}


def lines(report: OptimizeReport) -> Iterator[str]:
    """The report for people."""
    before, after = (f"{size / 1e6:.1f} MB" for size in report.bytes)
    layout = " -> ".join(dict.fromkeys(report.layout))
    yield printable(f"{Path(report.source).name} -> {Path(report.target).name}")
    yield f"  {'made':<9}  {report.task}, {layout} layout, {report.precision}, {before} -> {after}"
    yield from _details(report)
    yield from _comparison("answers", report.images, report.differences, report.agreement)
    yield from _quality(report.quality)
    if report.labelled is not None:
        yield f"  {'labels':<9}  {labelled(report.labelled)}"
    if report.speed is not None:
        yield f"  {'speed':<9}  {speed(report.speed)}"
    yield from _verdict(report)


def weights_lines(report: ExportReport) -> Iterator[str]:
    """The report on weights for people: what was made, how it compares with PyTorch and the plain export."""
    optimized, verified = report.optimized, report.verified
    layout = " -> ".join(dict.fromkeys(optimized.layout)) if optimized else report.layout
    bytes_ = optimized.bytes if optimized else (report.bytes,)
    size = " -> ".join(f"{number / 1e6:.1f} MB" for number in bytes_)
    sides = "x".join(map(str, report.imgsz))
    sides = f"any height and width, {sides} by default" if report.dynamic else sides
    batch = "any number of images" if report.batch is None else counted(report.batch, "image")
    yield printable(f"{Path(report.weights).name} -> {report.target}")
    yield f"  {'made':<9}  {report.task}, {layout} layout, {report.precision}, {size}"
    yield f"  {'input':<9}  {sides}; {batch} a run"
    exact = verified.agreement is None
    images = verified.differences.images
    yield from _comparison("PyTorch", images, verified.differences if exact else None, verified.agreement)
    yield from _quality(verified.quality)
    if len(verified.batches) > 1:
        sizes = ", ".join(map(str, verified.batches))
        yield f"  {'batches':<9}  of {sizes}: every image gets the answer that it gets alone"
    if optimized is not None:
        yield from _details(optimized)
        yield from _comparison("plain", optimized.images, optimized.differences, optimized.agreement)
        yield from _quality(optimized.quality)
        if optimized.speed is not None:
            yield f"  {'speed':<9}  {speed(optimized.speed, 'the plain export')}"
    yield from _verdict(report)


def _details(report: OptimizeReport) -> Iterator[str]:
    for name, value in report.details.items():
        yield f"  {name:<9}  {value}"


def _comparison(
    name: str, count: int, differences: Differences | None, means: Agreement | None
) -> Iterator[str]:
    images = counted(count, "image")
    if differences is not None:
        yield f"  {name:<9}  on {images}: {', '.join(_largest(differences))}"
    if means is not None:
        yield f"  {name:<9}  on {images}: {', '.join(_means(means))}"


def _quality(found: Quality | None) -> Iterator[str]:
    """Average precision and change of scores, with their intervals."""
    if found is None:
        return
    (low, high), (strict_low, strict_high) = found.ap50_interval, found.ap_interval
    yield (
        f"  {'precision':<9}  average {found.ap50:.3f} ({low:.3f} to {high:.3f}) at IoU 0.5, {found.ap:.3f} "
        f"({strict_low:.3f} to {strict_high:.3f}) at 0.5 to 0.95, of {counted(found.objects, 'object')}"
    )
    if found.score_mean is not None and found.deviation_interval is not None:
        low, high = found.deviation_interval
        yield (
            f"  {'scores':<9}  {found.score_mean:+.3f} on average, standard deviation "
            f"{found.score_deviation:.3f} ({low:.3f} to {high:.3f}), of {counted(found.scored, 'object')} "
            f"above {FAINT_SCORE:g}"
        )


def labelled(found: LabelledScores) -> str:
    """Scores on a labelled dataset, before and after, in one line."""
    change = found.after - found.before
    return (
        f"{found.figure} {found.before:.4f} -> {found.after:.4f} ({change:+.4f}) on "
        f"{counted(found.images, 'image')} with {counted(found.labels, 'label')} of {printable(found.data)}"
    )


def _verdict(report: OptimizeReport | ExportReport) -> Iterator[str]:
    for note in report.notes:
        yield f"  {'note':<9}  {note}"
    for problem in report.problems:
        yield f"  {'PROBLEM':<9}  {problem}"
    if not report.written:
        yield "Nothing was written; --force writes it all the same."


def speed(found: Speed, of: str = "the source") -> str:
    """A comparison of times in one line."""
    return (
        f"{found.ratio:.2f} of {of}'s time ({found.low:.2f} to {found.high:.2f}): "
        f"{found.reference_ms:.1f} -> {found.candidate_ms:.1f} ms, {found.threads} threads, {found.provider}"
    )


def counted(number: int, noun: str) -> str:
    """A number with its noun, `no` for 0."""
    return f"{number or 'no'} {noun}{'s' * (number != 1)}"


def _largest(found: Differences) -> Iterator[str]:
    """The largest differences, those that were measured."""
    if found.probs is None and found.other_class is None and found.depth is None:
        yield counted(found.matched, "object")
    if found.other_class is not None:
        share = f"{found.other_class:.2g}" if found.other_class else "none"
        yield f"{share} of an image's pixels of another class"
    for name, text in _WITHIN.items():
        value = getattr(found, name)
        if value is not None:
            yield f"{text} within {value:.1g}{' px' if name in ('box', 'keypoints') else ''}"
    if found.mask is not None:
        yield f"mask IoU {1 - found.mask:.3f} or more"
    for name in ("missing", "extra"):
        if scores := getattr(found, name):
            yield f"{len(scores)} {name} (best score {max(scores):.3f})"


def _means(found: Agreement) -> Iterator[str]:
    if found.objects is not None:
        yield counted(found.objects, "object")
    for name, text in _SHOWN.items():
        value = getattr(found, name)
        if value is not None:
            yield text.format(value)
