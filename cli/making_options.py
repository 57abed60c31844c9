"""Options and checks that `yolean export` and `yolean optimize` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .._install_advice import install_command
from ..engine.errors import InputError

PATH = click.Path(path_type=Path)


def options_of_making(command: Callable[..., None]) -> Callable[..., None]:
    """Options of the precision, of the images to compare on, and of the file to write."""
    options = (
        click.option("--half", is_flag=True,
                     help="Half-precision weights, with an input and outputs of float32."),
        click.option("--int8", is_flag=True, help="Quantise; needs --calibrate."),
        click.option("--dense-head", is_flag=True,
                     help="Compute boxes for every anchor, also where few survive: for GPUs and OpenVINO."),
        click.option("--calibrate", type=PATH, metavar="DIR", help="Images such as the model will see."),
        click.option("--min-agreement", type=click.FloatRange(0, 1), metavar="0-1", default=0.95,
                     show_default=True, help="Least average precision, for --half and --int8."),
        click.option("--report", "report_to", type=PATH, metavar="FILE",
                     help="Write the report as JSON as well."),
        click.option("--threads", type=click.IntRange(1), metavar="N", help="Threads of one run."),
        click.option("--force", is_flag=True, help="Write the file though it is worse than asked for."),
        click.option("--overwrite", is_flag=True, help="Replace a file that exists."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def check_precision(options: dict[str, Any], images: Path | None) -> None:
    """Refuse precisions that exclude each other, and INT8 without images."""
    if options["int8"] and options["half"]:
        raise InputError("--int8 and --half exclude each other: name one")
    if options["int8"] and images is None:
        raise InputError("--int8 needs --calibrate DIR, a folder of images such as the model will see")


def check_report(report: Path | None, *others: Path) -> None:
    """Refuse a report that cannot be written, or that would replace a file of the command."""
    from ..export.files import check_target

    if report is not None:
        check_target(report, overwrite=True)
        if report.resolve() in [other.resolve() for other in others]:
            raise InputError(f"--report {report} is the name of another file here: name one for the report")


def missing_package(exc: ModuleNotFoundError, extra: str) -> Exception:
    """The error for a package that an extra brings; a module of ours that is missing is our own bug."""
    if (exc.name or "yolean").startswith("yolean"):
        return exc
    return InputError(f"this needs {exc.name}: {install_command(extra)}")
