"""Builds graphs with any operators, and runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from heads import Builder
from onnx import TensorProto, helper

HEIGHT, WIDTH = 6, 10


class Whole(Builder):
    """A builder of convolutions with whole numbers."""

    def conv(
        self,
        source: Any,
        inner: Any,
        outer: Any,
        size: Any = 1,
        stride: Any = 1,
        bias: Any = True,
        scale: Any = 1.0,
        **attributes: Any,
    ) -> Any:
        """Weights are whole numbers, whatever the scale; `attributes` are those of the node."""
        attributes.setdefault("strides", [stride, stride])
        shape = (outer, inner // attributes.get("group", 1), size, size)
        inputs = [source, self.constant(self.rng.integers(-3, 4, shape))]
        if bias:
            inputs.append(self.constant(self.rng.integers(-9, 10, outer)))
        if "auto_pad" not in attributes:
            attributes.setdefault("pads", [size // 2] * 4)
        return self("Conv", *inputs, kernel_shape=[size, size], **attributes)

    def up(self, source: Any, scales: Any = (1, 1, 2, 2), **attributes: Any) -> Any:
        attributes = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        } | attributes
        return self("Resize", source, "", self.constant(scales), **attributes)

    def slice(self, source: Any, first: Any, last: Any, axis: Any = 1, step: Any = None) -> Any:
        values = (first, last, axis) if step is None else (first, last, axis, step)
        return self("Slice", source, *(self.constant([value], np.int64) for value in values))

    def even(self, source: Any, parts: Any, **attributes: Any) -> Any:
        """A Split that does not tell its sizes."""
        return self("Split", source, outputs=parts, axis=1, **attributes)


def model_of(b: Any, outputs: Any, opset: Any = 17, channels: Any = 4) -> Any:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, HEIGHT, WIDTH])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs]
    graph = helper.make_graph(b.nodes, "g", [image], infos, b.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def answers(model: Any, channels: Any = 4) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).integers(-4, 5, (2, channels, HEIGHT, WIDTH)).astype(np.float32)
    return session.run(None, {session.get_inputs()[0].name: image})
