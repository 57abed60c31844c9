"""Agreement with Ultralytics' answers: `python -m yolean.benchmarks parity`.

A reference folder holds a JSON file a model, as `peers/reference.py` writes it. Every image in it is
predicted with its thresholds and input size, and compared object by object.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ..cli.console import printable
from ..engine.errors import YoleanError
from ..export.files import check_target
from ..models import demo_model
from .agreeing import MASK, PIXELS, SCORE, Limits, Row, Said, compare_model, read_said
from .asking import ask, interpreter
from .peers.reference import SUFFIXES
from .record import write

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
"""In a checkout: Ultralytics' answers for the demo models, and in `plain` the exports these were made of."""

_WIDTH = 100
_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Refusal(click.ClickException):
    """An error in one line; 1 would say that answers differ."""

    exit_code = 2


@click.command()
@click.option("--models", type=_FOLDER, metavar="DIR", help="The .onnx files.  [default: the demo models]")
@click.option("--images", type=_FOLDER, metavar="DIR", help="The images.  [default: the demo's]")
@click.option(
    "--reference",
    type=_FOLDER,
    metavar="DIR",
    help="Ultralytics' answers, <model>.json each.  [default: the demo's, in a checkout]",
)
@click.option(
    "--make",
    "make",
    is_flag=True,
    help="First ask an installed Ultralytics, and write its answers to --reference, or else to a temporary "
    "folder. Files of the same names are replaced.",
)
@click.option("--python", metavar="PYTHON", help="For --make, the interpreter that has ultralytics.")
@click.option("--model", "names", multiple=True, metavar="NAME", help="Only this model; may be repeated.")
@click.option(
    "--pixels",
    type=click.FloatRange(0),
    default=PIXELS,
    show_default=True,
    help="Most that coordinates of boxes, corners and keypoints may differ.",
)
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    default=SCORE,
    show_default=True,
    help="Most that scores, visibilities and probabilities may differ.",
)
@click.option(
    "--mask",
    type=click.FloatRange(0, 1),
    default=MASK,
    show_default=True,
    help="Least IoU of filled outlines.",
)
@click.option(
    "--device", default="auto", show_default=True, metavar="NAME", help="As `yolean predict` has it."
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Of one run.")
@click.option("--precision", metavar="KIND", help="fp32, fp16 or bf16, where the device offers it.")
@click.option(
    "--json", "target", type=click.Path(path_type=Path), metavar="FILE", help="Record in this file."
)
def main(
    models: Path | None,
    images: Path | None,
    reference: Path | None,
    make: bool,
    python: str | None,
    names: tuple[str, ...],
    pixels: float,
    score: float,
    mask: float,
    target: Path | None,
    **loading: Any,
) -> None:
    """Compare yolean's answers with Ultralytics'.

    An image agrees when every object has its partner within the tolerances; one whose score is that close
    to the threshold may be found by either side alone.

    The exit status is 0 when all agree, 1 when an image disagrees or a model fails, 2 when nothing could be
    compared.
    """
    limits = Limits(pixels, score, mask)
    try:
        if target is not None:
            check_target(target, overwrite=True)
        reference = _checked(models, images, reference, python, make)
        folder, image_paths = models or demo_model().parent, images or demo_model().parent
        names = _chosen(folder, names)
        left_out: dict[str, str] = {}
        if make:
            reference, left_out = _make(python, models or _askable(), names, image_paths, reference)
        assert reference is not None
        pairs, alone = _pairs(folder, reference, names)
        rows, failed = _compare(pairs, image_paths, limits, loading)
    except YoleanError as exc:
        raise _Refusal(printable(str(exc))) from exc
    show(rows, limits)
    for name, why in left_out.items():
        _say(f"{name}.onnx: Ultralytics was not asked: {why}")
    for name, why in (alone | failed).items():
        _say(f"{name}: not compared: {why}")
    if make:
        _say(f"Ultralytics' answers: {reference}")
    record = {"rows": [row.as_dict() for row in rows], "not_asked": left_out, "not_compared": alone | failed}
    try:
        write(target, record, {"tolerances": limits.as_dict()} | {k: v for k, v in loading.items() if v})
    except OSError as exc:
        raise _Refusal(f"{target} cannot be written: {exc.strerror or exc}") from exc
    if not any(row.images for row in rows):
        raise _Refusal(f"nothing could be compared: no model has answers to images in {image_paths}")
    sys.exit(1 if failed or any(row.disagreeing for row in rows) else 0)


def _checked(
    models: Path | None, images: Path | None, reference: Path | None, python: str | None, make: bool
) -> Path | None:
    """The folder with the answers, None for a temporary one.

    Raises:
        click.UsageError: the options contradict each other, or name no folders.
    """
    if python is not None and not make:
        raise click.UsageError("--python is for --make, which asks the Ultralytics that is installed there")
    if reference is None and not make:
        if models is not None or images is not None or not GOLDEN.is_dir():
            raise click.UsageError("name the folder of answers with --reference, or let --make ask for them")
        reference = GOLDEN
    for name, folder in (("--models", models), ("--images", images), ("--reference", reference)):
        may_be_made = make and name == "--reference"
        if folder is not None and not folder.is_dir() and not may_be_made:
            raise click.UsageError(f"{name} {folder}: there is no such folder")
    return reference


def _askable() -> Path:
    """The demo models that Ultralytics runs: the plain exports, where they are."""
    return GOLDEN / "plain" if GOLDEN.is_dir() else demo_model().parent


def _chosen(models: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the models that are wanted, without suffix."""
    known = sorted(path.stem for path in models.glob("*.onnx"))
    if not known:
        raise click.UsageError(f"--models {models}: there is no .onnx file")
    wanted = tuple(name.removesuffix(".onnx") for name in names)
    for name in wanted:
        if name not in known:
            raise click.UsageError(f"--model {name}: there is only {', '.join(known)} in {models}")
    return wanted or tuple(known)


def _make(
    python: str | None, models: Path, names: Sequence[str], images: Path, reference: Path | None
) -> tuple[Path, dict[str, str]]:
    """Ask Ultralytics; gives the folder with its answers, and why models were left out."""
    program = interpreter(python)
    image_paths = sum(path.suffix.lower() in SUFFIXES for path in images.iterdir())
    if not image_paths:
        raise click.UsageError(f"{images}: there is no image, {' '.join(SUFFIXES)}")
    target = reference or Path(tempfile.mkdtemp(prefix="yolean-reference-"))
    try:
        with _progress("asking Ultralytics", image_paths * len(names)) as advance:
            return target, ask(program, models, names, images, target, advance)
    except BaseException:
        if reference is None:
            shutil.rmtree(target)
        raise


def _pairs(
    models: Path, reference: Path, names: Sequence[str]
) -> tuple[list[tuple[Path, Said]], dict[str, str]]:
    """Models with their answers, and why others are alone."""
    pairs: dict[str, tuple[Path, Said]] = {}
    alone: dict[str, str] = {}
    for file in sorted(reference.glob("*.json")):
        said = read_said(file)
        if isinstance(said, str):
            alone[file.name] = said
        elif not (models / said.model).is_file():
            alone[file.name] = f"there is no {said.model} in {models}"
        elif Path(said.model).stem in names:
            pairs[Path(said.model).stem] = models / said.model, said
    alone |= {f"{name}.onnx": f"no answers in {reference}" for name in names if name not in pairs}
    return list(pairs.values()), alone


def _compare(
    pairs: list[tuple[Path, Said]], images: Path, limits: Limits, loading: dict[str, Any]
) -> tuple[list[Row], dict[str, str]]:
    """A row a model, and why others failed."""
    rows, failed = [], {}
    with _progress("comparing", sum(len(said.images) for _, said in pairs)) as advance:
        for model, said in pairs:
            try:
                rows.append(compare_model(model, said, images, limits, loading, advance))
            except YoleanError as exc:
                failed[model.name] = str(exc)
    return rows, failed


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar on a terminal, else a line a model; gives what is called with a model's name for every step."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task, last = bar.add_task(what, total=total), ""

    def advance(name: str) -> None:
        nonlocal last
        if name != last and not console.is_terminal:
            click.echo(printable(f"{what}: {name}"), err=True)
        last = name
        bar.update(task, advance=1, description=printable(f"{what}: {name}"))

    with bar:
        yield advance


def show(rows: Sequence[Row], limits: Limits) -> None:
    """The table, what disagrees, and a verdict."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    headings = ("images\nagree", "objects", "missing,\nextra", "box\npx", "score", "mask\nIoU",
                "keypoints\npx", "top-1,\ntop-5")  # fmt: skip
    table.add_column("model", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        style = "red" if row.disagreeing else None
        table.add_row(printable(row.model), *row.cells(), style=style)
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _WIDTH
    if rows:
        console.print(table)
    for row in rows:
        for line in row.lines():
            _say(line)
    images, wrong = sum(row.images for row in rows), sum(len(row.disagreeing) for row in rows)
    verdict = f"{wrong} of {images} images disagree" if wrong else f"all {images} images agree"
    if images:
        within = f"{limits.pixels:g} px, score {limits.score:g}, mask IoU {limits.mask:g}"
        _say(f"{verdict}, within {within}")


def _say(line: str) -> None:
    """A line that stays one line, whatever names it holds."""
    click.echo(printable(line))
