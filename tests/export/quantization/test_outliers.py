from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from yolean.engine.runtime.session import Session
from yolean.export.graph.onnx_graph import Graph
from yolean.export.quantization.calibration import observe, whole
from yolean.export.quantization.layer_inputs import round_convolutions, second_moments
from yolean.export.quantization.outliers import (
    candidates,
    channel_maxima,
    counts,
    split_outliers,
    without_limits,
)
from yolean.export.quantization.qdq import plan_quantisation, quantisation_parameters, quantise

RNG = np.random.default_rng(5)
IMAGES = [RNG.random((1, 3, 8, 8), np.float32) for _ in range(4)]
CHANNELS = 40


def network(outlier: float = 60.0, groups: int = 1) -> onnx.ModelProto:
    """Convolution, SiLU, convolution; one channel in between reaches `outlier`, others about 20."""
    first = RNG.normal(size=(CHANNELS, 3, 1, 1)).astype(np.float32)
    first *= 20 / np.maximum(first, 0).sum(axis=1, keepdims=True).clip(1)
    first[7] = outlier / 3
    weights = {
        "w1": first,
        "b1": RNG.normal(size=CHANNELS).astype(np.float32),
        "w2": (RNG.normal(size=(4, CHANNELS // groups, 1, 1)) / 20).astype(np.float32),
        "b2": np.zeros(4, np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["g"]),
        helper.make_node("Mul", ["a", "g"], ["p"]),
        helper.make_node("Conv", ["p", "w2", "b2"], ["y"], group=groups),
    ]
    sides: list[Any] = [1, 3, 8, 8]
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, image: NDArray[Any]) -> NDArray[Any]:
    return Session(model.SerializeToString(), "cpu", threads=1).run(image)[0]


def test_layers_that_can_be_split() -> None:
    assert candidates(Graph(network())) == {"a": "p"}
    assert candidates(Graph(network(groups=2))) == {}
    given_twice = network()
    given_twice.graph.output.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, None))
    assert candidates(Graph(given_twice)) == {}


@pytest.mark.parametrize(
    ("maxima", "end", "more"),
    [
        ([120.0] + [30.0] * 79, 31.2, 3),  # four filters of 31.2 instead of one of 120
        ([120.0] * 80, 120.0, 0),
        ([12.0] + [3.0] * 79, 12.0, 0),  # so small that what SiLU does around 0 would matter
        ([0.0] * 80, 0.0, 0),
    ],
)
def test_numbers_of_filters(maxima: list[float], end: float, more: int) -> None:
    found, needed = counts(np.array(maxima, np.float32))
    assert found == pytest.approx(end, rel=1e-3)
    assert needed.sum() - len(maxima) == more


def test_a_split_network_answers_the_same_in_a_third_of_the_range() -> None:
    model = network()
    before = model.SerializeToString()
    maxima = channel_maxima(model, IMAGES)
    made, changed = split_outliers(model, maxima)
    assert (changed, model.SerializeToString()) == (["a"], before)
    end = counts(maxima["a"])[0]
    assert end < 0.6 * maxima["a"].max()
    for image in IMAGES:
        assert np.abs(run(made, image) - run(model, image)).max() < 0.05 * np.abs(run(model, image)).max()
    seen = observe(made, ["a", "p"], lambda: IMAGES)
    assert seen["a"].high == pytest.approx(end, rel=1e-5)
    form = without_limits(made, changed)
    assert [node.op_type for node in form.graph.node] == ["Conv", "Sigmoid", "Mul", "Conv"]
    assert split_outliers(network(20.0), channel_maxima(network(20.0), IMAGES))[1] == []


def test_splitting_and_rounding_spare_error() -> None:
    model = network(120.0)
    errors = []
    for changed in (False, True):
        made, names = split_outliers(model, channel_maxima(model, IMAGES)) if changed else (model, [])
        form = without_limits(made, names)
        graph = Graph(form)
        planned = plan_quantisation(graph)
        seen = observe(made, planned.measured, lambda: IMAGES)
        ranges = {name: whole(values) for name, values in seen.items()}
        scales = {name: one.scale for name, one in quantisation_parameters(planned, ranges).items()}
        moments = second_moments(made, form, IMAGES)
        rounded = round_convolutions(graph, planned.convolutions, moments, scales) if changed else {}
        session = Session(quantise(form, ranges, (), rounded).SerializeToString(), "cpu")
        outputs = [session.run(np.rint(image * 255).astype(np.uint8))[0] for image in IMAGES]
        errors.append(
            np.mean([np.abs(o - run(model, i)).mean() for o, i in zip(outputs, IMAGES, strict=True)])
        )
    assert errors[1] < 0.85 * errors[0]


def test_second_moments_are_those_of_all_places() -> None:
    model = network()
    found = second_moments(model, model, IMAGES)
    pixels = np.concatenate([image[0].reshape(3, -1) for image in IMAGES], axis=1)
    assert found.keys() == {"a", "y"}
    assert np.allclose(found["a"][0], pixels @ pixels.T / pixels.shape[1], atol=1e-5)
    assert found["y"][0].shape == (CHANNELS, CHANNELS)
    grouped = network(groups=2)
    assert [one.shape for one in second_moments(grouped, grouped, IMAGES)["y"]] == [(20, 20)] * 2
