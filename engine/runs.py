"""Runs a model over all images of a source, in the way that suits source and device, and slice by slice."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from time import perf_counter
from typing import Protocol, Self

from ..postprocess.detections import Detections, Options
from ..postprocess.merging import merge
from ..postprocess.types import Size
from .batches import Batch, Outputs, Placed
from .concurrency import map_in_order, prefetched
from .errors import InputError
from .images.frames import Frame
from .images.sources import Source
from .results.results import Results
from .runtime.session import Session
from .tiling import Region, Tiling

_MANY_SLICES = 6  # of one image, from which on threads save more time than loading the model for them takes

OnError = Callable[[InputError], None] | None


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What was found in one row of a batch.

    Attributes:
        frame: the image, or a slice of it.
        found: its objects.
        speed: milliseconds by stage.
        tensor: size of the input tensor.
    """

    frame: Frame
    found: Detections
    speed: dict[str, float]
    tensor: Size


class Steps(Protocol):
    """The parts of an engine that are called here."""

    session: Session

    def place(self, frame: Frame, size: Size) -> Placed: ...
    def prepare(self, placed: list[Placed]) -> Batch: ...
    def infer(self, ready: Batch, conf: float) -> Outputs: ...
    def decode(self, outputs: Outputs, row: int, options: Options) -> Decoded: ...
    def results(self, decoded: Decoded) -> Results: ...
    def with_one_thread(self) -> Self | None: ...


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one call, checked.

    Attributes:
        size: to run at.
        options: thresholds and filters.
        batch: images for each run.
        tiling: how images are sliced, None where they are not.
        on_error: called with the error of each image that cannot be read; None to raise it.
    """

    size: Size
    options: Options
    batch: int
    tiling: Tiling | None = None
    on_error: OnError = None


def run(engine: Steps, source: Source, call: Call) -> Generator[Results, None, None]:
    """The results of a source, in order; closing it early releases the source."""
    if call.tiling is not None:
        yield from _run_tiled(engine, source, call, call.tiling)
        return
    if source.is_image:  # nothing to overlap: spare the thread
        for frame in source.frames(call.on_error):
            for decoded in _run_batch(engine, engine.prepare([engine.place(frame, call.size)]), call):
                yield engine.results(decoded)
        return
    worker = engine.with_one_thread() if call.batch == 1 and source.has_many else None
    if worker is not None:
        yield from _run_threads(engine, worker, source, call)
        return
    frames = source.frames(call.on_error)
    try:
        placed = (engine.place(frame, call.size) for frame in frames)
        for ready in prefetched(_batches(engine, placed, call.batch)):
            for decoded in _run_batch(engine, ready, call):
                yield engine.results(decoded)
    finally:
        frames.close()


def _run_threads(engine: Steps, worker: Steps, source: Source, call: Call) -> Generator[Results, None, None]:
    """Several images at the same time, each read, run and decoded by one thread."""

    def work(read: Callable[[], Frame]) -> Results:
        (decoded,) = _run_batch(worker, worker.prepare([worker.place(read(), call.size)]), call)
        return worker.results(decoded)

    readers = source.readers()
    try:
        yield from map_in_order(work, readers, engine.session.threads, call.on_error)
    finally:
        readers.close()


def _run_batch(engine: Steps, ready: Batch, call: Call) -> Iterator[Decoded]:
    """Run a batch and decode its frames."""
    outputs = engine.infer(ready, call.options.conf)
    for row in range(len(ready.placed)):
        yield engine.decode(outputs, row, call.options)


def _batches(engine: Steps, placed: Iterable[Placed], batch: int) -> Generator[Batch, None, None]:
    """Batches of consecutive frames whose tensors have the same shape.

    A batch of several shapes would need more padding, and padding changes the answer for an image.
    """
    group: list[Placed] = []
    try:
        for one in placed:
            if group and one[1].tensor != group[0][1].tensor:
                yield engine.prepare(group)
                group = []
            group.append(one)
            if len(group) == batch:
                yield engine.prepare(group)
                group = []
    except InputError:
        if group:  # the results of the images before it come first
            yield engine.prepare(group)
        raise
    if group:
        yield engine.prepare(group)


def place_slice(engine: Steps, frame: Frame, region: Region, size: Size) -> Placed:
    """A slice of a frame in the tensor for `size`; what is found in it lies in the pixels of the frame."""
    part, geometry = engine.place(region.of(frame), size)
    return part, replace(geometry, origin=(region.left, region.top))


class _Slices:
    """The slices of the frames of a source, placed in their tensors, and which frame they are of.

    Attributes:
        owners: the frames in order, each with the number of its slices; the reader takes them out.
        error: why the source ended early, where nobody is told of errors.
    """

    def __init__(self, engine: Steps, source: Source, call: Call, tiling: Tiling) -> None:
        self._engine, self._call, self._tiling = engine, call, tiling
        self._frames = source.frames(call.on_error)
        self.owners: deque[tuple[Frame, int]] = deque()
        self.error: InputError | None = None

    def __iter__(self) -> Generator[Placed, None, None]:
        try:
            for frame in self._frames:
                try:
                    regions = self._tiling.regions(Size.of(frame.image))
                except InputError as error:
                    if self._call.on_error is None:
                        raise
                    self._call.on_error(error)
                    continue
                self.owners.append((frame, len(regions)))
                for region in regions:
                    yield place_slice(self._engine, frame, region, self._call.size)
        except InputError as error:  # the results of the images before it come first
            self.error = error

    def close(self) -> None:
        self._frames.close()


def _run_tiled(engine: Steps, source: Source, call: Call, tiling: Tiling) -> Generator[Results, None, None]:
    """The results of a source whose images are sliced.

    Slices run as the images of a folder do: on a CPU one on each core, where there are many, else in batches.
    Of an image, only the objects of its slices are kept until all of them have run.
    """
    slices = _Slices(engine, source, call, tiling)
    answers = _decoded_slices(engine, source, call, slices)
    try:
        for first in answers:
            frame, count = slices.owners.popleft()
            yield merged(engine, frame, [first, *islice(answers, count - 1)], call.options, tiling)
    finally:
        answers.close()
        slices.close()
    if slices.error is not None:
        raise slices.error


def _decoded_slices(
    engine: Steps, source: Source, call: Call, slices: _Slices
) -> Generator[Decoded, None, None]:
    """What is found in each slice, in order."""
    placed = iter(slices)
    first = next(placed, None)
    if first is None:
        return

    def all_placed() -> Generator[Placed, None, None]:
        yield first
        yield from placed

    many = source.has_many or slices.owners[0][1] >= _MANY_SLICES
    worker = engine.with_one_thread() if call.batch == 1 and many else None
    if worker is None:
        for ready in prefetched(_batches(engine, all_placed(), call.batch)):
            yield from _run_batch(engine, ready, call)
        return

    def work(one: Placed) -> Decoded:
        (decoded,) = _run_batch(worker, worker.prepare([one]), call)
        return decoded

    yield from map_in_order(work, all_placed(), engine.session.threads)


def merged(engine: Steps, frame: Frame, parts: list[Decoded], options: Options, tiling: Tiling) -> Results:
    """The results of an image from those of its slices, in the order of `Tiling.regions`."""
    started = perf_counter()
    found = parts[0].found
    if len(parts) > 1:
        found = merge([part.found for part in parts], Size.of(frame.image), options, tiling.merge)
    speed = {stage: sum(part.speed[stage] for part in parts) for stage in parts[0].speed}
    speed["decode"] = frame.decode_ms
    speed["postprocess"] += (perf_counter() - started) * 1e3
    return engine.results(Decoded(frame, found, speed, parts[-1].tensor))
