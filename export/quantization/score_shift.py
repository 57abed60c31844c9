"""By how much the class logits of a quantised model are off on average, where there may be an object."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray

from ...engine.runtime.session import Session
from ..graph.onnx_graph import Graph

_MIN_LOGIT = -2.2  # a score of 0.1: the background, which is nearly all of an image, must not decide
_MIN_VALUES = 20


def score_shifts(
    model: onnx.ModelProto,
    made: onnx.ModelProto,
    names: list[str],
    inputs: Iterable[NDArray[np.float32]],
    threads: int | None = None,
) -> dict[str, float]:
    """What to add to class logits so that they equal the float model's on average.

    Args:
        model, made: the float model, and the quantised one, which takes uint8.
        names: outputs of class logits.
        inputs: tensors from 0 to 1.

    Returns:
        for each output with enough logits of possible objects, the mean difference.
    """
    if not names:
        return {}
    sessions = []
    for one in (model, made):
        part = onnx.ModelProto()
        part.CopyFrom(one)
        Graph(part).set_outputs([output for output in one.graph.output if output.name in names])
        sessions.append((part, Session(part.SerializeToString(), "cpu", threads=threads)))
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    (part, reference), (_, quantised) = sessions
    for tensor in inputs:
        outputs = reference.run(tensor), quantised.run(np.rint(tensor * 255).astype(np.uint8))
        for value, wanted, given in zip(part.graph.output, *outputs, strict=True):
            found[value.name].append((wanted - given)[wanted > _MIN_LOGIT])
    values = {name: np.concatenate(parts) for name, parts in found.items()}
    return {name: float(one.mean()) for name, one in values.items() if one.size >= _MIN_VALUES}
