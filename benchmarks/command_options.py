"""Options that several of the measurements take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from .._install_advice import install_command
from ..models import demo_images, demo_model

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class _Output(click.Path):
    """A file to be written. What is wrong with it is said before anything is measured, which takes long."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(str(super().convert(value, param, ctx)))
        if not os.access(path.parent, os.W_OK):
            self.fail(f"{path}: there is no folder {path.parent} that can be written", param, ctx)
        return path


class _Plot(_Output):
    """A plot to be drawn."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(super().convert(value, param, ctx))
        if path.suffix not in (".svg", ".png"):
            self.fail(f"{path}: expected a name that ends with .svg or .png", param, ctx)
        if find_spec("matplotlib") is None:
            raise click.ClickException(f"plots need matplotlib: {install_command('bench')}")
        return path


OUTPUT = _Output(dir_okay=False, writable=True, path_type=Path)
PLOT = _Plot(dir_okay=False, writable=True, path_type=Path)


def _model(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path:
    return value or demo_model()


def _image(_ctx: click.Context, _param: click.Parameter, value: Path | None) -> Path:
    return value or demo_images()[0]


def model_image_json(command: Callable[..., None]) -> Callable[..., None]:
    """`--model` and `--image`, the demo's unless given, and `--json` as `file`."""
    options = (
        click.option("--model", type=FILE, callback=_model, help="An .onnx file.  [default: a demo model]"),
        click.option("--image", type=FILE, callback=_image, help="[default: a demo image]"),
        click.option("--json", "file", type=OUTPUT, metavar="FILE", help="Record in this file."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def numbers(kind: type[float]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """The callback of an option with numbers above 0, commas between: a tuple, ascending, each once."""

    def parse(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
        if value is None:
            return None
        try:
            found = sorted({kind(part) for part in value.split(",")})
        except ValueError:
            found = []
        # Not a number compares as false.
        if not found or not all(0 < number <= 100_000 for number in found):
            name = "whole numbers" if kind is int else "numbers"
            raise click.BadParameter(f"{value!r}: expected {name} above 0, such as 1,2,4")
        return tuple(found)

    return parse


def named_pythons(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """The callback of an option NAME=PYTHON that may be repeated: pairs of a name and an interpreter."""
    pairs = []
    for value in values:
        name, _, python = value.partition("=")
        found = shutil.which(python)
        if not name or found is None:
            raise click.BadParameter(f"{value!r}: expected NAME=PYTHON, such as base=/opt/base/bin/python")
        pairs.append((name, str(Path(found).absolute())))  # not resolved: a virtual environment's is a link
    return tuple(pairs)
