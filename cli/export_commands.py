"""The commands that make ONNX files. What they need is imported when they run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .._install_advice import install_command
from ..engine.errors import InputError
from .model_options import size

_PATH = click.Path(path_type=Path)
_MOST_BATCH = 4096  # what the metadata of a file may tell


def _options_of_making(command: Callable[..., None]) -> Callable[..., None]:
    """What both commands take: the precision, what it is checked on, and what becomes of the file."""
    options = (
        click.option("--half", is_flag=True,
                     help="Half-precision weights, with an input and outputs of float32."),
        click.option("--int8", is_flag=True, help="Quantise; needs --calibrate."),
        click.option("--dense-head", is_flag=True,
                     help="Compute boxes for every anchor, also where few survive: for GPUs and OpenVINO."),
        click.option("--calibrate", type=_PATH, metavar="DIR", help="Images such as the model will see."),
        click.option("--min-agreement", type=click.FloatRange(0, 1), metavar="0-1", default=0.95,
                     show_default=True, help="Least recall and precision, for --half and --int8."),
        click.option("--report", "report_to", type=_PATH, metavar="FILE",
                     help="Write the report as JSON as well."),
        click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of one run."),
        click.option("--force", is_flag=True, help="Write the file though it is worse than asked for."),
        click.option("--overwrite", is_flag=True, help="Replace a file that exists."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("model", type=_PATH, metavar="MODEL.onnx")
@click.option("--output", "-o", type=_PATH, metavar="FILE", help="The file to write; else beside MODEL.")
@_options_of_making
def optimize(
    model: Path, output: Path | None, calibrate: Path | None, report_to: Path | None, **options: Any
) -> None:
    """Make an Ultralytics export faster, with the same answers.

    The head's decoding is cut out of the graph and done in numpy, for the few anchors that matter; the rest
    of the graph is rewritten where that is faster. --half and --int8 change the answers a little: the report
    tells by how much, on images that were not used to calibrate.

    The exit status is 0 when the file was made, 3 when it is worse than asked for and was not written (or was
    forced), 2 when nothing could be done.
    """
    _check_precision(options, calibrate)
    try:
        from ..export.files import write_whole
        from ..export.optimizer import OptimizeOptions, default_target
        from ..export.optimizer import optimize as make
        from .export_summary import Stages, lines
    except ModuleNotFoundError as exc:
        raise missing(exc, "optimize") from exc
    job = OptimizeOptions(model, output, images=calibrate, **options)
    _check_report(report_to, model, output or default_target(job))
    with Stages() as tell:
        report = make(job, tell)
    if report_to is not None:
        write_whole(report_to, json.dumps(report.as_dict(), indent=2).encode() + b"\n")
    for line in lines(report):
        click.echo(line)
    sys.exit(3 if report.problems else 0)


def _batch(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | str | None:
    """A number of images, or the word that leaves it free."""
    if value is None or value == "dynamic":
        return value
    if not value.isdecimal() or not 1 <= int(value[:6]) <= _MOST_BATCH:
        raise click.BadParameter(
            f"{value!r}: expected a number of images to {_MOST_BATCH}, or the word dynamic"
        )
    return int(value)


@click.command()
@click.argument("weights", type=_PATH, metavar="WEIGHTS.pt")
@click.option(
    "--output",
    "-o",
    type=_PATH,
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
@_options_of_making
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
    _check_precision(options, calibrate)
    sides = (imgsz, imgsz) if isinstance(imgsz, int) else imgsz
    fixed = (batch or 1) if options["static"] else batch
    images = fixed if isinstance(fixed, int) else None
    try:
        from ..export.files import write_whole
        from ..export.weights.exporting import ExportOptions, default_target
        from ..export.weights.exporting import export as make
        from .export_summary import Stages, weights_lines
    except ModuleNotFoundError as exc:
        raise missing(exc, "export") from exc
    job = ExportOptions(weights, output, sides, batch=images, images=calibrate, **options)
    _check_report(report_to, weights, output or default_target(job))
    with Stages() as tell:
        report = make(job, tell)
    if report_to is not None:
        write_whole(report_to, json.dumps(report.as_dict(), indent=2).encode() + b"\n")
    for line in weights_lines(report):
        click.echo(line)
    sys.exit(3 if report.problems else 0)


def _check_precision(options: dict[str, Any], calibrate: Path | None) -> None:
    if options["int8"] and options["half"]:
        raise InputError("--int8 and --half exclude each other: name one")
    if options["int8"] and calibrate is None:
        raise InputError("--int8 needs --calibrate DIR, a folder of images such as the model will see")


def _check_report(report: Path | None, *others: Path) -> None:
    """Refuse a report that cannot be written, or that would replace what it tells of."""
    from ..export.files import check_target

    if report is not None:
        check_target(report, overwrite=True)
        if report.resolve() in [other.resolve() for other in others]:
            raise InputError(f"--report {report} is the name of another file here: name one for the report")


def missing(exc: ModuleNotFoundError, extra: str) -> Exception:
    """The error for a package that an extra brings; a module of ours that is missing is our own bug."""
    if (exc.name or "yolean").startswith("yolean"):
        return exc
    return InputError(f"this needs {exc.name}: {install_command(extra)}")
