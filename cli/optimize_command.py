"""`yolean optimize`. What it needs is imported when it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from .making_options import PATH, check_precision, check_report, missing_package, options_of_making


@click.command()
@click.argument("model", type=PATH, metavar="MODEL.onnx")
@click.option("--output", "-o", type=PATH, metavar="FILE", help="The file to write; else beside MODEL.")
@click.option("--data", type=PATH, metavar="DATA",
              help="A labelled dataset as for val: judge by mAP before and after.")  # fmt: skip
@options_of_making
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
    check_precision(options, calibrate or options["data"])
    try:
        from ..export.files import write_whole
        from ..export.optimizer import OptimizeOptions, default_target
        from ..export.optimizer import optimize as make
        from .export_summary import lines
        from .stages import Stages
    except ModuleNotFoundError as exc:
        raise missing_package(exc, "optimize") from exc
    wanted = OptimizeOptions(model, output, images=calibrate, **options)
    check_report(report_to, model, output or default_target(wanted))
    with Stages() as on_progress:
        report = make(wanted, on_progress)
    if report_to is not None:
        write_whole(report_to, json.dumps(report.as_dict(), indent=2).encode() + b"\n")
    for line in lines(report):
        click.echo(line)
    sys.exit(3 if report.problems else 0)
