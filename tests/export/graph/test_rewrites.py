"""Rewrites keep what a network computes, and are made where they can be and nowhere else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_builder import HEIGHT, WIDTH, Whole, answers, model_of
from heads import build
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from tables import for_each, slow
from yolean.export.graph.onnx_graph import Graph
from yolean.export.graph.rewrites import convolve_before_upsampling, split_convolutions

PLAIN = Path(__file__).parents[2] / "golden" / "plain"


DEMO = sorted(path.stem for path in PLAIN.glob("*.onnx"))


def count(model: Any, *kinds: Any) -> Any:
    return sum(node.op_type in kinds for node in model.graph.node)


def check(rewrite: Any, make: Any, expected: Any, **options: Any) -> Any:
    """Rewrite what `make` builds, and compare; returns the model as it was and as it is."""
    b = Whole(0)
    outputs = make(b)
    model = model_of(b, outputs if isinstance(outputs, list) else [outputs], **options)
    before = onnx.ModelProto.FromString(model.SerializeToString())
    assert rewrite(model) == expected
    onnx.checker.check_model(model)
    assert [output.name for output in model.graph.output] == [output.name for output in before.graph.output]
    for one, other in zip(answers(before), answers(model), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6)
    if not expected:
        assert model.SerializeToString() == before.SerializeToString()
    return before, model


def computed(b: Any, name: str) -> Any:
    """A tensor that has this constant's value and is none."""
    return b("Identity", name)


def run_time_weights(b: Any) -> Any:
    bias, weight = b.constant(np.ones(16)), computed(b, b.constant(np.ones((16, 4, 1, 1))))
    return b.split(b("Conv", "x", weight, bias), [8, 8])


def run_time_bias(b: Any) -> Any:
    weight, bias = b.constant(np.ones((16, 4, 1, 1))), computed(b, b.constant(np.arange(16)))
    return b.split(b("Conv", "x", weight, bias), [8, 8])


def left_out_bias(b: Any) -> Any:
    return b.split(b("Conv", "x", b.constant(np.ones((16, 4, 1, 1))), ""), [8, 8])


def weights_of_nodes(b: Any) -> Any:
    value = numpy_helper.from_array(np.ones((16, 4, 1, 1), np.float32))
    weight = b("Constant", value=value)
    return b.split(b("Conv", "x", weight), [8, 8])


def gate_that_is_given(b: Any) -> Any:
    source = b.conv("x", 4, 16)
    gate = b("Sigmoid", source)
    return [*b.split(b("Mul", source, gate), [8, 8]), gate]


def read_before_its_activation(b: Any) -> Any:
    source = b.conv("x", 4, 16)
    return [*b.split(b.silu(source), [8, 8]), b("Relu", source)]


def split_that_is_read_elsewhere(b: Any) -> Any:
    one, other = b.split(b.silu(b.conv("x", 4, 16)), [8, 8])
    return [one, b("Relu", one), b("Add", one, other)]


def whole_that_is_read_elsewhere(b: Any) -> Any:
    source = b.silu(b.conv("x", 4, 16))
    return [*b.split(source, [8, 8]), b("Relu", source)]


def whole_that_is_given(b: Any) -> Any:
    source = b.silu(b.conv("x", 4, 16))
    return [*b.split(source, [8, 8]), source]


def sizes_at_run_time(b: Any) -> Any:
    sizes = computed(b, b.constant([8, 24], np.int64))
    return b("Split", b.conv("x", 4, 32), sizes, outputs=2, axis=1)


def two_in_a_row(b: Any) -> Any:
    one, other = b.split(b.silu(b.conv("x", 4, 16)), [8, 8])
    return [one, *b.split(b.silu(b.conv(other, 8, 24, 3)), [16, 8])]


def one_that_nobody_reads(b: Any) -> Any:
    """Beside what is split there is a network that gives nothing: it may go, and must not be missed."""
    b("Relu", b.conv(b.conv("x", 4, 8), 8, 8))
    outputs = b.split(b.conv("x", 4, 16), [8, 8])
    b.split(b.conv("x", 4, 16), [8, 8])
    return outputs


