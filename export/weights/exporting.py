"""From an Ultralytics .pt file to a lean ONNX file, verified against the network in PyTorch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..._version import __version__
from ...engine.errors import InputError, YoleanError
from ...engine.loading import load
from ...engine.model.metadata import MAX_SIDE
from ...engine.runtime.cpu import usable_cores
from ...engine.runtime.devices import import_runtime
from ...postprocess.types import Size
from .. import optimizer as optimizing
from ..files import check_target, find_images, spread, write_whole
from ..graph.static_axes import fix_sides
from ..progress import OnProgress, ignore_progress
from .isolated_process import call
from .pytorch import Made, Order, work
from .requirements import check_opset, check_packages, check_weights
from .verification import Verification, verify

_MOST_IMAGES = 30
_LEAST_SIDE = 32

Run = Callable[[Order, OnProgress], Made]


@dataclass(frozen=True)
class WeightsJob:
    """What to make of weights.

    Attributes:
        weights: the .pt file.
        target: the file to write; None for one beside the weights, see `default_target`.
        imgsz: (height, width), rounded up to the stride; None for what the weights were trained at.
        static: fix height and width.
        batch: the fixed number of images, for static files; None for a free one.
        opset: of the file; None for Ultralytics' choice.
        end2end: export the end-to-end head, which needs no suppression.
        plain: leave out the optimisation.
        half, int8, dense_head, images, min_agreement, force, overwrite, threads: as for `optimize.Job`.
    """

    weights: Path
    target: Path | None = None
    imgsz: tuple[int, int] | None = None
    static: bool = False
    batch: int | None = None
    opset: int | None = None
    end2end: bool = False
    plain: bool = False
    half: bool = False
    dense_head: bool = False
    int8: bool = False
    images: Path | None = None
    min_agreement: float = 0.95
    force: bool = False
    overwrite: bool = False
    threads: int | None = None

    @property
    def precision(self) -> str:
        """`fp32`, `fp16` or `int8`, as asked for."""
        return "int8" if self.int8 else "fp16" if self.half else "fp32"


@dataclass(eq=False)
class WeightsReport:
    """What became of weights.

    Attributes:
        weights, target: the files.
        task: of the network.
        layout: of the file's outputs.
        precision: of the file.
        imgsz: (height, width) that is fixed, or the one to use by default.
        dynamic: whether height and width are free.
        batch: images a run, None where that is free.
        bytes: size of the file.
        optimized: the optimisation's own report; None for a plain file.
        verified: how the file compares with PyTorch.
        versions: of what took part.
        notes: what a reader should know and is no fault.
        problems: why the file is refused.
        written: whether the target was written.
    """

    weights: str
    target: str
    task: str
    layout: str
    precision: str
    imgsz: tuple[int, int]
    dynamic: bool
    batch: int | None
    bytes: int
    optimized: optimizing.Report | None
    verified: Verification
    versions: dict[str, str]
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    written: bool = False

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        parts = {
            "optimized": self.optimized and self.optimized.as_dict(),
            "verified": self.verified.as_dict(),
        }
        return vars(self) | parts


def run_in_child(order: Order, on_progress: OnProgress) -> Made:
    """`pytorch.work` in a process of its own, so that torch's prints, threads and memory are not ours."""
    return call(work, order, on_progress, order.folder / "log.txt")


def export(
    job: WeightsJob, on_progress: OnProgress = ignore_progress, run: Run | None = None
) -> WeightsReport:
    """Make the file that a job asks for, and compare it with PyTorch.

    Loading weights executes code that the file holds: only weights that are trusted may come here. A file
    that is worse than asked for is not written, unless forced; the report's `problems` say why.

    Args:
        job: what to make.
        on_progress: is told the stage that runs, how many of its steps are done, and how many there are.
        run: does the part that needs torch; None for `run_in_child`.

    Raises:
        ModelError: the weights are missing, unreadable, or not of a YOLO that yolean runs; the export fails.
        InputError: an argument is out of range, a package is missing, or the target is not usable.
    """
    target = job.target or default_target(job)
    check(job, target)
    images = tuple(spread(find_images(job.images), _MOST_IMAGES)) if job.images else ()
    with tempfile.TemporaryDirectory(prefix="yolean-export-") as name:
        folder = Path(name)
        made = (run or run_in_child)(
            Order(
                weights=job.weights,
                folder=folder,
                imgsz=job.imgsz,
                static=job.static,
                batch=job.batch,
                opset=job.opset,
                end2end=job.end2end,
                images=images,
                crowds=job.precision == "fp32",
                threads=job.threads or usable_cores(),
            ),
            on_progress,
        )
        if job.static and job.batch is None:
            fix_sides(made.file, Size(*made.imgsz))
        report = _finish(job, target, made, on_progress)
        if not report.problems or job.force:
            on_progress("writing", 0, 1)
            write_whole(target, _ready(job, made).read_bytes())
            report.written = True
        if report.optimized is not None:
            report.optimized.written = report.written
    return report


