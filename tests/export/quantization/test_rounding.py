from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator
from yolean.export.quantization.rounding import (
    Geometry,
    min_step,
    nearest_steps,
    patches,
    round_layer,
    round_weights,
)

RNG = np.random.default_rng(3)


def correlated(places: int, inputs: int) -> NDArray[np.float32]:
    """Inputs that few causes explain, as those of a convolution are, with a mean that is not 0."""
    causes = RNG.normal(size=(places, 3)) @ RNG.normal(size=(3, inputs))
    return (causes + 0.1 * RNG.normal(size=(places, inputs)) + 0.5).astype(np.float32)


def test_steps_are_whole_and_fit_a_signed_byte() -> None:
    weight = RNG.normal(size=(4, 12))
    scale = (np.abs(weight).max(axis=1) / 127).astype(np.float32)
    steps = round_weights(weight, np.cov(correlated(50, 12).T), scale)
    assert np.array_equal(steps, np.rint(steps))
    assert np.abs(steps).max() <= 127
    assert np.abs(steps * scale[:, None] - weight).max() < 0.5


@pytest.mark.parametrize("inputs", [12, 150])  # less and more than a block
def test_outputs_are_closer_than_with_the_nearest_steps(inputs: int) -> None:
    seen, weight = correlated(400, inputs), RNG.normal(size=(5, inputs))
    scale = (np.abs(weight).max(axis=1) / 7).astype(np.float32)  # steps so coarse that it matters
    steps = round_weights(weight, seen.T.astype(np.float64) @ seen / len(seen), scale)
    errors = [
        np.square(seen @ (given * scale[:, None] - weight).T).mean()
        for given in (steps, np.rint(weight / scale[:, None]))
    ]
    assert errors[0] < 0.4 * errors[1]


def test_independent_inputs_leave_the_nearest_steps() -> None:
    weight = RNG.normal(size=(3, 6))
    scale = (np.abs(weight).max(axis=1) / 127).astype(np.float32)
    assert np.array_equal(round_weights(weight, np.eye(6), scale), np.rint(weight / scale[:, None]))


def test_inputs_that_never_vary() -> None:
    weight = RNG.normal(size=(2, 4))
    scale = np.full(2, 0.01, np.float32)
    assert np.isfinite(round_weights(weight, np.zeros((4, 4)), scale)).all()


def test_groups_are_rounded_by_their_own_inputs() -> None:
    weight, bias = RNG.normal(size=(6, 4)), RNG.normal(size=6)
    moments = [np.cov(correlated(80, 4).T) for _ in range(3)]
    rounded = round_layer(weight, bias, moments, 0.0)
    for group, rows in enumerate(np.split(np.arange(6), 3)):
        alone = round_weights(weight[rows], moments[group], rounded.scale[rows])
        assert np.array_equal(rounded.steps[rows], alone)
    assert np.array_equal(rounded.bias, bias)


def test_a_bias_beside_almost_no_weights_fits_int32() -> None:
    rounded = nearest_steps(np.full((1, 3), 1e-9), np.array([5.0]), min_step(0.01))
    assert abs(rounded.bias[0]) / (rounded.scale[0] * 0.01) <= 2**30 * 1.001
    plain = nearest_steps(np.array([[0.5, -1.27]]), np.zeros(1), min_step(0.01))
    assert (plain.steps.tolist(), plain.scale[0]) == ([[50, -127]], pytest.approx(0.01))


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((1, 1)),
        Geometry((3, 3), pads=(1, 1, 1, 1)),
        Geometry((3, 2), (2, 1), (1, 2), (1, 0, 0, 2)),
    ],
)
def test_patches_are_what_a_convolution_sees(geometry: Geometry) -> None:
    image = RNG.normal(size=(2, 9, 8)).astype(np.float32)
    weight = RNG.normal(size=(3, 2, *geometry.kernel)).astype(np.float32)
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], strides=geometry.strides, pads=geometry.pads, dilations=geometry.dilations
    )
    (outputs,) = cast("list[Any]", ReferenceEvaluator(node).run(None, {"x": image[None], "w": weight}))
    wanted = outputs[0]
    rows, columns = (axis.ravel() for axis in np.indices(wanted.shape[1:]))
    made = patches(image, geometry, rows, columns) @ weight.reshape(3, -1).T
    assert np.allclose(made.T.reshape(wanted.shape), wanted, atol=1e-4)
