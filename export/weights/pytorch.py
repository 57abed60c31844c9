"""The part of an export that needs torch: loads weights, writes the plain ONNX file, and predicts images.

`run_export` runs in a process of its own, see `isolated_process`: nothing reaches the terminal or stays in
memory.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._install_advice import install_command
from ...engine.errors import InputError, ModelError
from ...postprocess.layout import TASKS
from ..evaluation.equality import MAX_REFERENCE_CANDIDATES
from ..evaluation.predictions import Prediction, has_objects
from ..progress import OnProgress
from ..trial_images import read_images
from .isolated_process import last_line

IOU, MAX_DET = 0.7, 300
CONFIDENCES = (0.25, 0.1, 0.02, 0.004, 0.001)
"""Thresholds that are tried in turn until the network finds an object in the reference images."""

RUNNABLE_HEADS = (
    "Detect", "v10Detect", "Segment", "Segment26", "Pose", "Pose26", "OBB", "OBB26", "Classify",
    "WorldDetect", "YOLOEDetect", "YOLOESegment", "YOLOESegment26", "RTDETRDecoder",
    "SemanticSegment", "Depth",
)  # fmt: skip


@dataclass(frozen=True)
class ExportRequest:
    """What to export, and which images to predict with the network.

    Attributes:
        weights: the .pt file.
        folder: where all that is written goes.
        imgsz: (height, width); None for what the weights were trained at.
        static: whether height and width are fixed.
        batch: the fixed number of images, None for a free one.
        opset: of the file; None for Ultralytics' choice.
        end2end: whether to take the end-to-end head.
        images: to predict beside Ultralytics' own two; those that cannot be read are left out.
        candidates: whether to predict without suppression as well.
        min_score: of the objects to predict; None for the first of `CONFIDENCES` that finds any.
        threads: intra-op threads of torch.
    """

    weights: Path
    folder: Path
    imgsz: tuple[int, int] | None
    static: bool
    batch: int | None
    opset: int | None
    end2end: bool
    images: tuple[Path, ...]
    candidates: bool
    min_score: float | None
    threads: int


@dataclass(frozen=True, eq=False)
class ReferencePrediction:
    """The network's prediction for an image.

    Attributes:
        path: of the image.
        kept: objects after suppression with `IOU`.
        candidates: the `MAX_REFERENCE_CANDIDATES` best objects without suppression; None unless requested.
    """

    path: Path
    kept: Prediction
    candidates: Prediction | None


@dataclass(frozen=True, eq=False)
class ExportResult:
    """What an export request gave.

    Attributes:
        file: the plain ONNX file.
        imgsz: (height, width) that it was exported with, a multiple of the stride.
        stride: the largest one of the network.
        conf: the score that the objects of the references needed.
        references: the network's predictions.
        images: the folder with Ultralytics' own two.
        versions: of what took part.
    """

    file: Path
    imgsz: tuple[int, int]
    stride: int
    conf: float
    references: list[ReferencePrediction]
    images: Path
    versions: dict[str, str]


def run_export(request: ExportRequest, on_progress: OnProgress) -> ExportResult:
    """Load the weights, export them, and predict the reference images.

    Raises:
        ModelError: no weights of a YOLO that yolean runs, or the export fails.
        InputError: `end2end` of a network without that head.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        on_progress("loading weights", 0, 1)
        yolo = _load(request)
        on_progress("exporting", 0, 1)
        file, imgsz = _export(yolo, request)
        conf, references = _predict(yolo, request, imgsz, on_progress)
    import onnx
    import torch
    import ultralytics

    versions = {"ultralytics": ultralytics.__version__, "torch": torch.__version__, "onnx": onnx.__version__}
    images = Path(ultralytics.utils.ASSETS)
    return ExportResult(file, imgsz, int(max(yolo.model.stride)), conf, references, images, versions)


def _quiet_environment(folder: Path) -> None:
    """Let Ultralytics install, fetch and report nothing, and keep its settings out of the user's home."""
    os.environ |= {
        "YOLO_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "true",
        "YOLO_CONFIG_DIR": str(folder),
        "MPLCONFIGDIR": str(folder),
    }


def _load(request: ExportRequest) -> Any:
    """The network, as an `ultralytics.YOLO`."""
    _quiet_environment(request.folder)
    name = request.weights
    # By a name without quotes, blanks and percent signs, which Ultralytics would read something into.
    copy = request.folder / "weights.pt"
    try:
        copy.symlink_to(request.weights.resolve())
    except OSError:  # Windows lets administrators only
        copy.write_bytes(request.weights.read_bytes())
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(request.threads)
    try:
        yolo = YOLO(str(copy))
    except ModuleNotFoundError as exc:
        raise ModelError(
            f"{name} was saved with the module {exc.name!r}, which is not here: add its folder to "
            "PYTHONPATH, or save the weights with a current Ultralytics"
        ) from exc
    except Exception as exc:
        reason = first_sentence(message_of(exc).replace(str(copy), "the file"))
        raise ModelError(f"{name} holds no weights that Ultralytics can load: {reason}") from exc
    check_network(yolo, request)
    # The exporter writes beside this, and takes the name into the description of a network without one.
    yolo.model.pt_path = str(request.folder / f"{name.stem}.pt")
    return yolo


