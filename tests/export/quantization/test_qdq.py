"""Networks in bytes against their formulas in numpy, and what of a graph becomes bytes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from heads import Builder
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tables import for_each
from yolean.export.graph.onnx_graph import Graph, attributes
from yolean.export.quantization.qdq import (
    QuantisationParameters,
    plan_quantisation,
    quantisation_parameters,
    quantise,
)

HEIGHT, WIDTH = 8, 12
SHAPE = (2, 3, HEIGHT, WIDTH)
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


class Network(Builder):
    """A builder that gives what its networks compute."""

    def up(self, source: Any) -> Any:
        return self("Resize", source, "", self.constant([1, 1, 2, 2]), **NEAREST)

    def pool(self, source: Any, size: Any = 3) -> Any:
        return self("MaxPool", source, kernel_shape=[size] * 2, pads=[size // 2] * 4, strides=[1, 1])

    def model(self, *outputs: Any, batch: Any = "n") -> Any:
        image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *SHAPE[1:]])
        infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs]
        graph = helper.make_graph(self.nodes, "g", [image], infos, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def session_of(model: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def value_of(graph: Graph, name: str) -> NDArray[Any]:
    """A constant that is there."""
    value = graph.constant(name)
    assert value is not None
    return value


def image(shape: Any = SHAPE, seed: int = 1) -> Any:
    """An image of bytes."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def answers(model: Any, pixels: Any) -> Any:
    """What a model of bytes, or of floats, gives for an image of bytes."""
    session = session_of(model)
    given = session.get_inputs()[0]
    tensor = pixels if given.type == "tensor(uint8)" else pixels.astype(np.float32) / np.float32(255)
    return session.run(None, {given.name: tensor})