def slices(*bounds: Any, axis: Any = 1, step: Any = None, channels: Any = 16) -> Any:
    def make(b: Any) -> Any:
        source = b.silu(b.conv("x", 4, channels))
        return [b.slice(source, *pair, axis, step) for pair in bounds]

    return make


def without_axes(b: Any) -> Any:
    source = b.conv("x", 4, 16)
    first, last = ([b.constant([n] * 4, np.int64) for n in pair] for pair in ((0, 99), (0, 99)))
    return [b("Slice", source, first[0], first[1]), b("Slice", source, last[0], last[1])]


SPLITS = {
    # two halves, and three parts, with and without an activation
    "halves": (lambda b: b.split(b.silu(b.conv("x", 4, 16)), [8, 8]), 1),
    "three parts": (lambda b: b.split(b.silu(b.conv("x", 4, 32, 3)), [8, 16, 8]), 1),
    "no activation": (lambda b: b.split(b.conv("x", 4, 32, 3), [24, 8]), 1),
    # what the convolution may have
    "no bias": (lambda b: b.split(b.silu(b.conv("x", 4, 16, bias=False)), [8, 8]), 1),
    "stride": (lambda b: b.split(b.conv("x", 4, 16, 3, strides=[2, 2]), [8, 8]), 1),
    "padding by name": (lambda b: b.split(b.conv("x", 4, 16, 3, auto_pad="SAME_LOWER"), [8, 8]), 1),
    "dilation": (lambda b: b.split(b.conv("x", 4, 16, 3, dilations=[2, 2]), [8, 8]), 1),
    "weights of nodes": (weights_of_nodes, 1),
    # what it may not: its filters cannot be shared out
    "groups": (lambda b: b.split(b.conv("x", 4, 16, group=2), [8, 8]), 0),
    "weights at run time": (run_time_weights, 0),
    "bias at run time": (run_time_bias, 0),
    "bias left out by name": (left_out_bias, 0),
    # other splits: parts that leave the blocked form, other axes, sizes that nobody knows
    "odd parts": (lambda b: b.split(b.silu(b.conv("x", 4, 17)), [8, 9]), 0),
    "parts of 12": (lambda b: b.split(b.silu(b.conv("x", 4, 24)), [12, 12]), 0),
    "along the height": (lambda b: b.split(b.conv("x", 4, 16), [2, 4], axis=2), 0),
    "sizes at run time": (sizes_at_run_time, 0),
    "one part": (lambda b: [b("Split", b.conv("x", 4, 16), b.constant([16], np.int64), axis=1)], 0),
    # other activations are no SiLU
    "relu": (lambda b: b.split(b("Relu", b.conv("x", 4, 16)), [8, 8]), 0),
    "gate that is given": (gate_that_is_given, 0),
    "read before its activation": (read_before_its_activation, 0),
    # who reads the parts does not matter, who reads the whole does
    "a part that nobody reads": (lambda b: b.split(b.silu(b.conv("x", 4, 16)), [8, 8])[1], 1),
    "parts read elsewhere": (split_that_is_read_elsewhere, 1),
    "whole read elsewhere": (whole_that_is_read_elsewhere, 0),
    "whole that is given": (whole_that_is_given, 0),
    "two in a row": (two_in_a_row, 2),
    "one that nobody reads": (one_that_nobody_reads, 1),
    # slices share the channels out, or they do not
    "slices": (slices((0, 8), (8, 16)), 1),
    "slices out of order": (slices((16, 24), (0, 8), (8, 16), channels=24), 1),
    "slices to the end": (slices((0, 8), (8, 2**63 - 1)), 1),
    "slices with a step of 1": (slices((0, 8), (8, 16), step=1), 1),
    "slices with a step of 2": (slices((0, 8), (8, 16), step=2), 0),
    "slices from the end": (slices((0, -8), (-8, 99)), 0),
    "slices that overlap": (slices((0, 16), (8, 24), channels=24), 0),
    "slices with a gap": (slices((0, 8), (16, 24), channels=24), 0),
    "slices that end early": (slices((0, 8), (8, 16), channels=24), 0),
    "one slice twice": (slices((0, 8), (0, 8), (8, 16)), 0),
    "one slice": (slices((0, 8)), 0),
    "slices along the height": (slices((0, 3), (3, 6), axis=2), 0),
    "slices of all axes": (without_axes, 0),
}