def check_network(yolo: Any, request: ExportRequest) -> None:
    """Refuse networks that yolean cannot run."""
    name, network = request.weights, yolo.model
    inner = getattr(network, "student_model", network)  # a distillation's checkpoint holds two networks
    head = (getattr(inner, "model", None) or [inner])[-1]
    kind = type(head).__name__
    if yolo.task not in TASKS or kind not in RUNNABLE_HEADS:
        raise ModelError(
            f"{name} is a network for {yolo.task} with the head {kind}: yolean runs YOLOv5u, v8, v9, v10, "
            f"11, 12, 26, YOLO-World, YOLOE and RT-DETR for {', '.join(TASKS)}"
        )
    if kind.startswith("YOLOE") and not hasattr(head, "lrpc") and getattr(inner, "pe", None) is None:
        raise ModelError(f"{name} is a YOLOE without classes: fix them with set_classes() and save it")
    if request.end2end and getattr(head, "one2one_cv2", None) is None:
        raise InputError(
            f"--end2end: {name} has no end-to-end head, which YOLOv10 and YOLO26 have: leave --end2end out"
        )


def _export(yolo: Any, request: ExportRequest) -> tuple[Path, tuple[int, int]]:
    """The plain file, and the size that it was exported with."""
    imgsz = {} if request.imgsz is None else {"imgsz": list(request.imgsz)}
    # Fixed sides with a free batch are made of free axes later: Ultralytics frees all three or none.
    free = not request.static or request.batch is None
    try:
        file = yolo.export(
            format="onnx",
            device="cpu",
            dynamic=free,
            batch=request.batch or 1,
            opset=request.opset,
            nms=False if request.end2end else None,
            simplify=True,
            verbose=False,
            **imgsz,
        )
    except ModuleNotFoundError as exc:
        raise InputError(f"exporting needs {exc.name}: {install_command('export')}") from exc
    except Exception as exc:
        raise ModelError(f"{request.weights} cannot be exported: {last_line(message_of(exc))}") from exc
    import onnx

    entries = {entry.key: entry.value for entry in onnx.load(file, load_external_data=False).metadata_props}
    height, width = map(int, re.findall(r"\d+", entries["imgsz"]))
    return Path(file), (height, width)


def _predict(
    yolo: Any, request: ExportRequest, imgsz: tuple[int, int], on_progress: OnProgress
) -> tuple[float, list[ReferencePrediction]]:
    """The lowest score of the predicted objects, and the predictions."""
    from ultralytics.utils import ASSETS

    paths = (*sorted(ASSETS.glob("*.jpg")), *request.images)
    frames = read_images(paths, yolo.model.yaml.get("channels", 3))
    images = [(Path(frame.path), frame.image) for frame in frames]
    options: dict[str, Any] = {
        "imgsz": list(imgsz),
        "rect": not request.static,
        "nms": False if request.end2end else None,
        "batch": 1,
        "device": "cpu",
        "save": False,
        "verbose": False,
    }

    if yolo.task == "semantic":
        # An ONNX file names the class of each pixel of its input. What PyTorch predicts by itself is named at
        # the image's size instead, and differs along all borders.
        yolo.model.model[-1].export, yolo.model.model[-1].format = True, "onnx"

    def predicted(conf: float, iou: float, max_det: int) -> Iterator[Prediction]:
        for done, (_, image) in enumerate(images):
            on_progress("predicting with PyTorch", done, len(images))
            (result,) = yolo.predict(image, conf=conf, iou=iou, max_det=max_det, **options)
            yield Prediction.from_result(result.cpu().numpy())

    conf = CONFIDENCES[0] if request.min_score is None else request.min_score
    kept = list(predicted(conf, IOU, MAX_DET))
    finds_objects = has_objects(kept[0])
    while finds_objects and request.min_score is None and not _any_object(kept) and conf != CONFIDENCES[-1]:
        conf = CONFIDENCES[CONFIDENCES.index(conf) + 1]
        kept = list(predicted(conf, IOU, MAX_DET))
    candidates: Iterable[Prediction | None] = [None] * len(kept)
    if finds_objects and request.candidates:
        candidates = predicted(conf, 1.0, MAX_REFERENCE_CANDIDATES)
    rows = zip(images, kept, candidates, strict=True)
    return conf, [ReferencePrediction(path, own, best) for (path, _), own, best in rows]


def _any_object(predictions: list[Prediction]) -> bool:
    return any(len(one.scores) for one in predictions)


def message_of(exc: Exception) -> str:
    """The text of an exception without Ultralytics' ornaments; its type where it has none."""
    return re.sub(r"ERROR[^\x00-\x7f\s]*\s+[^\x00-\x7f]*\s*", "", str(exc)).strip() or type(exc).__name__


def first_sentence(text: str) -> str:
    """The text up to the first full stop or line break: what follows is advice."""
    first = re.split(r"\.\s|\n", text, maxsplit=1)[0]
    return first + ")" * (first.count("(") - first.count(")"))