def ranges_of(model: Any, pixels: Any = None) -> Any:
    """The range of every tensor, for one image."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    names = [name for node in model.graph.node for name in node.output]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    found = answers(model, image() if pixels is None else pixels)
    return {
        name: (min(0.0, float(values.min())), max(0.0, float(values.max())))
        for name, values in zip(names, found, strict=True)
        if values.dtype == np.float32
    }


# ---- in numpy ---------------------------------------------------------------------------------------------


def windows(values: Any, settings: Any, fill: Any) -> Any:
    """(n, c, h, w, kernel, kernel) windows of (n, c, H, W)."""
    top, left, bottom, right = settings["pads"]
    padded = np.pad(values, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    found = sliding_window_view(padded, tuple(settings["kernel_shape"]), axis=(2, 3))
    rows, columns = settings.get("strides", [1, 1])
    return found[:, :, ::rows, ::columns]


def in_bytes(weight: Any, axis: Any = 0) -> Any:
    """Filters in whole steps of a 127th of their largest weight."""
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scale = largest / 127
    return np.rint(weight / scale) * scale


def evaluated(graph: Any, pixels: Any, table: Any) -> Any:
    """All tensors of a float graph, each rounded to its step as soon as it is there."""

    def rounded(name: str, values: Any) -> Any:
        step = table.get(name)
        if step is None:
            return values
        return (
            np.clip(np.rint(values / step.scale) + step.zero_point, 0, 255) - step.zero_point
        ) * step.scale

    values = {"x": pixels / 255.0}
    for node in graph.nodes:
        inputs = [values.get(name, graph.constant(name)) for name in node.input]
        settings = attributes(node)
        match node.op_type:
            case "Conv":
                weight = in_bytes(inputs[1]) if node.input[0] in table else inputs[1]
                found = np.einsum("nchwij,ocij->nohw", windows(inputs[0], settings, 0), weight, optimize=True)
                results = [found + inputs[2][:, None, None] if len(inputs) > 2 else found]
            case "Sigmoid":
                results = [1 / (1 + np.exp(-inputs[0]))]
            case "Mul":
                results = [inputs[0] * inputs[1]]
            case "Add":
                results = [inputs[0] + inputs[1]]
            case "Concat":
                results = [np.concatenate(inputs, axis=1)]
            case "Split":
                results = np.split(inputs[0], np.cumsum(inputs[1])[:-1], axis=1)
            case "MaxPool":
                results = [windows(inputs[0], settings, -np.inf).max(axis=(4, 5))]
            case "Resize":
                results = [inputs[0].repeat(2, axis=2).repeat(2, axis=3)]
        values |= {name: rounded(name, found) for name, found in zip(node.output, results, strict=True)}
    return values


def convolution(b: Any) -> Any:
    return b.conv("x", 3, 8, 3)


def convolution_without_bias(b: Any) -> Any:
    return b.conv("x", 3, 8, 3, bias=False)


def silu(b: Any) -> Any:
    return b.silu(b.conv("x", 3, 8, 3))


def silu_the_other_way_round(b: Any) -> Any:
    source = b.conv("x", 3, 8, 3)
    return b("Mul", b("Sigmoid", source), source)


def shortcut(b: Any) -> Any:
    first = b.silu(b.conv("x", 3, 8, 3))
    return b("Add", first, b.silu(b.conv(first, 8, 8, 3)))


def concatenation(b: Any) -> Any:
    first = b.silu(b.conv("x", 3, 8, 3))
    second = b.silu(b.conv("x", 3, 8, 3, scale=9))  # of quite another range
    return b.conv(b("Concat", first, second, axis=1), 16, 6)


def split(b: Any) -> Any:
    first, second = b.split(b.silu(b.conv("x", 3, 12, 3)), [4, 8])
    return b("Concat", b.conv(first, 4, 4), second, axis=1)


def pooling(b: Any) -> Any:
    first = b.silu(b.conv("x", 3, 8))
    pools = [first]
    for _ in range(3):
        pools.append(b.pool(pools[-1]))
    return b.conv(b("Concat", *pools, axis=1), 32, 8)


def upsampling(b: Any) -> Any:
    fine = b.silu(b.conv("x", 3, 8, 3))
    coarse = b.silu(b.conv(fine, 8, 6, 3, stride=2))
    return b.silu(b.conv(b("Concat", b.up(coarse), fine, axis=1), 14, 8))


NETWORKS = [
    (convolution, 1),
    (convolution_without_bias, 1),
    (silu, 1),
    (silu_the_other_way_round, 1),
    (shortcut, 2),
    (concatenation, 3),
    (split, 2),
    (pooling, 2),
    (upsampling, 3),
]


@for_each("make, convolutions", NETWORKS)
def test_networks_in_bytes_compute_what_their_formulas_say(make: Any, convolutions: Any) -> None:
    b = Network(3)
    output = make(b)
    model = b.model(output)
    graph = Graph(model)
    planned = plan_quantisation(graph)
    table = quantisation_parameters(planned, ranges_of(model))
    assert len(planned.convolutions) == convolutions
    assert set(planned.tensors) == {"x", *(name for node in graph.nodes for name in node.output)}
    (found,) = answers(quantise(model, ranges_of(model)), image())
    wanted = evaluated(graph, image(), table)[output]
    # Halves may round to either side, and sums of products are added in another order: a step in an early
    # layer is up to two in a later one.
    distance = np.abs(found - wanted) / table[output].scale
    assert distance.max() <= 2.01
    assert (distance > 0.01).mean() < 0.02
    (exact,) = answers(model, image())
    low, high = ranges_of(model)[output]
    assert np.abs(found - exact).max() < 0.06 * (high - low)


# ---- what stands in the file ------------------------------------------------------------------------------


def made_of(make: Any, keep: Any = ()) -> Any:
    b = Network(3)
    outputs = make(b)
    model = b.model(*(outputs if isinstance(outputs, list) else [outputs]))
    ranges = ranges_of(model)
    return model, quantise(
        model, {name: ranges[name] for name in plan_quantisation(Graph(model)).measured}, keep
    )


def test_all_of_it_runs_on_bytes(tmp_path: Path) -> None:
    """ONNX Runtime finds a kernel of bytes for every operator: the form is the one that it knows."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    content = made_of(upsampling)[1].SerializeToString()
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node)
    assert kinds["QLinearConv"] == kinds["QLinearSigmoid"] == kinds["QLinearMul"] == 3
    assert kinds["DequantizeLinear"] == 1  # of the output
    assert not kinds.keys() & {"Conv", "Sigmoid", "Mul", "QuantizeLinear"}


