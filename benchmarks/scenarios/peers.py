"""yolean and other ways to run the same models: `python -m yolean.benchmarks peers`.

Every system under test gets the same images, thresholds and number of threads, and runs in a process of its
own, from BGR array to what its users get. A repetition is once through all images. Answers are compared with
Ultralytics', so that no system is fast by being wrong. Cold start and memory are those of fresh processes.
A folder of images is run as a whole, too, by the systems that users run folders with.
A system that cannot be measured is listed with the reason.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median as fmedian

import click
from rich.console import Console

from ...engine.errors import YoleanError
from ...engine.runtime.cpu import usable_cores
from ...export.trial_images import find_images
from ...models import DEMO_MODELS, demo_images, demo_model
from ..backends.interface import Workload
from ..backends.measuring import Schedule, describe, measure, measure_folder
from ..backends.systems import SYSTEMS, System, other_yolean
from ..command_options import FILE, OUTPUT, PLOT, named_pythons
from ..model_records import (
    FolderResult,
    ModelResult,
    PeersRecord,
    PeersSettings,
    SystemResult,
)
from ..optimized_files import model_files
from ..plots import draw
from ..record_base import (
    SESSION_RUN,
    ULTRALYTICS,
    YOLEAN,
    YOLEAN_INT8,
    YOLEAN_LEAN,
    PerformanceTarget,
    judged,
)
from ..records import write
from ..tables import Table, median, median_iqr

_FOLDER_TARGETS = {YOLEAN: 1.15, YOLEAN_LEAN: 1.5, YOLEAN_INT8: 3.0}
"""Least images a second on a folder, in those of Ultralytics."""


def targets(entry: ModelResult, systems: Sequence[System] = SYSTEMS) -> list[PerformanceTarget]:
    """Whether yolean is faster than every other system on its own runtime, and how much on a folder."""
    chosen = [(each.name, entry.ratio(each.name, YOLEAN)) for each in systems if each.is_target]
    found = [
        judged(f"{entry.model}: time of {name} divided by yolean's", "above", 1.0, ratio)
        for name, ratio in chosen
        if ratio is not None
    ]
    if entry.folder is not None and entry.task == "detect":
        for name, limit in _FOLDER_TARGETS.items():
            if ratio := entry.folder.ratio(name, ULTRALYTICS):
                said = f"{entry.model}, a folder: images a second of {name} divided by {ULTRALYTICS}'"
                found.append(judged(said, "above", limit, ratio))
    return found


def table(entry: ModelResult, systems: Sequence[System] = SYSTEMS) -> Table:
    """One model's systems; below, those compared with a counterpart, and what was not measured."""
    made = Table(
        ["", "ms", "/ run", "/ yolean", "cold start", "memory", "found", "largest differences"],
        title=f"{entry.model}, {entry.task}: BGR array to answer, milliseconds an image",
        texts=frozenset({0, 7}),
    )
    for each in entry.systems:
        ratios = [entry.ratio(each.system, other) for other in (SESSION_RUN, YOLEAN)]
        cold = [f"{fmedian(each.cold_seconds):.2f} s"] if each.cold_seconds else [""]
        cold += [f"{fmedian(each.cold_peak_mb):.0f} MB"] if each.cold_peak_mb else [""]
        times = [f"{each.milliseconds.median:.1f}", *(median(ratio, ".2f") for ratio in ratios)]
        made.rows.append([each.system, *times, *cold, *_found(each)])
    for system in systems:
        if system.counterpart and (ratio := entry.ratio(system.name, system.counterpart)):
            made.notes.append(f"{system.name}: {median_iqr(ratio, '.3f')} x the time of {system.counterpart}")
    made.notes += [f"{each.system}: not measured: {each.reason}" for each in entry.not_measured]
    return made


def folder_table(entry: ModelResult, found: FolderResult) -> Table:
    """The systems on a folder of images."""
    made = Table(
        ["", "images/s", f"/ {ULTRALYTICS}", "/ yolean", "objects"],
        title=f"{entry.model}, {entry.task}: a folder of {found.images} images, from files to answers",
    )
    for each in found.systems:
        ratios = [median(found.ratio(each.system, other), ".2f") for other in (ULTRALYTICS, YOLEAN)]
        made.rows.append([each.system, median(found.rate(each.system), ".1f"), *ratios, str(each.objects)])
    return made


def _found(each: SystemResult) -> tuple[str, str]:
    """Objects of the reference that were found, and the largest differences."""
    found = each.differences
    if found is None:
        return "", "" if each.system == SESSION_RUN else "not compared"
    if isinstance(found.other_class, float):
        return "", f"pixels of another class {found.other_class:.4f}"
    if isinstance(found.depth, float):
        return "", f"depth, relative, {found.depth:.4f}"
    if found.probs is not None:
        return "", f"probabilities {found.probs:.4f}"
    parts = [f"box {found.box:.2f} px, score {found.score:.4f}"] if found.matched else []
    if found.mask is not None:
        parts.append(f"mask IoU {1 - found.mask:.3f}")
    if found.keypoints is not None:
        parts.append(f"keypoints {found.keypoints:.2f} px")
    extra = f" +{found.extra}" if found.extra else ""
    return f"{found.matched}/{found.objects}{extra}", ", ".join(parts)