@for_each("make, expected", SPLITS.values())
def test_convolutions_are_split(make: Any, expected: Any) -> None:
    before, after = check(split_convolutions, make, expected)
    assert count(after, "Split", "Slice") == (0 if expected else count(before, "Split", "Slice"))


@for_each(
    "opset, parts, channels, attributes, expected",
    [
        (13, 2, 16, {}, 1),  # equal parts
        (17, 3, 24, {}, 1),
        (18, 2, 16, {"num_outputs": 2}, 1),  # equal parts, as opset 18 says it
        (18, 3, 25, {"num_outputs": 3}, 0),  # 9, 9 and 7: not 8, 8 and 8
        (18, 3, 24, {"num_outputs": 3}, 1),
        (11, 2, 16, {}, 1),  # equal parts, as opset 11 says it
        (11, 2, 32, {"split": [8, 24]}, 1),
        (11, 2, 32, {"split": [20, 12]}, 0),
    ],
)
def test_splits_that_have_no_input_of_sizes(
    opset: Any, parts: Any, channels: Any, attributes: Any, expected: Any
) -> None:
    check(
        split_convolutions,
        lambda b: b.even(b.silu(b.conv("x", 4, channels)), parts, **attributes),
        expected,
        opset=opset,
    )


@settings(max_examples=12, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([8, 16, 24, 1, 4, 12]), min_size=2, max_size=4),
    activated=st.booleans(),
    bias=st.booleans(),
    by_slices=st.booleans(),
    kernel=st.sampled_from([1, 3]),
)
def test_any_parts_of_any_convolution(
    sizes: Any, activated: Any, bias: Any, by_slices: Any, kernel: Any
) -> Any:
    def make(b: Any) -> Any:
        source = b.conv("x", 4, sum(sizes), kernel, bias=bias)
        source = b.silu(source) if activated else source
        if not by_slices:
            return b.split(source, sizes)
        edges = np.cumsum([0, *sizes]).tolist()
        return [b.slice(source, *pair) for pair in pairwise(edges)]

    check(split_convolutions, make, int(all(size % 8 == 0 for size in sizes)))


def two_features(b: Any) -> Any:
    """A coarse feature map of 5 channels, and a fine one of 7."""
    return b("Relu", b.conv("x", 4, 5, 3, strides=[2, 2])), b("Relu", b.conv("x", 4, 7))


def joined(b: Any, *parts: Any, readers: Any = 1, size: Any = 1, axis: Any = 1, **attributes: Any) -> Any:
    both = b("Concat", *parts, axis=axis)
    return [b.conv(both, 12, 6 + n, size, bias=n != 1, **attributes) for n in range(readers)]


def top_down(readers: Any = 1, up: Any = None, **attributes: Any) -> Any:
    def make(b: Any) -> Any:
        coarse, fine = two_features(b)
        return joined(b, b.up(coarse, **(up or {})), fine, readers=readers, **attributes)

    return make


def fine_first(b: Any) -> Any:
    coarse, fine = two_features(b)
    return joined(b, fine, b.up(coarse))


def of_three(b: Any) -> Any:
    coarse, fine = two_features(b)
    return b.conv(b("Concat", fine, b.up(coarse), fine, axis=1), 19, 6)


def two_upsampled(b: Any) -> Any:
    coarse, fine = two_features(b)
    other = b("Relu", b.conv(coarse, 5, 3))
    return b.conv(b("Concat", b.up(coarse), fine, b.up(other), axis=1), 15, 6)


def upsampled_only(b: Any) -> Any:
    coarse, _ = two_features(b)
    return b.conv(b("Concat", b.up(coarse), b.up(b.conv(coarse, 5, 3)), axis=1), 8, 6)


def one_upsampled_only(b: Any) -> Any:
    return b.conv(b("Concat", b.up(two_features(b)[0]), axis=1), 5, 6)


