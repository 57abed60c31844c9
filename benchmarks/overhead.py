"""What yolean adds to ONNX Runtime: BGR array to `Results`, divided by bare `session.run` of the same file.

    python -m yolean.benchmarks.overhead --models DIR --images DIR [--threads 2] [--rounds 12] [--json FILE]

Both sides run in processes of their own, because thread pools of one process disturb each other, and take
turns in small groups, so that whatever else the machine does falls on both. A ratio is taken group by group;
the table shows medians and the quarter and three-quarter marks. Cold start and memory are whole processes'.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import click

from .machine import machine

GROUP = 6  # runs a side has before it is the other's turn
PAUSE = 0.05  # seconds for the other side's threads to stop spinning

CASES = {  # model and picture; boats.jpg is the one with 169 oriented boxes
    "yolov8n": "bus.jpg",
    "yolov8n-pose": "bus.jpg",
    "yolov8n-seg": "bus.jpg",
    "yolov8n-obb": "boats.jpg",
    "yolov8n-cls": "bus.jpg",
}
COLD_START = """
import time; started = time.perf_counter()
import yolean; model = yolean.load({model!r}, device="cpu", threads={threads}); model({image!r})
took = time.perf_counter() - started
import resource; print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@dataclass(frozen=True)
class Row:
    """One model: milliseconds, and the ratio with its spread."""

    model: str
    image: str
    objects: int
    bare_ms: float
    yolean_ms: float
    ratio: float
    ratio_quarter: float
    ratio_three_quarters: float
    preprocess_ms: float
    postprocess_ms: float