def test_scales_of_tensors_are_scalars_and_those_of_weights_one_a_filter() -> None:
    model, made = made_of(upsampling)
    onnx.checker.check_model(made)
    graph = Graph(made)
    convolutions = [node for node in graph.nodes if node.op_type == "Conv"]
    assert len(convolutions) == 3
    of_weights = {name for node in convolutions for name in node.input[1:]}
    for node in graph.nodes:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = (value_of(graph, name) for name in node.input[1:])
        assert scale.dtype == np.float32
        if node.output[0] not in of_weights:
            assert scale.shape == zero.shape == ()
            assert zero.dtype == np.uint8
            continue
        stored = value_of(graph, node.input[0])
        assert scale.shape == zero.shape == stored.shape[:1]
        assert attributes(node)["axis"] == 0
        assert not zero.any()
        if stored.ndim == 4:
            assert stored.dtype == np.int8
            assert (np.abs(stored).reshape(len(stored), -1).max(axis=1) == 127).all()
        else:
            assert stored.dtype == np.int32
    floats = [t for t in made.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) > 1]
    assert not floats
    # Steps that are equal are written once.
    scalars = [value_of(graph, t.name).tobytes() for t in made.graph.initializer if not t.dims]
    assert len(scalars) <= 2 * len(
        set(quantisation_parameters(plan_quantisation(Graph(model)), ranges_of(model)).values())
    )


def test_what_only_moves_values_stands_on_bytes() -> None:
    for make in (concatenation, split, pooling, upsampling):
        graph = Graph(made_of(make)[1])
        moved = [n for n in graph.nodes if n.op_type in ("Concat", "Split", "MaxPool", "Resize")]
        assert moved
        for node in moved:
            for name in node.input if node.op_type == "Concat" else node.input[:1]:
                kind = graph.producer[name].op_type
                assert kind in ("QuantizeLinear", "Concat", "Split", "MaxPool", "Resize")


def test_the_source_is_left_as_it_was_and_the_result_is_always_the_same() -> None:
    model, made = made_of(upsampling)
    before = model.SerializeToString()
    assert quantise(model, ranges_of(model)).SerializeToString() == made.SerializeToString()
    assert model.SerializeToString() == before
    assert made.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert made.graph.input[0].type.tensor_type.shape == model.graph.input[0].type.tensor_type.shape
    assert [output.name for output in made.graph.output] == [output.name for output in model.graph.output]


# ---- steps ------------------------------------------------------------------------------------------------


def test_every_byte_of_the_image_is_what_it_is() -> None:
    """A network that hands the image on gives every byte back, and none beside it."""
    b = Network(0)
    weight = np.eye(3, dtype=np.float32)[:, :, None, None]
    model = b.model(b("Conv", "x", b.constant(weight), kernel_shape=[1, 1]))
    pixels = np.arange(np.prod(SHAPE)).reshape(SHAPE).astype(np.uint8)
    assert len(np.unique(pixels)) == 256
    made = quantise(model, {model.graph.output[0].name: (0.0, 1.0)})
    (found,) = answers(made, pixels)
    np.testing.assert_array_equal(np.rint(found * 255), pixels)
    np.testing.assert_array_equal(found, pixels * (np.float32(1) / np.float32(255)))


def table_of(make: Any, ranges: Any = None) -> Any:
    b = Network(3)
    outputs = make(b)
    model = b.model(*(outputs if isinstance(outputs, list) else [outputs]))
    found = ranges_of(model) | (ranges or {})
    planned = plan_quantisation(Graph(model))
    return planned, found, quantisation_parameters(planned, found)


