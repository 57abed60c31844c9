"""How runs should share the cores of a CPU: one on all cores after the other, or several side by side.

    python -m yolean.benchmarks threads [--model FILE] [--image FILE] [--beside FILE] [--json FILE]

Encoded image to `Results`, as fast as it goes, in interleaved repetitions, each in a process of its own. The
server's choice (`serving/cpu_budget.py`) rests on this. Then two models in one process, each called alone and
both alternating: that the threads of an idle model sleep (`engine/runtime/session.py`) rests on that.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click

from ...engine.runtime.cpu import usable_cores
from ...measurement.interleave import interleaved
from ...measurement.summary import paired_ratios, quartiles
from ...models import demo_model
from ..command_options import FILE, model_image_json
from ..load_records import AlternatingModel, CoreSharing, ThreadsRecord, ThreadsSettings
from ..records import write
from ..tables import Table, median_iqr

THROUGHPUT = """
import json, sys, threading, time, cv2, yolean
threads, callers, seconds = map(int, sys.argv[3:])
cv2.setNumThreads(1)
model = yolean.load(sys.argv[1], device="cpu", threads=threads)
data = open(sys.argv[2], "rb").read()
for _ in range(3):
    model(data)
times, end = [], time.perf_counter() + seconds
def call_until_the_end():
    while (started := time.perf_counter()) < end:
        model(data)
        times.append(time.perf_counter() - started)
callers = [threading.Thread(target=call_until_the_end) for _ in range(callers)]
begun = time.perf_counter()
for caller in callers: caller.start()
for caller in callers: caller.join()
took = time.perf_counter() - begun
print(json.dumps([len(times) / took, sorted(times)[len(times) // 2] * 1e3]))
"""
"""Prints images a second and the median latency in ms."""

CALLS = 6
"""Calls in a repetition of two models, of which the median counts."""
ALTERNATING = """
import json, statistics, sys, time, cv2, yolean
threads, repetitions, calls = map(int, sys.argv[4:])
image = cv2.imread(sys.argv[3])
models = [yolean.load(path, device="cpu", threads=threads) for path in sys.argv[1:3]]
def timed(model):
    started = time.perf_counter()
    model(image)
    return (time.perf_counter() - started) * 1e3
for model in models: timed(model)
found = [{"alone": [], "alternating": []} for _ in models]
for _ in range(repetitions):
    for model, times in zip(models, found):
        times["alone"].append(statistics.median(timed(model) for _ in range(calls)))
    both = [[timed(model) for model in models] for _ in range(calls)]
    for times, own in zip(found, zip(*both)):
        times["alternating"].append(statistics.median(own))
print(json.dumps(found))
"""


def configurations(cores: int) -> dict[str, tuple[int, int]]:
    """By name, the intra-op threads of a run and the number of runs at once."""
    return {
        "one run on all cores": (cores, 1),
        "a run for each core, on one thread": (1, cores),
        "a run for each core, each on all cores": (cores, cores),
    }


def measure_sharing(
    model: Path, image: Path, cores: int, seconds: int, repetitions: int
) -> list[CoreSharing]:
    """Throughput and latency of each way to share the cores."""
    chosen = configurations(cores)
    systems: dict[str, Callable[[], Any]] = {
        name: partial(_run, THROUGHPUT, model, image, threads, at_once, seconds)
        for name, (threads, at_once) in chosen.items()
    }
    found = list(islice(interleaved(systems), repetitions))
    return [
        CoreSharing(
            name=name,
            threads=threads,
            runs_at_once=at_once,
            images_a_second=quartiles(each[name][0] for each in found),
            p50_ms=statistics.median(each[name][1] for each in found),
        )
        for name, (threads, at_once) in chosen.items()
    ]


def measure_alternating(
    models: tuple[Path, Path], image: Path, cores: int, repetitions: int
) -> list[AlternatingModel]:
    """Two models in one process: milliseconds of each alone, and of both called alternately."""
    found = _run(ALTERNATING, *models, image, cores, repetitions, CALLS)
    return [
        AlternatingModel(
            model=model.stem,
            alone_ms=quartiles(times["alone"]),
            alternating_ms=quartiles(times["alternating"]),
            ratio=paired_ratios(times["alternating"], times["alone"]),
        )
        for model, times in zip(models, found, strict=True)
    ]


def _run(script: str, *arguments: Path | int) -> Any:
    """What a fresh process of this interpreter prints, as JSON."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"a measured process ended with {done.returncode}"]
        raise click.ClickException(lines[-1])
    return json.loads(done.stdout)


def tables(record: ThreadsRecord) -> list[Table]:
    """One of the ways to share the cores, one of the two models."""
    sharing = Table(["", "images a second", "p50"], title=f"{record.model} on {record.cores} cores")
    for way in record.sharing:
        sharing.rows.append([way.name, median_iqr(way.images_a_second, ".1f"), f"{way.p50_ms:.0f} ms"])
    alternating = Table(["", "alone, ms", "alternating, ms", "ratio"], title="Two models in one process")
    for each in record.alternating:
        cells = [median_iqr(found, ".1f") for found in (each.alone_ms, each.alternating_ms)]
        alternating.rows.append([each.model, *cells, median_iqr(each.ratio)])
    return [sharing, alternating]


@click.command()
@model_image_json
@click.option("--beside", type=FILE, help="The second of two models.  [default: the demo model for pose]")
@click.option("--seconds", type=click.IntRange(1), default=6, show_default=True, help="Of each measurement.")
@click.option("--rounds", "repetitions", type=click.IntRange(1), default=5, show_default=True,
              help="Interleaved repetitions.")  # fmt: skip
def main(
    model: Path, image: Path, file: Path | None, beside: Path | None, seconds: int, repetitions: int
) -> None:
    """Measure how runs should share the cores."""
    cores = usable_cores()
    record = ThreadsRecord(
        settings=ThreadsSettings(seconds=seconds, repetitions=repetitions),
        model=model.name,
        image=image.name,
        cores=cores,
        sharing=measure_sharing(model, image, cores, seconds, repetitions),
        alternating=measure_alternating((model, beside or demo_model("pose")), image, cores, repetitions),
    )
    for table in tables(record):
        table.show()
    write(record, file)
