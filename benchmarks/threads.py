"""How runs should share the cores of a CPU: one on all cores after the other, or several side by side.

    python -m yolean.benchmarks.threads [--model FILE] [--picture FILE] [--rounds 5] [--json FILE]

Encoded picture to `Results`, as fast as it goes, each way in a process of its own and all ways in turn. The
server's choice (`serving/cores.py`) rests on this.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from ..engine.cores import usable_cores
from ..models import demo_model, demo_pictures
from .machine import machine

SIDE = """
import threading, time, cv2, yolean
cv2.setNumThreads(1)
model = yolean.load({model!r}, device="cpu", threads={threads})
data = open({picture!r}, "rb").read()
for _ in range(3):
    model(data)
times, end = [], time.perf_counter() + {seconds}
def go():
    while (started := time.perf_counter()) < end:
        model(data)
        times.append(time.perf_counter() - started)
callers = [threading.Thread(target=go) for _ in range({callers})]
begun = time.perf_counter()
for caller in callers: caller.start()
for caller in callers: caller.join()
print(len(times) / (time.perf_counter() - begun), sorted(times)[len(times) // 2] * 1e3)
"""


def ways(cores: int) -> dict[str, tuple[int, int]]:
    """Name of each way, with its threads a run and its runs at a time."""
    return {
        "one run on all cores": (cores, 1),
        "a run for each core, on one thread": (1, cores),
        "a run for each core, each on all cores": (cores, cores),
    }


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="An .onnx file.")
@click.option("--picture", type=click.Path(exists=True, path_type=Path), help="What is predicted.")
@click.option("--seconds", default=6.0, show_default=True, help="Of each way, each time.")
@click.option("--rounds", default=5, show_default=True, help="Times through all ways.")
@click.option("--json", "json_to", type=click.Path(path_type=Path), help="Write everything into this file.")
def main(model: Path | None, picture: Path | None, seconds: float, rounds: int, json_to: Path | None) -> None:
    """Measure how runs should share the cores."""
    model, picture, cores = model or demo_model(), picture or demo_pictures()[0], usable_cores()
    rates: dict[str, list[float]] = {name: [] for name in ways(cores)}
    latencies: dict[str, list[float]] = {name: [] for name in rates}
    for _ in range(rounds):
        for name, (threads, callers) in ways(cores).items():
            script = SIDE.format(
                model=str(model), picture=str(picture), threads=threads, callers=callers, seconds=seconds
            )
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            rate, latency = map(float, done.stdout.split())
            rates[name].append(rate)
            latencies[name].append(latency)
    rows: dict[str, Any] = {
        name: {
            "images_a_second": statistics.median(rates[name]),
            "from": min(rates[name]),
            "to": max(rates[name]),
            "p50_ms": statistics.median(latencies[name]),
        }
        for name in rates
    }
    for name, row in rows.items():
        spread = f"{row['from']:.1f}-{row['to']:.1f}"
        click.echo(f"{name:40} {row['images_a_second']:6.1f}/s ({spread})  p50 {row['p50_ms']:.0f} ms")
    if json_to:
        record = {"machine": machine(), "model": model.name, "cores": cores, "rows": rows}
        json_to.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