@click.command()
@click.option("--model", "models", type=FILE, multiple=True,
              help="A plain export; may be repeated.  [default: the demo models]")  # fmt: skip
@click.option("--images", type=click.Path(exists=True, path_type=Path),
              help="A folder of images.  [default: the demo's]")  # fmt: skip
@click.option("--python", "pythons", multiple=True, metavar="PYTHON",
              help="An interpreter that has other systems; may be repeated.")  # fmt: skip
@click.option("--also", multiple=True, metavar="NAME=PYTHON", callback=named_pythons,
              help="Measure the yolean that this interpreter has installed too, as NAME; may be "
              "repeated.")  # fmt: skip
@click.option("--only", multiple=True, metavar="SYSTEM", help="Only this system; may be repeated.")
@click.option("--calibrate", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Images to make INT8 files with.")  # fmt: skip
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for lean and INT8 files, used again by the next run.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), help="Of one run.  [default: the cores that may be used]")
@click.option("--rounds", "repetitions", type=click.IntRange(1), default=12, show_default=True,
              help="Interleaved repetitions.")  # fmt: skip
@click.option("--cold", "cold_starts", type=click.IntRange(0), default=5, show_default=True,
              help="Fresh processes of each system.")  # fmt: skip
@click.option("--folder", "folder_images", type=click.IntRange(0), default=36, show_default=True,
              help="Images in a folder that is run as a whole; 0 leaves it out.")  # fmt: skip
@click.option("--json", "file", type=OUTPUT, metavar="FILE", help="Record in this file.")
@click.option("--plot", type=PLOT, metavar="FILE", help="Draw bars, as .svg or .png.")
def main(
    models: tuple[Path, ...],
    images: Path | None,
    pythons: tuple[str, ...],
    also: tuple[tuple[str, str], ...],
    only: tuple[str, ...],
    calibrate: Path | None,
    keep: Path | None,
    threads: int | None,
    repetitions: int,
    cold_starts: int,
    folder_images: int,
    file: Path | None,
    plot: Path | None,
) -> None:
    """Measure yolean and other ways to run the same models.

    Systems that are not installed here or in the environments given by --python are listed as not measured;
    benchmarks/backends/requirements.txt names them.
    """
    systems = SYSTEMS + tuple(system for name, python in also for system in other_yolean(name, python))
    names = [system.name for system in systems]
    if unknown := [name for name in only if name not in names]:
        raise click.UsageError(f"--only {unknown[0]}: expected one of {'; '.join(names)}")
    chosen = tuple(system for system in systems if not only or system.name in only)
    schedule = Schedule(repetitions, cold_starts, pythons, chosen, folder_images)
    try:
        image_paths = [Path(path) for path in find_images(images)] if images else demo_images()
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
        settings = PeersSettings(
            threads=threads or usable_cores(),
            repetitions=repetitions,
            cold_starts=cold_starts,
            images=[path.name for path in image_paths],
            conf=Workload.conf,
            iou=Workload.iou,
            max_det=Workload.max_det,
        )
        record = PeersRecord(settings=settings, models=[], targets=[])
        for model in models or [demo_model(task) for task in DEMO_MODELS]:
            with tempfile.TemporaryDirectory() as temporary:
                folder = keep or Path(temporary)
                entry = _measure_model(model, image_paths, settings.threads, folder, calibrate, schedule)
            record.models.append(entry)
            record.targets.extend(targets(entry, chosen))
            table(entry, chosen).show()
            if entry.folder is not None:
                folder_table(entry, entry.folder).show()
            write(record, file)  # after every model: the next may take minutes
        if plot:
            draw(record, plot)
    except YoleanError as exc:
        raise click.ClickException(str(exc)) from exc


def _measure_model(
    model: Path,
    image_paths: list[Path],
    threads: int,
    folder: Path,
    calibrate: Path | None,
    schedule: Schedule,
) -> ModelResult:
    """Make what is missing of a model's files, and measure all systems."""
    work, layout = describe(model, image_paths, threads)
    with Console(stderr=True).status("") as status:

        def on_progress(what: str) -> None:
            status.update(f"{model.stem}: {what}")

        on_progress("making the lean and the INT8 file")
        files, optimized = model_files(model, folder, calibrate)
        systems, missing = measure(work, files, schedule, on_progress)
        folder_result = None
        if schedule.folder_images and any(system.runs_folders for system in schedule.systems):
            folder_result = measure_folder(work, files, schedule, on_progress)
    return ModelResult(
        model=model.stem,
        task=work.task,
        imgsz=work.imgsz,
        layout=layout,
        systems=systems,
        not_measured=missing,
        optimized=optimized,
        folder=folder_result,
    )
