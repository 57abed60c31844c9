"""From an Ultralytics export to a smaller and faster file, compared with the export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import onnx

from .._version import __version__
from ..engine.errors import InputError, ModelError
from ..engine.loading import load
from ..engine.model.lean_metadata import KEY
from ..engine.pipeline import Engine
from ..engine.results.results import Results
from .evaluation.agreement import Agreement
from .evaluation.average_precision import MIN_SCORE, Quality
from .evaluation.differences import Differences
from .evaluation.equality import TIES, EqualityCheck, Limits, candidates_of, object_limit
from .evaluation.labelled import LabelledScores, compare_on_labels, images_to_calibrate
from .evaluation.paired_results import CONF, MAX_DET, paired_results
from .evaluation.predictions import Result, has_objects
from .evaluation.speed import Speed, compare_speed
from .evaluation.tolerance import Tolerance
from .evaluation.verdict import compare
from .files import check_target, write_whole
from .float_forms import float_form, is_half, lean_form
from .graph.onnx_graph import read_model
from .progress import OnProgress, ignore_progress
from .trial_images import FILE_CHANNELS, find_images, spread

_MAX_IMAGES = 100
_TOLERANCE = Tolerance(pixels=0.5, score=1e-3, mask=1.0)
"""What a float file may differ by before it is refused; usual are 0.001 pixels and 1e-6. Masks may differ:
their coefficients were compared when the head was cut."""


_HEADS = {
    "sparse": "boxes for survivors alone where they are few; GPUs and OpenVINO are faster with --dense-head",
    "fp32": "boxes for every anchor",
    "fp16": "boxes for every anchor: survivors are chosen in float32 alone",
    "int8": "boxes for every anchor: survivors are chosen in float32 alone",
}
"""What is said of a head, by its kind or the file's precision."""


@dataclass(frozen=True)
class OptimizeOptions:
    """What to make.

    Attributes:
        source: an .onnx file that Ultralytics exported.
        target: the file to write; None for one beside the source, see `default_target`.
        half: make weights and arithmetic half precision; input and output stay float32.
        int8: quantise.
        images: a folder of images such as the model will see, to calibrate and compare on; needed for
            `int8`. Else those of `data`, or the drawn ones of the demo, serve.
        data: a labelled dataset, as for `yolean val`: the file is then judged by the score that it keeps.
        dense_head: compute the head's branches for every anchor, also where few survive: for GPUs and
            OpenVINO, which gain nothing from the choice. Half precision and INT8 files are made so.
        min_agreement: with less average precision against the source (of classifiers: fewer equal best
            classes) the file is refused, 0 to 1; with `data`, where it keeps a smaller share of the score.
        force: write it all the same.
        overwrite: replace a target that exists.
        threads: of one run, for the speed; default: the cores that this process may use.
    """

    source: Path
    target: Path | None = None
    half: bool = False
    int8: bool = False
    images: Path | None = None
    data: Path | None = None
    dense_head: bool = False
    min_agreement: float = 0.95
    force: bool = False
    overwrite: bool = False
    threads: int | None = None

    @property
    def precision(self) -> str:
        """`fp32`, `fp16` or `int8`, as asked for."""
        return "int8" if self.int8 else "fp16" if self.half else "fp32"


@dataclass(eq=False)
class OptimizeReport:
    """The result of an optimisation.

    Attributes:
        source, target: the files.
        task: of the model.
        layout: of the outputs, before and after.
        precision: of the result.
        bytes: size of the files, before and after.
        images: number of images on which the two were compared.
        differences: the largest ones, for fp32.
        agreement: recall, precision and so on, for fp16 and int8: half precision rounds coordinates to
            half a pixel, and the source's own are no better.
        quality: average precision and change of scores, for fp16 and int8 of tasks that find objects.
        labelled: scores on a labelled dataset, before and after, where one was given.
        speed: time from image to results, relative to the source.
        details: further decisions, such as the method of calibration.
        notes: what a reader should know and is no fault.
        problems: why the file is refused.
        written: whether the target was written.
    """

    source: str
    target: str
    task: str
    layout: tuple[str, str]
    precision: str
    bytes: tuple[int, int]
    images: int = 0
    differences: Differences | None = None
    agreement: Agreement | None = None
    quality: Quality | None = None
    labelled: LabelledScores | None = None
    speed: Speed | None = None
    details: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    written: bool = False

    def as_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        versions = {"yolean": __version__, "onnx": onnx.__version__}
        return vars(self) | {
            "differences": self.differences and self.differences.as_dict(),
            "agreement": self.agreement and self.agreement.as_dict(),
            "quality": self.quality and self.quality.as_dict(),
            "labelled": self.labelled and self.labelled.as_dict(),
            "speed": self.speed and asdict(self.speed),
            "versions": versions,
        }


