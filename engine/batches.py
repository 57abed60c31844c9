"""What the steps of a call hand on: placed frames, a batch of them in a tensor, and its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..postprocess.geometry import Geometry
from .images.frames import Frame
from .images.preprocessing import InputTensor

Placed = tuple[Frame, Geometry]
"""A frame, and where it lies in its tensor."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames that share one input tensor.

    Attributes:
        placed: at least one frame, each with its geometry in the tensor; all of one tensor shape.
        tensor: the model's input. Rows beyond the frames hold whatever an earlier batch left there.
        preprocess_ms: milliseconds spent on writing the tensor, for the whole batch.
    """

    placed: list[Placed]
    tensor: InputTensor
    preprocess_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """The model's outputs for a batch.

    Attributes:
        batch: the batch. Its tensor has gone back to the pool and must not be read any more.
        arrays: the model's outputs in the file's order; the first `spec.outputs` have one row for each image.
        inference_ms: milliseconds of the run, for the whole batch.
    """

    batch: Batch
    arrays: list[NDArray[Any]]
    inference_ms: float
