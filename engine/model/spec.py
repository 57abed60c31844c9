"""What an .onnx file says about itself, and the output layout that follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...postprocess.layout import TASKS, Kind, Layout, Task
from ...postprocess.types import Size
from ..errors import InputError, ModelError
from ..runtime.session import TensorInfo
from .lean_metadata import lean_layout, read_entry, read_head
from .metadata import integer, literal, pair

_MAX_NAME = 200
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_MASKS = 32  # prototype masks of every Ultralytics segmentation model, where the graph does not tell


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What is known of a model before its first run.

    Attributes:
        layout: task and layout of the outputs.
        names: class names by id.
        imgsz: (height, width) of the input; for dynamic models, the size to use by default.
        stride: height and width of the input are multiples of it.
        channels: colour channels of the input: 3, or 1 for grey, or more.
        batch: the fixed batch size, or None when it is free.
        dynamic: whether height and width are free.
        dtype: of the input: `float32` or `float16`, 0 to 1, or `uint8`, 0 to 255.
        family: the model's description in its metadata, such as "Ultralytics YOLO11n model".
    """

    layout: Layout
    names: Mapping[int, str] = field(hash=False)
    imgsz: Size
    stride: int
    channels: int
    batch: int | None
    dynamic: bool
    dtype: str
    family: str = ""

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.layout.task

    @property
    def outputs(self) -> int:
        """How many of the file's outputs are decoded, the first ones: others may follow, of any shape."""
        layout = self.layout
        if layout.head is None:
            return 2 if layout.task == "segment" else 1
        kinds = (3 if layout.extra else 2) + layout.head.sparse
        return kinds * len(layout.head.strides) + (layout.task == "segment")


def read_spec(
    metadata: Mapping[str, str],
    inputs: Sequence[TensorInfo],
    outputs: Sequence[TensorInfo],
    *,
    task: str | None = None,
    names: Mapping[int, str] | Sequence[str] | None = None,
    kpt_shape: tuple[int, int] | None = None,
) -> ModelSpec:
    """Work out the spec from metadata first, then shapes; never from a file's name.

    Args:
        metadata: the file's key-value pairs, all text, as Ultralytics writes them. Not trusted.
        inputs, outputs: as the file declares them.
        task, names, kpt_shape: for files without metadata; they win over what the file says.

    Raises:
        ModelError: not a YOLO export, or metadata and shapes contradict each other.
        InputError: `task` is not a task.
    """
    shape, dtype = _image_input(inputs, metadata)
    chosen = _task(metadata, task)
    points = _points(kpt_shape or pair(metadata, "kpt_shape")) if chosen == "pose" else None
    labels = _names(names if names is not None else literal(metadata, "names"))
    layout = _layout(chosen, labels, points, metadata, outputs)
    dynamic = not (isinstance(shape[2], int) or isinstance(shape[3], int))
    size = pair(metadata, "imgsz") or ((224, 224) if chosen == "classify" else (640, 640))
    imgsz = Size(*(d if isinstance(d, int) else s for d, s in zip(shape[2:], size, strict=True)))
    return ModelSpec(
        layout=layout,
        names=labels or {i: f"class {i}" for i in range(layout.nc)},
        imgsz=imgsz,
        stride=integer(metadata, "stride", 1 if chosen == "classify" else 32),
        channels=shape[1] if isinstance(shape[1], int) else integer(metadata, "channels", 3),
        batch=_batch(shape[0], layout, metadata),
        dynamic=dynamic,
        dtype=dtype,
        family=metadata.get("description", "").strip()[:_MAX_NAME],
    )


def _image_input(
    inputs: Sequence[TensorInfo], metadata: Mapping[str, str]
) -> tuple[tuple[int | str | None, ...], str]:
    found = ", ".join(f"{i.name}: {i.dtype} {list(i.shape)}" for i in inputs) or "no input"
    head = read_head(metadata)
    if head is not None and head.sparse and len(inputs) == 2 and not inputs[1].shape:
        inputs = inputs[:1]  # the other is the threshold
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise ModelError(
            f"not a YOLO export: expected one image input (batch, channels, height, width), found {found}"
        )
    bytes_of_others = inputs[0].dtype == "tensor(uint8)" and not read_entry(metadata)
    if inputs[0].dtype not in _DTYPES or bytes_of_others:
        raise ModelError(
            f"expected an input of float or float16, found {found}: quantised inputs are unknown"
        )
    shape = inputs[0].shape
    if any(isinstance(axis, int) and axis < 1 for axis in shape):
        raise ModelError(f"not a YOLO export: an axis of its input has no length, found {found}")
    channels = integer(metadata, "channels", 3)
    if "channels" in metadata and shape[1] != channels and isinstance(shape[1], int):
        raise ModelError(f"the metadata tells {channels} channels, the input has another shape: {found}")
    return shape, _DTYPES[inputs[0].dtype]


def _batch(axis: int | str | None, layout: Layout, metadata: Mapping[str, str]) -> int | None:
    """The fixed batch, or None.

    Exports with nms=True suppress for as many images as they were exported with, also where the axis is
    free: images beyond come back empty.
    """
    if isinstance(axis, int):
        return axis
    return integer(metadata, "batch", 1) if layout.kind == "nms" else None


def _points(shape: tuple[int, int] | None) -> tuple[int, int] | None:
    if shape is None:
        return None
    if len(shape) != 2 or shape[0] < 1 or shape[1] not in (2, 3):
        raise ModelError(f"kpt_shape={shape}: expected (keypoints, 2 or 3)")
    return shape