def optimize(options: OptimizeOptions, on_progress: OnProgress = ignore_progress) -> OptimizeReport:
    """Make a smaller and faster file, and compare it with its source.

    A head that is not recognised stays in the graph, with a note. A file that is worse than asked for is not
    written, unless forced; the report's `problems` say why.

    Raises:
        ModelError: the source is no YOLO export, or nothing to optimise: already lean, already quantised,
            exported with nms=True.
        InputError: images or target are not usable.
    """
    target = options.target or default_target(options)
    check_target(target, options.overwrite)
    on_progress("reading", 0, 1)
    source = load(options.source, "cpu", threads=options.threads)
    model = read_model(options.source)
    _refuse(options, source, model)
    notes: list[str] = []
    if options.images is None and options.data is not None:
        images, doubts = images_to_calibrate(options.data, source)
        notes += doubts if options.int8 else []
    else:
        images = find_images(options.images)
    on_progress("cutting", 0, 1)
    model = lean_form(model, source, notes)
    details: dict[str, Any] = {}
    if options.int8:
        from .quantization.search import quantise_best

        model, images, details = quantise_best(model, source, images, on_progress, even_if_slow=options.force)
    else:
        if options.half:
            on_progress("halving", 0, 1)
        model = float_form(model, source, notes, half=options.half, dense_head=options.dense_head)
    content = model.SerializeToString()
    made = load(content, "cpu", threads=options.threads)
    if made.spec.layout.head is not None:
        details["head"] = _HEADS["sparse" if made.spec.layout.head.sparse else options.precision]
    report = OptimizeReport(
        source=str(options.source),
        target=str(target),
        task=source.task,
        layout=(source.spec.layout.kind, made.spec.layout.kind),
        precision="fp16" if is_half(model) else options.precision,
        bytes=(options.source.stat().st_size, len(content)),
        details=details,
        notes=notes,
    )
    _compare(report, options, source, made, spread(images, _MAX_IMAGES), on_progress)
    if not report.problems or options.force:
        on_progress("writing", 0, 1)
        write_whole(target, content)
        report.written = True
    return report


def default_target(options: OptimizeOptions) -> Path:
    """Beside the source: `yolov8n.onnx` becomes `yolov8n-lean.onnx`, `-half.onnx` or `-int8.onnx`."""
    word = {"fp32": "lean", "fp16": "half", "int8": "int8"}[options.precision]
    return options.source.parent / f"{options.source.stem.removesuffix('-lean')}-{word}.onnx"


def _refuse(options: OptimizeOptions, source: Engine, model: onnx.ModelProto) -> None:
    """Say what cannot be made of this file."""
    kind = source.spec.layout.kind
    if kind == "nms":
        raise ModelError(
            f"{options.source} was exported with nms=True, which hides the head: export without it"
        )
    if any("Quantize" in node.op_type or node.op_type.startswith("QLinear") for node in model.graph.node):
        raise ModelError(f"{options.source} is quantised already: start from the float export")
    if KEY in source.session.metadata and options.precision == "fp32":
        raise ModelError(f"{options.source} is lean already: there is nothing to do, but --half and --int8")
    if options.precision != "fp32" and is_half(model):
        raise ModelError(f"{options.source} is in half precision already: start from the float export")
    if options.int8 and source.spec.channels not in FILE_CHANNELS:
        raise InputError(
            f"{options.source} takes {source.spec.channels} channels: --int8 is calibrated on image files, "
            "which have 3 channels or 1"
        )
    head = source.spec.layout.head
    if head is not None and head.sparse:
        raise ModelError(f"{options.source} has a sparse head, for float32 on CPUs: start from the export")


def _compare(
    report: OptimizeReport,
    options: OptimizeOptions,
    source: Engine,
    made: Engine,
    images: list[Path],
    on_progress: OnProgress,
) -> None:
    """Fill in how the two agree, how fast they are, and the problems that follow."""
    conf = CONF if report.precision == "fp32" else MIN_SCORE
    pairs = _counted(paired_results(source, made, images, conf), len(images), on_progress)
    first = next(pairs, None)
    if first is None:
        raise InputError("no images to compare: none of them can be read")
    pairs = chain((first,), pairs)
    if report.precision == "fp32":
        check = EqualityCheck("the source", _TOLERANCE, CONF)
        for pair in pairs:
            _check_equality(check, source, made, pair)
        report.differences, report.images = check.differences, check.differences.images
        report.problems += check.problems()
        if check.used_candidates:
            report.notes.append(TIES)
    else:
        found = compare(pairs, options.min_agreement)
        report.agreement, report.quality, report.images = (
            found.agreement,
            found.quality,
            found.agreement.images,
        )
        report.problems += found.problems
        report.notes += found.notes
    if options.data is not None:
        _score(report, options.data, options.min_agreement, source, made, on_progress)
    on_progress("timing", 0, 1)
    report.speed = compare_speed(source, made, first[0].orig_img)
    if options.int8 and report.speed.ratio >= 1:
        report.problems.append(f"it is not faster: {report.speed.ratio:.2f} of the source's time")


def _score(
    report: OptimizeReport, data: Path, least: float, source: Engine, made: Engine, on_progress: OnProgress
) -> None:
    """Fill in the scores on a labelled dataset. Labels are the better judge: what the two files disagree on
    becomes a note, unless the file is a float one, which has to give the same answers."""
    scores = report.labelled = compare_on_labels(source, made, data, on_progress)
    if report.precision != "fp32":
        report.notes += report.problems
        report.problems.clear()
    report.problems += scores.problems(least)
    report.notes += scores.notes(least)


def _counted(
    pairs: Iterator[tuple[Results, Results]], total: int, on_progress: OnProgress
) -> Iterator[tuple[Results, Results]]:
    for done, pair in enumerate(pairs):
        on_progress("comparing", done, total)
        yield pair


def _check_equality(
    check: EqualityCheck, source: Engine, made: Engine, pair: tuple[Results, Results]
) -> None:
    def candidates() -> tuple[Result, Result, Limits]:
        one, limit = candidates_of(source, pair[0].orig_img, CONF, is_reference=True)
        other, other_limit = candidates_of(made, pair[0].orig_img, CONF, is_reference=False)
        return one, other, (limit, other_limit)

    limits = object_limit(source, MAX_DET), object_limit(made, MAX_DET)
    check.add(pair, limits, source.spec.imgsz, candidates if has_objects(pair[0]) else None)
