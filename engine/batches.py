"""What the steps of a call hand on: placed frames, a batch of them in a tensor, and its outputs.

And how many images a batch has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..postprocess.geometry import Geometry
from .errors import InputError, is_whole
from .images.frames import Frame
from .images.preprocessing import InputTensor
from .runtime.session import Session

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


def batch_size(wanted: int | None, fixed: int | None, session: Session, *, is_open: bool) -> int:
    """Images for each run of a call.

    Args:
        wanted: as asked for.
        fixed: the batch of the export, None where it is free.
        session: executes the runs.
        is_open: whether frames are waited for one by one, as a camera's are: the default is then 1.

    Raises:
        InputError: the export takes no such batch.
    """
    if wanted is not None and (not is_whole(wanted) or wanted < 1):
        raise InputError(f"batch={wanted!r}: expected a whole number from 1")
    if fixed is not None and wanted is not None and wanted > fixed:
        raise InputError(f"batch={wanted}: this export takes {fixed} a run; export it for more")
    return wanted or (1 if is_open else fixed or default_batch(session))


def default_batch(session: Session) -> int:
    """Images for each run of a model with a free batch: 8 on GPUs, else 1.

    One image does not keep a GPU busy. It does keep all cores of a CPU busy: yolov8n took 42 ms for each
    image one by one and 40 ms in batches of four or eight, while peak memory went from 142 to 360 MB.
    """
    return 8 if session.device.is_gpu else 1
