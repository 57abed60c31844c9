"""Exact rewrites that let ONNX Runtime's CPU provider run a network faster.

The provider keeps feature maps in blocks of channels and converts them back for every operator that it has
no blocked form of; Split is one. What each rewrite gains, and those that gained nothing, is written in
benchmarks/notes.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .onnx_graph import Graph, Node, attributes

_BLOCK = 8  # channels: parts of any other number would leave the blocked form


@dataclass(frozen=True)
class _Part:
    """Some channels of a convolution's result, and the tensor that they become."""

    first: int
    last: int
    name: str


def split_convolutions(model: onnx.ModelProto) -> int:
    """Replace a convolution whose result is split along its channels by one convolution for each part.

    Conv -> SiLU -> Split becomes Conv -> SiLU for each part, with its share of the filters: the same
    products and sums. Returns the number of replaced convolutions; the model is changed in place.
    """
    graph, count = Graph(model), 0
    for name in [node.output[0] for node in graph.nodes if node.op_type == "Conv"]:
        conv = graph.producer.get(name)
        if conv is None:  # unused: it was pruned with an earlier rewrite
            continue
        weights = [graph.constant(source) for source in conv.input[1:]]
        if any(one is None for one in weights) or attributes(conv).get("group", 1) != 1:
            continue
        activation, result = _activated(graph, conv)
        readers = graph.consumers.get(result, [])
        channels = _channels(graph, name)
        parts = [] if result in graph.outputs else _parts(graph, readers, channels)
        if len(parts) < 2 or any((part.last - part.first) % _BLOCK for part in parts):
            continue
        new = [node for part in parts for node in _convolution_of(graph, conv, part, bool(activation))]
        graph.replace([conv, *activation, *readers], new)
        count += 1
    return count


def convolve_before_upsampling(model: onnx.ModelProto) -> int:
    """Move 1x1 convolutions of upsampled feature maps before the upsampling, where there are fewer pixels.

    Conv(Concat(Up(a), b)) equals Up(Conv_a(a)) + Conv_b(b) when Up repeats pixels: a quarter of the work for
    a. Sums are added in another order, which changes the last bits. Returns the number of moved
    convolutions; the model is changed in place.
    """
    graph, count = Graph(model), 0
    for name in [node.output[0] for node in graph.nodes if node.op_type == "Concat"]:
        concat = graph.producer.get(name)
        readers = graph.consumers.get(name, [])
        if concat is None or name in graph.outputs or attributes(concat)["axis"] != 1:
            continue
        if not readers or not all(_is_pointwise(graph, node) and node.input[0] == name for node in readers):
            continue
        sizes = [_channels(graph, source) for source in concat.input]
        upsampled = [_is_repetition(graph, source) for source in concat.input]
        if not all(sizes) or not any(upsampled):
            continue
        weights = [graph.constant(conv.input[1]) for conv in readers]
        if any(weight is None or weight.shape[1] != sum(sizes) for weight in weights):
            continue
        edges = np.cumsum([0, *sizes]).tolist()
        new = [
            node for conv in readers for node in _sum_of_convolutions(graph, conv, concat, edges, upsampled)
        ]
        graph.replace([concat, *readers], new)
        count += 1
    return count


def _activated(graph: Graph, conv: Node) -> tuple[list[Node], str]:
    """The nodes of the SiLU behind a convolution, if there is one, and the tensor behind them."""
    result = conv.output[0]
    readers = {node.op_type: node for node in graph.consumers.get(result, [])}
    if len(graph.consumers.get(result, [])) == 2 and set(readers) == {"Sigmoid", "Mul"}:
        sigmoid, product = readers["Sigmoid"], readers["Mul"]
        if result not in graph.outputs and graph.only_reader(sigmoid.output[0]) is product:
            return [sigmoid, product], product.output[0]
    return [], result


