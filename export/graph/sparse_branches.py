"""Recognises the branches of a head that can be computed for some of the anchors alone.

Such a branch is Conv 3x3, SiLU, Conv 3x3, SiLU, Conv 1x1, as YOLO's heads have them: an anchor's values
depend on the 5x5 feature vectors around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .onnx_graph import Graph, Node, attributes


@dataclass(frozen=True, eq=False)
class Branch:
    """The three convolutions from a feature map to one output, and the activations between them."""

    output: str
    features: str
    nodes: list[Node]
    convolutions: list[Node]


def branches_of(graph: Graph, names: list[str]) -> list[Branch] | None:
    """The branches that give these outputs, None unless all have the form that gathering needs."""
    found = [_branch(graph, name) for name in names]
    return [one for one in found if one is not None] if found and None not in found else None


def _branch(graph: Graph, output: str) -> Branch | None:
    """Conv 3x3, SiLU, Conv 3x3, SiLU, Conv 1x1 behind an output, None where it is anything else."""
    nodes: list[Node] = []
    convolutions: list[Node] = []
    name = output
    for size in (1, 3, 3):
        conv = graph.producer.get(name)
        if conv is None or not _is_plain(graph, conv, size):
            return None
        nodes.append(conv)
        convolutions.append(conv)
        name = conv.input[0]
        if len(convolutions) == 3:
            break
        silu = _silu(graph, name)
        if silu is None:
            return None
        nodes += silu
        name = silu[1].input[0]
    if any(graph.only_reader(node.output[0]) is None for node in nodes[1:] if node.op_type == "Mul"):
        return None
    return Branch(output, name, nodes[::-1], convolutions[::-1])


def _is_plain(graph: Graph, node: Node, size: int) -> bool:
    """Whether a node is a convolution of this size that keeps height and width, of float32, with a bias."""
    if node.op_type != "Conv" or len(node.input) != 3:
        return False
    weight, bias = graph.constant(node.input[1]), graph.constant(node.input[2])
    if weight is None or bias is None or weight.dtype != np.float32 or weight.shape[2:] != (size, size):
        return False
    found = attributes(node)
    wanted = {"group": 1, "strides": [1, 1], "dilations": [1, 1], "pads": [size // 2] * 4}
    return (
        all(
            found.get(key, default) == value
            for (key, value), default in zip(wanted.items(), (1, [1, 1], [1, 1], [0] * 4), strict=True)
        )
        and "auto_pad" not in found
    )


def _silu(graph: Graph, name: str) -> list[Node] | None:
    """The product and the sigmoid that give x * sigmoid(x), None where it is not that."""
    product = graph.producer.get(name)
    if product is None or product.op_type != "Mul":
        return None
    for gate, source in (product.input, product.input[::-1]):
        sigmoid = graph.producer.get(gate)
        if sigmoid is not None and sigmoid.op_type == "Sigmoid" and sigmoid.input[0] == source:
            return [product, sigmoid]
    return None
