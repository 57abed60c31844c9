"""Measures all systems on one model: interleaved repetitions, cold starts, and the differences of answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

from ...engine.images.decoding import image_from_bytes
from ...engine.images.preprocessing import place
from ...engine.loading import load
from ...export.evaluation.differences import Differences
from ...measurement.interleave import interleaved
from ...measurement.worker import Worker, WorkerError
from ...postprocess.types import Size
from ..answers import compare
from ..model_records import AnswerDifferences, FolderResult, FolderSystem, SystemResult
from ..record_base import ULTRALYTICS, YOLEAN, NotMeasured
from .interface import Workload
from .systems import SYSTEMS, System, command, environment

_FOLDER_REPETITIONS = 5  # at most: each takes seconds

OnProgress = Callable[[str], None]


@dataclass(frozen=True)
class Schedule:
    """What is measured and how often.

    Attributes:
        repetitions: interleaved, each once through all images.
        cold_starts: fresh processes of each system.
        pythons: interpreters that may have what a system needs.
        systems: under test.
        folder_images: images in the folder on which whole runs are measured; 0 for none.
    """

    repetitions: int
    cold_starts: int
    pythons: tuple[str, ...] = ()
    systems: tuple[System, ...] = SYSTEMS
    folder_images: int = 0


def describe(model: Path, images: list[Path], threads: int) -> tuple[Workload, str]:
    """What every system is asked to do with a model, and the kind of its output layout."""
    spec = load(model, device="cpu", threads=1).spec
    imgsz = (int(spec.imgsz[0]), int(spec.imgsz[1]))
    sizes = [Size.of(image_from_bytes(path.read_bytes())) for path in images]
    shapes: list[tuple[int, int]] = [place(size, spec.imgsz, spec).tensor for size in sizes]
    work = Workload(str(model), spec.task, imgsz, [str(path) for path in images], shapes, threads)
    return work, spec.layout.kind


def measure(
    work: Workload, files: dict[str, Path | str], schedule: Schedule, on_progress: OnProgress
) -> tuple[list[SystemResult], list[NotMeasured]]:
    """Measure all systems on one model; also those that cannot be measured, with their reasons.

    Args:
        work: the workload, for the plain file.
        files: by the form of the model, or in a line why there is none.
        schedule: what is measured.
        on_progress: is called with what is being done.
    """
    missing: list[NotMeasured] = []
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        cold: dict[str, Callable[[], tuple[float, float | None]]] = {}
        for system in schedule.systems:
            on_progress(f"starting {system.name}")
            found = _start(system, work, files, schedule.pythons)
            if isinstance(found, str):
                missing.append(NotMeasured(system=system.name, reason=found))
                continue
            workers[system.name] = stack.enter_context(found[0])
            cold[system.name] = partial(_cold_start, found[1])
        systems = {name: partial(_repetition, worker, len(work.images)) for name, worker in workers.items()}
        times = []
        for repetition in islice(interleaved(systems), schedule.repetitions):
            times.append(repetition)
            on_progress(f"repetition {len(times)} of {schedule.repetitions} is done")
        memory = {name: worker.repetition(1).peak_mb for name, worker in workers.items()}
    on_progress("cold starts")
    starts = list(islice(interleaved(cold), schedule.cold_starts))
    about = {name: worker.about for name, worker in workers.items()}
    results = [
        SystemResult(
            system=name,
            repetitions=[each[name] for each in times],
            cold_seconds=[each[name][0] for each in starts],
            cold_peak_mb=[peak for each in starts if (peak := each[name][1]) is not None],
            differences=_differences(name, about),
            peak_mb=memory[name],
            **{
                key: own[key]
                for key in ("load_ms", "warm_up_ms", "warm_ups", "installed_mb", "versions", "details")
            },
        )
        for name, own in about.items()
    ]
    return results, missing


def measure_folder(
    work: Workload, files: dict[str, Path | str], schedule: Schedule, on_progress: OnProgress
) -> FolderResult:
    """Measure the systems that run folders on one: from files to answers, with as many threads as they use.

    The folder holds the images of the workload again and again. Systems that cannot be started are left out:
    `measure` has their reasons.
    """
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        paths = [Path(path) for path in islice(cycle(work.images), schedule.folder_images)]
        for number, path in enumerate(paths):
            shutil.copyfile(path, Path(folder) / f"{number:04}{path.suffix}")
        own = replace(work, folder=folder)
        workers: dict[str, Worker] = {}
        for system in schedule.systems:
            if system.runs_folders:
                on_progress(f"starting {system.name} on a folder")
                found = _start(system, own, files, schedule.pythons)
                if not isinstance(found, str):
                    workers[system.name] = stack.enter_context(found[0])
        systems = {name: partial(worker.repetition, 1) for name, worker in workers.items()}
        times = []
        for repetition in islice(interleaved(systems), min(schedule.repetitions, _FOLDER_REPETITIONS)):
            times.append(repetition)
            on_progress(f"repetition {len(times)} on a folder is done")
    return FolderResult(
        images=len(paths),
        systems=[
            FolderSystem(
                system=name,
                seconds=[each[name].ms[0] / 1e3 for each in times],
                objects=times[0][name].notes[0],
            )
            for name in workers
        ],
    )


def _start(
    system: System, work: Workload, files: dict[str, Path | str], pythons: tuple[str, ...]
) -> tuple[Worker, list[str]] | str:
    """A process that is ready and what starts one for a cold start, or in a line why there is none."""
    file = files[system.file]
    if isinstance(file, str):
        return file
    own = replace(work, model=str(file), precision=system.precision)
    found = command(system, own, pythons)
    if isinstance(found, str):
        return found
    try:
        worker = Worker(found, environment())
    except WorkerError as exc:
        return str(exc)
    once = command(system, replace(own, cold=True, images=work.images[:1], shapes=work.shapes[:1]), pythons)
    assert not isinstance(once, str)
    return worker, once


def _repetition(worker: Worker, runs: int) -> float:
    """Mean milliseconds an image, once through all images."""
    return fmean(worker.repetition(runs).ms)


def _cold_start(words: list[str]) -> tuple[float, float | None]:
    """Seconds from starting a process to its first answer, and its peak memory by then, MiB."""
    started = perf_counter()
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = perf_counter() - started
    return seconds, json.loads(line)["peak_mb"] if line else None


def _differences(name: str, about: dict[str, dict[str, Any]]) -> AnswerDifferences | None:
    """From the answers of Ultralytics, or where it was not measured of yolean."""
    reference = ULTRALYTICS if ULTRALYTICS in about else YOLEAN
    if about[name]["answers"] is None or reference not in about:
        return None
    total = Differences()
    for one, other in zip(about[reference]["answers"], about[name]["answers"], strict=True):
        total = total.merge(compare(one, other))
    found = total.as_dict()
    counts = ("images", "matched", "missing", "extra")
    largest = ("box", "score", "keypoints", "visibility", "mask", "probs")
    of_maps = {kind: found[kind] for kind in ("other_class", "depth") if found[kind] is not None}
    return AnswerDifferences(
        reference=reference,
        objects=found["matched"] + found["missing"],
        **{kind: found[kind] for kind in (*counts, *largest)} | of_maps,
    )
