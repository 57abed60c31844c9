"""Builds graphs with any operators, and runs them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from heads import Builder
from onnx import TensorProto, helper

HEIGHT, WIDTH = 6, 10


class Whole(Builder):
    """A builder of convolutions with whole numbers."""

    def conv(self, source, inner, outer, size=1, bias=True, **attributes):
        shape = (outer, inner // attributes.get("group", 1), size, size)
        inputs = [source, self.constant(self.rng.integers(-3, 4, shape))]
        if bias:
            inputs.append(self.constant(self.rng.integers(-9, 10, outer)))
        if "auto_pad" not in attributes:
            attributes.setdefault("pads", [size // 2] * 4)
        return self("Conv", *inputs, kernel_shape=[size, size], **attributes)

    def up(self, source, scales=(1, 1, 2, 2), **attributes):
        attributes = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        } | attributes
        return self("Resize", source, "", self.constant(scales), **attributes)

    def slice(self, source, first, last, axis=1, step=None):
        values = (first, last, axis) if step is None else (first, last, axis, step)
        return self("Slice", source, *(self.constant([value], np.int64) for value in values))

    def even(self, source, parts, **attributes):
        """A Split that does not tell its sizes."""
        return self("Split", source, outputs=parts, axis=1, **attributes)


def model_of(b, outputs, opset=17, channels=4):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, HEIGHT, WIDTH])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs]
    graph = helper.make_graph(b.nodes, "g", [image], infos, b.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def answers(model, channels=4):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(1).integers(-4, 5, (2, channels, HEIGHT, WIDTH)).astype(np.float32)
    return session.run(None, {session.get_inputs()[0].name: image})
