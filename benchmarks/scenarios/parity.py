"""Agreement with Ultralytics' answers: `python -m yolean.benchmarks parity`.

A reference folder holds a JSON file a model, as `reference_runner.py` writes it. Every image in it is
predicted with its thresholds and input size, and compared object by object.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ...engine.errors import YoleanError
from ...export.files import check_target
from ...models import demo_model
from ..model_records import ModelParity, ParityRecord, ParitySettings, Tolerances
from ..records import write
from ..reference_runner import SUFFIXES
from ..references import Reference, interpreter, make_references, read_reference
from ..tables import Table, printable
from .parity_comparison import compare_model

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
"""In a checkout: Ultralytics' answers for the demo models, and in `plain` the exports these were made of."""

_FOLDER = click.Path(file_okay=False, path_type=Path)
_NAMES = {
    "box": "box {:.3g} px",
    "keypoints": "keypoint {:.3g} px",
    "score": "score {:.2g}",
    "visibility": "visibility {:.2g}",
    "probs": "probability {:.2g}",
    "mask": "mask IoU {:.3f}",
    "other_class": "{:.2g} of the pixels",
    "depth": "depth {:.2g} of its value",
}


class _Refusal(click.ClickException):
    """An error in one line; 1 would say that answers differ."""

    exit_code = 2


def table(rows: Sequence[ModelParity], tolerances: Tolerances) -> Table:
    """A row a model; below, what disagrees, what is at the threshold, and the verdict."""
    headings = ["model", "images\nagree", "objects", "missing,\nextra", "box\npx", "score", "mask\nIoU"]
    made = Table([*headings, "keypoints\npx", "top-1,\ntop-5", "map"])
    for row in rows:
        counts = ["", ""] if row.objects is None else [str(row.objects), f"{row.missing}, {row.extra}"]
        differences = [_worst(row, "{:.3f}", "box"), _worst(row, "{:.5f}", "score", "probs")]
        differences += [_worst(row, "{:.4f}", "mask_iou"), _worst(row, "{:.3f}", "keypoints")]
        top = "" if row.top1 is None else f"{row.top1}, {row.top5}"
        differences += [top, _worst(row, "{:.5f}", "other_class", "depth")]
        made.rows.append([row.model, f"{row.agree}/{row.images}", *counts, *differences])
        made.notes += _lines(row)
    images, agree = sum(row.images for row in rows), sum(row.agree for row in rows)
    verdict = (
        f"all {images} images agree" if agree == images else f"{images - agree} of {images} images disagree"
    )
    within = f"{tolerances.pixels:g} px, score {tolerances.score:g}, mask IoU {tolerances.mask:g}"
    if images:
        made.notes.append(f"{verdict}, within {within}")
    return made


def _worst(row: ModelParity, form: str, *kinds: str) -> str:
    found = [row.worst[kind].value for kind in kinds if kind in row.worst]
    return "not finite" if None in found else form.format(found[0]) if found else ""


def _lines(row: ModelParity) -> Iterator[str]:
    """What a reader of a model's row has to know besides."""
    if row.disagreeing:
        kinds = {kind for wrong in row.disagreeing.values() for kind in wrong}
        parts = []
        for kind, text in _NAMES.items():
            if kind in kinds:
                worst = row.worst["mask_iou" if kind == "mask" else kind]
                value = math.inf if worst.value is None else worst.value
                parts.append(f"{text.format(value)} in {worst.image}")
        for kind, number in (("missing", row.missing), ("extra", row.extra)):
            if kind in kinds:
                where = ", ".join(name for name, wrong in row.disagreeing.items() if kind in wrong)
                parts.append(f"{number} {kind} in {where}")
        yield f"{row.model}: {len(row.disagreeing)} of {row.images} disagree: {'; '.join(parts)}"
    for each in row.at_threshold:
        where = f"{row.model}: {each.image}: at the threshold, found by {each.found_by} alone"
        yield f"{where}: score {each.score:.4f}"
    if row.absent:
        yield f"{row.model}: not compared, no such images: {', '.join(row.absent)}"


@click.command()
@click.option("--models", type=_FOLDER, metavar="DIR", help="The .onnx files.  [default: the demo models]")
@click.option("--images", type=_FOLDER, metavar="DIR", help="The images.  [default: the demo's]")
@click.option("--reference", type=_FOLDER, metavar="DIR",
              help="Ultralytics' answers, <model>.json each.  [default: the demo's, in a checkout]",
              )  # fmt: skip
@click.option("--make", is_flag=True,
              help="First let an installed Ultralytics write its answers to --reference, or else to a "
              "temporary folder. Files of the same names are replaced.")  # fmt: skip
@click.option("--python", metavar="PYTHON", help="For --make, the interpreter that has ultralytics.")
@click.option("--model", "names", multiple=True, metavar="NAME", help="Only this model; may be repeated.")
@click.option("--pixels", type=click.FloatRange(0), default=1.0, show_default=True,
              help="Most that coordinates of boxes, corners and keypoints may differ.")  # fmt: skip
@click.option("--score", type=click.FloatRange(0, 1), default=2e-3, show_default=True,
              help="Most that scores, visibilities and probabilities may differ.")  # fmt: skip
