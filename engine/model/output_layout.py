"""The layout of a model's outputs, from its metadata and the shapes of its outputs.

Only axes of known length decide. Where those that would are free, the model is run once on a blank image
and the lengths are read from its outputs: a free axis would agree with any layout.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ...postprocess.layout import Kind, Layout, Task
from ..errors import ModelError
from ..runtime.session import TensorInfo
from .lean_metadata import lean_layout, read_head
from .map_layout import read_map_layout
from .metadata import literal

Shape = tuple[int | str | None, ...]

_RTDETR_HEAD = "RTDETRDecoder"
_RTDETR_NAME = re.compile(r"rt-?detr", re.IGNORECASE)


def read_layout(
    task: Task,
    names: Mapping[int, str],
    kpt_shape: tuple[int, int] | None,
    metadata: Mapping[str, str],
    outputs: Sequence[TensorInfo],
    measure: Callable[[], Sequence[tuple[int, ...]]] | None = None,
) -> Layout:
    """The one layout that agrees with the metadata and the shapes.

    Args:
        task: what the model predicts.
        names: class names by id; empty where they are unknown.
        kpt_shape: keypoints, values of each; None where it is unknown.
        metadata: of the file.
        outputs: as the file declares them.
        measure: runs the model and returns the shapes of its outputs.

    Raises:
        ModelError: none fits, more than one does, or free axes leave it open and there is no `measure`.
    """
    head = read_head(metadata)
    if head is not None:
        return lean_layout(head, task, names, kpt_shape, outputs)
    if task in ("semantic", "depth"):
        return read_map_layout(task, names, outputs, measure)
    _check_ranks(task, outputs)
    layouts = _fitting(task, names, kpt_shape, metadata, outputs)
    if not layouts and measure is not None and _free(outputs[: 2 if task == "segment" else 1]):
        outputs = [replace(one, shape=shape) for one, shape in zip(outputs, measure(), strict=True)]
        _check_ranks(task, outputs)
        layouts = _fitting(task, names, kpt_shape, metadata, outputs)
    found = _listed(outputs[: 2 if task == "segment" else 1])
    if len({layout.kind == "raw" for layout in layouts}) > 1:
        raise ModelError(
            f"the output {found} fits more than one layout, and the metadata does not say which: "
            "export again with a current Ultralytics"
        )
    if layouts:
        return layouts[0]
    if _is_rtdetr(metadata):
        raise ModelError(
            f"this RT-DETR export has the output {found}, expected (batch, rows, 6) for detect: export it "
            "again with a current Ultralytics"
        )
    if task == "pose" and kpt_shape is None:
        raise ModelError(
            "the file does not tell its keypoints: give names= and kpt_shape=(keypoints, 2 or 3)"
        )
    candidates = _candidates(task, names, kpt_shape, metadata, outputs)
    wanted = "; ".join(map(_described, candidates)) or "class names, which are missing: give names="
    raise ModelError(
        f"classes and graph contradict each other: the output is {found}, but {task} needs {wanted}"
    )


def _check_ranks(task: Task, outputs: Sequence[TensorInfo]) -> None:
    ranks = {"classify": (2,), "segment": (3, 4)}.get(task, (3,))
    if tuple(len(output.shape) for output in outputs[: len(ranks)]) != ranks:
        axes = " and ".join(map(str, ranks))
        found = ", ".join(f"{output.name} {list(output.shape)}" for output in outputs)
        raise ModelError(
            f"{task} needs {len(ranks)} output(s) of {axes} axes, found {found}: is the task right?"
        )


def _fitting(
    task: Task,
    names: Mapping[int, str],
    kpt_shape: tuple[int, int] | None,
    metadata: Mapping[str, str],
    outputs: Sequence[TensorInfo],
) -> list[Layout]:
    """The candidates whose width is the fixed length of the axis that holds it."""
    candidates = _candidates(task, names, kpt_shape, metadata, outputs)
    axes = [(layout, outputs[0].shape[1 if layout.kind == "raw" else 2]) for layout in candidates]
    return [layout for layout, axis in axes if axis == layout.width]


def _candidates(
    task: Task,
    names: Mapping[int, str],
    kpt_shape: tuple[int, int] | None,
    metadata: Mapping[str, str],
    outputs: Sequence[TensorInfo],
) -> list[Layout]:
    """The layouts that the metadata leaves open, usually one; none where the classes are unknown."""
    shape = outputs[0].shape
    if task == "classify":
        nc = len(names) or _length(shape[1])
        return [Layout(task, "raw", nc)] if nc else []
    extra = _extra(task, names, kpt_shape, outputs)
    if extra is None:
        return []
    points = (extra // 3, 3) if task == "pose" and kpt_shape is None else kpt_shape
    layouts = []
    for kind in _kinds(task, metadata):
        nc = len(names)
        if not names and kind == "raw" and 0 < _length(shape[1]) < (_length(shape[2]) or 1 << 30):
            nc = _length(shape[1]) - 4 - extra  # only where it cannot be rows of an end-to-end export
        if nc > 0:
            layouts.append(Layout(task, kind, nc, extra, points))
    return layouts


def _kinds(task: Task, metadata: Mapping[str, str]) -> list[Kind]:
    """The kinds of layout that the metadata leaves open.

    `end2end` is False for exports with nms=True, and for RT-DETR: the export arguments and the head decide.
    """
    if _is_rtdetr(metadata):
        return ["rtdetr"] if task == "detect" else []
    try:
        arguments = literal(metadata, "args")
    except ModelError:  # export arguments may hold paths and devices, which are no literals
        arguments = None
    if isinstance(arguments, Mapping) and arguments.get("nms") in (True, "True"):
        return ["nms"]
    if "end2end" in metadata:
        return ["end2end"] if metadata["end2end"].lower() == "true" else ["raw"]
    return ["raw", "end2end"]


def _is_rtdetr(metadata: Mapping[str, str]) -> bool:
    """Whether the metadata names RT-DETR, by its head, or by the description that older exports have only."""
    if "head" in metadata:
        return metadata["head"] == _RTDETR_HEAD
    return _RTDETR_NAME.search(metadata.get("description", "")) is not None


def _extra(
    task: Task, names: Mapping[int, str], kpt_shape: tuple[int, int] | None, outputs: Sequence[TensorInfo]
) -> int | None:
    """Number of values in each row after the classes; None where it is unknown."""
    match task:
        case "obb":
            return 1
        case "segment":
            return _length(outputs[1].shape[1]) or None
        case "pose":
            if kpt_shape is not None:
                return kpt_shape[0] * kpt_shape[1]
            extra = _length(outputs[0].shape[1]) - 4 - len(names)
            # Without kpt_shape, only a multiple of three that is not one of two is unambiguous.
            return extra if names and extra > 0 and extra % 3 == 0 and extra % 2 else None
    return 0


def _described(layout: Layout) -> str:
    if layout.task == "classify":
        return f"(batch, {layout.nc}) for {layout.nc} classes"
    if layout.kind == "raw":
        parts = f"4 box + {layout.nc} classes + {layout.extra} extra"
        return f"(batch, {layout.width}, anchors) with {parts} in the raw layout"
    return f"(batch, rows, {layout.width}) with 6 + {layout.extra} extra in the {layout.kind} layout"


def _free(outputs: Sequence[TensorInfo]) -> bool:
    return any(not isinstance(axis, int) for output in outputs for axis in output.shape[1:])


def _listed(outputs: Sequence[TensorInfo]) -> str:
    return " and ".join(str(list(output.shape)) for output in outputs)


def _length(axis: int | str | None) -> int:
    """The length of an axis, 0 when it is free."""
    return axis if isinstance(axis, int) else 0
