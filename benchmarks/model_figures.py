"""Parts of pages made of the record of `peers`: space, cold start, time and answers of every system."""

from __future__ import annotations

from statistics import median

import click

from ..measurement.summary import Quartiles
from .model_records import ModelResult, OptimizedFile, PeersRecord, SystemResult
from .record_base import SESSION_RUN, ULTRALYTICS, YOLEAN, YOLEAN_INT8, YOLEAN_LEAN, YOLEAN_OPENVINO_BF16
from .records import RecordedResults
from .tables import UNKNOWN, Table, median_iqr, prose, provenance, record_notes, target_list


def intro(results: RecordedResults) -> str:
    """Space, cold start and memory, compared with Ultralytics on the same file."""
    model = _by_task(results.peers, "detect")
    own, other = _system(model, YOLEAN), _system(model, ULTRALYTICS)
    return prose(
        "Ultralytics YOLO models without torch. Export a model to ONNX once; from then on **numpy, OpenCV "
        f"and ONNX Runtime** run it, with the same answers: {own.installed_mb:.0f} MB installed instead of "
        f"{other.installed_mb / 1000:.1f} GB, {median(own.cold_seconds):.2f} s from starting Python to "
        f"the first answer instead of {median(other.cold_seconds):.2f} s, "
        f"{median(own.cold_peak_mb):.0f} MB of memory instead of "
        f"{median(other.cold_peak_mb):.0f} MB."
    )


def setting(results: RecordedResults) -> str:
    """On what machine, and how."""
    record = results.peers
    settings = record.settings
    models = ", ".join(model.model for model in record.models)
    return prose(
        f"{models} on {len(settings.images)} images, conf {settings.conf}, iou {settings.iou}, "
        f"{settings.threads} intra-op threads. From a BGR array to what a system's users get, outlines of "
        "masks included. Every system under test is a process of its own; all are measured in "
        f"{settings.repetitions} interleaved repetitions, each once through all images. Ratios are taken "
        "repetition by repetition; medians are shown with their quartiles, in parentheses."
    ) + provenance(record)


def peers(results: RecordedResults) -> str:
    """Every system on every task, and the targets."""
    record = results.peers
    table = Table(["", *(model.task for model in record.models), "answers"])
    table.texts = frozenset({0, len(table.headings) - 1})
    floor = [f"{_system(model, SESSION_RUN).milliseconds.median:.1f} ms" for model in record.models]
    table.rows.append([f"{SESSION_RUN} of the export", *floor, ""])
    for name in _systems(record):
        if name != SESSION_RUN:
            cells = [_ratio(model, name) for model in record.models]
            bold = f"**{name}**" if name in (YOLEAN, YOLEAN_LEAN, YOLEAN_INT8) else name
            table.rows.append([bold, *cells, _answers(record, name)])
    if refused := _refusals(record):
        table.notes.append(prose(f"\\* {refused}"))
    table.notes += _not_measured(record) + record_notes(record)
    goal = "yolean is meant to be faster than every other system on ONNX Runtime:"
    return f"{table.markdown()}\n{goal}\n\n{target_list(record.targets)}\n{_folder(record)}"


def _folder(record: PeersRecord) -> str:
    """Images a second on a folder; nothing where that was not measured."""
    models = [(model.task, model.folder) for model in record.models if model.folder is not None]
    if not models:
        return ""
    table = Table(["a folder of images", *(task for task, _ in models)])
    for name in dict.fromkeys(each.system for _, found in models for each in found.systems):
        cells = []
        for _, found in models:
            rate, ratio = found.rate(name), found.ratio(name, ULTRALYTICS)
            cells.append(UNKNOWN if rate is None else f"{rate.median:.1f}" + _times(name, ratio))
        table.rows.append([name, *cells])
    before = prose(
        f"A folder of {models[0][1].images} images, from files to answers, images a second, and how "
        f"many times those of {ULTRALYTICS}:"
    )
    return f"\n{before}\n\n{table.markdown()}"


def _times(name: str, ratio: Quartiles | None) -> str:
    return "" if ratio is None or name == ULTRALYTICS else f", {median_iqr(ratio)}"


def _ratio(model: ModelResult, name: str) -> str:
    """Time divided by that of `session.run`; a star marks a file that `yolean optimize` refuses."""
    ratio = model.ratio(name, SESSION_RUN)
    if ratio is None:
        return UNKNOWN
    int8 = _optimized(model, "int8")
    star = "\\*" if name == YOLEAN_INT8 and int8 is not None and int8.problems else ""
    return median_iqr(ratio) + star


