"""`yolean bench`: what models cost on this machine. What it needs is imported when it runs."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..engine.errors import InputError
from ..models import DEMO_MODELS, demo_model, model_file

if TYPE_CHECKING:
    from .measured import Image
    from .stages import Case

MOST_IMAGES = 32
"""Images of a folder that are measured with, evenly spread over their names."""

Size = int | tuple[int, int]

_FIGURES = {
    "times": "milliseconds an image",
    "total": "encoded image to Results, outlines of masks included",
    "session_run": "bare onnxruntime.InferenceSession.run of the same file, shapes, threads and provider",
    "ratio": "decoded image to Results, divided by session_run, group by group in turn",
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


def _size(text: str) -> Size:
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
    help="Time for each configuration, shared by both sides.",
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
    imgsz: list[Size] | None,
    device: str,
    precision: str | None,
    duration: float,
    json_to: Path | None,
) -> None:
    """Measure models on this machine.

    A MODEL is an .onnx file, or a demo model's word as for `predict`; without any, the five demo models.
    Every combination of the lists is a configuration.

    Of each: the stages from encoded image to results in milliseconds an image, images a second, and the
    ratio to ONNX Runtime alone, which is the time from decoded image to results (all but the decoding)
    divided by the time of a bare `session.run` of the same file, shapes and threads. yolean and the bare
    session run in turn, in processes of their own.

    The exit status is 0 when all was measured, 1 when something was not, 2 when nothing was, 130 after
    Ctrl-C: what was measured by then is kept.
    """
    from ..cli.console import printable
    from .bench_table import show

    files = list(dict.fromkeys(map(model_file, models))) or [str(demo_model(task)) for task in DEMO_MODELS]
    _check_target(json_to, files)
    found, unread = _images(images)
    cases = _cases(files, imgsz, batch, threads, device, precision)
    rows: list[dict[str, Any]] = []
    refused: list[tuple[Case, str]] = []
    status = _run(cases, found, duration, rows, refused)
    reasons = _reasons(cases, refused)
    if not rows and not status:
        for reason in reasons:
            click.echo(f"Error: {printable(reason)}", err=True)
        sys.exit(2)
    show(rows, reasons)
    if rows:
        asked = {"threads": threads, "batch": batch, "imgsz": imgsz, "device": device, "precision": precision}
        how = {"models": list(dict.fromkeys(case.label for case in cases)), "options": asked}
        _record(json_to, rows, refused, how | {"duration": duration, "cut_short": bool(status)}, found)
    sys.exit(status or int(bool(refused or unread)))


def _check_target(target: Path | None, models: list[str]) -> None:
    from ..export.files import check_target

    if target is not None:
        check_target(target, overwrite=True)
        if target.resolve() in [Path(model).resolve() for model in models]:
            raise InputError(f"--json {target} is the name of a model here: name another file")


def _cases(
    files: list[str],
    imgsz: list[Size] | None,
    batch: list[int] | None,
    threads: list[int] | None,
    device: str,
    precision: str | None,
) -> list[Case]:
    """Every combination, the numbers of threads next to one another."""
    from ..engine.runtime.cpu import usable_cores
    from .stages import Case

    labels = _labels(files)
    lists: tuple[Sequence[Any], ...] = (files, imgsz or [None], batch or [None], threads or [usable_cores()])
    return [
        Case(file, labels[file], count, many, size, device, precision)
        for file, size, many, count in product(*lists)
    ]


def _record(
    target: Path | None,
    rows: list[dict[str, Any]],
    refused: list[tuple[Case, str]],
    how: dict[str, Any],
    images: list[Image],
) -> None:
    """Write the figures, without the folders of this machine."""
    from .record import write

    told = [
        {"file": Path(path).name, "bytes": Path(path).stat().st_size, "height": height, "width": width}
        for path, height, width in images
    ]
    missing = [asdict(case) | {"model": case.label, "reason": why} for case, why in refused]
    write(target, {"rows": rows, "not_measured": missing}, how | {"images": told, "figures": _FIGURES})


def _run(
    cases: Sequence[Case],
    images: list[Image],
    duration: float,
    rows: list[dict[str, Any]],
    refused: list[tuple[Case, str]],
) -> int:
    """Measure one configuration after the other; the status of an interruption, 0 without."""
    from .bench_table import progress
    from .stages import measure
    from .workers import WorkerError

    try:
        with progress(len(cases)) as advance:
            for number, case in enumerate(cases):
                tell = partial(advance, case.label, number)
                tell(0.0)
                try:
                    measure(case, images, duration, tell, rows)
                except WorkerError as exc:
                    refused.append((case, str(exc)))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as exc:  # SIGTERM, see cli.main
        return exc.code if isinstance(exc.code, int) else 1
    return 0


def _images(images: Path | None) -> tuple[list[Image], int]:
    """The images to measure with, and how many could not be read, which are told."""
    from ..cli.console import printable
    from ..engine.images.decoding import IMAGE_SUFFIXES
    from ..engine.images.sources import open_source
    from ..export.files import find_images, spread

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


def _labels(files: list[str]) -> dict[str, str]:
    """Names of files, with as many of their folders as it takes to tell them apart."""
    parts = {file: Path(file).parts for file in files}
    most = max(map(len, parts.values()))
    for count in range(1, most + 1):
        labels = {file: "/".join(own[-count:]) for file, own in parts.items()}
        if len(set(labels.values())) == len(files):
            break
    return labels


def _reasons(cases: Sequence[Case], refused: Sequence[tuple[Case, str]]) -> list[str]:
    """Why which configurations were not measured, those with the same reason as one line."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case, why in refused:
        groups.setdefault((case.model, why), []).append(case)
    lines = []
    for (model, why), some in groups.items():
        own = [case for case in cases if case.model == model]
        lines += [why if model in why else f"{name}: {why}" for name in _names(some, own)]
    everywhere = len({why for _, why in refused}) == 1 and len(refused) == len(cases)
    return [refused[0][1]] if everywhere else lines


def _names(some: list[Case], all_of_model: list[Case]) -> list[str]:
    """What to call some of a model's configurations: by what only they have in common, or one by one."""
    if len(some) == len(all_of_model):
        return [some[0].label]
    parts = ("imgsz", "batch", "threads")
    common: dict[str, Any] = {
        name: getattr(some[0], name) for name in parts if len({getattr(case, name) for case in some}) == 1
    }
    alike = [case for case in all_of_model if all(getattr(case, n) == v for n, v in common.items())]
    if len(alike) > len(some):
        return [case.name for case in some]
    common = {**dict.fromkeys(parts), **common}
    return [replace(some[0], **common).name]
