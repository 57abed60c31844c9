from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from heads import build
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import for_each
from yolean.export.quantization.calibration import METHODS, Histogram, least_error, observe, percentile, whole

SHAPE = (1, 3, 64, 96)


def histogram(values: Any, bins: Any = 4096) -> Any:
    low, high = min(0.0, values.min()), max(0.0, values.max())
    return Histogram(low, high, np.histogram(values, bins, (low, high))[0])


def test_what_is_observed_is_what_the_graph_computes() -> None:
    model = build()
    tensors = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Sigmoid")][:6]
    rng = np.random.default_rng(0)
    inputs = [rng.random(SHAPE, np.float32) for _ in range(3)]
    found = observe(model, tensors, lambda: iter(inputs))
    assert list(found) == tensors
    for name, one in found.items():
        assert one.low <= 0 <= one.high
        assert one.counts.sum() % 3 == 0
        if "Sigmoid" in {n.op_type for n in model.graph.node if n.output[0] == name}:
            assert one.low == 0.0
            assert one.high < 1
    twice = observe(model, tensors, lambda: iter(inputs * 2))
    for name, one in found.items():
        np.testing.assert_array_equal(twice[name].counts, 2 * one.counts)
        assert whole(twice[name]) == whole(one)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(sorted(METHODS)), st.floats(0.1, 100), st.floats(-5, 5))
def test_ranges_hold_zero_and_lie_within_what_was_seen(
    seed: int, method: Any, scale: Any, shift: Any
) -> None:
    values = np.random.default_rng(seed).normal(shift, scale, 2000)
    seen = histogram(values)
    low, high = METHODS[method](seen)
    assert seen.low - 1e-9 <= low <= 0 <= high <= seen.high + 1e-9


def test_percentiles_leave_out_so_much_on_each_side() -> None:
    values = np.linspace(-1, 3, 100_001)
    low, high = percentile(histogram(values), 0.01)
    assert low == pytest.approx(-0.96, abs=0.01)
    assert high == pytest.approx(2.96, abs=0.01)


def test_one_outlier_is_clipped_and_a_full_range_is_not() -> None:
    rng = np.random.default_rng(1)
    smooth = rng.random(100_000)
    assert least_error(histogram(smooth))[1] == pytest.approx(1, abs=0.02)
    # 100,000 values in steps of R/255, and one clipped from 30 to R: 0.128 R² + (30 - R)² is least there.
    assert least_error(histogram(np.append(smooth, 30.0)))[1] == pytest.approx(26.6, abs=0.5)


@for_each("method", METHODS.values())
def test_a_tensor_that_is_always_zero(method: Any) -> None:
    assert method(Histogram(0.0, 0.0, np.zeros(4096, np.int64))) == (0.0, 0.0)