def _task(metadata: Mapping[str, str], given: str | None) -> Task:
    if given is not None and given not in TASKS:
        raise InputError(f"task={given!r}: expected one of {', '.join(TASKS)}")
    found = given or metadata.get("task")
    if found is None:
        raise ModelError(
            "the file has no Ultralytics metadata that tells the task: give task= and names= "
            "(--task and --names), if it is a YOLO model"
        )
    for task in TASKS:
        if task == found:
            return task
    raise ModelError(f"the metadata names the task {found[:40]!r}: expected one of {', '.join(TASKS)}")


def _names(value: Any) -> dict[int, str]:
    """Class names by id, from a list or a dict of ids; empty when there are none.

    Raises:
        ModelError: neither list nor dict, or the ids are not 0, 1, 2, …
    """
    if value is None:
        return {}
    if not isinstance(value, (Mapping, list, tuple)):
        raise ModelError(f"names must be a list, or a dict by class id, found {str(value)[:40]!r}")
    pairs = dict(value) if isinstance(value, Mapping) else dict(enumerate(value))
    try:
        labels = {int(i): str(name)[:_MAX_NAME] for i, name in pairs.items()}
    except (TypeError, ValueError) as exc:
        raise ModelError("class ids must be whole numbers and names text") from exc
    if not labels or set(labels) != set(range(len(pairs))):
        raise ModelError(f"class ids must be 0 to {max(len(pairs) - 1, 0)} without a gap")
    return dict(sorted(labels.items()))


def _layout(
    task: Task,
    names: dict[int, str],
    kpt_shape: tuple[int, int] | None,
    metadata: Mapping[str, str],
    outputs: Sequence[TensorInfo],
) -> Layout:
    """The one layout that fits the metadata and the shapes."""
    head = read_head(metadata)
    if head is not None:
        return lean_layout(head, task, names, kpt_shape, outputs)
    expected = 2 if task == "segment" else 1
    found = ", ".join(f"{o.name} {list(o.shape)}" for o in outputs)
    ranks = (2,) if task == "classify" else (3, 4)[:expected]
    if tuple(len(o.shape) for o in outputs[:expected]) != ranks:
        axes = " and ".join(map(str, ranks))
        raise ModelError(
            f"{task} needs {expected} output(s) of {axes} axes, found {found}: is the task right?"
        )
    shape = outputs[0].shape
    if task == "classify":
        nc = len(names) or _size(shape[1])
        return _fitting([Layout(task, "raw", nc)] if nc else [], shape, task)
    extra = _extra(task, names, kpt_shape, outputs)
    points = (extra // 3, 3) if task == "pose" and kpt_shape is None else kpt_shape
    layouts = []
    for kind in _kinds(metadata):
        nc = len(names)
        if not names and kind == "raw" and _size(shape[1]) < (_size(shape[2]) or 1 << 30):
            nc = _size(shape[1]) - 4 - extra  # only where it cannot be rows of an end-to-end export
        if nc > 0:
            layouts.append(Layout(task, kind, nc, extra, points))
    return _fitting(layouts, shape, task)


def _fitting(layouts: list[Layout], shape: tuple[int | str | None, ...], task: Task) -> Layout:
    """The only layout whose width agrees with the first output's shape; a free axis agrees with any."""
    exact = [one for one in layouts if _width(one, shape) == one.width]
    fits = exact or [one for one in layouts if _width(one, shape) == 0]
    if len({one.kind == "raw" for one in fits}) == 1:
        return fits[0]
    if fits:
        raise ModelError(
            f"the output {list(shape)} fits more than one layout, and the metadata does not say which: "
            "export again with a current Ultralytics"
        )
    wanted = "; ".join(_described(one) for one in layouts) or "class names, which are missing: give names="
    raise ModelError(
        f"classes and graph contradict each other: the output is {list(shape)}, but {task} needs {wanted}"
    )


def _described(layout: Layout) -> str:
    if layout.task == "classify":
        return f"(batch, {layout.nc}) for {layout.nc} classes"
    if layout.kind == "raw":
        parts = f"4 box + {layout.nc} classes + {layout.extra} extra"
        return f"(batch, {layout.width}, anchors) with {parts} in the raw layout"
    return f"(batch, rows, {layout.width}) with 6 + {layout.extra} extra in the {layout.kind} layout"


def _width(layout: Layout, shape: tuple[int | str | None, ...]) -> int:
    return _size(shape[2 if layout.kind != "raw" else 1])


def _size(axis: int | str | None) -> int:
    """An axis' length, 0 when it is free."""
    return axis if isinstance(axis, int) else 0


def _kinds(metadata: Mapping[str, str]) -> list[Kind]:
    """The layouts that the metadata leaves open, usually one.

    `end2end` says False for exports with nms=True: only the export arguments tell.
    """
    try:
        arguments = literal(metadata, "args")
    except ModelError:  # export arguments may hold paths and devices, which are no literals
        arguments = None
    if isinstance(arguments, Mapping) and arguments.get("nms") in (True, "True"):
        return ["nms"]
    if "end2end" in metadata:
        return ["end2end"] if metadata["end2end"].lower() == "true" else ["raw"]
    return ["raw", "end2end"]


def _extra(
    task: Task, names: dict[int, str], kpt_shape: tuple[int, int] | None, outputs: Sequence[TensorInfo]
) -> int:
    """Values a row carries after the classes."""
    match task:
        case "obb":
            return 1
        case "segment":
            return _size(outputs[1].shape[1]) or _MASKS
        case "pose":
            if kpt_shape is not None:
                return kpt_shape[0] * kpt_shape[1]
            extra = _size(outputs[0].shape[1]) - 4 - len(names)
            if not names or extra <= 0 or extra % 3 or extra % 2 == 0:
                raise ModelError(
                    "the file does not tell its keypoints: give names= and kpt_shape=(keypoints, 2 or 3)"
                )
            return extra
    return 0