@click.option("--mask", type=click.FloatRange(0, 1), default=0.97, show_default=True,
              help="Least IoU of filled outlines.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="As for `yolean predict`.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Of one run.")
@click.option("--precision", metavar="KIND", help="fp32, fp16 or bf16, where the device offers it.")
@click.option("--json", "file", type=click.Path(path_type=Path), metavar="FILE", help="Record in this file.")
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
    file: Path | None,
    **loading: Any,
) -> None:
    """Compare yolean's answers with Ultralytics'.

    An image agrees when every object has its partner within the tolerances; one whose score is that close
    to the threshold may be found by either of the two alone.

    The exit status is 0 when all agree, 1 when an image disagrees or a model fails, 2 when nothing could be
    compared.
    """
    tolerances = Tolerances(pixels, score, mask)
    try:
        if file is not None:
            check_target(file, overwrite=True)
        reference = _checked(models, images, reference, python, make)
        folder, image_folder = models or demo_model().parent, images or demo_model().parent
        names = _chosen(folder, names)
        no_reference: dict[str, str] = {}
        if make:
            reference, no_reference = _make(python, models or _plain(), names, image_folder, reference)
        assert reference is not None
        pairs, alone = _pairs(folder, reference, names)
        rows, failed = _compare(pairs, image_folder, tolerances, loading)
        table(rows, tolerances).show()
        for name, why in no_reference.items():
            _echo(f"{name}.onnx: no answers of Ultralytics: {why}")
        for name, why in (alone | failed).items():
            _echo(f"{name}: not compared: {why}")
        if make:
            _echo(f"Ultralytics' answers: {reference}")
        settings = ParitySettings(tolerances=tolerances, **loading)
        write(
            ParityRecord(
                settings=settings, models=rows, no_reference=no_reference, not_compared=alone | failed
            ),
            file,
        )
    except YoleanError as exc:
        raise _Refusal(printable(str(exc))) from exc
    if not any(row.images for row in rows):
        raise _Refusal(f"nothing could be compared: no model has answers to images in {image_folder}")
    sys.exit(1 if failed or any(row.disagreeing for row in rows) else 0)


def _checked(
    models: Path | None, images: Path | None, reference: Path | None, python: str | None, make: bool
) -> Path | None:
    """The folder with the answers, None for a temporary one.

    Raises:
        click.UsageError: the options contradict each other, or name no folders.
    """
    if python is not None and not make:
        raise click.UsageError("--python is for --make, which runs the Ultralytics that is installed there")
    if reference is None and not make:
        if models is not None or images is not None or not GOLDEN.is_dir():
            raise click.UsageError("name the folder of answers with --reference, or let --make write them")
        reference = GOLDEN
    for name, folder in (("--models", models), ("--images", images), ("--reference", reference)):
        may_be_made = make and name == "--reference"
        if folder is not None and not folder.is_dir() and not may_be_made:
            raise click.UsageError(f"{name} {folder}: there is no such folder")
    return reference


def _plain() -> Path:
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
    """Let Ultralytics answer; returns the folder with its answers, and why models were left out."""
    program = interpreter(python)
    if not any(path.suffix.lower() in SUFFIXES for path in images.iterdir()):
        raise click.UsageError(f"{images}: there is no image, {' '.join(SUFFIXES)}")
    target = reference or Path(tempfile.mkdtemp(prefix="yolean-reference-"))
    try:
        return target, make_references(program, models, names, images, target, _report)
    except BaseException:
        if reference is None:
            shutil.rmtree(target)
        raise


def _report(model: str) -> None:
    click.echo(printable(f"Ultralytics has answered: {model}"), err=True)


def _pairs(
    models: Path, reference: Path, names: Sequence[str]
) -> tuple[list[tuple[Path, Reference]], dict[str, str]]:
    """Models with their answers, and why others are alone."""
    pairs: dict[str, tuple[Path, Reference]] = {}
    alone: dict[str, str] = {}
    for file in sorted(reference.glob("*.json")):
        found = read_reference(file)
        if isinstance(found, str):
            alone[file.name] = found
        elif not (models / found.model).is_file():
            alone[file.name] = f"there is no {found.model} in {models}"
        elif Path(found.model).stem in names:
            pairs[Path(found.model).stem] = models / found.model, found
    alone |= {f"{name}.onnx": f"no answers in {reference}" for name in names if name not in pairs}
    return list(pairs.values()), alone


def _compare(
    pairs: list[tuple[Path, Reference]], images: Path, tolerances: Tolerances, loading: dict[str, Any]
) -> tuple[list[ModelParity], dict[str, str]]:
    """A row a model, and why others failed."""
    rows, failed = [], {}
    for model, reference in pairs:
        click.echo(printable(f"comparing: {model.stem}"), err=True)
        try:
            rows.append(compare_model(model, reference, images, tolerances, loading))
        except YoleanError as exc:
            failed[model.name] = str(exc)
    return rows, failed


def _echo(line: str) -> None:
    """A line that stays one line, whatever names it holds."""
    click.echo(printable(line))
