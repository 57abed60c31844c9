"""Graphs are indexed, pruned and sorted; files that hold no graph are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yolean
from graph_builder import Whole, answers, model_of
from heads import Builder, build
from onnx import helper, numpy_helper
from yolean.export.graph.onnx_graph import Graph, read_model
from yolean.export.graph.rewrites import split_convolutions


def chosen_by_if() -> Any:
    """A graph that gives `x + w` or `x * y` within an If, of which `w` and `y` are read nowhere else."""
    b = Builder(0)
    b.weights += [numpy_helper.from_array(np.full((1, 4, 1, 1), 2, np.float32), "w")]
    y, unused = b("Relu", "x"), b("Neg", "x")
    flag = b("Equal", b.constant(1, np.int64), b.constant(1, np.int64))
    info = [onnx.ValueInfoProto(name=name) for name in ("a", "b")]
    branches = [
        helper.make_graph([helper.make_node("Add", ["x", "w"], ["a"])], "then", [], info[:1]),
        helper.make_graph([helper.make_node("Mul", ["x", y], ["b"])], "else", [], info[1:]),
    ]
    result = b("If", flag, then_branch=branches[0], else_branch=branches[1])
    return model_of(b, [result]), y, unused


def test_graphs_within_nodes_keep_what_they_read() -> None:
    model, y, unused = chosen_by_if()
    before = answers(model)
    graph = Graph(model)
    assert [node.op_type for node in graph.consumers[y]] == ["If"]
    graph.prune()
    assert "w" in graph.weights
    assert unused not in graph.producer
    np.testing.assert_array_equal(answers(model), before)


def test_nodes_come_after_what_graphs_within_them_read() -> None:
    model, _, _ = chosen_by_if()
    before = answers(model)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node][::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    Graph(model).prune()
    assert model.graph.node[-1].op_type == "If"
    onnx.checker.check_model(model)
    np.testing.assert_array_equal(answers(model), before)


def test_names_are_changed_within_graphs_as_well() -> None:
    model, y, _ = chosen_by_if()
    before = answers(model)
    graph = Graph(model)
    graph.rename(y, "other")
    assert y not in graph.producer
    assert [node.op_type for node in graph.consumers["other"]] == ["If"]
    np.testing.assert_array_equal(answers(model), before)


def test_free_names() -> None:
    model, y, _ = chosen_by_if()
    graph = Graph(model)
    for taken in ("x", "w", y, "a", model.graph.output[0].name):
        assert graph.unique(taken) == f"{taken}_2"
    assert graph.unique("free") == "free"
    assert [graph.add_weight("new", np.zeros(1)) for _ in range(3)] == ["new", "new_2", "new_3"]


@pytest.mark.parametrize("value", [np.float32(0.5), np.zeros((0, 3), np.int64), np.arange(6).reshape(2, 3).T])
def test_weights_keep_their_shape(value: Any) -> None:
    graph = Graph(build())
    found = graph.constant(graph.add_weight("new", value))
    assert found is not None
    np.testing.assert_array_equal(found, value)
    assert (found.shape, found.dtype) == (np.shape(value), np.asarray(value).dtype)


def test_what_nobody_needs_goes() -> None:
    model = build()
    graph = Graph(model)
    first = next(node for node in graph.nodes if node.op_type == "Conv").output[0]
    graph.set_outputs([onnx.ValueInfoProto(name=first)])
    assert [node.op_type for node in graph.nodes] == ["Conv"]
    assert len(graph.weights) == 2
    assert not model.graph.value_info
    assert graph.only_reader(first) is None


def test_constants_are_weights_and_nodes_but_nothing_computed() -> None:
    b = Builder(0)
    weight = b.constant([1, 2])
    node, whole = b("Constant", value=numpy_helper.from_array(np.array([3.0]))), b("Constant", value_int=3)
    infos = [onnx.ValueInfoProto(name=name) for name in (weight, node, whole)]
    graph = Graph(helper.make_model(helper.make_graph(b.nodes, "g", [], infos, b.weights)))
    assert [graph.constant(name) is not None for name in (weight, node, "x", "", whole)] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("ir", [3, 8])
def test_weights_that_are_inputs_as_well_leave_no_input_behind(ir: Any) -> None:
    """Files of before 2019 list weights among the inputs: one that is asked for would be no image."""
    b = Whole(0)
    outputs = b.split(b.conv("x", 4, 16), [8, 8])
    model = model_of(b, outputs)
    model.ir_version = ir
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        model.graph.input.append(info)
    before = answers(model)
    assert split_convolutions(model) == 1
    assert [value.name for value in model.graph.input] == ["x"]
    model.ir_version = 8
    for one, other in zip(before, answers(model), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [b"no model at all", b"\xff\xff no model"])
def test_a_file_that_holds_something_else_is_refused_by_name(tmp_path: Path, content: Any) -> None:
    (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(yolean.ModelError, match="no ONNX file"):
        read_model(tmp_path / "a.onnx")


def test_more_than_two_gigabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # takes no space
    with pytest.raises(yolean.ModelError, match="external data"):
        read_model(path)
