"""Moves a head's box, keypoint, angle and coefficient branches behind a choice made at run time.

Class scores decide which anchors survive the confidence threshold, and an image has few: some tens of 8400.
The other branches are wanted at these alone, and `sparse_branches` recognises those that can be computed
so. A graph that this module has changed counts the survivors first. Where they are few, it gathers their
neighbourhoods and multiplies matrices; where they are many, it runs the convolutions.
The values are the same up to the order of the sums.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from ...postprocess.layout import Head
from .onnx_graph import Graph, Node
from .sparse_branches import Branch, branches_of

FLOOR = "floor"
"""The input that holds the threshold: a class logit, float32, without axes."""

_SHARE = "sparse_share"
BREAK_EVEN = 0.05
"""Share of the anchors up to which gathering costs less than the convolutions; see `benchmarks/notes.md`."""

_NEIGHBOURS = """
    {p}_row = Div({p}, {s}_width)
    {p}_start = Mul({p}_row, {s}_width)
    {p}_column = Sub({p}, {p}_start)
    {p}_rows = Add({p}_row, sparse_dy)
    {p}_columns = Add({p}_column, sparse_dx)
    {p}_below = Less({p}_rows, {s}_height)
    {p}_left = Less({p}_columns, {s}_width)
    {p}_above = Less(sparse_outside, {p}_rows)
    {p}_right = Less(sparse_outside, {p}_columns)
    {p}_inside_y = And({p}_below, {p}_above)
    {p}_inside_x = And({p}_left, {p}_right)
    {p}_inside = And({p}_inside_y, {p}_inside_x)
    {p}_starts = Mul({p}_rows, {s}_width)
    {p}_places = Add({p}_starts, {p}_columns)
    {p}_index = Where({p}_inside, {p}_places, sparse_zero)
    {p}_factor = Cast<to=1>({p}_inside)
"""
"""Indices (9, K) of the 3x3 neighbours of flat positions `p` (1, K), and a factor, 0 outside of the map."""

_SCALE = """
    {s}_shape = Shape({features})
    {s}_height = Gather<axis=0>({s}_shape, sparse_axis2)
    {s}_width = Gather<axis=0>({s}_shape, sparse_axis3)
    {s}_around = MaxPool<kernel_shape=[3, 3], pads=[1, 1, 1, 1]>({s}_passing)
    {s}_flat_around = Reshape({s}_around, sparse_flat)
    {s}_flat_passing = Reshape({s}_passing, sparse_flat)
    {s}_needed = NonZero({s}_flat_around)
    {s}_chosen = NonZero({s}_flat_passing)
    {s}_running = CumSum<exclusive=1>({s}_flat_around, sparse_zero)
    {s}_rank = Cast<to=7>({s}_running)
    {s}_vectors = Reshape({features}, {s}_by_channel)
"""
"""Anchors that pass, and where the first convolution is needed for them: there and at their neighbours."""

_BRANCH = """
    {o}_kernel1 = Reshape({w1}, sparse_matrix)
    {o}_kernel2 = Reshape({w2}, sparse_matrix)
    {o}_kernel3 = Reshape({w3}, sparse_matrix)
    {o}_bias1 = Unsqueeze({b1}, sparse_axis1)
    {o}_bias2 = Unsqueeze({b2}, sparse_axis1)
    {o}_bias3 = Unsqueeze({b3}, sparse_axis1)
    {o}_product1 = MatMul({o}_kernel1, {s}_patches)
    {o}_sum1 = Add({o}_product1, {o}_bias1)
    {o}_gate1 = Sigmoid({o}_sum1)
    {o}_hidden1 = Mul({o}_sum1, {o}_gate1)
    {o}_near = Gather<axis=1>({o}_hidden1, {s}_chosen_rank)
    {o}_near_inside = Mul({o}_near, {s}_chosen_factor)
    {o}_patches = Reshape({o}_near_inside, {o}_columns)
    {o}_product2 = MatMul({o}_kernel2, {o}_patches)
    {o}_sum2 = Add({o}_product2, {o}_bias2)
    {o}_gate2 = Sigmoid({o}_sum2)
    {o}_hidden2 = Mul({o}_sum2, {o}_gate2)
    {o}_product3 = MatMul({o}_kernel3, {o}_hidden2)
    {o}_sum3 = Add({o}_product3, {o}_bias3)
    {o}_sparse = Unsqueeze({o}_sum3, sparse_zero)
