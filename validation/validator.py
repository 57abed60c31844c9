"""Validates a model on a labelled dataset."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from .._install_advice import install_command
from ..engine.errors import InputError, is_whole
from ..engine.loading import load
from ..engine.pipeline import Engine
from ..postprocess.detections import Options
from .classification import Accuracy, Classified, classify
from .coco_metrics import CocoImage, coco_figures
from .dataset_tensors import OnProgress, nothing_usable, tensors_of
from .datasets import Dataset
from .map_scores import (
    DepthErrors,
    DepthEvaluation,
    MeanDepthErrors,
    PixelCounts,
    PixelScores,
    SemanticEvaluation,
)
from .model_runs import Skipped, run
from .object_validation import ObjectEvaluation, ObjectScores, Scored, kinds_of
from .opening import open_dataset
from .validation_report import ValidationReport

_CONF, _CONF_OBB, _MAX_DET = 0.001, 0.01, 300
"""Ultralytics' defaults: nearly every prediction counts, since precision is ranked by score."""


@dataclass(frozen=True)
class ValidationSettings:
    """How to validate. The defaults are those of `yolo val`.

    Attributes:
        split: of the dataset.
        imgsz: size to run at, for models with free height and width.
        batch: images that share a rectangle, for models with free height and width.
        conf: least score of a prediction; None for 0.001, for obb 0.01.
        iou: overlap threshold of NMS.
        max_det: most predictions an image; None for 300, or as many as an image has labels.
        agnostic_nms: let boxes of different classes suppress each other.
        rect: run on rectangles instead of squares, for models with free height and width.
        images: folder of the images of a JSON file of COCO.
        coco: compute COCO's own figures as well; `faster-coco-eval` does it.
        save: folder for the plots and the report.
    """

    split: str = "val"
    imgsz: int | tuple[int, int] | None = None
    batch: int = 16
    conf: float | None = None
    iou: float = 0.7
    max_det: int | None = None
    agnostic_nms: bool = False
    rect: bool = True
    images: str | Path | None = None
    coco: bool = False
    save: str | Path | None = None


