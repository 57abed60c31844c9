"""The layout of models that predict a value for each pixel: semantic segmentation and depth."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ...postprocess.layout import Layout, Task
from ..errors import ModelError
from ..runtime.session import TensorInfo

_INTEGER = re.compile(r"tensor\(u?int\d+\)")
_WANTED = {
    "semantic": "(batch, height, width) of integer class ids, or (batch, {nc}, height, width) of logits",
    "depth": "(batch, 1, height, width) of metres",
}


def read_map_layout(
    task: Task,
    names: Mapping[int, str],
    outputs: Sequence[TensorInfo],
    measure: Callable[[], Sequence[tuple[int, ...]]] | None = None,
) -> Layout:
    """The layout of a semantic or depth model: the axes of its output and their dtype tell it.

    Args:
        task: `semantic` or `depth`.
        names: class names by id; empty where they are unknown.
        outputs: as the file declares them.
        measure: runs the model and returns the shapes of its outputs.

    Raises:
        ModelError: the output is no such map, or has another number of classes.
    """
    output = outputs[0]
    if len(output.shape) == 4 and not isinstance(output.shape[1], int) and measure is not None:
        output = replace(output, shape=measure()[0])
    shape, is_integer = output.shape, _INTEGER.fullmatch(output.dtype) is not None
    channels = shape[1] if len(shape) == 4 and isinstance(shape[1], int) else 0
    if task == "semantic":
        if len(shape) == 3 and is_integer:
            if not names:
                raise ModelError("the file does not tell its classes, and a map of ids cannot: give names=")
            return Layout(task, "class_map", len(names))
        if channels and not is_integer and len(names) in (0, channels):
            return Layout(task, "raw", channels)
    elif not is_integer and (len(shape) == 3 or channels == 1):
        return Layout(task, "raw", len(names))
    wanted = _WANTED[task].format(nc=len(names) or "classes")
    raise ModelError(
        f"{task} needs an output {wanted}, found {output.dtype} {list(shape)}: is the task right?"
    )