"""


def make_sparse(model: onnx.ModelProto, head: Head) -> int:
    """Let a lean graph compute its branches for the surviving anchors alone, where those are few.

    The graph gets a second input, `floor`, and for each scale an output `anchors_STRIDE`. A branch that was
    changed gives (1, channels, K), its values at K anchors, and these anchors are (1, K) int64, ascending
    indices into h * w. Where survivors are many, or the batch holds several images, it gives
    (batch, channels, h * w), and the anchors are (batch, 0).

    Args:
        model: lean and in float32; changed in place.
        head: what its metadata say of it.

    Returns:
        How many outputs were changed: 0 when the box branches have another form.
    """
    graph, scales = Graph(model), len(head.strides)
    outputs = graph.outputs
    classes = outputs[scales : 2 * scales]
    boxes = branches_of(graph, outputs[:scales])
    if boxes is None:
        return 0
    extra = branches_of(graph, outputs[2 * scales : 3 * scales])
    if extra is not None and [b.features for b in extra] != [b.features for b in boxes]:
        extra = None
    kinds = [boxes] if extra is None else [boxes, extra]
    _rebuild(graph, head, classes, kinds)
    return scales * len(kinds)


def set_share(model: onnx.ModelProto, share: float) -> None:
    """Set the share of the anchors up to which a sparse graph gathers: 1 to prove it on all of them."""
    for tensor in model.graph.initializer:
        if tensor.name == _SHARE:
            tensor.CopyFrom(numpy_helper.from_array(np.array(share, np.float32), _SHARE))


def _rebuild(graph: Graph, head: Head, classes: list[str], kinds: list[list[Branch]]) -> None:
    """Put the branches into the two sides of an If, and what decides before it."""
    model = graph.model
    names = [branch.output for branches in kinds for branch in branches]
    anchors = [f"anchors_{stride}" for stride in head.strides]
    infos = {info.name: info for info in model.graph.output}
    sparse, dense = _sparse_side(graph, head, kinds, anchors), _dense_side(kinds, classes, anchors)
    for name, value in _constants().items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    moved = {node.output[0] for branches in kinds for branch in branches for node in branch.nodes}
    kept = [node for node in model.graph.node if node.output[0] not in moved]
    choice = helper.make_node(
        "If", ["sparse_many"], [*names, *anchors], then_branch=dense, else_branch=sparse, name="branches"
    )
    nodes = [*kept, *_decision(head, classes, _opset(model)), choice]
    copies = [Node.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    model.graph.input.append(helper.make_tensor_value_info(FLOOR, TensorProto.FLOAT, []))
    changed = []
    for name, info in infos.items():
        if name in names:
            batch, channels = info.type.tensor_type.shape.dim[:2]
            shape = [batch.dim_value or batch.dim_param, channels.dim_value, f"{name}_values"]
            info = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        changed.append(onnx.ValueInfoProto.FromString(info.SerializeToString()))
    for name in anchors:
        changed.append(
            helper.make_tensor_value_info(name, TensorProto.INT64, [f"{name}_batch", f"{name}_count"])
        )
    del model.graph.output[:]
    model.graph.output.extend(changed)
    graph.index()


def _decision(head: Head, classes: list[str], opset: int) -> list[Node]:
    """Which anchors pass (`sparse_STRIDE_passing`, 0 or 1), and whether they are many (`sparse_many`)."""
    lines, counts, totals = [], [], []
    for stride, name in zip(head.strides, classes, strict=True):
        s = f"sparse_{stride}"
        best = f"ReduceMax<keepdims=1>({name}, sparse_axis1)"
        if opset < 18:
            best = f"ReduceMax<axes=[1], keepdims=1>({name})"
        lines.append(f"""
            {s}_best = {best}
            {s}_over = Greater({s}_best, {FLOOR})
            {s}_passing = Cast<to=1>({s}_over)
            {s}_count = ReduceSum<keepdims=0>({s}_passing)
            {s}_total = Size({s}_best)
        """)
        counts.append(f"{s}_count")
        totals.append(f"{s}_total")
    text = "".join(lines)
    adding = totals[0]
    for number, total in enumerate(totals[1:]):
        text += f"sparse_total{number} = Add({adding}, {total})\n"
        adding = f"sparse_total{number}"
    text += f"""
        sparse_survivors = Sum({", ".join(counts)})
        sparse_anchors = Cast<to=1>({adding})
        sparse_most = Mul(sparse_anchors, {_SHARE})
        sparse_over = Greater(sparse_survivors, sparse_most)
        sparse_shape = Shape({classes[0]})
        sparse_batch = Gather<axis=0>(sparse_shape, sparse_axis0)
        sparse_several_each = Greater(sparse_batch, sparse_axis1)
        sparse_several = Squeeze(sparse_several_each)
        sparse_many = Or(sparse_over, sparse_several)
    """
    return _parsed(text, [])


def _sparse_side(graph: Graph, head: Head, kinds: list[list[Branch]], anchors: list[str]) -> onnx.GraphProto:
    """The graph that gathers: a value (1, channels, K) for each output, and the anchors (1, K)."""
    text, known = "", dict[str, str]()
    for scale, stride in enumerate(head.strides):
        s = f"sparse_{stride}"
        branches = [branches[scale] for branches in kinds]
        known[f"{s}_features"] = branches[0].features
        weight = graph.constant(branches[0].convolutions[0].input[1])
        assert weight is not None  # `branches_of` has seen it
        channels = weight.shape[1]
        text += _SCALE.format(s=s, features=f"{s}_features")
        text += _NEIGHBOURS.format(p=f"{s}_needed", s=s) + _NEIGHBOURS.format(p=f"{s}_chosen", s=s)
        text += f"""
            {s}_gathered = Gather<axis=1>({s}_vectors, {s}_needed_index)
            {s}_inside = Mul({s}_gathered, {s}_needed_factor)
            {s}_patches = Reshape({s}_inside, {s}_patch_columns)
            {s}_chosen_rank = Gather<axis=0>({s}_rank, {s}_chosen_index)
        """
        for suffix, shape in (("by_channel", [channels, -1]), ("patch_columns", [9 * channels, -1])):
            tensor = numpy_helper.from_array(np.array(shape, np.int64), f"{s}_{suffix}")
            graph.model.graph.initializer.append(tensor)
        for kind, branch in enumerate(branches):
            o = f"{s}_kind{kind}"
            inner = graph.constant(branch.convolutions[1].input[1])
            assert inner is not None
            tensor = numpy_helper.from_array(np.array([9 * inner.shape[1], -1], np.int64), f"{o}_columns")
            graph.model.graph.initializer.append(tensor)
            placeholders: dict[str, str] = {}
            for number, conv in enumerate(branch.convolutions, 1):
                placeholders |= {f"w{number}": f"{o}_weight{number}", f"b{number}": f"{o}_bias_of{number}"}
                known |= {f"{o}_weight{number}": conv.input[1], f"{o}_bias_of{number}": conv.input[2]}
            text += _BRANCH.format(s=s, o=o, **placeholders)
    outputs = [f"sparse_{stride}_kind{kind}_sparse" for kind in range(len(kinds)) for stride in head.strides]
    outputs += [f"sparse_{stride}_chosen" for stride in head.strides]
    nodes = _parsed(text, outputs)
    for node in nodes:  # the names of the model need not be identifiers, which is what the parser wants
        for place, name in enumerate(node.input):
            node.input[place] = known.get(name, name)
    return helper.make_graph(nodes, "gathered", [], _infos(outputs, len(anchors)))


def _dense_side(kinds: list[list[Branch]], classes: list[str], anchors: list[str]) -> onnx.GraphProto:
    """The graph that runs the convolutions: (batch, channels, h * w) for each output, and no anchors."""
    nodes, outputs = [], []
    for branches in kinds:
        for branch in branches:
            copies = [Node.FromString(node.SerializeToString()) for node in branch.nodes]
            copies[-1].output[0] = f"{branch.output}_map"
            outputs.append(f"{branch.output}_dense")
            reshape = helper.make_node("Reshape", [f"{branch.output}_map", "sparse_rows"], outputs[-1:])
            nodes += [*copies, reshape]
    empty = numpy_helper.from_array(np.zeros(1, np.int64), "value")
    for name in anchors:
        nodes += [
            helper.make_node("Concat", ["sparse_batch", "sparse_axis0"], [f"{name}_shape"], axis=0),
            helper.make_node("ConstantOfShape", [f"{name}_shape"], [f"{name}_dense"], value=empty),
        ]
        outputs.append(f"{name}_dense")
    return helper.make_graph(nodes, "convolved", [], _infos(outputs, len(anchors)))


def _infos(outputs: list[str], anchors: int) -> list[onnx.ValueInfoProto]:
    """Outputs of one side of the If: floats, then the anchors."""
    kinds = [TensorProto.FLOAT] * (len(outputs) - anchors) + [TensorProto.INT64] * anchors
    return [helper.make_tensor_value_info(n, kind, None) for n, kind in zip(outputs, kinds, strict=True)]


def _constants() -> dict[str, np.ndarray]:
    offsets = np.array([-1, 0, 1], np.int64)
    whole = {f"sparse_axis{axis}": np.array([axis], np.int64) for axis in range(4)}
    return whole | {
        _SHARE: np.array(BREAK_EVEN, np.float32),
        "sparse_zero": np.array(0, np.int64),
        "sparse_outside": np.array(-1, np.int64),
        "sparse_flat": np.array([-1], np.int64),
        "sparse_rows": np.array([0, 0, -1], np.int64),
        "sparse_matrix": np.array([0, -1], np.int64),
        "sparse_dy": np.repeat(offsets, 3)[:, None],
        "sparse_dx": np.tile(offsets, 3)[:, None],
    }


def _parsed(text: str, outputs: list[str]) -> list[Node]:
    """Nodes in ONNX' textual syntax."""
    results = ", ".join(f"float[n] {name}" for name in outputs)
    return list(parser.parse_graph(f"nodes () => ({results}) {{ {text} }}").node)


def _opset(model: onnx.ModelProto) -> int:
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
