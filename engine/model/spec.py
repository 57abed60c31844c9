"""The specification of a model, from the metadata, inputs and outputs of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...postprocess.layout import TASKS, Layout, Task
from ...postprocess.types import Size
from ..errors import InputError, ModelError
from ..runtime.session import TensorInfo
from .lean_metadata import read_entry, read_head
from .metadata import integer, literal, pair
from .output_layout import read_layout

_MAX_NAME = 200
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The properties of a model.

    Attributes:
        layout: task and layout of the outputs.
        names: class names by id.
        imgsz: (height, width) of the input; for dynamic models, the default one.
        stride: height and width of the input are multiples of it, in pixels.
        channels: colour channels of the input: 3, or 1 for grey, or more.
        batch: the fixed batch size, or None when it is free.
        dynamic: whether height and width are free.
        dtype: of the input: `float32` or `float16` from 0 to 1, or `uint8` from 0 to 255.
        family: the description in the metadata, such as "Ultralytics YOLO11n model".
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
        """The task of the model."""
        return self.layout.task

    @property
    def outputs(self) -> int:
        """How many of the outputs are decoded: the first ones; others may follow, of any shape."""
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
    run: Callable[[NDArray[Any]], Sequence[NDArray[Any]]] | None = None,
) -> ModelSpec:
    """The spec of a model from its metadata, then from shapes; never from the name of the file.

    Args:
        metadata: the key-value pairs of the file, as Ultralytics writes them. They are not trusted.
        inputs: as the file declares them.
        outputs: as the file declares them.
        task: for files without metadata, as are the next two; they override the metadata.
        names: class names by id.
        kpt_shape: number of keypoints, values of each (2 or 3).
        run: runs the model on an input, to measure outputs whose axes are free.

    Raises:
        ModelError: no YOLO export, or metadata and shapes contradict each other.
        InputError: `task` is not a task.
    """
    shape, dtype = _image_input(inputs, metadata)
    chosen = _task(metadata, task)
    points = _points(kpt_shape or pair(metadata, "kpt_shape")) if chosen == "pose" else None
    labels = _names(names if names is not None else literal(metadata, "names"))
    dynamic = not (isinstance(shape[2], int) or isinstance(shape[3], int))
    size = pair(metadata, "imgsz") or ((224, 224) if chosen == "classify" else (640, 640))
    imgsz = Size(*(d if isinstance(d, int) else s for d, s in zip(shape[2:], size, strict=True)))
    channels = shape[1] if isinstance(shape[1], int) else integer(metadata, "channels", 3)
    blank = (shape[0] if isinstance(shape[0], int) else 1, channels, *imgsz)
    measure = None if run is None else lambda: [output.shape for output in run(np.zeros(blank, dtype))]
    layout = read_layout(chosen, labels, points, metadata, outputs, measure)
    return ModelSpec(
        layout=layout,
        names=labels or {i: f"class {i}" for i in range(layout.nc)},
        imgsz=imgsz,
        stride=integer(metadata, "stride", 1 if chosen == "classify" else 32),
        channels=channels,
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
    """The fixed batch size, or None.

    Exports with nms=True apply NMS to as many images as they were exported with, also where the axis is free:
    further images get no objects.
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