def upsampled_twice(b: Any) -> Any:
    coarse, fine = two_features(b)
    up = b.up(coarse)
    return b.conv(b("Concat", up, up, fine, axis=1), 17, 6)


def upsampled_and_read_elsewhere(b: Any) -> Any:
    coarse, fine = two_features(b)
    up = b.up(coarse)
    return [*joined(b, up, fine), b("Relu", up)]


def upsampled_and_given(b: Any) -> Any:
    coarse, fine = two_features(b)
    up = b.up(coarse)
    return [*joined(b, up, fine), up]


def concat_that_is_given(b: Any) -> Any:
    coarse, fine = two_features(b)
    both = b("Concat", b.up(coarse), fine, axis=1)
    return [b.conv(both, 12, 6), both]


def concat_that_nobody_reads(b: Any) -> Any:
    coarse, fine = two_features(b)
    b("Concat", b.up(coarse), fine, axis=1)
    result = joined(b, b.up(coarse), fine)
    b.conv(b("Concat", b.up(coarse), fine, axis=1), 12, 6)
    return result


def another_reader(b: Any) -> Any:
    coarse, fine = two_features(b)
    both = b("Concat", b.up(coarse), fine, axis=1)
    return [b.conv(both, 12, 6), b("Relu", both)]


def a_reader_of_3x3(b: Any) -> Any:
    coarse, fine = two_features(b)
    both = b("Concat", b.up(coarse), fine, axis=1)
    return [b.conv(both, 12, 6), b.conv(both, 12, 6, 3)]


def channels_through(way: Any) -> Any:
    def make(b: Any) -> Any:
        coarse, fine = two_features(b)
        return b.conv(b("Concat", b.up(coarse), way(b, fine), axis=1), 12, 6)

    return make


def through_shapes(b: Any, source: Any) -> Any:
    shape = b.constant([0, 7, HEIGHT, WIDTH], np.int64)
    return b("Reshape", source, shape)


def through_a_split(b: Any, source: Any) -> Any:
    return b.split(b.conv(source, 7, 10), [3, 7])[1]


