"""`yolean export`. What it needs is imported when it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from .making_options import PATH, check_precision, check_report, missing_package, options_of_making
from .model_options import size

_MAX_BATCH = 4096  # the largest that the metadata of a file may state


def _batch(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | str | None:
    """A number of images, or the word `dynamic`."""
    if value is None or value == "dynamic":
        return value
    if not value.isdecimal() or not 1 <= int(value[:6]) <= _MAX_BATCH:
        raise click.BadParameter(
            f"{value!r}: expected a number of images to {_MAX_BATCH}, or the word dynamic"
        )
    return int(value)


@click.command()
@click.argument("weights", type=PATH, metavar="WEIGHTS.pt")
@click.option(
    "--output",
    "-o",
    type=PATH,
    metavar="FILE",
    help="The file to write; else beside WEIGHTS: yolov8n.onnx, -half.onnx or -int8.onnx.",
)
@click.option(
    "--imgsz",
    callback=size,
    metavar="N|H,W",
    help="Size of the input, the default one of a dynamic file; else what WEIGHTS were trained at.",
)
@click.option(
    "--static", is_flag=True, help="Fix height and width, and the batch to 1 unless --batch is given."
)
@click.option(
    "--batch",
    callback=_batch,
    metavar="N|dynamic",
    help="Images a run of a --static file. Other files take any number.",
)
@click.option("--end2end", is_flag=True, help="Export the head that needs no suppression (YOLOv10, YOLO26).")
@click.option("--opset", type=click.IntRange(9), metavar="N", help="ONNX opset; else Ultralytics' choice.")
@click.option("--plain", is_flag=True, help="As Ultralytics exports it, without making it lean.")
@options_of_making
def export(
    weights: Path,
    output: Path | None,
    imgsz: int | tuple[int, int] | None,
    batch: int | str | None,
    calibrate: Path | None,
    report_to: Path | None,
    **options: Any,
) -> None:
    """Make an ONNX file of Ultralytics weights, and check it against PyTorch.

    Needs Ultralytics and PyTorch: pip install ".[export]" in a clone of yolean. Loading weights runs code
    that the file holds: export only weights that you trust. Nothing is downloaded, installed or reported,
    and nothing but the file is written.

    Height, width and batch stay free unless --static fixes them. Suppression is left to the run, where its
    thresholds can be chosen. The file is then made faster as by `yolean optimize`.

    The exit status is 0 when the file was made, 3 when its answers are not PyTorch's or worse than asked for
    and it was not written (or was forced), 2 when nothing could be done.
    """
    check_precision(options, calibrate)
    sides = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz
    fixed = (batch or 1) if options["static"] else batch
    images = fixed if isinstance(fixed, int) else None
    try:
        from ..export.files import write_whole
        from ..export.weights.exporting import ExportOptions, default_target
        from ..export.weights.exporting import export as make
        from .export_summary import weights_lines
        from .stages import Stages
    except ModuleNotFoundError as exc:
        raise missing_package(exc, "export") from exc
    wanted = ExportOptions(weights, output, sides, batch=images, images=calibrate, **options)
    check_report(report_to, weights, output or default_target(wanted))
    with Stages() as on_progress:
        report = make(wanted, on_progress)
    if report_to is not None:
        write_whole(report_to, json.dumps(report.as_dict(), indent=2).encode() + b"\n")
    for line in weights_lines(report):
        click.echo(line)
    sys.exit(3 if report.problems else 0)
