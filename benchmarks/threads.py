"""How runs should share the cores of a CPU: one on all cores after the other, or several side by side.

    python -m yolean.benchmarks threads [--model FILE] [--image FILE] [--beside FILE] [--json FILE]

Encoded image to `Results`, as fast as it goes, each way in a process of its own and all ways in turn. The
server's choice (`serving/cores.py`) rests on this. Then two models in one process, each alone and both in
turn: that the threads of an idle model sleep (`engine/session.py`) rests on that.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from ..engine.runtime.cpu import usable_cores
from ..models import demo_model
from .options import FILE, model_image_json
from .record import ratios, spread, write

SIDE = """
import json, sys, threading, time, cv2, yolean
threads, callers, seconds = map(int, sys.argv[3:])
cv2.setNumThreads(1)
model = yolean.load(sys.argv[1], device="cpu", threads=threads)
data = open(sys.argv[2], "rb").read()
for _ in range(3):
    model(data)
times, end = [], time.perf_counter() + seconds
def go():
    while (started := time.perf_counter()) < end:
        model(data)
        times.append(time.perf_counter() - started)
callers = [threading.Thread(target=go) for _ in range(callers)]
begun = time.perf_counter()
for caller in callers: caller.start()
for caller in callers: caller.join()
took = time.perf_counter() - begun
print(json.dumps([len(times) / took, sorted(times)[len(times) // 2] * 1e3]))
"""

GROUP = 6
"""Runs of a model before it is the other way's turn."""
PAIR = """
import json, statistics, sys, time, cv2, yolean
threads, rounds, group = map(int, sys.argv[4:])
image = cv2.imread(sys.argv[3])
models = [yolean.load(path, device="cpu", threads=threads) for path in sys.argv[1:3]]
def timed(model):
    started = time.perf_counter()
    model(image)
    return (time.perf_counter() - started) * 1e3
for model in models: timed(model)
found = [{"alone": [], "in_turn": []} for _ in models]
for _ in range(rounds):
    for model, times in zip(models, found):
        times["alone"].append(statistics.median(timed(model) for _ in range(group)))
    turns = [[timed(model) for model in models] for _ in range(group)]
    for times, own in zip(found, zip(*turns)):
        times["in_turn"].append(statistics.median(own))
print(json.dumps(found))
"""


def ways(cores: int) -> dict[str, tuple[int, int]]:
    """Name of each way, with its threads a run and its runs at a time."""
    return {
        "one run on all cores": (cores, 1),
        "a run for each core, on one thread": (1, cores),
        "a run for each core, each on all cores": (cores, cores),
    }


def shared(model: Path, image: Path, cores: int, seconds: int, rounds: int) -> dict[str, dict[str, float]]:
    """Images a second and latency of each way to share the cores."""
    found: dict[str, list[list[float]]] = {name: [] for name in ways(cores)}
    for _ in range(rounds):
        for name, (threads, callers) in ways(cores).items():
            found[name].append(_run(SIDE, model, image, threads, callers, seconds))
    return {
        name: {
            "images_a_second": statistics.median(rate for rate, _ in figures),
            "from": min(rate for rate, _ in figures),
            "to": max(rate for rate, _ in figures),
            "p50_ms": statistics.median(latency for _, latency in figures),
        }
        for name, figures in found.items()
    }


def in_turn(models: tuple[Path, Path], image: Path, cores: int, rounds: int) -> list[dict[str, Any]]:
    """Two models in one process: milliseconds of each alone, and of both called in turn."""
    found = _run(PAIR, *models, image, cores, rounds, GROUP)
    return [
        {"model": model.stem}
        | {f"{way}_ms": spread(times[way]) for way in ("alone", "in_turn")}
        | {"in_turn_by_alone": ratios(times["in_turn"], times["alone"])}
        for model, times in zip(models, found, strict=True)
    ]


def _run(script: str, *arguments: Path | int) -> Any:
    """What a fresh process of this interpreter prints, as JSON."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"a measuring process ended with {done.returncode}"]
        raise click.ClickException(words[-1])
    return json.loads(done.stdout)


@click.command()
@model_image_json
@click.option("--beside", type=FILE, help="The second of two models.  [default: the demo model for pose]")
@click.option("--seconds", type=click.IntRange(1), default=6, show_default=True, help="Of a way, each time.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Through all ways.")
def main(
    model: Path, image: Path, target: Path | None, beside: Path | None, seconds: int, rounds: int
) -> None:
    """Measure how runs should share the cores."""
    cores = usable_cores()
    rows = shared(model, image, cores, seconds, rounds)
    for name, row in rows.items():
        around = f"{row['from']:.1f}-{row['to']:.1f}"
        click.echo(f"{name:40} {row['images_a_second']:6.1f}/s ({around})  p50 {row['p50_ms']:.0f} ms")
    pair = in_turn((model, beside or demo_model("pose")), image, cores, rounds)
    for each in pair:
        alone, both = (each[key]["median"] for key in ("alone_ms", "in_turn_ms"))
        click.echo(f"{each['model']:40} alone {alone:.1f} ms, in turn with the other {both:.1f} ms")
    record = {"model": model.name, "image": image.name, "cores": cores, "rows": rows, "two_models": pair}
    write(target, record, {"seconds": seconds, "rounds": rounds})
