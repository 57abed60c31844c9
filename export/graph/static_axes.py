"""Fixes height and width of an export with free axes, so that only the batch stays free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from ...engine.model.metadata import literal
from ...engine.runtime.session import Session
from ...postprocess.types import Size
from .onnx_graph import set_metadata


def fix_sides(path: Path, size: Size) -> None:
    """Rewrite a file with its input's height and width fixed.

    Ultralytics frees batch, height and width together, or none of them. Its entry about that is set to say
    that these are fixed, because it decides how images are padded.

    Args:
        path: an export with free axes, which is replaced.
        size: (height, width), multiples of the model's stride.
    """
    model = onnx.load(path)
    image = model.graph.input[0].type.tensor_type.shape.dim
    for axis, side in zip(image[2:], size, strict=True):
        axis.dim_value = side
    entries = {entry.key: entry.value for entry in model.metadata_props}
    arguments = literal(entries, "args")
    set_metadata(model, "args", str(arguments | {"dynamic": False}))
    session = Session(model.SerializeToString(), "cpu")
    outputs = session.run(np.zeros((1, image[1].dim_value, *size), np.float32))
    for declared, found in zip(model.graph.output, outputs, strict=True):
        axes = declared.type.tensor_type.shape.dim
        for axis, length in zip(axes[1:], found.shape[1:], strict=True):
            axis.dim_value = length
    onnx.save(model, path)
