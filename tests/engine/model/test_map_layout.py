"""Which outputs are taken for class maps, logits or depth, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from yolean.engine.errors import ModelError
from yolean.engine.model.map_layout import read_map_layout
from yolean.engine.runtime.session import TensorInfo
from yolean.postprocess.layout import Task

NAMES = {0: "road", 1: "car", 2: "sky"}


def read(task: Task, dtype: str, *shape: Any, names: dict[int, str] = NAMES, measured: Any = None) -> Any:
    measure = None if measured is None else lambda: [measured]
    found = read_map_layout(task, names, [TensorInfo("output0", shape, f"tensor({dtype})")], measure)
    assert found.is_dense
    return found.task, found.kind, found.nc


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integers_of_three_axes_are_class_ids(dtype: str) -> None:
    assert read("semantic", dtype, 1, 64, 96) == ("semantic", "class_map", 3)
    assert read("semantic", dtype, "b", "Cast_dim_1", None) == ("semantic", "class_map", 3)


@pytest.mark.parametrize("dtype", ["float", "float16"])
def test_floats_of_four_axes_are_logits_or_depth(dtype: str) -> None:
    assert read("semantic", dtype, 1, 3, 64, 96) == ("semantic", "raw", 3)
    assert read("semantic", dtype, 1, 5, 64, 96, names={}) == ("semantic", "raw", 5)
    assert read("semantic", dtype, "b", "c", "h", "w", measured=(1, 3, 64, 96)) == ("semantic", "raw", 3)
    assert read("depth", dtype, "b", 1, "h", "w", names={0: "0"}) == ("depth", "raw", 1)
    assert read("depth", dtype, 1, 64, 96, names={}) == ("depth", "raw", 0)
    assert read("depth", dtype, "b", "c", "h", "w", names={}, measured=(1, 1, 8, 8))[1] == "raw"


@pytest.mark.parametrize(
    ("task", "dtype", "shape"),
    [
        ("semantic", "float", (1, 64, 96)),  # one class' logits, or ids as floats?
        ("semantic", "uint8", (1, 3, 64, 96)),
        ("semantic", "float", (1, 4, 64, 96)),  # another number of classes
        ("semantic", "float", (1, "c", 64, 96)),
        ("semantic", "float", (1, 300, 6)),
        ("depth", "float", (1, 3, 64, 96)),
        ("depth", "uint8", (1, 64, 96)),
        ("depth", "float", (1, 1000)),
    ],
)
def test_everything_else_is_refused(task: Task, dtype: str, shape: tuple[Any, ...]) -> None:
    with pytest.raises(ModelError, match=f"{task} needs an output .* is the task right"):
        read(task, dtype, *shape)


def test_class_ids_without_names_are_refused() -> None:
    with pytest.raises(ModelError, match="give names="):
        read("semantic", "uint8", 1, 64, 96, names={})
