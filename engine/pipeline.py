"""The engine: preprocess -> session -> postprocess, for one image, many, or a stream."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..postprocess import classify, detect, obb, pose, segment
from ..postprocess.detections import Options
from ..postprocess.geometry import Geometry
from ..postprocess.types import Size
from .errors import InputError, is_whole
from .images.preprocessing import InputTensor, check_size, place
from .images.sources import Frame, Source, open_source
from .model.spec import ModelSpec
from .results.results import Results
from .runtime.session import Session

DECODERS = {
    "detect": detect.decode,
    "segment": segment.decode,
    "pose": pose.decode,
    "obb": obb.decode,
    "classify": classify.decode,
}
Placed = tuple[Frame, Geometry]

BAKED_CONF = 0.25
"""Confidence that Ultralytics bakes into exports with nms=True; the file does not record another."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Frames that share one input tensor.

    Attributes:
        placed: frames, each with its place in the tensor.
        tensor: what the model gets; rows beyond the frames are filling.
        preprocess_ms: time spent on the tensor, whole batch.
    """

    placed: list[Placed]
    tensor: InputTensor
    preprocess_ms: float


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What the model gave for a batch.

    Attributes:
        batch: the batch; its tensor is no longer its own.
        arrays: the model's outputs, the first `spec.outputs` of them with a row an image.
        inference_ms: time of the run, whole batch.
    """

    batch: Batch
    arrays: list[NDArray[Any]]
    inference_ms: float