def default_target(job: WeightsJob) -> Path:
    """Beside the weights: `yolov8n.pt` becomes `yolov8n.onnx`, `yolov8n-half.onnx` or `yolov8n-int8.onnx`."""
    ending = {"fp32": "", "fp16": "-half", "int8": "-int8"}[job.precision]
    return job.weights.with_name(f"{job.weights.stem}{ending}.onnx")


def _ready(job: WeightsJob, made: Made) -> Path:
    """The finished file, in the temporary folder."""
    return made.file if job.plain else made.file.with_suffix(".optimized.onnx")


def _finish(job: WeightsJob, target: Path, made: Made, on_progress: OnProgress) -> WeightsReport:
    """Optimise the plain file and verify what came of it."""
    optimized = None
    if not job.plain:
        optimized = _optimized(job, made, on_progress)
    ready = _ready(job, made)
    engine = load(ready, "cpu", threads=job.threads)
    verified = verify(engine, made.asked, made.conf, job.precision, job.min_agreement, on_progress)
    spec = engine.spec
    ort = import_runtime().__version__
    report = WeightsReport(
        weights=str(job.weights),
        target=str(target),
        task=engine.task,
        layout=spec.layout.kind,
        precision=job.precision,
        imgsz=spec.imgsz,
        dynamic=spec.dynamic,
        batch=spec.batch,
        bytes=ready.stat().st_size,
        optimized=optimized,
        verified=verified,
        versions={"yolean": __version__, "onnxruntime": ort} | made.versions,
    )
    if job.imgsz not in (None, made.imgsz):
        asked, given = ("x".join(map(str, size)) for size in (job.imgsz or (), made.imgsz))
        report.notes.append(
            f"--imgsz {asked} was rounded up to {given}, a multiple of the stride {made.stride}"
        )
    for part in (optimized, verified):
        if part is not None:
            report.notes += part.notes
            report.problems += part.problems
    return report


def _optimized(job: WeightsJob, made: Made, on_progress: OnProgress) -> optimizing.Report:
    """Write the optimised file beside the plain one; complaints about it are in the report."""
    wanted = optimizing.Job(
        made.file,
        _ready(job, made),
        half=job.half,
        dense_head=job.dense_head,
        int8=job.int8,
        images=job.images or made.images,
        min_agreement=job.min_agreement,
        force=True,  # nothing is in its place yet
        threads=job.threads,
    )

    def all_but_writing(stage: str, done: int, total: int) -> None:
        if stage != "writing":  # that is not the file which was asked for
            on_progress(stage, done, total)

    try:
        report = optimizing.optimize(wanted, all_but_writing)
    except YoleanError as exc:
        raise type(exc)(str(exc).replace(str(made.file), f"the export of {job.weights}")) from exc
    report.source, report.target = f"plain export of {job.weights}", str(job.target or default_target(job))
    return report


def check(job: WeightsJob, target: Path) -> None:
    """Refuse what cannot work, before anything takes time.

    Raises:
        ModelError: the weights are missing or no PyTorch file.
        InputError: anything else.
    """
    check_weights(job.weights)
    if target.suffix == job.weights.suffix or (target.exists() and target.samefile(job.weights)):
        raise InputError(f"-o {target} names weights: expected an .onnx file to write")
    check_target(target, job.overwrite)
    if job.plain and job.precision != "fp32":
        raise InputError(
            "--plain leaves out the optimisation, and --half and --int8 are part of it: drop one"
        )
    if job.batch is not None and not job.static:
        raise InputError(
            f"--batch {job.batch} goes with --static: without it height, width and batch are all free, and "
            "any number of images fits"
        )
    if job.imgsz is not None and not all(_LEAST_SIDE <= side <= MAX_SIDE for side in job.imgsz):
        raise InputError(
            f"--imgsz {','.join(map(str, job.imgsz))}: expected sides from {_LEAST_SIDE} to {MAX_SIDE}"
        )
    check_packages()
    if job.opset is not None:
        check_opset(job.opset)
