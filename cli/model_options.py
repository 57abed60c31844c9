"""Options of loading a model and of calling it, for the commands that do so."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..engine.errors import InputError
from ..models import DEMO_MODELS

if TYPE_CHECKING:
    from ..engine.pipeline import Engine

_SHARE = click.FloatRange(0, 1)
LOADING = ("device", "threads", "precision", "task", "names", "kpt_shape")


def size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | tuple[int, int] | None:
    """One whole number, or two with a comma between: the callback of an option."""
    if value is None:
        return None
    parts = value.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() and len(part) < 7 for part in parts):
        raise click.BadParameter(f"{value!r}: expected a whole number such as 640, or two such as 480,640")
    numbers = tuple(map(int, parts))
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _pair(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    found = size(ctx, param, value)
    if isinstance(found, int):
        raise click.BadParameter(f"{value!r}: expected two whole numbers such as 17,3")
    return found


def _names(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[str] | None:
    """Class names from a file with one a line, or from the words themselves."""
    if value is None:
        return None
    try:
        names = Path(value).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as exc:
        if os.path.exists(value) or value.endswith(".txt"):
            reason = getattr(exc, "strerror", None) or exc
            raise click.BadParameter(f"{value}: expected text with one name a line ({reason})") from exc
        names = value.split(",")
    return [name.strip() for name in names if name.strip()]


def options_of_load(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `yolean.load` takes, for every command that loads a model."""
    options = (
        click.option("--device", default="auto", show_default=True, metavar="NAME",
                     help="auto, cpu, cuda[:N], tensorrt[:N], openvino[:CPU|GPU|NPU], coreml, directml[:N]."),
        click.option("--threads", type=click.IntRange(1), metavar="N",
                     help="Threads of one run on the CPU.  [default: the cores that may be used]"),
        click.option("--precision", metavar="KIND", help="fp32, fp16 or bf16, where the device offers it."),
        click.option("--task", metavar="TASK", help=f"For files without metadata: {', '.join(DEMO_MODELS)}."),
        click.option("--names", callback=_names, metavar="FILE|A,B,C",
                     help="For files without metadata: class names, or a text file with one a line."),
        click.option("--kpt-shape", callback=_pair, metavar="K,D",
                     help="For pose files without metadata: number of keypoints, values of each (2 or 3)."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def load_with(model: str, options: dict[str, Any]) -> Engine:
    """Load a model with the options of `options_of_load`, which are taken out of `options`."""
    from ..engine.loading import load

    return load(model, **{name: options.pop(name) for name in LOADING})


def options_of_predict(command: Callable[..., None]) -> Callable[..., None]:
    """The options that calling a model takes."""
    conf = click.option("--conf", type=_SHARE, metavar="0-1", default=0.25, show_default=True,
                        help="Objects need a score above this.")  # fmt: skip
    return conf(_options_of_call(command))


def options_of_track(command: Callable[..., None]) -> Callable[..., None]:
    """The options that following objects with a model takes."""
    conf = click.option("--conf", type=_SHARE, metavar="0-1",
                        help="Objects need a score above this.  [default: 0.1; if exported with nms: 0.25]",
                        )  # fmt: skip
    return conf(_options_of_call(command))


def _options_of_call(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--iou", type=_SHARE, metavar="0-1", default=0.45, show_default=True,
                     help="Of two boxes that overlap by more than this, the better stays."),
        click.option("--imgsz", callback=size, metavar="N|H,W",
                     help="Size to run at, for models with free height and width."),
        click.option("--max-det", type=click.IntRange(1), metavar="N", default=300, show_default=True,
                     help="Most objects an image."),
        click.option("--classes", multiple=True, metavar="A,B",
                     help="Keep only these classes, by id or name; may be repeated."),
        click.option("--agnostic-nms", is_flag=True, help="Boxes of different classes suppress each other."),
        click.option("--batch", type=click.IntRange(1), metavar="N",
                     help="Images a run, for models with a free batch.  [default: 1, on GPUs 8]"),
        click.option("--retina-masks", is_flag=True, help="Masks at the size of the image."),
        click.option("--tile", callback=size, metavar="N|H,W",
                     help="For small objects: run slices of so many pixels, too, and merge what they hold."),
        click.option("--overlap", type=float, metavar="0-1", default=0.2, show_default=True,
                     help="Of neighbouring slices, as a share of --tile."),
        click.option("--merge", type=click.Choice(["nmm", "nms"]), default="nmm", show_default=True,
                     help="Join the objects of slices, or keep the best of those that overlap by --iou."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def class_ids(wanted: tuple[str, ...], names: Mapping[int, str]) -> list[int] | None:
    """Ids of classes given by id or name; names may hold commas, and their case does not matter.

    Raises:
        InputError: the model has no such class.
    """
    by_name = {name.casefold(): class_id for class_id, name in names.items()}
    ids = []
    for value in wanted:
        for part in [value] if value.casefold() in by_name else value.split(","):
            key = part.strip().casefold()
            if not key.isdecimal() and key not in by_name:
                close = difflib.get_close_matches(key, by_name, 3) or list(by_name)[:8]
                known = ", ".join(names[by_name[name]] for name in close)
                raise InputError(f"--classes {part.strip()!r}: this model has no such class, but {known}")
            ids.append(by_name[key] if key in by_name else int(key))
    return ids or None
