"""Rounds the weights of one layer so that its outputs, not its weights, stay close to the float ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_LEVELS = 127  # of a signed byte, on either side of 0
_DAMPING = 0.01  # of the mean second moment, added to all: keeps corrections small
_MAX_BIAS = 2**30  # steps: half of what int32 holds, the rest is for the sum of products
_BLOCK = 64  # columns whose corrections are applied to the rest at once


@dataclass(frozen=True, eq=False)
class RoundedWeights:
    """The weights and bias of a convolution in steps.

    Attributes:
        steps: (filters, inputs of a filter) whole numbers, -127 to 127.
        scale: (filters,) float32, the size of a step.
        bias: (filters,) in float.
    """

    steps: Float64
    scale: NDArray[np.float32]
    bias: Float64


@dataclass(frozen=True)
class Geometry:
    """What of a convolution decides which values a filter sees: as in ONNX's attributes.

    Attributes:
        kernel, strides, dilations: vertical and horizontal.
        pads: top, left, bottom, right.
        groups: number of groups of channels.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1


def patches(values: NDArray[np.float32], geometry: Geometry, rows: Sequence[int] | NDArray[np.intp],
            columns: Sequence[int] | NDArray[np.intp]) -> NDArray[np.float32]:  # fmt: skip
    """What the filters see at some places of the output.

    Args:
        values: (channels, height, width) input of the convolution.
        rows, columns: (N,) places in the output.

    Returns:
        (N, channels * kernel height * kernel width), in the order of a filter's weights.
    """
    top, left, bottom, right = geometry.pads
    padded = np.pad(values, ((0, 0), (top, bottom), (left, right)))
    ys, xs = (
        np.asarray(places)[:, None] * stride + np.arange(size) * dilation
        for places, stride, size, dilation in zip(
            (rows, columns), geometry.strides, geometry.kernel, geometry.dilations, strict=True
        )
    )
    seen = padded[:, ys[:, :, None], xs[:, None, :]]
    return np.ascontiguousarray(seen.transpose(1, 0, 2, 3).reshape(len(ys), -1))


def min_step(input_scale: float) -> float:
    """The least step of a filter for each unit of its bias, which would overflow int32 otherwise."""
    return 1 / (input_scale * _MAX_BIAS)


def nearest_steps(weight: Float64, bias: Float64, min_step: float) -> RoundedWeights:
    """Round weights (filters, inputs of a filter) to the nearest steps; the bias stays as it is."""
    scale = _scales(weight, bias, min_step)
    return RoundedWeights(np.rint(weight / scale[:, None]), scale, bias.astype(np.float64))


def round_layer(
    weight: Float64, bias: Float64, moments: Sequence[Float64], min_step: float
) -> RoundedWeights:
    """Round a convolution's weights (filters, inputs of a filter); the bias stays as it is.

    Args:
        moments: (inputs of a filter, inputs of a filter) second moments of the inputs, of each group.
        min_step: see the function.
    """
    scale = _scales(weight, bias, min_step)
    parts = np.split(np.arange(len(weight)), len(moments))
    steps = [round_weights(weight[rows], one, scale[rows]) for rows, one in zip(parts, moments, strict=True)]
    return RoundedWeights(np.concatenate(steps), scale, bias.astype(np.float64))


def round_weights(weight: Float64, moments: Float64, scale: NDArray[np.float32]) -> Float64:
    """Round one column of weights after the other, each error made good by the columns to come.

    The method is GPTQ (Frantar et al., 2022): of the inverse's Cholesky factor, row j tells how the columns
    after j best make good an error in column j, in the least squares of the outputs.

    Args:
        weight: (filters, inputs).
        moments: (inputs, inputs) second moments of the inputs.
        scale: (filters,) size of a step.

    Returns:
        (filters, inputs) whole numbers, -127 to 127.
    """
    size = scale.astype(np.float64)
    damped = moments + np.eye(len(moments)) * (_DAMPING * np.diag(moments).mean() + 1e-12)
    order = np.argsort(-np.diag(damped), kind="stable")  # the columns that matter most first
    left = weight[:, order]
    factor = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)])).T
    steps = np.empty_like(left)
    for start in range(0, len(order), _BLOCK):
        stop = min(start + _BLOCK, len(order))
        errors = np.empty((len(left), stop - start))
        for column in range(start, stop):
            steps[:, column] = np.clip(np.rint(left[:, column] / size), -_LEVELS, _LEVELS)
            error = (left[:, column] - steps[:, column] * size) / factor[column, column]
            left[:, column:stop] -= np.outer(error, factor[column, column:stop])
            errors[:, column - start] = error
        left[:, stop:] -= errors @ factor[start:stop, stop:]
    result = np.empty_like(steps)
    result[:, order] = steps
    return result


def _scales(weight: Float64, bias: Float64, min_step: float) -> NDArray[np.float32]:
    finest = np.maximum(np.abs(weight).max(axis=1), 1e-8) / _LEVELS
    scales: NDArray[np.float32] = np.maximum(finest, np.abs(bias) * min_step).astype(np.float32)
    return scales
