"""yolean beside other ways to run the same models: `python -m yolean.benchmarks peers`.

Every side gets the same images, weights, thresholds and number of threads, and runs in a process of its
own, from BGR array to what its users get. Answers are compared with Ultralytics', so that no one is fast by
being wrong. A side that cannot be measured stays in the table, with the reason.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..cli.console import printable
from ..engine.errors import YoleanError
from ..engine.runtime.cpu import usable_cores
from ..export.files import find_images
from ..models import DEMO_MODELS, demo_images, demo_model
from .bars import draw
from .contenders import BARE, YOLEAN
from .contest import Plan, Row, describe, measure, targets
from .options import FILE, OUTPUT, PLOT
from .peers.side import Job
from .record import write
from .variants import variants

_WIDTH = 132  # of a table in a file or a pipe


@click.command()
@click.option("--model", "models", type=FILE, multiple=True,
              help="A plain export; may be repeated.  [default: the demo models]")  # fmt: skip
@click.option("--images", type=click.Path(exists=True, path_type=Path),
              help="A folder of images.  [default: the demo's]")  # fmt: skip
@click.option("--python", "pythons", multiple=True, metavar="PYTHON",
              help="An interpreter that has peers; may be repeated.")  # fmt: skip
@click.option("--calibrate", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Images to make INT8 files with.")  # fmt: skip
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path),
              help="Folder for lean and INT8 files, used again by the next run.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), help="Of one run.  [default: the cores that may be used]")
@click.option("--rounds", type=click.IntRange(1), default=12, show_default=True, help="Turns a side has.")
@click.option("--cold", type=click.IntRange(0), default=5, show_default=True, help="Fresh processes a side.")
@click.option("--json", "target", type=OUTPUT, metavar="FILE", help="Record in this file.")
@click.option("--plot", type=PLOT, metavar="FILE", help="Draw bars, as .svg or .png.")
def main(
    models: tuple[Path, ...],
    images: Path | None,
    pythons: tuple[str, ...],
    calibrate: Path | None,
    keep: Path | None,
    threads: int | None,
    rounds: int,
    cold: int,
    target: Path | None,
    plot: Path | None,
) -> None:
    """Measure yolean beside other ways to run the same models.

    Peers that are not installed here or in the environments given by --python are listed as not measured;
    benchmarks/peers/requirements.txt names them.
    """
    try:
        image_paths = [Path(path) for path in find_images(images)] if images else demo_images()
        plan = Plan(rounds, cold, pythons)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
        record: dict[str, Any] = {"models": [], "targets": []}
        how: Row = {"threads": threads or usable_cores(), "rounds": rounds, "cold": cold}
        how |= {"images": [path.name for path in image_paths], "conf": Job.conf, "iou": Job.iou}
        for model in models or [demo_model(task) for task in DEMO_MODELS]:
            with tempfile.TemporaryDirectory() as temporary:
                entry = _contest(model, image_paths, how["threads"], keep or Path(temporary), calibrate, plan)
            record["models"].append(entry)
            record["targets"] += targets(entry["model"], entry["rows"])
            show(entry)
            write(target, record, how)  # after every model: the next may take minutes
        if plot:
            draw(record, plot)
    except YoleanError as exc:
        raise click.ClickException(str(exc)) from exc


def _contest(
    model: Path, image_paths: list[Path], threads: int, folder: Path, calibrate: Path | None, plan: Plan
) -> Row:
    """Make what is missing of a model's files, and measure all sides."""
    job, kind = describe(model, image_paths, threads)
    with Console(stderr=True).status("") as status:

        def tell(what: str) -> None:
            status.update(f"{model.stem}: {what}")

        tell("making the lean and the INT8 file")
        files, reports = variants(model, folder, calibrate)
        rows = measure(job, files, plan, tell)
    entry: Row = {"model": model.stem, "task": job.task, "imgsz": list(job.imgsz), "layout": kind}
    return entry | {"rows": rows, "reports": reports}


def show(entry: Row) -> None:
    """One model's sides as a table."""
    title = f"{entry['model']}, {entry['task']}: BGR array to answer, milliseconds an image"
    table = Table(title=printable(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "ms", "/ run", "/ yolean", "cold start", "memory", "found"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    table.add_column("largest differences")
    missing = []
    for row in entry["rows"]:
        if "not_measured" in row:
            missing.append(f"{row['side']}: not measured: {row['not_measured']}")
            continue
        cold = f"{row['cold_s']['median']:.2f} s" if "cold_s" in row else ""
        memory = f"{row['cold_peak_mb']['median']:.0f} MB" if "cold_s" in row else ""
        times = [f"{row[key]['median']:.2f}" if key in row else "" for key in (f"by {BARE}", f"by {YOLEAN}")]
        table.add_row(row["side"], f"{row['ms']['median']:.1f}", *times, cold, memory, *_agreement_cells(row))
    console = Console(width=None if Console().is_terminal else _WIDTH)
    console.print(table)
    for line in missing:
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)


def _agreement_cells(row: Row) -> tuple[str, str]:
    """Objects of the reference that were found, and the largest differences."""
    found = row.get("agreement")
    if found is None:
        return "", "" if row["side"] == BARE else "not compared"
    if found["probs"] is not None:
        return "", f"probabilities {found['probs']:.4f}"
    parts = [f"box {found['box']:.2f} px, score {found['score']:.4f}"] if found["matched"] else []
    if found["mask"] is not None:
        parts.append(f"mask IoU {1 - found['mask']:.3f}")
    if found["keypoints"] is not None:
        parts.append(f"keypoints {found['keypoints']:.2f} px")
    extra = f" +{found['extra']}" if found["extra"] else ""
    return f"{found['matched']}/{found['objects']}{extra}", ", ".join(parts)
