"""What the filters of each convolution see on calibration images, and their weights rounded for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from ...engine.runtime.session import Session
from ..graph.onnx_graph import Graph, Node, attributes
from .qdq import plan_quantisation
from .rounding import Float64, Geometry, RoundedWeights, min_step, patches, round_layer

_PLACES = 256  # of a layer's output, drawn at random in every image


def second_moments(
    model: onnx.ModelProto,
    quantised_form: onnx.ModelProto,
    inputs: Iterable[NDArray[np.float32]],
    threads: int | None = None,
) -> dict[str, list[Float64]]:
    """Run a float model on all inputs.

    Args:
        quantised_form: the model without limits, whose convolutions are asked for; see `without_limits`.
        inputs: tensors (batch, channels, height, width), of which the first image is used.

    Returns:
        for each convolution that can be quantised, by the name of its output, and for each of its groups, the
        (inputs of a filter, inputs of a filter) mean products of inputs.
    """
    random = np.random.default_rng(0)  # seeded: the same images give the same file
    graph = Graph(quantised_form)
    layers = [(node, geometry_of(graph, node)) for node in plan_quantisation(graph).convolutions]
    image = model.graph.input[0].name
    names = list(dict.fromkeys(node.input[0] for node, _ in layers if node.input[0] != image))
    part = onnx.ModelProto()
    part.CopyFrom(model)
    Graph(part).set_outputs([onnx.ValueInfoProto(name=name) for name in names])
    session = Session(part.SerializeToString(), "cpu", threads=threads)
    sums: dict[str, list[Float64]] = {}
    count = 0
    for tensor in inputs:
        values = dict(zip(names, session.run(tensor), strict=True)) | {image: tensor}
        count += 1
        for node, geometry in layers:
            seen = patches(
                values[node.input[0]][0], geometry, *_places(random, geometry, values[node.input[0]])
            )
            parts = [one.T @ one / len(one) for one in np.split(seen, geometry.groups, axis=1)]
            known = sums.setdefault(node.output[0], [np.zeros(one.shape) for one in parts])
            for total, one in zip(known, parts, strict=True):
                total += one
    return {name: [total / max(count, 1) for total in parts] for name, parts in sums.items()}


def round_convolutions(
    graph: Graph,
    convolutions: Iterable[Node],
    moments: Mapping[str, Sequence[Float64]],
    scales: Mapping[str, float],
) -> dict[str, RoundedWeights]:
    """Round the weights of convolutions, see `round_layer`.

    Args:
        moments: as `second_moments` gives them.
        scales: the finest scale of each quantised tensor.
    """
    rounded = {}
    for node in convolutions:
        weight, *biases = [graph.constant(name) for name in node.input[1:]]
        if weight is None or node.output[0] not in moments:
            continue
        bias = biases[0] if biases and biases[0] is not None else np.zeros(len(weight))
        rows = weight.reshape(len(weight), -1).astype(np.float64)
        least = min_step(scales[node.input[0]])
        rounded[node.output[0]] = round_layer(rows, bias.astype(np.float64), moments[node.output[0]], least)
    return rounded


def geometry_of(graph: Graph, node: Node) -> Geometry:
    """A convolution's geometry."""
    settings, weight = attributes(node), graph.constant(node.input[1])
    if weight is None:
        raise ValueError(f"{node.input[1]} is computed")
    height, width = weight.shape[2:]
    top, left, bottom, right = settings.get("pads", (0, 0, 0, 0))
    (down, across), (below, beside) = (settings.get(name, (1, 1)) for name in ("strides", "dilations"))
    return Geometry(
        (height, width), (down, across), (below, beside), (top, left, bottom, right), settings.get("group", 1)
    )


def _places(
    random: np.random.Generator, geometry: Geometry, values: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of places in the output, none twice."""
    sides = (
        (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
        for size, before, after, dilation, kernel, stride in zip(
            values.shape[2:], geometry.pads[:2], geometry.pads[2:], geometry.dilations, geometry.kernel,
            geometry.strides, strict=True,
        )
    )  # fmt: skip
    height, width = sides
    chosen = random.permutation(height * width)[:_PLACES]
    return chosen // width, chosen % width