class Collector(Protocol):
    """Collects images, and writes the figures of all into a report."""

    def add(self, image: Any) -> None:
        """Add an image."""

    def fill(self, report: ValidationReport) -> None:
        """Write the figures of all images."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """An `OnProgress` that does nothing."""


def val(
    model: Engine | str | Path,
    data: str | Path,
    *,
    device: str = "auto",
    name: str | None = None,
    on_progress: OnProgress = ignore_progress,
    **settings: Any,
) -> ValidationReport:
    """Validate a model on a labelled dataset.

    Args:
        model: from `yolean.load`, or an .onnx file.
        data: Ultralytics' dataset YAML with YOLO labels, or a folder that holds one; a JSON file of COCO; for
            classification a folder with `val/CLASS/IMAGE.jpg` in it.
        device: where a file is to run; a loaded model has its own.
        name: of the model in the report; by default the file.
        on_progress: called while it runs.
        settings: see `ValidationSettings`: split, imgsz, batch, conf, iou, max_det, agnostic_nms, rect,
            images, coco and save.

    Returns:
        the figures, with the names of Ultralytics' metrics: `report.box.map`, `report.seg.map50`,
        `report.pose.maps`, `report.top1`, `report.results_dict`.

    Raises:
        InputError: the dataset or a setting is wrong, or a package of the extra `val` is missing.
        ModelError: the model file is not usable.
    """
    unknown = sorted(settings.keys() - ValidationSettings.__dataclass_fields__.keys())
    if unknown:
        known = ", ".join(ValidationSettings.__dataclass_fields__)
        raise InputError(f"{unknown[0]}={settings[unknown[0]]!r} is no setting of val, which has {known}")
    engine = model if isinstance(model, Engine) else load(model, device)
    wanted = ValidationSettings(**settings)
    if engine.spec.layout.kind == "nms" and wanted.conf is None:
        raise InputError(
            "this model was exported with nms=True, which drops all predictions below a confidence of 0.25, "
            "and mAP needs them: export without nms, or give conf=0.25 and read the figures so"
        )
    if not is_whole(wanted.batch) or wanted.batch < 1:
        raise InputError(f"batch={wanted.batch!r}: expected a whole number from 1")
    if wanted.save is not None:
        _check_plots()
    dataset = open_dataset(data, engine.spec, wanted.split, wanted.images)
    if name is None:
        name = engine.spec.family or engine.task if isinstance(model, Engine) else str(model)
    return validate(engine, dataset, wanted, on_progress, name)


def validate(
    engine: Engine,
    dataset: Dataset,
    settings: ValidationSettings,
    on_progress: OnProgress = ignore_progress,
    name: str = "",
) -> ValidationReport:
    """Validate a loaded model on a dataset that was opened for it.

    Args:
        name: of the model, for the report.

    Raises:
        InputError: a setting is wrong, or no image can be read.
    """
    report = ValidationReport(
        task=engine.task,
        model=name,
        data=str(dataset.source),
        split=dataset.split,
        names=dict(engine.names),
        findings=dataset.findings,
    )
    if engine.task == "classify":
        _classify(engine, dataset, settings, report, on_progress)
    elif engine.spec.layout.is_dense:
        _compare_maps(engine, dataset, settings, report, on_progress)
    else:
        _find_objects(engine, dataset, settings, report, on_progress)
    if settings.save is not None:
        _save(report, Path(settings.save))
    return report


def _classify(
    engine: Engine,
    dataset: Dataset,
    settings: ValidationSettings,
    report: ValidationReport,
    on_progress: OnProgress,
) -> None:
    report.settings = {"imgsz": list(engine.size(settings.imgsz))}
    images = classify(engine, dataset.samples, settings.imgsz)
    _collect(images, Accuracy(report.names), dataset, report, on_progress)


def _find_objects(
    engine: Engine,
    dataset: Dataset,
    settings: ValidationSettings,
    report: ValidationReport,
    on_progress: OnProgress,
) -> None:
    options = _options(engine, dataset, settings)
    tensors = tensors_of(engine, dataset, settings.imgsz, settings.rect, settings.batch, on_progress)
    report.settings = {
        "imgsz": tensors.imgsz,
        "rect": tensors.rect,
        "conf": options.conf,
        "iou": None if engine.spec.layout.suppressed else options.iou,
        "max_det": options.max_det,
    }
    evaluate = ObjectEvaluation(engine, dataset, options, settings.coco)
    collector = ObjectScores(report.names, engine.task)
    coco: list[CocoImage] = []
    images = run(engine, tensors.sizes, tensors.limit, options.conf, evaluate)
    _collect(_coco_aside(images, coco), collector, dataset, report, on_progress)
    if settings.coco and engine.task != "obb":
        on_progress("COCO's figures", 0, 1)
        report.coco = coco_figures(coco, dataset, kinds_of(engine.task), evaluate.sigmas)


def _compare_maps(
    engine: Engine,
    dataset: Dataset,
    settings: ValidationSettings,
    report: ValidationReport,
    on_progress: OnProgress,
) -> None:
    """Classes or depths of pixels."""
    semantic = engine.task == "semantic"
    evaluate = SemanticEvaluation(engine, dataset) if semantic else DepthEvaluation(engine, dataset)
    tensors = tensors_of(
        engine, dataset, settings.imgsz, settings.rect, settings.batch, on_progress, evaluate.check
    )
    report.settings = {"imgsz": tensors.imgsz, "rect": tensors.rect}
    images = run(engine, tensors.sizes, tensors.limit, 0.0, evaluate)
    collector = PixelScores(report.names) if semantic else MeanDepthErrors()
    _collect(images, collector, dataset, report, on_progress)


def _options(engine: Engine, dataset: Dataset, settings: ValidationSettings) -> Options:
    """The thresholds of the predictions."""
    conf = settings.conf
    if conf is None:
        conf = _CONF_OBB if engine.task == "obb" else _CONF
    most = settings.max_det
    if most is None:
        most = max(_MAX_DET, dataset.most_objects)
        if most > _MAX_DET:
            dataset.findings.notes.append(f"an image has {most} labels: max_det is as many")
    options = engine.options(conf, settings.iou, most, agnostic_nms=settings.agnostic_nms)
    return replace(options, multi_label=engine.spec.layout.nc > 1)


def _coco_aside(images: Iterable[Scored | Skipped], aside: list[CocoImage]) -> Iterator[Scored | Skipped]:
    """The same images; what COCO's figures need of them is put aside."""
    for image in images:
        if isinstance(image, Scored) and image.coco is not None:
            aside.append(image.coco)
        yield image


def _collect(
    images: Iterable[Scored | Classified | PixelCounts | DepthErrors | Skipped],
    collector: Collector,
    dataset: Dataset,
    report: ValidationReport,
    on_progress: OnProgress,
) -> None:
    """Add every image to the figures, or to those that are left out, and compute the figures."""
    total, times = len(dataset.samples), defaultdict[str, float](float)
    for done, image in enumerate(images):
        on_progress("validating", done, total)
        if isinstance(image, Skipped):
            dataset.findings.skipped[str(image.sample.image)] = image.reason
            continue
        report.images += 1
        for stage, ms in image.speed.items():
            times[stage] += ms
        collector.add(image)
    if not report.images:
        raise nothing_usable(dataset)
    report.speed = {stage: ms / report.images for stage, ms in times.items()}
    collector.fill(report)


def _check_plots() -> None:
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as exc:
        raise InputError(f"the plots need {exc.name}: {install_command('val')}") from exc


def _save(report: ValidationReport, folder: Path) -> None:
    """Write plots and report into a folder."""
    from .charts import draw_charts

    try:
        folder.mkdir(parents=True, exist_ok=True)
        report.plots = [str(path) for path in draw_charts(report, folder)]
        text = json.dumps(report.as_dict(), indent=2, ensure_ascii=False)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    except OSError as exc:
        raise InputError(f"cannot write into {folder}: {exc.strerror or exc}") from exc
