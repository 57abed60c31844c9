"""Only branches that are what gathering computes are taken; all others stay as they are."""

from __future__ import annotations

from typing import Any

import pytest
import yolean
from graph_builder import model_of
from heads import Builder, build, deep_branch
from yolean.export.graph.head import cut
from yolean.export.graph.onnx_graph import Graph
from yolean.export.graph.sparse_branches import branches_of
from yolean.export.graph.sparse_graph import make_sparse
from yolean.postprocess.layout import Head


def relu(b: Builder, source: str, inner: int, outer: int, scale: float) -> Any:
    middle = b.silu(b.conv(source, inner, 8, 3))
    return b.conv(b("Relu", b.conv(middle, 8, 8, 3)), 8, outer, scale=scale)


def no_bias(b: Builder, source: str, inner: int, outer: int, scale: float) -> Any:
    middle = b.silu(b.conv(b.silu(b.conv(source, inner, 8, 3, bias=False)), 8, 8, 3))
    return b.conv(middle, 8, outer, scale=scale)


def wide(b: Builder, source: str, inner: int, outer: int, scale: float) -> Any:
    middle = b.silu(b.conv(b.silu(b.conv(source, inner, 8, 5)), 8, 8, 3))
    return b.conv(middle, 8, outer, scale=scale)


def test_a_branch_is_its_convolutions_and_what_lies_between() -> None:
    b = Builder(0)
    output = deep_branch(b, "x", 6, 4, 1.0)
    graph = Graph(model_of(b, [output], channels=6))
    found = branches_of(graph, [output])
    assert found is not None
    (branch,) = found
    assert (branch.features, branch.output) == ("x", output)
    operators = ["Conv", "Sigmoid", "Mul", "Conv", "Sigmoid", "Mul", "Conv"]
    assert [node.op_type for node in branch.nodes] == operators
    assert branch.convolutions == [node for node in branch.nodes if node.op_type == "Conv"]
    assert branches_of(graph, [output, branch.nodes[3].output[0]]) is None  # all of a kind, or none
    assert branches_of(graph, []) is None


@pytest.mark.parametrize("branch", [relu, no_bias, wide])
def test_branches_of_other_forms_stay_as_they_are(branch: Any) -> None:
    plain = build(deep=(0,), branch=branch)
    model = cut(plain, yolean.load(plain.SerializeToString(), device="cpu", threads=1))
    assert model is not None
    before = model.SerializeToString()
    assert make_sparse(model, Head((8, 16, 32))) == 0
    assert model.SerializeToString() == before
