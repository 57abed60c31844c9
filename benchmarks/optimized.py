"""What `yolean optimize` gains: BGR array to `Results` on each file, by the plain file's `session.run`.

    python -m yolean.benchmarks.optimized --models DIR --images DIR [--calibrate DIR] [--json FILE]

For every plain export a lean file is made, and with --calibrate an INT8 one; their reports are kept with the
times. Every side runs in a process of its own; sides take turns in small groups, ratios are taken group by
group.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import sleep
from typing import Any

import click

from ..export.optimize import Job, Report, optimize
from .machine import machine
from .overhead import CASES, PAUSE, worker


def files_of(model: Path, folder: Path, calibrate: Path | None) -> tuple[dict[str, Path], dict[str, Any]]:
    """The plain file and what is made of it, by name, with the reports of the making."""
    jobs = {"lean": Job(model, folder / f"{model.stem}-lean.onnx", force=True)}
    if calibrate:
        target = folder / f"{model.stem}-int8.onnx"
        jobs["int8"] = Job(model, target, int8=True, pictures=calibrate, force=True)
    reports: dict[str, Report] = {name: optimize(job) for name, job in jobs.items()}
    files = {"plain": model} | {name: Path(report.target) for name, report in reports.items()}
    return files, {name: report.as_dict() for name, report in reports.items()}


def compare(model: Path, files: dict[str, Path], image: Path, threads: int, rounds: int) -> dict[str, Any]:
    """Bare runs of the plain file, and yolean on every file, in turn."""
    with ExitStack() as stack:

        def start(side: str, file: Path) -> Any:
            return stack.enter_context(worker(side, str(file), str(threads), str(image)))

        sides = {"bare": start("bare", model)}
        sides |= {name: start("yolean", file) for name, file in files.items()}
        times: dict[str, list[float]] = {name: [] for name in sides}
        objects = {}
        for _ in range(rounds):
            for name, run in sides.items():
                sleep(PAUSE)
                group, notes = run()
                times[name].append(statistics.median(group))
                objects[name] = notes.get("objects")
    row: dict[str, Any] = {"model": model.stem, "image": image.name}
    row["session_run_ms"] = statistics.median(times["bare"])
    for name in files:
        ratios = [own / bare for own, bare in zip(times[name], times["bare"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        own = {"ms": statistics.median(times[name]), "ratio": middle, "quarter": low, "three_quarters": high}
        row[name] = own | {"objects": objects[name]}
    return row


@click.command()
@click.option("--models", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--images", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--calibrate", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=12, show_default=True, help="Turns a side has.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Record everything in this file.")
def main(
    models: Path, images: Path, calibrate: Path | None, threads: int, rounds: int, target: Path | None
) -> None:
    """Measure what optimised files gain."""
    rows = []
    for stem, image in CASES.items():
        model = models / f"{stem}.onnx"
        if not model.is_file():
            click.echo(f"{stem}: not measured, no such file in {models}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            files, reports = files_of(model, Path(folder), calibrate)
            row = compare(model, files, images / image, threads, rounds)
        rows.append(row | {"reports": reports})
        for name in files:
            own = row[name]
            spread = f"{own['quarter']:.3f} to {own['three_quarters']:.3f}"
            click.echo(f"{stem:14} {name:6} {own['ms']:7.1f} ms  {own['ratio']:.3f} ({spread})")
        if target:  # after every model: the next one may take minutes
            record = {"machine": machine(), "threads": threads, "rows": rows}
            target.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
