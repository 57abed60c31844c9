"""`yolean bench`: what models cost on this machine. What it needs is imported when it runs."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..engine.errors import InputError
from ..models import DEMO_MODELS, demo_model, model_file

if TYPE_CHECKING:
    from .bench_measuring import Configuration, Measurement
    from .bench_worker import ImageFile

MOST_IMAGES = 32
"""Images of a folder that are measured with, evenly spread over their names."""

SCHEMA = 2
"""Version of what `--json` writes."""

Imgsz = int | tuple[int, int]

_FIGURES = {
    "times": "milliseconds an image",
    "total": "encoded image to Results, outlines of masks included",
    "session_run": "bare onnxruntime.InferenceSession.run of the same file, shapes, threads and provider",
    "ratio": "decoded image to Results, divided by session_run, repetition by repetition",
    "load_ms": "yolean.load, with the libraries imported before (import_ms)",
    "peak_mb": "of the process, less the encoded images that it holds",
}


def _listed(what: str, read: Callable[[str], Any]) -> Callable[..., list[Any] | None]:
    """The callback of an option that takes a list with commas; `read` raises ValueError."""

    def callback(_ctx: click.Context, _param: click.Parameter, value: str | None) -> list[Any] | None:
        if value is None:
            return None
        try:
            return list(dict.fromkeys(read(part.strip()) for part in value.split(",")))
        except ValueError as exc:
            raise click.BadParameter(f"{value!r}: expected {what}") from exc

    return callback


def _whole(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text[:9]) <= most:
            raise ValueError(text)
        return int(text)

    return read


def _size(text: str) -> Imgsz:
    height, by, width = text.lower().partition("x")
    side = _whole(8192)
    return (side(height), side(width)) if by else side(height)


def _seconds(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    if not math.isfinite(value) or value <= 0:
        raise click.BadParameter(f"{value}: expected a number of seconds above 0, such as 5")
    return value


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--images",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="A folder of images, or one image.  [default: the demo images]",
)
@click.option(
    "--threads",
    metavar="LIST",
    callback=_listed("whole numbers from 1 to 1024 such as 1,2,4", _whole(1024)),
    help="Threads of one run on the CPU, such as 1,2,4.  [default: the cores that may be used]",
)
@click.option(
    "--batch",
    metavar="LIST",
    callback=_listed("whole numbers from 1 to 4096 such as 1,4", _whole(4096)),
    help="Images a run, such as 1,4.  [default: 1, or what the file fixes]",
)
@click.option(
    "--imgsz",
    metavar="LIST",
    callback=_listed("sizes to 8192 such as 320,640 or 480x640", _size),
    help="Sizes, N or HxW, for models with free height and width.  [default: the file's own]",
)
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="As for `yolean predict`.")
@click.option("--precision", metavar="KIND", help="fp32, fp16 or bf16, where the device offers it.")
@click.option(
    "--duration",
    type=float,
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    callback=_seconds,
    help="Time for each configuration, for yolean and the bare session together.",
)
@click.option(
    "--json",
    "json_to",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write every figure into this file, with the machine and how they were taken.",
)
def bench(
    models: tuple[str, ...],
    images: Path | None,
    threads: list[int] | None,
    batch: list[int] | None,
    imgsz: list[Imgsz] | None,
    device: str,
    precision: str | None,
    duration: float,
    json_to: Path | None,
) -> None:
    """Measure models on this machine.

    A MODEL is an .onnx file, or a demo model's word as for `predict`; without any, the demo models.
    Every combination of the lists is a configuration.

    Of each: the stages from encoded image to results in milliseconds an image, images a second, and the
    ratio to ONNX Runtime alone, which is the time from decoded image to results (all but the decoding)
    divided by the time of a bare `session.run` of the same file, shapes and threads. yolean and the bare
    session run in interleaved repetitions, in processes of their own.

    The exit status is 0 when all was measured, 1 when something was not, 2 when nothing was, 130 after
    Ctrl-C: what was measured by then is kept.
    """
    from .bench_measuring import reasons
    from .bench_table import show
    from .console import printable

    files = list(dict.fromkeys(map(model_file, models))) or [str(demo_model(task)) for task in DEMO_MODELS]
    _check_target(json_to, files)
    found, unread = _images(images)
    configurations = _configurations(files, imgsz, batch, threads, device, precision)
    rows: list[Measurement] = []
    refused: list[tuple[Configuration, str]] = []
    status = _run(configurations, found, duration, rows, refused)
    why = reasons(configurations, refused)
    if not rows and not status:
        for reason in why:
            click.echo(f"Error: {printable(reason)}", err=True)
        sys.exit(2)
    show(rows, why)
    if rows:
        asked = {"threads": threads, "batch": batch, "imgsz": imgsz, "device": device, "precision": precision}
        settings: dict[str, Any] = {
            "models": list(dict.fromkeys(each.label for each in configurations)),
            "options": asked,
        }
        settings |= {"duration": duration, "cut_short": bool(status)}
        _record(json_to, rows, refused, settings, found)
    sys.exit(status or int(bool(refused or unread)))


def _check_target(target: Path | None, models: list[str]) -> None:
    from ..export.files import check_target

    if target is not None:
        check_target(target, overwrite=True)
        if target.resolve() in [Path(model).resolve() for model in models]:
            raise InputError(f"--json {target} is the name of a model here: name another file")


def _configurations(
    files: list[str],
    imgsz: list[Imgsz] | None,
    batch: list[int] | None,
    threads: list[int] | None,
    device: str,
    precision: str | None,
) -> list[Configuration]:
    """Every combination, the numbers of threads next to one another."""
    from ..engine.runtime.cpu import usable_cores
    from .bench_measuring import Configuration, labels

    names = labels(files)
    lists: tuple[Sequence[Any], ...] = (files, imgsz or [None], batch or [None], threads or [usable_cores()])
    return [
        Configuration(file, names[file], count, many, size, device, precision)
        for file, size, many, count in product(*lists)
    ]


def _record(
    target: Path | None,
    rows: list[Measurement],
    refused: list[tuple[Configuration, str]],
    settings: dict[str, Any],
    images: list[ImageFile],
) -> None:
    """Write the figures, without the folders of this machine."""
    from ..export.files import write_whole
    from ..measurement.machine import this_machine

    if target is None:
        return
    inputs = [
        {"file": Path(path).name, "bytes": Path(path).stat().st_size, "height": height, "width": width}
        for path, height, width in images
    ]
    record = {
        "schema": SCHEMA,
        "machine": asdict(this_machine()),
        "settings": settings | {"images": inputs, "figures": _FIGURES},
        "rows": [asdict(row) for row in rows],
        "not_measured": [asdict(each) | {"model": each.label, "reason": why} for each, why in refused],
    }
    write_whole(target, json.dumps(record, indent=1).encode() + b"\n")


def _run(
    configurations: list[Configuration],
    images: list[ImageFile],
    duration: float,
    rows: list[Measurement],
    refused: list[tuple[Configuration, str]],
) -> int:
    """Measure one configuration after the other; the status of an interruption, 0 without."""
    from ..measurement.worker import WorkerError
    from .bench_measuring import measure
    from .bench_table import progress

    try:
        with progress(len(configurations)) as advance:
            for number, configuration in enumerate(configurations):
                on_progress = partial(advance, configuration.label, number)
                on_progress(0.0)
                try:
                    measure(configuration, images, duration, on_progress, rows)
                except WorkerError as exc:
                    refused.append((configuration, str(exc)))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as exc:  # SIGTERM, see cli.main
        return exc.code if isinstance(exc.code, int) else 1
    return 0


def _images(images: Path | None) -> tuple[list[ImageFile], int]:
    """The images to measure with, and how many could not be read, which are reported."""
    from ..engine.images.decoding import IMAGE_SUFFIXES
    from ..engine.images.sources import open_source
    from ..export.trial_images import find_images, spread
    from .console import printable

    if images is not None and images.is_file():
        if images.suffix.lower() not in IMAGE_SUFFIXES:
            raise InputError(f"--images {images}: expected a folder or an image, such as a .jpg file")
        files = [images]
    elif images is not None and not images.is_dir():
        raise InputError(f"--images {images}: expected a folder or an image, found nothing there")
    else:
        files = spread(find_images(images), MOST_IMAGES)
    errors: list[InputError] = []
    frames = open_source([str(path) for path in files]).frames(errors.append)
    found = [(frame.path, *frame.image.shape[:2]) for frame in frames]
    if not found:
        raise InputError(f"--images {images}: no image can be read: {errors[0]}")
    for error in errors:
        click.echo(f"Error: {printable(str(error))}", err=True)
    return found, len(errors)
