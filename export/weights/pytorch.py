"""The part of an export that needs torch: load weights, write the plain ONNX file, answer for the network.

`work` runs in a process of its own, see `child.py`: nothing here reaches the terminal or stays in memory.
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
from ...engine.images.sources import open_source
from ...postprocess.layout import TASKS
from ..evaluation.predictions import Prediction
from ..progress import OnProgress
from .isolated_process import last_line

IOU, MAX_DET = 0.7, 300
CONFIDENCES = (0.25, 0.1, 0.02, 0.004, 0.001)
"""What is compared needs a score above the first of these at which the network finds anything."""

CROWD = 100
"""Most boxes an image that are compared before suppression: each may have a mask as large as the input."""

_HEADS = ("Detect", "v10Detect", "Segment", "Segment26", "Pose", "Pose26", "OBB", "OBB26", "Classify")
_OTHERS = {
    "RTDETRDecoder": "RT-DETR, which is no YOLO",
    "WorldDetect": "a YOLO-World, whose classes are texts",
    "YOLOEDetect": "a YOLOE, whose classes are texts or images",
    "YOLOESegment": "a YOLOE, whose classes are texts or images",
    "YOLOESegment26": "a YOLOE, whose classes are texts or images",
}


@dataclass(frozen=True)
class Order:
    """What to export, and what to answer.

    Attributes:
        weights: the .pt file.
        folder: where all that is written goes.
        imgsz: (height, width); None for what the weights were trained at.
        static: whether height and width are fixed.
        batch: the fixed number of images, None for a free one.
        opset: of the file; None for Ultralytics' choice.
        end2end: whether to take the end-to-end head.
        images: what to answer for beside Ultralytics' own two; those that cannot be read are left out.
        crowds: whether to answer without suppression as well.
        threads: of torch.
    """

    weights: Path
    folder: Path
    imgsz: tuple[int, int] | None
    static: bool
    batch: int | None
    opset: int | None
    end2end: bool
    images: tuple[Path, ...]
    crowds: bool
    threads: int


@dataclass(frozen=True, eq=False)
class Asked:
    """What the network says of an image.

    Attributes:
        path: of the image.
        kept: after suppression with `IOU`.
        crowd: without suppression, the `CROWD` best boxes, where the order asks for them.
    """

    path: Path
    kept: Prediction
    crowd: Prediction | None


@dataclass(frozen=True, eq=False)
class Made:
    """What came of an order.

    Attributes:
        file: the plain ONNX file.
        imgsz: (height, width) that it was exported with, a multiple of the stride.
        stride: the largest one of the network.
        conf: the score that what was asked needs.
        asked: the network's answers.
        images: the folder with Ultralytics' own two.
        versions: of what took part.
    """

    file: Path
    imgsz: tuple[int, int]
    stride: int
    conf: float
    asked: list[Asked]
    images: Path
    versions: dict[str, str]


def work(order: Order, on_progress: OnProgress) -> Made:
    """Load, export, and ask the network.

    Raises:
        ModelError: no weights of a YOLO that yolean runs, or the export fails.
        InputError: `end2end` of a network without that head.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        on_progress("loading weights", 0, 1)
        yolo = _load(order)
        on_progress("exporting", 0, 1)
        file, imgsz = _export(yolo, order)
        conf, asked = _ask(yolo, order, imgsz, on_progress)
    import onnx
    import torch
    import ultralytics

    versions = {"ultralytics": ultralytics.__version__, "torch": torch.__version__, "onnx": onnx.__version__}
    images = Path(ultralytics.utils.ASSETS)
    return Made(file, imgsz, int(max(yolo.model.stride)), conf, asked, images, versions)


def _quiet_environment(folder: Path) -> None:
    """Let Ultralytics install, fetch and report nothing, and keep its settings out of the user's home."""
    os.environ |= {
        "YOLO_AUTOINSTALL": "false",
        "YOLO_OFFLINE": "true",
        "YOLO_CONFIG_DIR": str(folder),
        "MPLCONFIGDIR": str(folder),
    }


def _load(order: Order) -> Any:
    """The network, as an `ultralytics.YOLO`."""
    _quiet_environment(order.folder)
    name = order.weights
    # By a name without quotes, blanks and percent signs, which Ultralytics would read something into.
    copy = order.folder / "weights.pt"
    try:
        copy.symlink_to(order.weights.resolve())
    except OSError:  # Windows lets administrators only
        copy.write_bytes(order.weights.read_bytes())
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(order.threads)
    try:
        yolo = YOLO(str(copy))
    except ModuleNotFoundError as exc:
        raise ModelError(
            f"{name} was saved with the module {exc.name!r}, which is not here: add its folder to "
            "PYTHONPATH, or save the weights with a current Ultralytics"
        ) from exc
    except Exception as exc:
        reason = _first_sentence(_told(exc).replace(str(copy), "the file"))
        raise ModelError(f"{name} holds no weights that Ultralytics can load: {reason}") from exc
    _check(yolo, order)
    # The exporter writes beside this, and takes the name into the description of a network without one.
    yolo.model.pt_path = str(order.folder / f"{name.stem}.pt")
    return yolo


