"""Runs a model on the images of a dataset, and hands its outputs on, image by image."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TypeVar

import numpy as np

from ..engine.batches import default_batch
from ..engine.concurrency import map_in_order
from ..engine.errors import InputError
from ..engine.images.frames import Frame
from ..engine.images.sources import open_source
from ..engine.pipeline import Engine
from ..postprocess.types import Float, Size
from .datasets import Sample
from .placement import Placement, place

_LEAST_SIDE = 10  # pixels: Ultralytics leaves smaller images out

Answer = TypeVar("Answer")

Check = Callable[[Sample, Size], None]
"""Raises `InputError` where an image of this size, or what belongs to it, cannot be used."""


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What the model gave for one image.

    Attributes:
        sample: the image and its labels.
        original: size of the image in pixels.
        placement: where it lies in the tensor.
        arrays: the outputs of the model for it, float32, without the batch axis.
        speed: milliseconds of `decode`, `preprocess` and `inference`.
    """

    sample: Sample
    original: Size
    placement: Placement
    arrays: list[Float]
    speed: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Skipped:
    """An image that cannot be used, and why."""

    sample: Sample
    reason: str


def read_image(sample: Sample, channels: int) -> Frame:
    """Read the image of a sample.

    Raises:
        InputError: it cannot be read, or is smaller than 10 pixels.
    """
    frame = next(iter(open_source(str(sample.image), channels)))
    if min(frame.image.shape[:2]) < _LEAST_SIDE:
        height, width = frame.image.shape[:2]
        raise InputError(
            f"{sample.image}: {width}x{height} pixels are too few: at least {_LEAST_SIDE} a side"
        )
    return frame


def check_nothing(sample: Sample, image: Size) -> None:
    """A `Check` that does nothing."""


def sizes_of(
    engine: Engine, samples: Sequence[Sample], check: Check = check_nothing
) -> Iterator[Size | Skipped]:
    """The size of each image, or why it cannot be used."""

    def work(sample: Sample) -> Size | Skipped:
        try:
            size = Size.of(read_image(sample, engine.spec.channels).image)
            check(sample, size)
            return size
        except InputError as exc:
            return Skipped(sample, str(exc))

    yield from map_in_order(work, iter(samples), engine.session.threads)


def run(
    engine: Engine,
    tensors: Sequence[tuple[Sample, Size]],
    limit: int,
    conf: float,
    evaluate: Callable[[Output], Answer],
) -> Iterator[Answer | Skipped]:
    """Run the model on images, and evaluate its outputs in the threads that ran it.

    Args:
        engine: the model. On a CPU each core runs one image, where the model can be loaded again.
        tensors: the images, each with the size of the tensor to run it in.
        limit: pixels of the longer side of an image.
        conf: the least score that `evaluate` uses.
        evaluate: called in several threads.
    """
    one_thread = engine.with_one_thread()
    used = one_thread or engine
    workers = engine.session.threads if one_thread else 2 if engine.session.device.is_gpu else 1

    def work(group: list[tuple[Sample, Size]]) -> list[Answer | Skipped]:
        return list(_run_group(used, group, limit, conf, evaluate))

    most = engine.spec.batch or (1 if one_thread else default_batch(engine.session))
    for answers in map_in_order(work, _groups(tensors, most), workers):
        yield from answers


def _groups(
    tensors: Sequence[tuple[Sample, Size]], most: int
) -> Generator[list[tuple[Sample, Size]], None, None]:
    """Consecutive images of one tensor size, at most so many."""
    group: list[tuple[Sample, Size]] = []
    for item in tensors:
        if group and (len(group) == most or item[1] != group[0][1]):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _run_group(
    engine: Engine,
    group: list[tuple[Sample, Size]],
    limit: int,
    conf: float,
    evaluate: Callable[[Output], Answer],
) -> Iterator[Answer | Skipped]:
    placed: list[tuple[Sample, Frame, Size, Placement]] = []
    skipped: list[Skipped] = []
    started = perf_counter()
    for sample, tensor in group:
        try:
            frame = read_image(sample, engine.spec.channels)
        except InputError as exc:
            skipped.append(Skipped(sample, str(exc)))
            continue
        image, placement = place(frame.image, limit, tensor, engine.spec)
        placed.append((sample, replace(frame, image=image), Size.of(frame.image), placement))
    yield from skipped
    if not placed:
        return
    decoding = sum(frame.decode_ms for _, frame, _, _ in placed)
    resizing = (perf_counter() - started) * 1e3 - decoding
    batch = engine.prepare([(frame, placement.geometry) for _, frame, _, placement in placed])
    outputs = engine.infer(batch, conf)
    shared = {
        "preprocess": (resizing + batch.preprocess_ms) / len(placed),
        "inference": outputs.inference_ms / len(placed),
    }
    for row, (sample, frame, original, placement) in enumerate(placed):
        arrays = [np.asarray(o[row], np.float32) for o in outputs.arrays[: engine.spec.outputs]]
        yield evaluate(Output(sample, original, placement, arrays, {"decode": frame.decode_ms} | shared))