def bare_side(model: str, threads: int) -> Callable[[], dict[str, float]]:
    """ONNX Runtime alone, with its defaults but for the number of threads."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    tensor = np.random.default_rng(0).random(image.shape, np.float32)

    def run() -> dict[str, float]:
        session.run(None, {image.name: tensor})
        return {}

    return run


def yolean_side(model: str, threads: int, image: str) -> Callable[[], dict[str, float]]:
    """Array to results, outlines computed."""
    import cv2
    import yolean

    engine = yolean.load(model, device="cpu", threads=threads)
    picture = cv2.imread(image)

    def run() -> dict[str, float]:
        result = engine(picture)[0]
        if result.masks is not None:
            _ = result.masks.xy
        return result.speed | {"objects": float(len(result))}

    return run


def work(side: str, model: str, threads: int, image: str) -> None:
    """A worker process: one group of runs for every line on standard input; the answer is a line of JSON."""
    run = bare_side(model, threads) if side == "bare" else yolean_side(model, threads, image)
    for _ in range(3):
        run()
    print("ready", flush=True)
    for _ in sys.stdin:
        times, notes = [], {}
        for _ in range(GROUP):
            started = perf_counter()
            notes = run()
            times.append((perf_counter() - started) * 1e3)
        print(json.dumps([times, notes]), flush=True)


@contextmanager
def worker(*arguments: str) -> Iterator[Callable[[], tuple[list[float], dict[str, float]]]]:
    """A worker process and the call that lets it run one group."""
    command = [sys.executable, "-m", "yolean.benchmarks.overhead", "--worker", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    into, out = process.stdin, process.stdout
    if out.readline().strip() != "ready":
        raise click.ClickException(f"the worker {' '.join(arguments)} did not start")

    def group() -> tuple[list[float], dict[str, float]]:
        into.write("go\n")
        into.flush()
        times, notes = json.loads(out.readline())
        return times, notes

    try:
        yield group
    finally:
        into.close()
        process.wait()


def compare(model: Path, image: Path, threads: int, rounds: int) -> Row:
    """Bare and yolean in turn, over the same file."""
    bare_times, own_times, ratios, notes = [], [], [], []
    arguments = (str(model), str(threads), str(image))
    with worker("bare", *arguments) as bare, worker("yolean", *arguments) as own:
        for _ in range(rounds):
            sleep(PAUSE)
            first, _ = bare()
            sleep(PAUSE)
            second, note = own()
            bare_times += first
            own_times += second
            ratios.append(statistics.median(second) / statistics.median(first))
            notes.append(note)
    quarter, middle, three_quarters = statistics.quantiles(ratios, n=4)
    return Row(
        model.stem,
        image.name,
        int(notes[-1]["objects"]),
        statistics.median(bare_times),
        statistics.median(own_times),
        middle,
        quarter,
        three_quarters,
        statistics.median(n["preprocess"] for n in notes),
        statistics.median(n["postprocess"] for n in notes),
    )


def preprocess_alone(model: Path, image: Path, repeats: int = 200) -> float:
    """Letterbox of one picture again and again, caches warm: median in milliseconds."""
    import yolean
    from yolean.engine.decode import picture_from_bytes
    from yolean.engine.preprocess import InputTensor, place

    spec, picture = yolean.load(model, device="cpu").spec, picture_from_bytes(image.read_bytes())
    geometry = place(picture.shape[:2], spec.imgsz, spec)
    tensor = InputTensor((1, spec.channels, *geometry.tensor), spec.dtype)
    times = []
    for _ in range(repeats):
        started = perf_counter()
        tensor.write([(picture, geometry)], spec)
        times.append((perf_counter() - started) * 1e3)
    return statistics.median(times)


def cold_start(model: Path, image: Path, threads: int, repeats: int = 5) -> dict[str, float]:
    """Import, load and first prediction in a fresh process: seconds, and peak memory in MB."""
    code = COLD_START.format(model=str(model), image=str(image), threads=threads)
    runs = []
    for _ in range(repeats):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        runs.append([float(value) for value in done.stdout.split()])
    return {
        "seconds": statistics.median(r[0] for r in runs),
        "seconds_fastest": min(r[0] for r in runs),
        "peak_mb": statistics.median(r[1] for r in runs),
    }


def in_turn(models: list[Path], image: Path, threads: int, rounds: int) -> dict[str, dict[str, float]]:
    """Two models in one process: alone, then called in turn; medians in milliseconds."""
    import cv2
    import yolean

    picture = cv2.imread(str(image))
    engines = {path.stem: yolean.load(path, device="cpu", threads=threads) for path in models}

    def timed(name: str) -> float:
        started = perf_counter()
        engines[name](picture)
        return (perf_counter() - started) * 1e3

    for name in engines:
        timed(name)
    times: dict[str, dict[str, list[float]]] = {name: {"alone": [], "in_turn": []} for name in engines}
    for _ in range(rounds):
        for name in engines:
            times[name]["alone"] += [timed(name) for _ in range(GROUP)]
        for _ in range(GROUP):
            for name in engines:
                times[name]["in_turn"].append(timed(name))
    return {name: {k: statistics.median(v) for k, v in both.items()} for name, both in times.items()}


def installed_mb() -> float:
    """Size of everything installed here but pip and setuptools, which a virtual environment begins with."""
    distributions = [d for d in metadata.distributions() if d.name not in ("pip", "setuptools")]
    files = [Path(str(d.locate_file(f))) for d in distributions for f in d.files or ()]
    return sum(p.stat().st_size for p in files if p.is_file()) / 1e6


def show(rows: list[Row]) -> None:
    """The rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="BGR array to Results, divided by session.run")
    for heading in ("model", "objects", "session.run", "yolean", "ratio", "spread", "pre", "post"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for r in rows:
        spread = f"{r.ratio_quarter:.3f}-{r.ratio_three_quarters:.3f}"
        milliseconds = [f"{v:.2f} ms" for v in (r.bare_ms, r.yolean_ms, r.preprocess_ms, r.postprocess_ms)]
        table.add_row(r.model, str(r.objects), *milliseconds[:2], f"{r.ratio:.3f}", spread, *milliseconds[2:])
    Console().print(table)


@click.command()
@click.option("--models", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--images", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--rounds", default=12, show_default=True, help="Turns a side has.")
@click.option("--json", "target", type=click.Path(path_type=Path), help="Record everything in this file.")
def main(models: Path, images: Path, threads: int, rounds: int, target: Path | None) -> None:
    """Measure what yolean adds to ONNX Runtime."""
    rows = []
    for stem, image in CASES.items():
        if not (models / f"{stem}.onnx").is_file():
            click.echo(f"{stem}: not measured, no such file in {models}")
            continue
        rows.append(compare(models / f"{stem}.onnx", images / image, threads, rounds))
    show(rows)
    record: dict[str, Any] = {"machine": machine(), "threads": threads, "rows": [asdict(r) for r in rows]}
    record["cold_start"] = cold_start(models / "yolov8n.onnx", images / "bus.jpg", threads)
    pair = [models / "yolov8n.onnx", models / "yolov8n-pose.onnx"]
    record["two_models"] = in_turn(pair, images / "bus.jpg", threads, rounds)
    record["preprocess_alone_ms"] = preprocess_alone(models / "yolov8n.onnx", images / "bus.jpg")
    record["installed_mb"] = installed_mb()
    for key in ("cold_start", "two_models", "preprocess_alone_ms", "installed_mb"):
        click.echo(f"{key}: {record[key]}")
    if target:
        target.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    else:
        main()
