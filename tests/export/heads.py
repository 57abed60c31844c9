"""Builds small YOLO graphs with every kind of head, from ONNX operators, as an exporter would write them.

No names tell anything, and channels may be as ambiguous as they can get.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 64, 96


class Builder:
    """Nodes and weights of a graph, with running numbers for names."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = self.name()
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(self, op: Any, *inputs: Any, outputs: Any = 1, **attributes: Any) -> Any:
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def conv(
        self,
        source: Any,
        inner: Any,
        outer: Any,
        size: Any = 1,
        stride: Any = 1,
        bias: Any = True,
        scale: Any = 1.0,
    ) -> Any:
        shape = (outer, inner, size, size)
        weight = self.rng.normal(0, scale / math.sqrt(inner * size * size), shape)
        inputs = [source, self.constant(weight)]
        if bias:
            inputs.append(self.constant(self.rng.normal(0, scale / 2, outer)))
        return self(
            "Conv", *inputs, strides=[stride, stride], pads=[size // 2] * 4, kernel_shape=[size, size]
        )

    def silu(self, source: Any) -> Any:
        return self("Mul", source, self("Sigmoid", source))

    def split(self, source: Any, sizes: Any, axis: Any = 1) -> Any:
        return self("Split", source, self.constant(sizes, np.int64), outputs=len(sizes), axis=axis)

    def part(self, source: Any, first: Any, last: Any, axis: Any = 1) -> Any:
        ends = (self.constant([value], np.int64) for value in (first, last, axis))
        return self("Slice", source, *ends)

    def joined(self, maps: Any, channels: Any) -> Any:
        shape = self.constant([0, channels, -1], np.int64)
        return self("Concat", *(self("Reshape", one, shape) for one in maps), axis=2)


def build(
    task: str = "detect",
    nc: int = 3,
    reg_max: int = 16,
    extra: int = 0,
    kpt_shape: tuple[int, int] | None = None,
    kind: str = "v8",
    strides: tuple[int, ...] = (8, 16, 32),
    limit: int | None = None,
    agnostic_nms: bool = False,
    seed: int = 0,
    spoil: bool = False,
    score_scale: float = 0.5,
    deep: tuple[int, ...] = (),
    branch: Any = None,
    channels: int = 3,
) -> onnx.ModelProto:
    """A model whose spec `yolean.load` reads.

    `spoil` puts something into the head that no YOLO has. The branches (0 boxes, 1 classes, 2 extra)
    in `deep` have three convolutions, by `branch(builder, source, inner, outer, scale)`; others have one.
    """
    b = Builder(seed)
    width, source, features, stride = 6, "images", [], 1
    source, inner = b.silu(b.conv(source, channels, width, 3, 2, scale=3)), width
    while stride * 2 <= max(strides):
        stride *= 2
        if stride in strides:
            features.append(source)
        if stride < max(strides):
            source = b.silu(b.conv(source, inner, width, 3, 2, scale=3))
    branches = [4 * reg_max, nc] + [extra] * bool(extra)
    ends = [
        [
            (branch or deep_branch)(b, f, width, outer, scale)
            if number in deep
            else b.conv(f, width, outer, scale=scale)
            for f in features
        ]
        for number, (outer, scale) in enumerate(zip(branches, (2, score_scale, 2), strict=False))
    ]
    grids = [np.mgrid[: HEIGHT // s, : WIDTH // s] for s in strides]
    centres = np.concatenate([g[::-1].reshape(2, -1) for g in grids], axis=1) + 0.5
    lengths = np.concatenate([np.full(g[0].size, s) for g, s in zip(grids, strides, strict=True)])
    anchors, steps = b.constant(centres[None]), b.constant(lengths[None, None])
    sides = b.joined(ends[0], 4 * reg_max)
    if reg_max > 1:
        bins = b("Reshape", sides, b.constant([0, 4, reg_max, -1], np.int64))
        bins = b("Softmax", b("Transpose", bins, perm=[0, 2, 1, 3]), axis=1)
        mean = b("Conv", bins, b.constant(np.arange(reg_max).reshape(1, -1, 1, 1)), kernel_shape=[1, 1])
        sides = b("Reshape", mean, b.constant([0, 4, -1], np.int64))
    scores = b("Sigmoid", b.joined(ends[1], nc))
    if spoil:
        scores = b("Mul", scores, scores)
    more = b.joined(ends[2], extra) if extra else None
    if task == "obb" and kind == "v8":
        more = b("Mul", b("Sub", b("Sigmoid", more), b.constant(0.25)), b.constant(math.pi))
    if task == "pose":
        more = _keypoints(b, more, kpt_shape, kind, anchors, steps)
    boxes = _boxes(b, sides, anchors, steps, more if task == "obb" else None, limit is None)
    parts = [boxes, scores] + [more] * bool(extra)
    output = b("Concat", *parts, axis=1)
    if limit:
        output = _rows(b, parts, extra, limit, agnostic_nms, nc)
    outputs = [output]
    if task == "segment":
        outputs.append(b.silu(b.conv(features[0], width, extra)))
    return _model(b, outputs, task, nc, kpt_shape, max(strides), limit, channels)


def deep_branch(b: Any, source: Any, inner: Any, outer: Any, scale: Any) -> Any:
    """Two 3x3 convolutions with SiLU and a 1x1 convolution, as YOLO's heads have them."""
    middle = b.silu(b.conv(source, inner, 8, 3, scale=3))
    middle = b.silu(b.conv(middle, 8, 8, 3, scale=3))
    return b.conv(middle, 8, outer, scale=scale)


def _keypoints(b: Any, values: Any, shape: Any, kind: Any, anchors: Any, steps: Any) -> Any:
    points = b("Reshape", values, b.constant([0, *shape, -1], np.int64))
    places = b.part(points, 0, 2, axis=2)
    if kind == "26":
        places = b("Add", places, anchors)
    else:
        offset = b("Sub", anchors, b.constant(0.5))
        places = b("Add", b("Mul", places, b.constant(2.0)), offset)
    places = b("Mul", places, steps)
    if shape[1] == 3:
        places = b("Concat", places, b("Sigmoid", b.part(points, 2, 3, axis=2)), axis=2)
    return b("Reshape", places, b.constant([0, shape[0] * shape[1], -1], np.int64))


def _boxes(b: Any, sides: Any, anchors: Any, steps: Any, angle: Any, centred: Any) -> Any:
    near, far = b.split(sides, [2, 2])
    half = b.constant(0.5)
    if angle is not None:
        cos, sin = b("Cos", angle), b("Sin", angle)
        x, y = b.split(b("Mul", b("Sub", far, near), half), [1, 1])
        turned = b("Concat", b("Sub", b("Mul", x, cos), b("Mul", y, sin)),
                   b("Add", b("Mul", x, sin), b("Mul", y, cos)), axis=1)  # fmt: skip
        return b("Mul", b("Concat", b("Add", turned, anchors), b("Add", near, far), axis=1), steps)
    low, high = b("Sub", anchors, near), b("Add", anchors, far)
    if centred:
        low, high = b("Mul", b("Add", low, high), half), b("Sub", high, low)
    return b("Mul", b("Concat", low, high, axis=1), steps)


def _rows(b: Any, parts: Any, extra: Any, limit: Any, agnostic_nms: Any, nc: Any) -> Any:
    """The end-to-end head: the best anchors, of these the best pairs of anchor and class."""
    boxes, scores, *more = (b("Transpose", part, perm=[0, 2, 1]) for part in parts)
    k = b.constant([limit], np.int64)
    axis = b.constant([2], np.int64)
    best = b("ReduceMax", scores, axes=[2], keepdims=0)
    top, index = b("TopK", best, k, outputs=2, axis=1)

    def gathered(source: Any, channels: Any, where: Any) -> Any:
        wide = b("Expand", b("Unsqueeze", where, axis), b.constant([1, limit, channels], np.int64))
        return b("GatherElements", source, wide, axis=1)

    if agnostic_nms:
        labels = gathered(b("ArgMax", scores, axis=2, keepdims=1), 1, index)
        values = top
    else:
        flat = b("Reshape", gathered(scores, nc, index), b.constant([1, -1], np.int64))
        values, pairs = b("TopK", flat, k, outputs=2, axis=1)
        count = b.constant(nc, np.int64)
        labels = b("Unsqueeze", b("Mod", pairs, count), axis)
        index = b("GatherElements", index, b("Div", pairs, count), axis=1)
    rows = [gathered(boxes, 4, index), b("Unsqueeze", values, axis), b("Cast", labels, to=TensorProto.FLOAT)]
    rows += [gathered(part, extra, index) for part in more]
    return b("Concat", *rows, axis=2)


def _model(
    b: Any, outputs: Any, task: str, nc: Any, kpt_shape: Any, stride: Any, limit: Any, inputs: Any
) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, inputs, HEIGHT, WIDTH])
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(b.nodes, "g", [image], results, b.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    metadata = {
        "task": task, "names": str({i: f"c{i}" for i in range(nc)}), "stride": str(stride),
        "imgsz": str([HEIGHT, WIDTH]), "end2end": str(limit is not None),
    }  # fmt: skip
    if kpt_shape:
        metadata["kpt_shape"] = str(list(kpt_shape))
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    inferred: onnx.ModelProto = onnx.shape_inference.infer_shapes(model)
    return inferred