def test_image_and_sigmoids_have_steps_of_their_own() -> None:
    planned, _, table = table_of(silu)
    assert table["x"] == QuantisationParameters(float(np.float32(1) / np.float32(255)), 0)
    (gate,) = planned.gates.values()
    assert table[gate] == QuantisationParameters(float(np.float32(1) / np.float32(255)), 0)
    assert not {"x", gate} & set(planned.measured)


def test_silu_takes_nothing_from_large_values() -> None:
    """Many layers in a row must not make objects fainter, by however little each."""
    b = Network(0)
    weight = 40 * np.eye(3, dtype=np.float32)[:, :, None, None]
    model = b.model(b.silu(b("Conv", "x", b.constant(weight), kernel_shape=[1, 1])))
    pixels = np.linspace(64, 255, 288).reshape(1, 3, 8, 12).astype(np.uint8)  # values of 10 to 40
    ((exact,), (found,)) = answers(model, pixels), answers(quantise(model, ranges_of(model, pixels)), pixels)
    assert abs(float(np.mean(found - exact))) < 0.02


@for_each("make", [concatenation, split, pooling, upsampling])
def test_what_is_joined_shares_a_step_that_covers_all(make: Any) -> None:
    planned, found, table = table_of(make)
    for node in planned.data_movement:
        names = [*(node.input if node.op_type == "Concat" else node.input[:1]), *node.output]
        assert len({table[name] for name in names}) == 1
        step = table[names[0]]
        for name in names:
            assert (255 - step.zero_point) * step.scale >= found[name][1] - step.scale
            assert -step.zero_point * step.scale <= found[name][0] + step.scale


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-1e4, 1e4, width=32) | st.just(0.0),
    st.floats(-1e4, 1e4, width=32) | st.just(0.0),
)
def test_steps_hold_zero_and_cover_the_range(one: Any, other: Any) -> None:
    b = Network(0)
    model = b.model(b.conv("x", 3, 2))
    planned = plan_quantisation(Graph(model))
    name = planned.measured[0]
    low, high = min(one, other), max(one, other)
    step = quantisation_parameters(planned, {name: (low, high)})[name]
    assert step.scale > 0
    assert np.float32(step.scale) == step.scale  # the file holds no more
    assert 0 <= step.zero_point <= 255
    assert -step.zero_point * step.scale <= low + step.scale
    assert (255 - step.zero_point) * step.scale >= high - step.scale
    assert 255 * step.scale <= (max(high, 0) - min(low, 0)) * 1.001 + 1e-5  # and hardly more


def test_before_a_silu_the_low_end_is_cut_where_the_result_is_next_to_nothing() -> None:
    planned, _, _ = table_of(silu)
    ((source, product),) = planned.products.items()
    for top in (1.0, 5.0, 30.0):
        _, _, table = table_of(silu, {source: (-40.0, top), product: (-0.2785, top)})
        low = -table[source].zero_point * table[source].scale
        half = (top + 0.2785) / 510
        assert low > -12.1
        assert abs(low / (1 + np.exp(-low))) <= half * 1.1  # beyond it, what is lost is half a step


def silu_beside(other: Any) -> Any:
    def make(b: Any) -> Any:
        source = b.conv("x", 3, 8, 3)
        return [b.silu(source), other(b, source)]

    return make


@for_each(
    "other",
    [
        lambda b, source: b.conv(source, 8, 4),  # a convolution
        lambda b, source: b("Neg", source),  # in float
        lambda b, source: b.pool(source),
        lambda b, source: source,  # the caller
    ],
)
def test_the_low_end_is_kept_where_others_read_it(other: Any) -> None:
    b = Network(3)
    outputs = silu_beside(other)(b)
    model = b.model(*outputs)
    source = next(node for node in b.nodes if node.op_type == "Conv").output[0]
    ranges = ranges_of(model)
    ranges[source] = (-40.0, 40.0)
    table = quantisation_parameters(plan_quantisation(Graph(model)), ranges)
    assert -table[source].zero_point * table[source].scale == pytest.approx(-40, abs=0.2)


