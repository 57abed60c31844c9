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
from ..evaluation.average_precision import MIN_SCORE
from ..files import check_target, write_whole
from ..graph.static_axes import fix_sides
from ..progress import OnProgress, ignore_progress
from ..trial_images import find_images, spread
from .isolated_process import call
from .pytorch import ExportRequest, ExportResult, run_export
from .requirements import check_opset, check_packages, check_weights
from .verification import Verification, verify

_MAX_IMAGES = 30
_MIN_SIDE = 32

Run = Callable[[ExportRequest, OnProgress], ExportResult]


@dataclass(frozen=True)
class ExportOptions:
    """What to make of a .pt file.

    Attributes:
        weights: the .pt file.
        target: the file to write; None for one beside the weights, see `default_target`.
        imgsz: (height, width), rounded up to the stride; None for what the weights were trained at.
        static: fix height and width.
        batch: the fixed number of images, for static files; None for a free one.
        opset: of the file; None for Ultralytics' choice.
        end2end: export the end-to-end head, which needs no suppression.
        plain: leave out the optimisation.
        half, int8, dense_head, images, min_agreement, force, overwrite, threads: as for `OptimizeOptions`.
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
class ExportReport:
    """The result of an export.

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
    optimized: optimizing.OptimizeReport | None
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


def run_in_child(request: ExportRequest, on_progress: OnProgress) -> ExportResult:
    """`run_export` in a process of its own, which keeps torch's prints, threads and memory."""
    return call(run_export, request, on_progress, request.folder / "log.txt")


def export(
    options: ExportOptions, on_progress: OnProgress = ignore_progress, run: Run | None = None
) -> ExportReport:
    """Export weights as an ONNX file, and compare the file with PyTorch.

    Loading weights executes code that the file holds: only weights that are trusted may come here. A file
    that is worse than asked for is not written, unless forced; the report's `problems` say why.

    Args:
        options: what to make.
        on_progress: called with the current stage, the number of its steps that are done, and their total.
        run: does the part that needs torch; None for `run_in_child`.

    Raises:
        ModelError: the weights are missing, unreadable, or not of a YOLO that yolean runs; the export fails.
        InputError: an argument is out of range, a package is missing, or the target is not usable.
    """
    target = options.target or default_target(options)
    check(options, target)
    images = tuple(spread(find_images(options.images), _MAX_IMAGES)) if options.images else ()
    with tempfile.TemporaryDirectory(prefix="yolean-export-") as name:
        folder = Path(name)
        made = (run or run_in_child)(
            ExportRequest(
                weights=options.weights,
                folder=folder,
                imgsz=options.imgsz,
                static=options.static,
                batch=options.batch,
                opset=options.opset,
                end2end=options.end2end,
                images=images,
                candidates=options.precision == "fp32",
                min_score=MIN_SCORE if options.int8 else None,
                threads=options.threads or usable_cores(),
            ),
            on_progress,
        )
        if options.static and options.batch is None:
            fix_sides(made.file, Size(*made.imgsz))
        report = _finish(options, target, made, on_progress)
        if not report.problems or options.force:
            on_progress("writing", 0, 1)
            write_whole(target, _ready(options, made).read_bytes())
            report.written = True
        if report.optimized is not None:
            report.optimized.written = report.written
    return report


def default_target(options: ExportOptions) -> Path:
    """Beside the weights: `yolov8n.pt` becomes `yolov8n.onnx`, `yolov8n-half.onnx` or `yolov8n-int8.onnx`."""
    ending = {"fp32": "", "fp16": "-half", "int8": "-int8"}[options.precision]
    return options.weights.with_name(f"{options.weights.stem}{ending}.onnx")


def _ready(options: ExportOptions, made: ExportResult) -> Path:
    """The finished file, in the temporary folder."""
    return made.file if options.plain else made.file.with_suffix(".optimized.onnx")


def _finish(
    options: ExportOptions, target: Path, made: ExportResult, on_progress: OnProgress
) -> ExportReport:
    """Optimise the plain file and verify the result."""
    optimized = None
    if not options.plain:
        optimized = _optimized(options, made, on_progress)
    ready = _ready(options, made)
    engine = load(ready, "cpu", threads=options.threads)
    verified = verify(
        engine, made.references, made.conf, options.precision, options.min_agreement, on_progress
    )
    spec = engine.spec
    ort = import_runtime().__version__
    report = ExportReport(
        weights=str(options.weights),
        target=str(target),
        task=engine.task,
        layout=spec.layout.kind,
        precision=options.precision,
        imgsz=spec.imgsz,
        dynamic=spec.dynamic,
        batch=spec.batch,
        bytes=ready.stat().st_size,
        optimized=optimized,
        verified=verified,
        versions={"yolean": __version__, "onnxruntime": ort} | made.versions,
    )
    if options.imgsz not in (None, made.imgsz):
        asked, given = ("x".join(map(str, size)) for size in (options.imgsz or (), made.imgsz))
        report.notes.append(
            f"--imgsz {asked} was rounded up to {given}, a multiple of the stride {made.stride}"
        )
    for part in (optimized, verified):
        if part is not None:
            report.notes += [note for note in part.notes if note not in report.notes]
            report.problems += part.problems
    return report


def _optimized(
    options: ExportOptions, made: ExportResult, on_progress: OnProgress
) -> optimizing.OptimizeReport:
    """Write the optimised file beside the plain one, even if the report names problems."""
    wanted = optimizing.OptimizeOptions(
        made.file,
        _ready(options, made),
        half=options.half,
        dense_head=options.dense_head,
        int8=options.int8,
        images=options.images or made.images,
        min_agreement=options.min_agreement,
        force=True,  # nothing is in its place yet
        threads=options.threads,
    )

    def all_but_writing(stage: str, done: int, total: int) -> None:
        if stage != "writing":  # that is not the file which was asked for
            on_progress(stage, done, total)

    try:
        report = optimizing.optimize(wanted, all_but_writing)
    except YoleanError as exc:
        raise type(exc)(str(exc).replace(str(made.file), f"the export of {options.weights}")) from exc
    report.source, report.target = (
        f"plain export of {options.weights}",
        str(options.target or default_target(options)),
    )
    return report


def check(options: ExportOptions, target: Path) -> None:
    """Refuse what cannot work, before anything takes time.

    Raises:
        ModelError: the weights are missing or no PyTorch file.
        InputError: anything else.
    """
    check_weights(options.weights)
    if target.suffix == options.weights.suffix or (target.exists() and target.samefile(options.weights)):
        raise InputError(f"-o {target} names weights: expected an .onnx file to write")
    check_target(target, options.overwrite)
    if options.plain and options.precision != "fp32":
        raise InputError(
            "--plain leaves out the optimisation, and --half and --int8 are part of it: drop one"
        )
    if options.batch is not None and not options.static:
        raise InputError(
            f"--batch {options.batch} goes with --static: without it height, width and batch are all free, "
            "and any number of images fits"
        )
    if options.imgsz is not None and not all(_MIN_SIDE <= side <= MAX_SIDE for side in options.imgsz):
        raise InputError(
            f"--imgsz {','.join(map(str, options.imgsz))}: expected sides from {_MIN_SIDE} to {MAX_SIDE}"
        )
    check_packages()
    if options.opset is not None:
        check_opset(options.opset)
