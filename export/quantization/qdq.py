"""Quantises a float network to eight bits, in the form that ONNX Runtime's CPU provider has kernels for.

Static quantisation with QuantizeLinear and DequantizeLinear nodes (QDQ): activations are uint8 with one scale
and zero point for each tensor, weights int8 with one scale for each filter, biases int32. Convolutions, SiLUs
and sums are computed on bytes. Data-movement operators (Concat, Split, MaxPool, Resize) read and write bytes,
and all tensors that they connect share their quantisation parameters, so that no value is rounded again.
Everything else, such as attention, stays in float between a DequantizeLinear and the next QuantizeLinear.
Scales are scalars: with tensors of one element the runtime fuses neither products nor sums.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ..graph.onnx_graph import Graph, Node, attributes
from .calibration import Range
from .rounding import RoundedWeights, min_step, nearest_steps

_SILU_MINIMUM = -0.2785  # the smallest value of x * sigmoid(x)


@dataclass(frozen=True)
class QuantisationParameters:
    """The number that an unsigned byte stands for is (byte - zero_point) * scale."""

    scale: float
    zero_point: int

    def dequantised(self, values: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The numbers that bytes stand for."""
        return (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


_GATE = QuantisationParameters(float(np.float32(1) / np.float32(255)), 0)
"""Of sigmoids. The largest byte is 1: with steps of 1/256 it is 0.996, and every SiLU would take 0.4% from
what is large, layer after layer."""


@dataclass(eq=False)
class QuantisationPlan:
    """Which nodes of a graph compute on bytes, and which tensors are quantised.

    Attributes:
        convolutions, arithmetic: nodes between DequantizeLinear and QuantizeLinear, which the runtime fuses.
        data_movement: nodes that read and write bytes.
        tensors: all quantised tensors, in the order of the graph; the image is the first.
        gates, products: the sigmoid and the result of each SiLU, by the tensor that enters it.
        only_entering: the tensors that nothing but a SiLU reads.
    """

    convolutions: list[Node] = field(default_factory=list)
    arithmetic: list[Node] = field(default_factory=list)
    data_movement: list[Node] = field(default_factory=list)
    tensors: list[str] = field(default_factory=list)
    gates: dict[str, str] = field(default_factory=dict)
    products: dict[str, str] = field(default_factory=dict)
    only_entering: set[str] = field(default_factory=set)

    @property
    def measured(self) -> list[str]:
        """The tensors whose ranges have to be observed: not the image, and not what fills 0 to 1."""
        return [name for name in self.tensors[1:] if name not in self.gates.values()]


def plan_quantisation(graph: Graph, keep: Collection[str] = ()) -> QuantisationPlan:
    """Choose which nodes compute on bytes.

    Args:
        keep: outputs of convolutions that stay in float.
    """
    made = QuantisationPlan()
    for node in graph.nodes:
        gate = _gate_of(graph, node)
        if gate is not None:
            made.gates[gate.input[0]] = gate.output[0]
            made.products[gate.input[0]] = node.output[0]
            if len(graph.consumers[gate.input[0]]) == 2 and gate.input[0] not in graph.outputs:
                made.only_entering.add(gate.input[0])
    within = {*made.gates.values(), *made.products.values()}
    known = {graph.model.graph.input[0].name}
    for node in graph.nodes:
        kind, settings, sources = node.op_type, attributes(node), _data_of(node)
        if kind == "Conv" and _is_constant(graph, node.input[1:]) and node.output[0] not in keep:
            made.convolutions.append(node)
        elif not known.issuperset(sources):
            continue
        elif kind == "Add" or (kind in ("Sigmoid", "Mul") and node.output[0] in within):
            made.arithmetic.append(node)
        elif (
            (kind in ("Concat", "Split") and settings.get("axis", 0) == 1)
            or (kind == "MaxPool" and len(node.output) == 1)
            or (kind == "Resize" and settings.get("mode", b"nearest") == b"nearest")
        ):
            made.data_movement.append(node)
        else:
            continue
        known.update(sources, node.output)
    order = [graph.model.graph.input[0].name, *(name for node in graph.nodes for name in node.output)]
    made.tensors = [name for name in order if name in known]
    return made


def quantisation_parameters(
    planned: QuantisationPlan, ranges: Mapping[str, Range]
) -> dict[str, QuantisationParameters]:
    """The quantisation parameters of every quantised tensor.

    The image's bytes are divided by 255, sigmoids fill 0 to 1, and tensors that data-movement operators
    connect share their parameters.

    Args:
        ranges: of the `planned.measured` tensors, in float.
    """
    image = planned.tensors[0]
    spans = {name: _narrowed(name, planned, ranges) for name in planned.measured}
    spans |= dict.fromkeys([image, *planned.gates.values()], (0.0, 1.0))
    together = {name: [name] for name in planned.tensors}
    for node in planned.data_movement:
        joined = together[node.input[0]]
        for name in [*_data_of(node), *node.output]:
            if together[name] is not joined:
                joined += together[name]
                together.update(dict.fromkeys(together[name], joined))
    result = {}
    for name in planned.tensors:
        low = min(0.0, *(spans[other][0] for other in together[name]))
        high = max(0.0, *(spans[other][1] for other in together[name]))
        scale = float(np.float32(max(high - low, 1e-6) / 255))
        result[name] = QuantisationParameters(scale, int(np.clip(round(-low / scale), 0, 255)))
    result.update(dict.fromkeys(planned.gates.values(), _GATE))
    result.update(
        dict.fromkeys(together[image], QuantisationParameters(float(np.float32(1) / np.float32(255)), 0))
    )
    return {name: result[name] for name in planned.tensors}


def quantise(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range],
    keep: Collection[str] = (),
    rounded: Mapping[str, RoundedWeights] = MappingProxyType({}),
) -> onnx.ModelProto:
    """Quantise a model. The input of the result is uint8, 0 to 255; its outputs stay float.

    Args:
        model: float, with an input from 0 to 1; left as it is.
        ranges: of the tensors in `QuantisationPlan.measured`.
        keep: outputs of convolutions to leave in float.
        rounded: weights and biases of convolutions by the name of their output; the weights of others are
            rounded to the nearest step.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Graph(made)
    planned = plan_quantisation(graph, keep)
    table = quantisation_parameters(planned, ranges)
    writer = _Writer(graph, planned, table)
    for node in planned.convolutions:
        writer.quantise_weights(node, rounded.get(node.output[0]))
    writer.connect()
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    graph.prune()
    return made


def bytes_of(tensor: str) -> str:
    """The name under which the quantised model holds the bytes of a tensor, if it was free."""
    return f"{tensor}_bytes"


class _Writer:
    """Inserts QuantizeLinear and DequantizeLinear nodes according to a plan."""

    def __init__(
        self, graph: Graph, planned: QuantisationPlan, table: Mapping[str, QuantisationParameters]
    ) -> None:
        self.graph, self.planned, self.table = graph, planned, table
        self.new: list[Node] = []
        self.parameters: dict[QuantisationParameters, list[str]] = {}
        image = planned.tensors[0]
        self.bytes = {name: graph.unique(bytes_of(name)) for name in planned.tensors} | {image: image}
        self.floats = {name: graph.unique(f"{name}_float") for name in planned.tensors}

    def weights_of(self, values: QuantisationParameters) -> list[str]:
        """Names of the initialisers of scale and zero point; equal parameters share them."""
        if values not in self.parameters:
            self.parameters[values] = [
                self.graph.add_weight("scale", np.array(values.scale, np.float32)),
                self.graph.add_weight("zero", np.array(values.zero_point, np.uint8)),
            ]
        return self.parameters[values]

    def quantise_weights(self, conv: Node, rounded: RoundedWeights | None) -> None:
        """Quantise weights to -127 to 127, and the bias to int32 with the scale of input times weight."""
        source, weight = self.table[conv.input[0]], self._constant(conv.input[1])
        if rounded is None:
            bias = self._constant(conv.input[2]) if len(conv.input) > 2 else np.zeros(len(weight))
            rounded = nearest_steps(weight.reshape(len(weight), -1), bias, min_step(source.scale))
        scale = rounded.scale
        conv.input[1] = self._dequantised(rounded.steps.reshape(weight.shape), np.int8, scale)
        if len(conv.input) > 2 or rounded.bias.any():
            fine = (scale * np.float32(source.scale)).astype(np.float32)
            bias_name = self._dequantised(np.rint(rounded.bias / fine), np.int32, fine)
            del conv.input[2:]
            conv.input.append(bias_name)

    def connect(self) -> None:
        """Connect all nodes to bytes or floats as planned, and add the conversions between them."""
        moved = {name for node in self.planned.data_movement for name in node.output}
        outputs = set(self.graph.outputs)
        for node in self.graph.nodes:
            moves_data = node.output[0] in moved
            names = self.bytes if moves_data else self.floats
            for place, name in enumerate(node.input):
                node.input[place] = names.get(name, name)
            for place, name in enumerate(node.output):
                if moves_data:
                    node.output[place] = self.bytes[name]
                elif name in outputs and name in self.table:
                    node.output[place] = self.graph.unique(f"{name}_exact")
                    self._add("QuantizeLinear", node.output[place], name, self.bytes[name])
        for name in self.planned.tensors:
            if name != self.planned.tensors[0] and name not in moved and name not in outputs:
                self._add("QuantizeLinear", name, name, self.bytes[name])
            # Under its own name a graph within a node may ask for what a move no longer writes.
            for target in [self.floats[name]] + [name] * (name in outputs or name in moved):
                self._add("DequantizeLinear", self.bytes[name], name, target)
        self.graph.nodes.extend(self.new)

    def _add(self, kind: str, source: str, tensor: str, target: str) -> None:
        self.new.append(helper.make_node(kind, [source, *self.weights_of(self.table[tensor])], [target]))

    def _dequantised(self, values: NDArray[Any], dtype: type, scale: NDArray[np.float32]) -> str:
        """Add a weight and its DequantizeLinear; returns the name of the dequantised tensor."""
        info = np.iinfo(dtype)
        stored = np.clip(values, -info.max, info.max).astype(dtype)
        inputs = [stored, scale, np.zeros(len(scale), dtype)]
        names = [self.graph.add_weight(name, value) for name, value in zip(_PARTS, inputs, strict=True)]
        target = f"{names[0]}_float"
        self.new.append(helper.make_node("DequantizeLinear", names, [target], axis=0))
        return target

    def _constant(self, name: str) -> NDArray[Any]:
        value = self.graph.constant(name)
        if value is None:
            raise ValueError(f"{name} is computed")
        return value.astype(np.float32)


_PARTS = ("weight_bytes", "weight_scale", "weight_zero")


def _gate_of(graph: Graph, node: Node) -> Node | None:
    """The sigmoid of a SiLU, if the node is the product of one."""
    if node.op_type != "Mul" or len(node.input) != 2:
        return None
    for source, gate in (tuple(node.input), tuple(node.input)[::-1]):
        sigmoid = graph.producer.get(gate)
        if sigmoid is not None and sigmoid.op_type == "Sigmoid" and sigmoid.input[0] == source:
            return sigmoid if graph.only_reader(gate) is not None else None
    return None


def _is_constant(graph: Graph, names: Iterable[str]) -> bool:
    return all(graph.constant(name) is not None for name in names)


def _data_of(node: Node) -> list[str]:
    """The tensors that a node computes with, without weights and settings."""
    return list(node.input) if node.op_type in ("Add", "Mul", "Concat") else list(node.input[:1])


def _narrowed(name: str, planned: QuantisationPlan, ranges: Mapping[str, Range]) -> Range:
    """A tensor's range; before a SiLU without the low end, where its result is less than half a step.

    SiLU gives next to nothing for inputs of -6 or -10 alike: the bytes are better spent on the others.
    """
    low, high = ranges[name]
    if name not in planned.only_entering or planned.products[name] not in ranges:
        return low, high
    half = (max(ranges[planned.products[name]][1], 0.0) - _SILU_MINIMUM) / 510
    ends = np.arange(-12, -2, 0.25)
    ends = ends[np.abs(ends / (1 + np.exp(-ends))) <= half]
    return max(low, float(ends.max())) if ends.size else low, high
