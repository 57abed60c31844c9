"""The metadata entry `yolean`, which yolean writes into its own lean or quantised files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...postprocess.layout import Head, Layout, Task
from ..errors import ModelError
from ..runtime.session import TensorInfo
from .metadata import literal

KEY = "yolean"
VERSION = 2
"""Latest version of the entry and of the layout, for sparse heads; files of a later one are refused."""

_WITH_EXTRA = ("segment", "pose", "obb")


def entry(head: Head | None, precision: str) -> str:
    """The text of the metadata entry: a Python literal, like the entries of Ultralytics.

    Args:
        head: of a lean file; None for the output layouts of Ultralytics.
        precision: of the weights: `fp32`, `fp16` or `int8`.
    """
    sparse = head is not None and head.sparse
    value: dict[str, Any] = {"version": 2 if sparse else 1, "precision": precision}
    if head is not None:
        value |= {
            "strides": list(head.strides),
            "reg_max": head.reg_max,
            "head": head.kind,
            "limit": head.limit,
            "agnostic": head.agnostic_nms,
        } | ({"sparse": True} if sparse else {})
    return str(value)


def read_entry(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The value of the entry, empty where there is none.

    Raises:
        ModelError: yolean has not written it, or a later version has.
    """
    value: Any = literal(metadata, KEY)
    if value is None:
        return {}
    if not isinstance(value, dict) or not isinstance(value.get("version"), int):
        raise ModelError(f"the metadata entry {KEY!r} is {str(value)[:60]!r}: yolean has not written that")
    if value["version"] > VERSION:
        raise ModelError(
            f"the file was written by a newer yolean, in version {value['version']} of its layout: this one "
            f"knows {VERSION}; update yolean, or make the file again"
        )
    return value


def read_head(metadata: Mapping[str, str]) -> Head | None:
    """The head of a lean file, or None for any other file.

    Raises:
        ModelError: the entry contradicts itself.
    """
    value = read_entry(metadata)
    if "strides" not in value:
        return None
    match value:
        case {
            "strides": [*strides],
            "reg_max": int() as reg_max,
            "head": "v8" | "26" as kind,
            "limit": None | int() as limit,
            "agnostic": bool() as agnostic_nms,
        } if strides and _all_between(1, 1024, [*strides, reg_max]) and (limit is None or limit > 0):
            return Head(tuple(strides), reg_max, kind, limit, agnostic_nms, value.get("sparse") is True)
    raise ModelError(f"the metadata entry {KEY!r} describes no head that yolean knows: {str(value)[:120]!r}")


def lean_layout(
    head: Head,
    task: Task,
    names: Mapping[int, str],
    kpt_shape: tuple[int, int] | None,
    outputs: Sequence[TensorInfo],
) -> Layout:
    """The output layout of a lean file, checked against its outputs.

    Args:
        head: as `read_head` gives it.
        task: of the model.
        names: class names by id; empty where they are unknown.
        kpt_shape: keypoints, values of each; None where it is unknown.
        outputs: as the file declares them.

    Raises:
        ModelError: they do not fit the head, the class names or the keypoints.
    """
    scales = len(head.strides)
    branches = 3 if task in _WITH_EXTRA else 2
    maps = branches * scales + (task == "segment")
    expected = maps + (scales if head.sparse else 0)
    found = [output.shape for output in outputs]
    axes = [4 if not head.sparse or scales <= i < 2 * scales else 3 for i in range(maps)]
    if len(found) != expected or any(
        len(shape) not in (4, least) or not isinstance(shape[1], int)
        for shape, least in zip(found, axes, strict=False)
    ):
        raise ModelError(
            f"a lean {task} file of {scales} scales has {expected} outputs, found "
            f"{', '.join(str(list(shape)) for shape in found)}: is the task right?"
        )
    channels = [int(shape[1] or 0) for shape in found[:maps]]
    nc = len(names) or channels[scales]
    extra = channels[2 * scales] if branches == 3 else 0
    if task == "pose" and kpt_shape is not None:
        extra = kpt_shape[0] * kpt_shape[1]
    wanted = [4 * head.reg_max] * scales + [nc] * scales + [extra] * (maps - 2 * scales)
    if channels != wanted or (task == "obb" and extra != 1) or (task == "pose" and kpt_shape is None):
        raise ModelError(
            f"classes and graph contradict each other: the outputs have {channels} channels, but {task} with "
            f"{nc} classes needs {wanted}"
        )
    return Layout(task, "lean", nc, extra, kpt_shape, head)


def _all_between(low: int, high: int, values: Sequence[Any]) -> bool:
    return all(type(value) is int and low <= value <= high for value in values)