def _answers(record: PeersRecord, name: str) -> str:
    """Objects found in all tasks, and the largest difference of a box."""
    systems = [each for model in record.models if (each := model.system(name))]
    found = [each.differences for each in systems if each.differences and each.differences.box is not None]
    if not found:
        return UNKNOWN
    matched, objects, extra = (
        sum(getattr(each, key) for each in found) for key in ("matched", "objects", "extra")
    )
    more = f" and {extra} more" if extra else ""
    return f"{matched} of {objects}{more}, {max(each.box or 0.0 for each in found):.2f} px"


def _refusals(record: PeersRecord) -> str:
    """Which INT8 files `yolean optimize` refuses, and why."""
    found = [(model.task, _optimized(model, "int8")) for model in record.models]
    return " ".join(
        f"`yolean optimize` refuses the INT8 file of {task} unless `--force` is given: "
        f"{'; '.join(file.problems)}."
        for task, file in found
        if file is not None and file.problems
    )


def _not_measured(record: PeersRecord) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for model in record.models:
        for missing in model.not_measured:
            reasons.setdefault(missing.system, []).append(f"{model.task}: {missing.reason}")
    return [f"Not measured: {name}; {', '.join(found)}." for name, found in reasons.items()]


def cold(results: RecordedResults) -> str:
    """What a whole process costs."""
    table = Table(["", "start of Python to the first answer", "memory by then", "installed"])
    for each in _by_task(results.peers, "detect").systems:
        if each.cold_peak_mb and each.system != SESSION_RUN:
            seconds, memory = median(each.cold_seconds), median(each.cold_peak_mb)
            table.rows.append(
                [each.system, f"{seconds:.2f} s", f"{memory:.0f} MB", f"{each.installed_mb:.0f} MB"]
            )
    return table.markdown()


def optimized(results: RecordedResults) -> str:
    """What lean and INT8 files gain, and what the latter cost."""
    record = results.peers
    table = Table(["task", SESSION_RUN, "the export", "lean", "INT8", "INT8's agreement"])
    table.texts = frozenset({0, 5})
    for model in record.models:
        floor = f"{_system(model, SESSION_RUN).milliseconds.median:.1f} ms"
        ratios = [_ratio(model, name) for name in (YOLEAN, YOLEAN_LEAN, YOLEAN_INT8)]
        table.rows.append([model.task, floor, *ratios, _agreement(_optimized(model, "int8"))])
    if refused := _refusals(record):
        table.notes.append(prose(f"\\* {refused}"))
    table.notes += record_notes(record)
    return table.markdown()


def _agreement(file: OptimizedFile | None) -> str:
    if file is None or file.agreement is None:
        return "not measured"
    found = file.agreement
    refused = "; **refused**" if file.problems else ""
    if found.top1 is not None:
        return f"same best class {found.top1:.3f} of {found.images} images{refused}"
    parts = [f"recall {found.recall:.3f}", f"precision {found.precision:.3f}"]
    parts += [f"IoU {found.mean_iou:.3f}", f"scores {found.confidence_change:+.3f}"]
    return f"{', '.join(parts)} ({found.objects} objects, {found.images} images){refused}"


def bf16(results: RecordedResults) -> str:
    """How far bf16 on OpenVINO moves the answers."""
    moved, ratios = [], []
    for model in results.peers.models:
        each, ratio = model.system(YOLEAN_OPENVINO_BF16), model.ratio(YOLEAN_OPENVINO_BF16, YOLEAN)
        if each and ratio and (found := each.differences) and found.box is not None:
            moved.append(f"{model.task} {found.box:.1f} px and {found.score:.3f}")
            ratios.append(ratio.median)
    if not moved:
        raise click.ClickException(f"figures: the record of peers lacks {YOLEAN_OPENVINO_BF16}")
    images = len(results.peers.settings.images)
    return prose(
        f"bf16 on OpenVINO takes {min(ratios):.2f} to {max(ratios):.2f} times the time of yolean on ONNX "
        f"Runtime; on {images} images the largest differences of a box and of a score from Ultralytics' are: "
        f"{'; '.join(moved)}."
    )


def _systems(record: PeersRecord) -> list[str]:
    """Names of the systems in their order, those that were not measured on some model among them."""
    names = [each.system for model in record.models for each in model.systems]
    names += [each.system for model in record.models for each in model.not_measured]
    return list(dict.fromkeys(names))


def _by_task(record: PeersRecord, task: str) -> ModelResult:
    found = next((model for model in record.models if model.task == task), None)
    if found is None:
        raise click.ClickException(f"figures: the record of peers has no model for {task}")
    return found


def _system(model: ModelResult, name: str) -> SystemResult:
    found = model.system(name)
    if found is None:
        raise click.ClickException(f"figures: the record of peers lacks {name} on {model.model}")
    return found


def _optimized(model: ModelResult, kind: str) -> OptimizedFile | None:
    return next((file for file in model.optimized if file.kind == kind), None)
