"""Tiny models for semantic segmentation and depth: their maps follow from the brightness of each pixel."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

METRES = 10.0
"""Depth of a white pixel; a black one has 0."""

Kind = Literal["class_map", "wide_map", "logits", "depth"]


def map_model(
    kind: Kind,
    nc: int = 4,
    size: tuple[int, int] | None = (64, 96),
    batch: int | None = 1,
    dtype: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
) -> bytes:
    """The model's file.

    A pixel's class is its brightness (0 to 1) times nc, rounded down; with one class, it is that class (1)
    where the brightness is above a half. Depth is the brightness times `METRES`.

    Args:
        kind: of the output: uint8 or int32 ids, logits, or depth.
        nc: number of classes.
        size: (height, width) of the input, None for free axes.
        batch: of the input, None for a free axis.
        dtype: of the input, and of depth.
        metadata: replaces entries of what Ultralytics writes.
    """
    nodes: list[Any] = []
    weights: list[Any] = []

    def add(operator: str, *inputs: Any, **attributes: Any) -> str:
        names = []
        for value in inputs:
            if not isinstance(value, str):
                weights.append(numpy_helper.from_array(np.asarray(value), f"w{len(weights)}"))
                value = weights[-1].name
            names.append(value)
        nodes.append(helper.make_node(operator, names, [f"n{len(nodes)}"], **attributes))
        return f"n{len(nodes) - 1}"

    bright = add("Cast", add("ReduceMean", "images", axes=[1], keepdims=1), to=TensorProto.FLOAT)
    sides = size or ("height", "width")
    rows: Any = batch or "batch"
    found: int = TensorProto.FLOAT
    shape = [rows, 1, *sides]
    if kind == "depth":
        last, found = add("Cast", add("Mul", bright, np.float32(METRES)), to=dtype), dtype
    elif kind == "logits":
        centres = np.arange(nc, dtype=np.float32).reshape(1, nc, 1, 1) + np.float32(0.5)
        distance = add("Abs", add("Sub", add("Mul", bright, np.float32(nc)), centres))
        last = add("Neg", distance) if nc > 1 else add("Sub", bright, np.float32(0.5))
        shape[1] = nc
    else:
        found = TensorProto.UINT8 if kind == "class_map" else TensorProto.INT32
        steps = add("Floor", add("Mul", bright, np.float32(nc if nc > 1 else 1.999)))
        ids = add("Cast", add("Clip", steps, np.float32(0), np.float32(max(nc - 1, 1))), to=found)
        last, shape = add("Squeeze", ids, np.array([1])), [rows, *sides]
    image = helper.make_tensor_value_info("images", dtype, [rows, 3, *sides])
    graph = helper.make_graph(
        nodes, "g", [image], [helper.make_tensor_value_info(last, found, shape)], weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    entries = {
        "task": "depth" if kind == "depth" else "semantic",
        "names": str({i: f"class {chr(97 + i % 26)}" for i in range(1 if kind == "depth" else nc)}),
        "imgsz": str(list(size or (64, 96))),
        "stride": "32",
        "end2end": "False",
    }
    helper.set_model_props(model, entries | (metadata or {}))
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data