# ---- filters ----------------------------------------------------------------------------------------------


@for_each("largest", [0.0, 1e-30, 1e-9, 1e-7, 1e-5, 1e-3])
def test_filters_of_next_to_nothing_keep_their_bias(largest: Any) -> None:
    """Training leaves dead filters behind whose bias is all that they give."""
    b = Network(0)
    weight = b.rng.uniform(-1, 1, (4, 3, 1, 1)) * np.array([1, largest, largest, 1])[:, None, None, None]
    bias = [0.5, 2.0, -1.0, 0.0]
    output = b("Conv", "x", b.constant(weight), b.constant(bias), kernel_shape=[1, 1])
    model = b.model(output)
    (found,), (wanted,) = answers(quantise(model, ranges_of(model)), image()), answers(model, image())
    low, high = ranges_of(model)[output]
    assert np.abs(found - wanted).max() <= 2 * (high - low) / 255


def test_filters_of_very_different_size_do_not_disturb_each_other() -> None:
    b = Network(0)
    weight = b.rng.uniform(-1, 1, (3, 3, 3, 3)) * np.array([1e-3, 1, 1e3])[:, None, None, None]
    first = b("Conv", "x", b.constant(weight), kernel_shape=[3, 3], pads=[1] * 4)
    made = quantise(b.model(first), {first: (-1.0, 1.0)})
    graph = Graph(made)
    back = next(n for n in graph.nodes if n.op_type == "DequantizeLinear" and "axis" in attributes(n))
    stored, scale, _ = (value_of(graph, name) for name in back.input)
    for number in range(3):
        error = np.abs(stored[number] * scale[number] - weight[number]).max()
        assert error <= scale[number] / 2 * 1.001
    assert scale.max() / scale.min() > 1e5


def test_weights_that_two_convolutions_share() -> None:
    b = Network(0)
    weight = b.constant(b.rng.normal(0, 1, (3, 3, 1, 1)))
    first = b("Conv", "x", weight, kernel_shape=[1, 1])
    second = b("Conv", first, weight, kernel_shape=[1, 1])
    model = b.model(second)
    (found,), (wanted,) = answers(quantise(model, ranges_of(model)), image()), answers(model, image())
    assert np.abs(found - wanted).max() <= 0.03 * np.ptp(wanted)


# ---- what stays in float ----------------------------------------------------------------------------------


