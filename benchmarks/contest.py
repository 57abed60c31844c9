"""All contenders on one model: in turn, from cold, and what they answer.

A group is one pass through all images; ratios are taken group by group. Cold start and memory are those of
whole processes: from starting Python to the first answer.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from ..engine.images.decoding import image_from_bytes
from ..engine.images.preprocessing import place
from ..engine.loading import load
from ..export.evaluation.differences import Differences
from ..postprocess.types import Size
from .answers import compare
from .contenders import BARE, CONTENDERS, ULTRALYTICS, YOLEAN, Contender, command, environment
from .peers.side import Job
from .record import ratios, spread
from .workers import Worker, WorkerError

Row = dict[str, Any]
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured: rounds of turns, and fresh processes a side; and by which interpreters."""

    rounds: int
    cold: int
    pythons: tuple[str, ...]


def describe(model: Path, images: list[Path], threads: int) -> tuple[Job, str]:
    """What every side is asked to do with a model, and the kind of its output."""
    spec = load(model, device="cpu", threads=1).spec
    imgsz = (int(spec.imgsz[0]), int(spec.imgsz[1]))
    sizes = [Size.of(image_from_bytes(path.read_bytes())) for path in images]
    shapes: list[tuple[int, int]] = [place(size, spec.imgsz, spec).tensor for size in sizes]
    job = Job(str(model), spec.task, imgsz, [str(path) for path in images], shapes, threads)
    return job, spec.layout.kind


def measure(job: Job, files: dict[str, Path | str], plan: Plan, tell: Tell) -> list[Row]:
    """All contenders in turn on one model; a row each, in their order."""
    rows: list[Row] = []
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        commands: dict[str, list[str]] = {}
        for contender in CONTENDERS:
            tell(f"starting {contender.name}")
            row: Row = {"side": contender.name, "on_onnxruntime": contender.on_onnxruntime}
            rows.append(row)
            found = _worker(contender, job, files, plan.pythons)
            if isinstance(found, str):
                row["not_measured"] = found
                continue
            workers[contender.name], commands[contender.name] = stack.enter_context(found[0]), found[1]
        times = _turns(workers, plan.rounds, len(job.images), tell)
        memory = {name: worker.group(1)["peak_mb"] for name, worker in workers.items()}
    cold = _cold_starts(commands, plan.cold, tell)
    answers = {name: worker.about["answers"] for name, worker in workers.items() if worker.about["answers"]}
    reference = ULTRALYTICS if ULTRALYTICS in answers else YOLEAN
    for row in rows:
        name = row["side"]
        if name not in workers:
            continue
        about = {key: value for key, value in workers[name].about.items() if key != "answers"}
        row |= about | {"ms": spread(times[name]), "groups": times[name], "peak_mb": memory[name]}
        row |= cold[name]
        for other in (BARE, YOLEAN):
            if other in times:
                row[f"by {other}"] = ratios(times[name], times[other])
        if name in answers:
            row["agreement"] = _agreement(answers[reference], answers[name]) | {"with": reference}
    return rows


def _worker(
    contender: Contender, job: Job, files: dict[str, Path | str], pythons: tuple[str, ...]
) -> tuple[Worker, list[str]] | str:
    """A process that is ready and what starts one for a cold start, or in a line why there is none."""
    file = files[contender.file]
    if isinstance(file, str):
        return file
    own = replace(job, model=str(file), precision=contender.precision)
    found = command(contender, own, pythons)
    if isinstance(found, str):
        return found
    try:
        worker = Worker(found, environment())
    except WorkerError as exc:
        return str(exc)
    once = command(contender, replace(own, once=True, images=job.images[:1], shapes=job.shapes[:1]), pythons)
    assert not isinstance(once, str)
    return worker, once


def _turns(workers: dict[str, Worker], rounds: int, images: int, tell: Tell) -> dict[str, list[float]]:
    """Milliseconds an image, group by group; each round begins with another side."""
    times: dict[str, list[float]] = {name: [] for name in workers}
    names = list(workers)
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        first = number % max(len(names), 1)
        for name in names[first:] + names[:first]:
            group = workers[name].group(images)["ms"]
            times[name].append(sum(group) / len(group))
    return times


def _cold_starts(commands: dict[str, list[str]], times: int, tell: Tell) -> dict[str, Row]:
    """Fresh processes in turn, each until its first answer: seconds, and the most memory it held by then."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(times):
        tell(f"cold start {number + 1} of {times}")
        for name, words in commands.items():
            started = perf_counter()
            with subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
            ) as process:
                assert process.stdout is not None
                line = process.stdout.readline()
                seconds[name].append(perf_counter() - started)
            if line:
                memory[name].append(json.loads(line)["peak_mb"] or 0.0)
    return {
        name: {"cold_s": spread(seconds[name]), "cold_peak_mb": spread(memory[name])} if memory[name] else {}
        for name in commands
    }


def _agreement(reference: list[Row], answers: list[Row]) -> Row:
    total = Differences()
    for one, other in zip(reference, answers, strict=True):
        total = total.merge(compare(one, other))
    found = total.as_dict()
    return found | {"objects": found["matched"] + found["missing"]}


def targets(model: str, rows: list[Row]) -> list[Row]:
    """Whether yolean is faster than every peer on its own runtime, and how many times."""
    kept = []
    for row in rows:
        if row["on_onnxruntime"] and "ms" in row:
            ratio = row[f"by {YOLEAN}"]["median"]
            kept.append({"model": model, "faster_than": row["side"], "ratio": ratio, "kept": ratio > 1})
    return kept