class Engine:
    """A loaded model. Calls may come from several threads.

    Attributes:
        spec: what the model file says about itself.
        session: the ONNX Runtime session.
        names: class names by id.
        task: `detect`, `segment`, `pose`, `obb` or `classify`.
    """

    def __init__(self, session: Session, spec: ModelSpec) -> None:
        """Join a session and its spec; `loading.load` does it from a file."""
        self.session, self.spec = session, spec
        self.names, self.task = spec.names, spec.task
        self._decode = DECODERS[spec.task]
        # Input tensors that wait to be used again, by shape. Lists are taken from and added to by single
        # operations, which threads may share.
        self._free: dict[tuple[int, ...], list[InputTensor]] = {}

    def __repr__(self) -> str:
        return f"<Engine {self.task}, {len(self.names)} classes, on {self.session.device}>"

    def __call__(
        self,
        source: Any,
        conf: float = 0.25,
        iou: float = 0.45,
        imgsz: int | tuple[int, int] | None = None,
        max_det: int = 300,
        classes: int | Sequence[int] | None = None,
        agnostic_nms: bool = False,
        batch: int | None = None,
    ) -> list[Results]:
        """Predict every image of a source and return the results in its order.

        All results are held at once, images included: long videos are for `stream`.

        Args:
            source: path of an image or video, folder, glob pattern, encoded bytes, array (H, W, 3) BGR
                uint8, grey or BGRA array, PIL image, or a list of these. What never ends, a camera or
                stream, goes through `stream`.
            conf: objects need a score above this, 0 to 1.
            iou: of two boxes that overlap by more than this, 0 to 1, the better stays. End-to-end models
                and exports with nms=True have settled it in the graph.
            imgsz: size to run at, for models with free height and width; one number or (height, width).
            max_det: most objects an image, from 1.
            classes: keep only these class ids; [] keeps none.
            agnostic_nms: let boxes of different classes suppress each other.
            batch: images a run, for models with a free batch. Default 1: see `default_batch`.

        Raises:
            InputError: an argument is out of range, or an image cannot be read.
            ModelError: the model refuses its input.
            DeviceError: the GPU fails.
        """
        options = self.options(conf, iou, max_det, classes, agnostic_nms)
        size = check_size(imgsz, self.spec)
        frames = open_source(source, self.spec.channels)
        if frames.is_live:
            raise InputError("a camera or stream never ends, and this call would wait for it: use stream()")
        number = self._batch(batch, frames)
        if frames.is_image:  # nothing to overlap: spare the thread
            return list(self._finish(self.prepare([self.place(f, size) for f in frames]), options))
        return list(self._run(frames, size, options, number, None))

    def stream(
        self,
        source: Any,
        conf: float = 0.25,
        iou: float = 0.45,
        imgsz: int | tuple[int, int] | None = None,
        max_det: int = 300,
        classes: int | Sequence[int] | None = None,
        agnostic_nms: bool = False,
        batch: int | None = None,
        on_error: Callable[[InputError], None] | None = None,
    ) -> Iterator[Results]:
        """Like calling the model, but yields results as they come.

        The next frames are read and preprocessed while the current ones run. Arguments are checked at
        the call, not at the first result. Leaving the loop early waits for the frame being read, then
        releases the source.

        Args:
            source: as for a call, or a camera number, or the address of a stream.
            on_error: is handed the error of an image that cannot be read, which is then left out;
                without it the error is raised.
        """
        options = self.options(conf, iou, max_det, classes, agnostic_nms)
        size = check_size(imgsz, self.spec)
        frames = source if isinstance(source, Source) else open_source(source, self.spec.channels)
        return self._run(frames, size, options, self._batch(batch, frames), on_error)

    def warmup(self, imgsz: int | tuple[int, int] | None = None) -> None:
        """Run once on a blank image, so that the first real one of that shape finds all allocated."""
        height, width = check_size(imgsz, self.spec)
        blank = np.full((height, width, self.spec.channels), 114, np.uint8)
        self(blank, imgsz=imgsz)

    def _run(
        self,
        source: Source,
        size: Size,
        options: Options,
        batch: int,
        on_error: Callable[[InputError], None] | None,
    ) -> Generator[Results, None, None]:
        """Results in order, with the next batch prepared in a thread of its own."""
        frames = source.frames(on_error)
        batches = self._batches(frames, size, batch)
        with ThreadPoolExecutor(1, "yolean-prepare") as pool:
            try:
                upcoming = pool.submit(next, batches, None)
                while (ready := upcoming.result()) is not None:
                    upcoming = pool.submit(next, batches, None)
                    yield from self._finish(ready, options)
            finally:  # also when the consumer stops early: wait for the thread, then let go of the source
                pool.shutdown()
                batches.close()
                frames.close()

    def _batches(self, frames: Iterable[Frame], size: Size, batch: int) -> Generator[Batch, None, None]:
        """Consecutive frames, grouped while they need a tensor of the same shape.

        So every image gets the answer that it gets alone, whatever its company.
        """
        group: list[Placed] = []
        try:
            for frame in frames:
                placed = self.place(frame, size)
                if group and placed[1].tensor != group[0][1].tensor:
                    yield self.prepare(group)
                    group = []
                group.append(placed)
                if len(group) == batch:
                    yield self.prepare(group)
                    group = []
        except InputError:
            if group:  # what was read before the bad image is answered before its error
                yield self.prepare(group)
            raise
        if group:
            yield self.prepare(group)

    def size(self, imgsz: int | tuple[int, int] | None = None) -> Size:
        """The (height, width) that a call with this `imgsz` runs at; see `check_size`."""
        return check_size(imgsz, self.spec)

    def place(self, frame: Frame, size: Size) -> Placed:
        """Settle where a frame goes in the tensor for `size`: the first of the steps that a call takes.

        `place`, `prepare`, `infer` and `result` are for those who schedule the steps themselves, as the
        server does.
        """
        return frame, place(Size.of(frame.image), size, self.spec)

    def prepare(self, placed: list[Placed]) -> Batch:
        """Write frames of one tensor shape into one tensor, at most `spec.batch` of them if it is fixed."""
        started = perf_counter()
        shape = (self.spec.batch or len(placed), self.spec.channels, *placed[0][1].tensor)
        tensor = self._borrow(shape)
        tensor.write([(frame.image, geometry) for frame, geometry in placed], self.spec)
        return Batch(placed, tensor, _ms_since(started))

    def infer(self, ready: Batch) -> Outputs:
        """Run a batch. Its tensor is used again for others: a batch runs once."""
        started = perf_counter()
        try:
            outputs = self.session.run(ready.tensor.array)
        finally:
            self._give_back(ready.tensor)
        return Outputs(ready, outputs, _ms_since(started))

    def result(self, outputs: Outputs, row: int, options: Options) -> Results:
        """Decode the image in one row of a batch."""
        started = perf_counter()
        count = len(outputs.batch.placed)
        frame, geometry = outputs.batch.placed[row]
        own = [np.asarray(o[row], np.float32) for o in outputs.arrays[: self.spec.outputs]]
        found = self._decode(own, self.spec.layout, geometry, options)
        speed = {
            "decode": frame.decode_ms,
            "preprocess": outputs.batch.preprocess_ms / count,
            "inference": outputs.inference_ms / count,
            "postprocess": _ms_since(started),
        }
        return Results(frame, self.names, self.task, found, speed, geometry.tensor)

    def _finish(self, ready: Batch, options: Options) -> Iterator[Results]:
        """Run a batch and decode each image."""
        outputs = self.infer(ready)
        for row in range(len(ready.placed)):
            yield self.result(outputs, row, options)

    def _borrow(self, shape: tuple[int, ...]) -> InputTensor:
        try:
            return self._free[shape].pop()
        except (KeyError, IndexError):
            return InputTensor(shape, self.spec.dtype)

    def _give_back(self, tensor: InputTensor) -> None:
        shape = tensor.array.shape
        if len(self._free) >= 8 and shape not in self._free:
            self._free.clear()  # a few shapes recur; keeping all would grow with every new one
        self._free.setdefault(shape, []).append(tensor)

    def _batch(self, wanted: int | None, source: Source) -> int:
        """Frames a run: as asked, else one where waiting for more would delay a live stream."""
        if wanted is not None and (not is_whole(wanted) or wanted < 1):
            raise InputError(f"batch={wanted!r}: expected a whole number from 1")
        fixed = self.spec.batch
        if fixed is None:
            return wanted or (1 if source.is_open else default_batch(self.session))
        if wanted is not None and wanted > fixed:
            raise InputError(f"batch={wanted}: this export takes {fixed} a run; export it for more")
        return wanted or (1 if source.is_open else fixed)

    def options(
        self,
        conf: float = 0.25,
        iou: float = 0.45,
        max_det: int = 300,
        classes: int | Sequence[int] | None = None,
        agnostic: bool = False,
    ) -> Options:
        """Check what a call asks for, once.

        Raises:
            InputError: an argument is out of range.
        """
        for name, value in (("conf", conf), ("iou", iou)):
            if not isinstance(value, (int, float, np.integer, np.floating)) or not 0 <= value <= 1:
                raise InputError(f"{name}={value!r}: expected a number from 0 to 1")
        if not is_whole(max_det) or max_det < 1:
            raise InputError(f"max_det={max_det!r}: expected a whole number from 1")
        if self.spec.layout.kind == "nms" and conf < BAKED_CONF:
            raise InputError(
                f"conf={conf}: this model was exported with nms=True, which bakes a confidence "
                f"of {BAKED_CONF} into the graph; ask for that or more, or export without nms"
            )
        return Options(float(conf), float(iou), int(max_det), self._class_ids(classes), bool(agnostic))

    def _class_ids(self, classes: int | Sequence[int] | None) -> tuple[int, ...] | None:
        if classes is None:
            return None
        several = isinstance(classes, Iterable) and not isinstance(classes, str)
        wanted: list[Any] = list(classes) if several else [classes]  # type: ignore[arg-type]
        unknown = [c for c in wanted if not is_whole(c) or int(c) not in self.names]
        if unknown:
            raise InputError(f"classes={unknown}: this model has the ids 0 to {len(self.names) - 1}")
        return tuple(int(c) for c in wanted)


def default_batch(session: Session) -> int:
    """Images a run for a free batch: 8 on GPUs, else 1.

    A GPU waits for work and gains from more. On a CPU a run keeps every core busy already: yolov8n took
    42 ms an image one by one and 40 ms in batches of four or eight, while peak memory went from 142 to
    360 MB.
    """
    return 8 if session.device.is_gpu else 1


def _ms_since(started: float) -> float:
    return (perf_counter() - started) * 1e3