def _check(yolo: Any, order: Order) -> None:
    """Refuse what yolean could not run."""
    name, network = order.weights, yolo.model
    inner = getattr(network, "student_model", network)  # a distillation's checkpoint holds two networks
    head = (getattr(inner, "model", None) or [inner])[-1]
    kind = type(head).__name__
    if yolo.task not in TASKS or kind not in _HEADS:
        what = _OTHERS.get(kind, f"a network for {yolo.task} with the head {kind}")
        raise ModelError(
            f"{name} is {what}: yolean runs YOLOv5u, v8, v9, v10, 11, 12 and 26 for {', '.join(TASKS)}"
        )
    if order.end2end and getattr(head, "one2one_cv2", None) is None:
        raise InputError(
            f"--end2end: {name} has no end-to-end head, which YOLOv10 and YOLO26 have: leave --end2end out"
        )
    channels = getattr(network, "yaml", {}).get("channels", 3)
    if channels not in (1, 3):
        raise ModelError(f"{name} takes {channels} channels: yolean reads images with 1 or 3")


def _export(yolo: Any, order: Order) -> tuple[Path, tuple[int, int]]:
    """The plain file, and the size that it was exported with."""
    imgsz = {} if order.imgsz is None else {"imgsz": list(order.imgsz)}
    # Fixed sides with a free batch are made of free axes later: Ultralytics frees all three or none.
    free = not order.static or order.batch is None
    try:
        file = yolo.export(
            format="onnx",
            device="cpu",
            dynamic=free,
            batch=order.batch or 1,
            opset=order.opset,
            nms=False if order.end2end else None,
            simplify=True,
            verbose=False,
            **imgsz,
        )
    except ModuleNotFoundError as exc:
        raise InputError(f"exporting needs {exc.name}: {install_command('export')}") from exc
    except Exception as exc:
        raise ModelError(f"{order.weights} cannot be exported: {last_line(_told(exc))}") from exc
    import onnx

    entries = {entry.key: entry.value for entry in onnx.load(file, load_external_data=False).metadata_props}
    height, width = map(int, re.findall(r"\d+", entries["imgsz"]))
    return Path(file), (height, width)


def _ask(
    yolo: Any, order: Order, imgsz: tuple[int, int], on_progress: OnProgress
) -> tuple[float, list[Asked]]:
    """The answers of the network, and the score that they needed."""
    from ultralytics.utils import ASSETS

    paths = (*sorted(ASSETS.glob("*.jpg")), *order.images)
    frames = open_source([str(path) for path in paths], yolo.model.yaml.get("channels", 3))
    images = [(Path(frame.path), frame.image) for frame in frames.frames(on_error=lambda error: None)]
    options: dict[str, Any] = {
        "imgsz": list(imgsz),
        "rect": not order.static,
        "nms": False if order.end2end else None,
        "batch": 1,
        "device": "cpu",
        "save": False,
        "verbose": False,
    }

    def asked(conf: float, iou: float, most: int) -> Iterator[Prediction]:
        for done, (_, image) in enumerate(images):
            on_progress("asking PyTorch", done, len(images))
            (result,) = yolo.predict(image, conf=conf, iou=iou, max_det=most, **options)
            yield Prediction.from_result(result.cpu().numpy())

    conf, kept = CONFIDENCES[0], list(asked(CONFIDENCES[0], IOU, MAX_DET))
    while yolo.task != "classify" and not _found(kept) and conf != CONFIDENCES[-1]:
        conf = CONFIDENCES[CONFIDENCES.index(conf) + 1]
        kept = list(asked(conf, IOU, MAX_DET))
    wanted = order.crowds and yolo.task != "classify"
    crowds: Iterable[Prediction | None] = asked(conf, 1.0, CROWD) if wanted else [None] * len(kept)
    rows = zip(images, kept, crowds, strict=True)
    return conf, [Asked(path, own, crowd) for (path, _), own, crowd in rows]


def _found(answers: list[Prediction]) -> bool:
    return any(len(one.scores) for one in answers)


def _told(exc: Exception) -> str:
    """What an exception says, without Ultralytics' ornaments; its type where it says nothing."""
    return re.sub(r"ERROR[^\x00-\x7f\s]*\s+[^\x00-\x7f]*\s*", "", str(exc)).strip() or type(exc).__name__


def _first_sentence(text: str) -> str:
    """What comes before the advice."""
    first = re.split(r"\.\s|\n", text, maxsplit=1)[0]
    return first + ")" * (first.count("(") - first.count(")"))