def through_a_pool(b: Any, source: Any) -> Any:
    pooled = b("MaxPool", source, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
    return b("Add", pooled, b("Relu", source))


def through_a_concat(b: Any, source: Any) -> Any:
    return b("Concat", b.conv(source, 7, 3), b.conv(source, 7, 4), axis=1)


def weight_of_a_reader(b: Any) -> Any:
    coarse, fine = two_features(b)
    weight = computed(b, b.constant(np.ones((6, 12, 1, 1))))
    return b("Conv", b("Concat", b.up(coarse), fine, axis=1), weight)


def weight_of_a_node(b: Any) -> Any:
    coarse, fine = two_features(b)
    weight = b("Constant", value=numpy_helper.from_array(np.ones((6, 12, 1, 1), np.float32)))
    return b("Conv", b("Concat", b.up(coarse), fine, axis=1), weight)


UPSAMPLINGS = {
    # readers of the concatenation: the second has no bias
    "one reader": (top_down(), 1),
    "two readers": (top_down(readers=2), 1),
    # order and number of parts
    "fine first": (fine_first, 1),
    "three parts": (of_three, 1),
    "two upsampled parts": (two_upsampled, 1),
    "upsampled parts only": (upsampled_only, 1),
    "one upsampled part only": (one_upsampled_only, 1),
    "by three": (
        lambda b: b.conv(
            b("Concat", b.up(b.conv("x", 4, 5), (1, 1, 3, 3)), b.up(b.conv("x", 4, 7), (1, 1, 3, 3)), axis=1),
            12,
            6,
        ),
        1,
    ),
    "weights of nodes": (weight_of_a_node, 1),
    # upsamplings that are no repetition of pixels
    "linear": (top_down(up={"mode": "linear"}), 0),
    "between pixels": (top_down(up={"coordinate_transformation_mode": "half_pixel"}), 0),
    "nearest to the left": (top_down(up={"nearest_mode": "ceil"}), 0),
    # upsamplings that others need at full size
    "one part twice": (upsampled_twice, 0),
    "read elsewhere": (upsampled_and_read_elsewhere, 0),
    "given": (upsampled_and_given, 0),
    # concatenations that others need
    "concatenation that is given": (concat_that_is_given, 0),
    "another reader": (another_reader, 0),
    "a reader of 3x3": (a_reader_of_3x3, 0),
    "concatenations that nobody reads": (concat_that_nobody_reads, 1),
    # readers that are no product with a matrix
    "stride": (top_down(strides=[2, 2]), 0),
    "padding": (top_down(pads=[1, 1, 0, 0]), 0),
    "groups": (top_down(group=2, size=1), 0),
    "weights at run time": (weight_of_a_reader, 0),
    # the axis, as another exporter writes it, is left alone
    "negative axis": (top_down(axis=-3), 0),
    # channels that can be followed, and that cannot
    "split": (channels_through(through_a_split), 1),
    "pool and sum": (channels_through(through_a_pool), 1),
    "concatenation": (channels_through(through_a_concat), 1),
    "reshape": (channels_through(through_shapes), 0),
}


@for_each("make, expected", UPSAMPLINGS.values())
def test_convolutions_are_moved_before_upsampling(make: Any, expected: Any) -> Any:
    def grouped(b: Any) -> Any:
        outputs = make(b)
        return outputs if isinstance(outputs, list) else [outputs]

    _, after = check(convolve_before_upsampling, grouped, expected)
    if not expected:
        return
    graph = Graph(after)
    for node in graph.nodes:
        if node.op_type == "Resize":
            assert graph.producer[node.input[0]].op_type == "Conv"
        if node.op_type == "Concat":
            assert all(graph.producer[name].op_type != "Resize" for name in node.input)


def test_upsampling_along_the_height_of_a_concatenation_along_the_height() -> Any:
    def make(b: Any) -> Any:
        coarse = b.conv("x", 4, 5, 3, strides=[2, 2])
        return b.conv(b("Concat", b.up(coarse), b.conv("x", 4, 5), axis=2), 5, 6)

    check(convolve_before_upsampling, make, 0)


def test_scales_that_are_no_whole_numbers() -> Any:
    def make(b: Any) -> Any:
        small = b("AveragePool", b.conv("x", 4, 5), kernel_shape=[1, 4], strides=[3, 3])
        return b.conv(b("Concat", b.up(small, (1, 1, 1.5, 2)), b.up(small, (1, 1, 1.5, 2)), axis=1), 10, 6)

    check(convolve_before_upsampling, make, 0)


WIDE = [stem for stem in DEMO if stem not in ("shapes", "shapes-depth")]
"""Demo models with layers to split: those of `shapes-depth` have fewer channels than are worth it."""


@pytest.mark.parametrize("stem", ["shapes", *slow(*WIDE)])
def test_splits_and_concatenations_disappear_from_the_demo_models(stem: str, demo: Any) -> Any:
    plain, model = demo(stem)
    size = (2, 3, 96, 160)
    image = np.random.default_rng(0).random(size, np.float32)

    def outputs() -> Any:
        content = model.SerializeToString()
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        return session.run(None, {session.get_inputs()[0].name: image})

    before, splits, concats = outputs(), count(model, "Split"), count(model, "Concat")
    split = split_convolutions(model)
    assert split >= 4
    assert count(model, "Split") == splits - split
    graph = Graph(model)
    for node in (node for node in graph.nodes if node.op_type == "Split"):
        sizes = graph.constant(node.input[1])
        assert sizes is not None
        assert any(size % 8 for size in sizes)  # nothing else is left
    moved = convolve_before_upsampling(model)
    assert moved == (0 if plain.task == "classify" else 2)
    assert count(model, "Concat") == concats - moved
    onnx.checker.check_model(model)
    for one, other in zip(before, outputs(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-3)
    assert split_convolutions(model) == convolve_before_upsampling(model) == 0


def test_built_networks_have_nothing_to_rewrite() -> None:
    model = build()
    before = model.SerializeToString()
    assert split_convolutions(model) == convolve_before_upsampling(model) == 0
    assert model.SerializeToString() == before