def close(model: Any, made: Any, most: Any = 0.03) -> None:
    for one, other in zip(answers(model, image()), answers(made, image()), strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= most * np.ptp(one)


def test_convolutions_to_keep_stay_in_float() -> None:
    model, _ = made_of(upsampling)
    outputs = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    for number in range(len(outputs) + 1):
        made = quantise(model, ranges_of(model), outputs[:number])
        graph = Graph(made)
        kept = [
            node
            for node in graph.nodes
            if node.op_type == "Conv" and graph.constant(node.input[1]) is not None
        ]
        assert len(kept) == number
        assert {node.output[0] for node in kept} <= set(outputs[:number])
        close(model, made)
    assert not plan_quantisation(Graph(model), outputs).convolutions
    np.testing.assert_allclose(answers(model, image())[0], answers(made, image())[0], atol=1e-4)


def attention(b: Any) -> Any:
    source = b.silu(b.conv("x", 3, 8, 3))
    rows = b("Reshape", source, b.constant([0, 8, HEIGHT * WIDTH], np.int64))
    weights = b("Softmax", b("MatMul", rows, b("Transpose", rows, perm=[0, 2, 1])), axis=2)
    mixed = b("Reshape", b("MatMul", weights, rows), b.constant([0, 8, HEIGHT, WIDTH], np.int64))
    return b.conv(b("Add", source, mixed), 8, 4)


def constant_sum(b: Any) -> Any:
    return b.conv(b("Add", b.conv("x", 3, 8), b.constant(np.ones((1, 8, 1, 1)))), 8, 4)


def other_activation(b: Any) -> Any:
    return b.conv(b("Relu", b.conv("x", 3, 8)), 8, 4)


def product_that_is_no_silu(b: Any) -> Any:
    return b.conv(b("Mul", b.conv("x", 3, 8), b("Sigmoid", b.conv("x", 3, 8))), 8, 4)


def gate_with_two_readers(b: Any) -> Any:
    source = b.conv("x", 3, 8)
    gate = b("Sigmoid", source)
    return [b.conv(b("Mul", source, gate), 8, 4), b("Neg", gate)]


def smooth_upsampling(b: Any) -> Any:
    small = b.conv("x", 3, 8, stride=2)
    return b.conv(b("Resize", small, "", b.constant([1, 1, 2, 2]), mode="linear"), 8, 4)


def split_along_the_height(b: Any) -> Any:
    return b("Add", *(b.conv(part, 8, 4) for part in b.split(b.conv("x", 3, 8), [4, 4], axis=2)))


def activation_before_the_first_convolution(b: Any) -> Any:
    """A float tensor enters a SiLU before a convolution asks for it in bytes."""
    source = b("Sub", "x", b.constant(0.5))
    return b.conv(b("Add", b.silu(source), b.conv(source, 3, 3)), 3, 4)


def image_that_is_read_in_float(b: Any) -> Any:
    return b("Add", b("Relu", "x"), b.conv("x", 3, 3))


def image_cut_up(b: Any) -> Any:
    """The first layer of YOLOv5 before it was a convolution."""
    return b.conv(b("Concat", b.part("x", 0, 4, axis=2), b.part("x", 4, 8, axis=2), axis=1), 6, 4)


def weight_at_run_time(b: Any) -> Any:
    weight = b("Abs", b.constant(b.rng.normal(0, 1, (8, 3, 1, 1))))
    return b.conv(b("Conv", "x", weight, kernel_shape=[1, 1]), 8, 4)


def bias_at_run_time(b: Any) -> Any:
    weight, bias = b.constant(b.rng.normal(0, 1, (8, 3, 1, 1))), b("Abs", b.constant(b.rng.normal(0, 1, 8)))
    return b.conv(b("Conv", "x", weight, bias, kernel_shape=[1, 1]), 8, 4)


def groups(b: Any) -> Any:
    weight = b.constant(b.rng.normal(0, 1, (8, 1, 3, 3)))
    return b("Conv", b.conv("x", 3, 8), weight, group=8, kernel_shape=[3, 3], pads=[1] * 4)


@for_each(
    "make, in_float",
    [
        (attention, {"Add", "Reshape", "Softmax", "MatMul", "Transpose"}),
        (constant_sum, {"Add"}),
        (other_activation, {"Relu"}),
        (product_that_is_no_silu, {"Mul", "Sigmoid"}),
        (gate_with_two_readers, {"Mul", "Sigmoid", "Neg"}),
        (smooth_upsampling, {"Resize"}),
        (split_along_the_height, {"Split"}),
        (activation_before_the_first_convolution, {"Add", "Sub", "Sigmoid", "Mul"}),
        (image_that_is_read_in_float, {"Add", "Relu"}),
        (image_cut_up, {"Slice", "Concat"}),
        (weight_at_run_time, {"Abs", "Conv"}),
        (bias_at_run_time, {"Abs", "Conv"}),
        (groups, set()),
    ],
)
def test_what_has_no_kernel_of_bytes_stays_in_float(make: Any, in_float: Any) -> None:
    model, made = made_of(make)
    planned = plan_quantisation(Graph(model))
    planned_kinds = [n.op_type for n in (*planned.convolutions, *planned.arithmetic, *planned.data_movement)]
    left = Counter(node.op_type for node in model.graph.node)
    left.subtract(planned_kinds)
    assert {kind for kind, number in left.items() if number} == in_float
    close(model, made)


# ---- outputs ----------------------------------------------------------------------------------------------


def output_that_is_read_inside(b: Any) -> Any:
    first = b.silu(b.conv("x", 3, 8))
    return [first, b.conv(first, 8, 4)]


def output_that_is_moved(b: Any) -> Any:
    first, second = b.split(b.conv("x", 3, 8), [4, 4])
    both = b("Concat", second, b.pool(first), axis=1)
    return [both, first, b.conv(both, 8, 4)]


def output_before_its_activation(b: Any) -> Any:
    first = b.conv("x", 3, 8)
    return [first, b.silu(first)]


def output_in_float(b: Any) -> Any:
    first = b.conv("x", 3, 8)
    return [b("Relu", first), b.conv(b("Relu", first), 8, 3)]


@for_each(
    "make", [output_that_is_read_inside, output_that_is_moved, output_before_its_activation, output_in_float]
)
def test_outputs_are_floats_whoever_else_reads_them(make: Any) -> None:
    model, made = made_of(make)
    onnx.checker.check_model(made)
    assert [output.name for output in made.graph.output] == [output.name for output in model.graph.output]
    assert all(found.dtype == np.float32 for found in answers(made, image()))
    close(model, made)


def test_graphs_within_nodes_find_what_they_read() -> None:
    b = Network(0)
    first, second = b.split(b.conv("x", 3, 8), [4, 4])
    arithmetic = b("Add", first, second)
    moved = b.pool(first)
    infos = [onnx.ValueInfoProto(name=name) for name in ("a", "b")]
    then = helper.make_graph([helper.make_node("Add", [moved, arithmetic], ["a"])], "then", [], infos[:1])
    other = helper.make_graph([helper.make_node("Neg", [second], ["b"])], "else", [], infos[1:])
    flag = b("Equal", b.constant(1, np.int64), b.constant(1, np.int64))
    model = b.model(b("If", flag, then_branch=then, else_branch=other))
    ranges = {name: (-5.0, 5.0) for node in b.nodes for name in node.output}
    close(model, quantise(model, ranges), most=0.06)


@for_each("make", [upsampling, pooling, attention])
def test_images_of_a_batch_do_not_know_each_other(make: Any) -> None:
    _, made = made_of(make)
    pixels = image((3, *SHAPE[1:]), seed=5)
    (together,) = answers(made, pixels)
    for number in range(3):
        (alone,) = answers(made, pixels[number : number + 1])
        np.testing.assert_array_equal(together[number], alone[0])


def test_names_that_are_taken_are_not_taken_twice() -> None:
    """A network whose tensors are called what this package would call its own."""
    b = Network(3)
    output = upsampling(b)
    model = b.model(output)
    wanted = answers(model, image())
    ranges = ranges_of(model)
    graph = Graph(model)
    for old, new in zip(
        [name for node in list(graph.nodes) for name in node.output if name != output],
        ("scale", "zero", "weight_bytes", "x_bytes", "x_float", "scale_float", "scale_bytes", "zero_2"),
        strict=False,
    ):
        graph.rename(old, new)
        ranges[new] = ranges.pop(old)
    np.testing.assert_array_equal(answers(model, image()), wanted)
    made = quantise(model, ranges)
    onnx.checker.check_model(made)
    close(model, made)


def test_weights_of_nodes_are_quantised_too() -> None:
    b = Network(0)
    weight = b("Constant", value=numpy_helper.from_array(b.rng.normal(0, 1, (4, 3, 1, 1)).astype(np.float32)))
    model = b.model(b("Conv", "x", weight, kernel_shape=[1, 1]))
    made = quantise(model, ranges_of(model))
    assert "Constant" not in {node.op_type for node in made.graph.node}
    close(model, made)
