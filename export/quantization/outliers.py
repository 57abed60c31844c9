"""Splits channels whose values are much larger than those of the others, so that one scale suits them all.

The convolutions before the class scores of YOLOv8 have a channel or two that reach 120 where the others reach
30: with one scale for all, the others are left with a quarter of the 255 steps. A convolution in bytes
saturates at the end of its range, and SiLU hardly changes large values. So such a channel is computed by
several filters with equal weights, whose biases differ by the length of the range:
x = min(x, r) + min(max(x - r, 0), r) + ..., and the convolution that follows gets its weights as many times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ...engine.runtime.session import Session
from ..graph.onnx_graph import Graph, Node, attributes
from .qdq import plan_quantisation

_MAX_MORE = 0.05  # of the filters may be added, and
_MIN_GAIN = 0.8  # of the range must remain at most, for it to pay
_MIN_END = 20.0  # SiLU of a shifted value is off by up to 0.28 where it should be 0: little beside this

Floats = NDArray[np.float32]


def candidates(graph: Graph) -> dict[str, str]:
    """Results of SiLUs between convolutions alone, by the name of the convolution's output that enters."""
    planned = plan_quantisation(graph)
    computed = {node.output[0] for node in planned.convolutions}
    return {
        entering: product
        for entering, product in planned.products.items()
        if entering in computed
        and entering in planned.only_entering
        and product not in graph.outputs
        and graph.consumers[product]
        and all(
            node.op_type == "Conv" and node.output[0] in computed and attributes(node).get("group", 1) == 1
            for node in graph.consumers[product]
        )
        and attributes(graph.producer[entering]).get("group", 1) == 1
    }


def channel_maxima(
    model: onnx.ModelProto, inputs: Iterable[NDArray[np.float32]], threads: int | None = None
) -> dict[str, Floats]:
    """The (channels,) largest values of the outputs of all `candidates`, over all inputs."""
    names = list(candidates(Graph(model)))
    if not names:
        return {}
    part = onnx.ModelProto()
    part.CopyFrom(model)
    Graph(part).set_outputs([onnx.ValueInfoProto(name=name) for name in names])
    session = Session(part.SerializeToString(), "cpu", threads=threads)
    found: dict[str, Floats] = {}
    for tensor in inputs:
        for name, values in zip(names, session.run(tensor), strict=True):
            largest = values.max(axis=(0, 2, 3))
            found[name] = np.maximum(found.get(name, largest), largest)
    return found


def counts(maxima: Floats) -> tuple[float, NDArray[np.int64]]:
    """The range that suits a layer, and the number of filters for each of its channels.

    Args:
        maxima: (channels,) the largest values.

    Returns:
        the upper end of the range, and (channels,) numbers from 1 on; all are 1 where nothing is gained.
    """
    largest, more = float(maxima.max(initial=0.0)), max(1, int(_MAX_MORE * len(maxima)))
    for part in np.arange(0.1, _MIN_GAIN + 1e-9, 0.02):
        needed = np.maximum(np.ceil(maxima / max(part * largest, 1e-6) - 1e-6), 1).astype(np.int64)
        if needed.sum() - len(maxima) <= more:
            if part * largest >= _MIN_END:
                return float(part * largest), needed
            break
    return largest, np.ones(len(maxima), np.int64)


def split_outliers(model: onnx.ModelProto, maxima: Mapping[str, Floats]) -> tuple[onnx.ModelProto, list[str]]:
    """The model with outlying channels split, and the outputs of the convolutions that were changed.

    The float model needs the saturation that bytes bring by themselves: it gets a Min behind each of these
    convolutions, see `without_limits`.

    Args:
        model: float; left as it is.
        maxima: (channels,) largest values by the name of a convolution's output, of those in `candidates`.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Graph(made)
    changed: list[str] = []
    limits: list[Node] = []
    for name, product in candidates(graph).items():
        end, needed = counts(maxima[name])
        if needed.max() == 1:
            continue
        conv = graph.producer[name]
        channels = np.repeat(np.arange(len(needed)), needed)
        copies = np.concatenate([np.arange(number) for number in needed])
        weight = _constant(graph, conv.input[1])
        bias = _constant(graph, conv.input[2]) if len(conv.input) > 2 else np.zeros(len(weight), np.float32)
        shifted = (bias[channels] - copies * end).astype(np.float32)
        names = [graph.add_weight("split_weight", weight[channels]), graph.add_weight("split_bias", shifted)]
        del conv.input[1:]
        conv.input.extend(names)
        for reader in graph.consumers[product]:
            reader.input[1] = graph.add_weight(
                "joined_weight", _constant(graph, reader.input[1])[:, channels]
            )
        conv.output[0] = unlimited_name(name)
        limit = graph.add_weight("limit", np.array(end, np.float32))
        limits.append(helper.make_node("Min", [conv.output[0], limit], [name]))
        changed.append(name)
        graph.index()
    graph.nodes.extend(limits)
    graph.prune()
    return made, changed


def without_limits(model: onnx.ModelProto, changed: list[str]) -> onnx.ModelProto:
    """The model without the Min behind changed convolutions: for bytes, whose range ends there anyway."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Graph(made)
    for name in changed:
        limit = graph.producer[name]
        conv = graph.producer[limit.input[0]]
        limit.output[0] = graph.unique(f"{name}_unused")
        conv.output[0] = name
        limit.input[0] = name
        graph.index()
    graph.prune()
    return made


def unlimited_name(name: str) -> str:
    """What a convolution's output is called before its Min."""
    return f"{name}_unlimited"


def _constant(graph: Graph, name: str) -> Floats:
    value = graph.constant(name)
    if value is None:
        raise ValueError(f"{name} is computed")
    return value.astype(np.float32)
