"""Which convolutions may stay in float depends on their multiplications, not on the machine."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from graph_builder import Whole
from onnx import TensorProto, helper
from yolean.export.quantization import predicted_time as times
from yolean.export.quantization.predicted_time import (
    BYTES_WITH_VNNI,
    BYTES_WITHOUT_VNNI,
    MAX_TIME,
    affordable,
    multiplications,
    predicted_time,
)

COUNTS = {"a": 52, "b": 3, "c": 3, "d": 42}


def network() -> tuple[onnx.ModelProto, list[str]]:
    """A 3x3 convolution with stride 2, a grouped one and one of 1x1, on an image of free size."""
    b = Whole(0)
    first = b.conv("x", 3, 8, 3, stride=2)
    second = b.conv(first, 8, 8, 3, group=2)
    third = b.conv(second, 8, 5)
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    output = helper.make_tensor_value_info(third, TensorProto.FLOAT, [None] * 4)
    graph = helper.make_graph(b.nodes, "g", [image], [output], b.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, [first, second, third]


def test_multiplications_are_counted() -> None:
    model, names = network()
    found = multiplications(model, names, np.zeros((1, 3, 8, 12), np.float32))
    places = 4 * 6
    assert list(found.values()) == [places * 8 * 3 * 9, places * 8 * 4 * 9, places * 5 * 8]
    assert list(found) == names
    assert multiplications(model, [], np.zeros((1, 3, 8, 12), np.float32)) == {}


@pytest.mark.parametrize("of_bytes", [BYTES_WITH_VNNI, BYTES_WITHOUT_VNNI])
def test_time_lies_between_all_in_bytes_and_all_in_float(of_bytes: float) -> None:
    assert predicted_time([], COUNTS, of_bytes) == 1
    assert predicted_time([*COUNTS], COUNTS, of_bytes) == pytest.approx(1 / of_bytes)
    assert predicted_time(["a"], COUNTS, of_bytes) == pytest.approx(1 + 0.52 * (1 / of_bytes - 1))


def test_the_first_that_fit_are_taken_and_what_is_too_large_is_passed_over() -> None:
    assert affordable(["b", "a", "c", "d"], COUNTS, BYTES_WITH_VNNI) == ["b", "c"]
    assert affordable(["a", "d"], COUNTS, BYTES_WITH_VNNI) == []
    assert affordable([], COUNTS, BYTES_WITH_VNNI) == []
    assert affordable(["a", "b", "d"], COUNTS, BYTES_WITHOUT_VNNI) == ["a", "b"]  # bytes gain little there
    assert predicted_time(["a", "b"], COUNTS, BYTES_WITHOUT_VNNI) <= MAX_TIME


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"avx2"}, BYTES_WITHOUT_VNNI),
        ({"avx2", "avx_vnni"}, BYTES_WITH_VNNI),
        ({"avx2", "avx512f", "avx512_vnni"}, BYTES_WITH_VNNI),
        ({"asimddp"}, BYTES_WITH_VNNI),  # Arm
        (set(), BYTES_WITH_VNNI),  # Windows and macOS do not tell
    ],
)
def test_the_kind_of_cpu_decides_how_fast_bytes_are(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], expected: float
) -> None:
    def has(*wanted: str) -> bool:
        return not flags.isdisjoint(wanted)

    monkeypatch.setattr(times, "has_cpu_flag", has)
    assert times.time_of_bytes() == expected
