"""The sparse form of a lean model, made and proven."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ...engine.model.lean_metadata import KEY, entry, read_head
from ...engine.pipeline import Engine
from ...engine.runtime.session import Session
from .head import trial_tensors
from .onnx_graph import set_metadata
from .sparse_graph import BREAK_EVEN, make_sparse, set_share

_RELATIVE = 1e-4  # of the largest value of an output: sums are added in another order


def sparse_form(model: onnx.ModelProto, engine: Engine) -> onnx.ModelProto | None:
    """A lean model that computes its branches for surviving anchors where they are few.

    It is compared with the lean model on drawn images and noise: every anchor's values, gathered, must equal
    what the convolutions give.

    Args:
        model: lean, float32; left as it is.
        engine: what the model was made from: tells the shape of its input and what to try it on.

    Returns:
        None where the branches have another form, every run has several images, or the two differ.
    """
    if engine.spec.batch not in (None, 1):
        return None
    lean = Session(model.SerializeToString(), device="cpu", threads=engine.session.threads)
    head = read_head(lean.metadata)
    sparse = onnx.ModelProto()
    sparse.CopyFrom(model)
    if head is None or not make_sparse(sparse, head):
        return None
    set_share(sparse, 1)
    gathering = Session(sparse.SerializeToString(), device="cpu", threads=engine.session.threads)
    scales = len(head.strides)
    for tensor in trial_tensors(engine):
        wanted = lean.run(tensor)
        found = gathering.run(tensor, -math.inf)
        if not all(_is_close(one, other) for one, other in zip(wanted, found[:-scales], strict=True)):
            return None
    set_share(sparse, BREAK_EVEN)
    set_metadata(sparse, KEY, entry(replace(head, sparse=True), "fp32"))
    return sparse


def is_cut(model: onnx.ModelProto) -> bool:
    """Whether a model's metadata say that its head was cut off."""
    return read_head({entry.key: entry.value for entry in model.metadata_props}) is not None


def _is_close(wanted: NDArray[Any], found: NDArray[Any]) -> bool:
    """Whether an output (1, channels, K) equals one (1, channels, h, w), or is the same one."""
    largest = float(np.abs(wanted).max(initial=0))
    return wanted.size == found.size and bool(
        np.all(np.abs(wanted.reshape(found.shape) - found) <= _RELATIVE * largest)
    )