def _parts(graph: Graph, readers: list[Node], channels: int) -> list[_Part]:
    """The parts that readers take of so many channels; [] where they do not share them out exactly."""
    if len(readers) == 1 and readers[0].op_type == "Split":
        split = readers[0]
        if attributes(split).get("axis", 0) != 1:
            return []
        even = [channels // len(split.output)] * len(split.output)
        sizes: Any = attributes(split).get("split", even)  # an attribute below opset 13
        if len(split.input) > 1:
            sizes = graph.constant(split.input[1])
        if sizes is None or sum(sizes) != channels:
            return []
        edges = np.cumsum([0, *sizes]).tolist()
        return [_Part(*part) for part in zip(edges[:-1], edges[1:], split.output, strict=True)]
    parts = []
    for node in readers:
        values = [graph.constant(name) for name in node.input[1:]]
        if node.op_type != "Slice" or len(values) < 3 or any(v is None or v.size != 1 for v in values):
            return []
        first, last, axis, step = [int(v.item()) for v in values if v is not None] + [1] * (4 - len(values))
        if axis != 1 or step != 1 or first < 0:
            return []
        parts.append(_Part(first, min(last, channels), node.output[0]))
    parts.sort(key=lambda part: part.first)
    edges = [part.first for part in parts] + [channels]
    return parts if edges == [0] + [part.last for part in parts] else []


def _convolution_of(graph: Graph, conv: Node, part: _Part, activated: bool) -> Iterator[Node]:
    """The convolution, and SiLU, that give a part of a convolution's channels."""
    inputs = [conv.input[0]]
    for name in conv.input[1:]:  # weight and bias
        value = graph.constant(name)
        if value is None:
            raise ValueError(f"{name} is computed")
        inputs.append(graph.add_weight("part", value[part.first : part.last]))
    result = graph.unique(f"{part.name}_sum") if activated else part.name
    yield helper.make_node("Conv", inputs, [result], **attributes(conv))
    if activated:
        gate = graph.unique(f"{part.name}_gate")
        yield helper.make_node("Sigmoid", [result], [gate])
        yield helper.make_node("Mul", [result, gate], [part.name])


def _sum_of_convolutions(
    graph: Graph, conv: Node, concat: Node, edges: list[int], upsampled: list[bool]
) -> Iterator[Node]:
    """Nodes that give what a 1x1 convolution gives of a concatenation, those of upsampled parts first."""
    weight = graph.constant(conv.input[1])
    if weight is None:
        raise ValueError(f"{conv.input[1]} is computed")
    stem, terms = conv.output[0], list[str]()
    rest = [place for place, is_up in enumerate(upsampled) if not is_up]
    groups = [[place] for place, is_up in enumerate(upsampled) if is_up] + ([rest] if rest else [])
    for number, group in enumerate(groups):
        columns = np.concatenate([weight[:, edges[place] : edges[place + 1]] for place in group], axis=1)
        inputs = [concat.input[group[0]], graph.add_weight(f"{stem}_part", columns)]
        last = number == len(groups) - 1
        inputs += conv.input[2:] if last else []  # the bias is added once
        term = f"{stem}_term{number}"
        resize = graph.producer[inputs[0]] if upsampled[group[0]] else None
        if resize is not None:
            inputs[0] = resize.input[0]
        elif len(group) > 1:
            inputs[0] = f"{stem}_rest"
            yield helper.make_node("Concat", [concat.input[place] for place in group], inputs[:1], axis=1)
        yield helper.make_node("Conv", inputs, [term], **attributes(conv))
        if resize is not None:
            small, term = term, f"{term}_up"
            yield helper.make_node("Resize", [small, *resize.input[1:]], [term], **attributes(resize))
        if terms:
            total = stem if last else f"{stem}_sum{number}"
            yield helper.make_node("Add", [terms[-1], term], [total])
            term = total
        terms.append(term)
    if len(groups) == 1:
        yield helper.make_node("Identity", [terms[0]], [stem])


def _is_pointwise(graph: Graph, node: Node) -> bool:
    """Whether a node is a 1x1 convolution of stride 1 in one group, with constant weights."""
    weight = graph.constant(node.input[1]) if node.op_type == "Conv" else None
    settings = attributes(node)
    return (
        weight is not None
        and weight.shape[2:] == (1, 1)
        and settings.get("group", 1) == 1
        and set(settings.get("strides", [1])) == {1}
        and set(settings.get("pads", [0])) == {0}
    )


def _is_repetition(graph: Graph, name: str) -> bool:
    """Whether a tensor is an upsampling that repeats pixels, and read once."""
    node = graph.producer.get(name)
    if node is None or node.op_type != "Resize" or graph.only_reader(name) is None or len(node.input) < 3:
        return False
    settings, scales = attributes(node), graph.constant(node.input[2])
    return (
        scales is not None
        and scales.size == 4
        and scales[:2].tolist() == [1, 1]
        and bool((scales == np.round(scales)).all())
        and settings.get("mode", b"nearest") == b"nearest"
        and settings.get("coordinate_transformation_mode") == b"asymmetric"
        and settings.get("nearest_mode") == b"floor"
    )


def _channels(graph: Graph, name: str) -> int:
    """How many channels a tensor has, followed up to the convolutions that it comes from; 0 where unknown."""
    node = graph.producer.get(name)
    if node is None:
        return 0
    match node.op_type:
        case "Conv":
            weight = graph.constant(node.input[1])
            return 0 if weight is None else len(weight)
        case "Sigmoid" | "Relu" | "LeakyRelu" | "MaxPool" | "AveragePool" | "Resize":
            return _channels(graph, node.input[0])
        case "Mul" | "Add":
            found = {_channels(graph, source) for source in node.input}
            return found.pop() if len(found) == 1 else 0
        case "Concat" if attributes(node)["axis"] == 1:
            parts = [_channels(graph, source) for source in node.input]
            return sum(parts) if all(parts) else 0
        case "Split" if attributes(node).get("axis", 0) == 1 and len(node.input) > 1:
            sizes = graph.constant(node.input[1])
            return 0 if sizes is None else int(sizes[list(node.output).index(name)])
    return 0
