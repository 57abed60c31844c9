"""The engine: preprocessing, inference and postprocessing of one image, several, or a stream."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from importlib import import_module
from threading import Lock
from time import perf_counter
from typing import Any, Never, Protocol

import numpy as np

from ..postprocess import classify, depth, detect, obb, pose, segment, semantic
from ..postprocess.detections import Options
from ..postprocess.lean_head import floor_of
from ..postprocess.merging import Merge
from ..postprocess.select import ScoreRangeError
from ..postprocess.types import Size
from .batches import Batch, Outputs, Placed, batch_size
from .errors import InputError, ModelError
from .foreign_arguments import refuse
from .images.frames import Frame
from .images.preprocessing import TensorPool, check_size, place
from .images.sources import Source, open_source
from .model.spec import ModelSpec
from .prediction_options import check_options
from .results.results import Results
from .runs import Call, Decoded, run
from .runtime.session import Session
from .tiling import check_tiling
from .track_calls import PersistedTracker, TrackCalls

DECODERS = {
    "detect": detect.decode,
    "segment": segment.decode,
    "pose": pose.decode,
    "obb": obb.decode,
    "classify": classify.decode,
    "semantic": semantic.decode,
    "depth": depth.decode,
}


class Reload(Protocol):
    """Loads the model of an engine again. It can be pickled."""

    def __call__(self, *, threads: int | None = None) -> Engine:
        """Load it, with another number of threads where one is given."""

    def is_current(self) -> bool:
        """Whether that gives the same model: the file may have changed."""


class Engine(TrackCalls):
    """A loaded model. Calls may come from several threads.

    Pickling and copying an engine loads its model again, so that it can be handed to worker processes.

    Attributes:
        spec: what the model file says about itself.
        session: the ONNX Runtime session.
        names: class names by id.
        task: `detect`, `segment`, `pose`, `obb`, `classify`, `semantic` or `depth`.
    """

    def __init__(self, session: Session, spec: ModelSpec, reload: Reload | None = None) -> None:
        """Join a session and its spec; `loading.load` does it from a file.

        Args:
            session: the ONNX Runtime session.
            spec: of the model in that session.
            reload: makes an equal engine anew, for copies, other processes and threads.
        """
        self.session, self.spec = session, spec
        self.names, self.task = spec.names, spec.task
        self._decode = DECODERS[spec.task]
        self._reload = reload
        self._pool = TensorPool(spec.dtype)
        self._persisted = PersistedTracker()
        self._for_threads: Engine | None = None
        self._loading = Lock()

    def __repr__(self) -> str:
        return f"<Engine {self.task}, {len(self.names)} classes, on {self.session.device}>"

    def __reduce__(self) -> tuple[Reload, tuple[()]]:
        """How `pickle` and `copy` make another one: by loading the model again."""
        if self._reload is None:
            raise TypeError("this engine was not made by yolean.load, so a copy of it cannot be loaded")
        return self._reload, ()

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
        retina_masks: bool = False,
        tile: int | tuple[int, int] | None = None,
        overlap: float = 0.2,
        merge: Merge = "nmm",
        **others: Never,
    ) -> list[Results]:
        """Predict every image of a source.

        All results are held in memory at once, images included: use `stream` for long videos.

        Args:
            source: path of an image or video, folder, glob pattern, ZIP or tar archive of images, encoded
                bytes, array (H, W, 3) BGR uint8, grey or BGRA array, PIL image, or a list of these. Cameras
                and streams, which never end, go through `stream`.
            conf: confidence threshold, 0 to 1: objects need a score above it.
            iou: overlap threshold of NMS, 0 to 1 (IoU; probIoU for OBB). Of two boxes that overlap by more,
                the one with the higher score stays. It has no effect where the graph itself suppresses:
                end-to-end models and exports with nms=True.
            imgsz: size to run at, for models with free height and width; one number or (height, width).
            max_det: most objects for each image, from 1.
            classes: keep only these class ids; [] keeps none.
            agnostic_nms: let boxes of different classes suppress each other.
            batch: images for each run, for models with a free batch. Default: see `batches.default_batch`.
            retina_masks: masks at the size of the image instead of the tensor.
            tile: cut each image into slices of so many pixels, one number or (height, width), and run each of
                them and the whole image, for small objects. See `tiling.Tiling`.
            overlap: of neighbouring slices, as a share of the tile, from 0 to below 1.
            merge: of objects that several slices hold: `nmm`, greedy non-maximum merging on the intersection
                over the smaller area, or `nms`, suppression with `iou`; see `merging.merge`.
            others: none. Arguments of Ultralytics that are not here are refused with what to use instead.

        Returns:
            one result for each image or frame, in the order of the source.

        Raises:
            InputError: an argument is out of range, or an image cannot be read.
            ModelError: the model refuses its input, or its outputs are not what its layout promises.
            DeviceError: the GPU fails.
        """
        refuse(others)
        options = self.options(conf, iou, max_det, classes, agnostic_nms, retina_masks)
        size, tiling = check_size(imgsz, self.spec), check_tiling(tile, overlap, merge, self.spec)
        frames = open_source(source, self.spec.channels)
        if frames.is_live:
            raise InputError("a camera or stream never ends, and this call would wait for it: use stream()")
        number = batch_size(batch, self.spec.batch, self.session, is_open=frames.is_open)
        return list(run(self, frames, Call(size, options, number, tiling)))

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
        retina_masks: bool = False,
        tile: int | tuple[int, int] | None = None,
        overlap: float = 0.2,
        merge: Merge = "nmm",
        on_error: Callable[[InputError], None] | None = None,
        **others: Never,
    ) -> Generator[Results, None, None]:
        """Like calling the model, but yields each result as soon as it is there.

        On a CPU, videos and sources of many images run one frame on each core: more frames a second than
        one after the other on all cores. Elsewhere, and with live sources, the next batch is read and
        preprocessed in a thread while the current one runs. Arguments are checked when this is called, not
        at the first result. Closing the iterator early waits for the frames being worked on, then releases
        the source. The arguments that are not listed are those of a call.

        Args:
            source: as for a call, or a camera number, or the address of a stream.
            on_error: called with the error of each image that cannot be read, which is then skipped;
                without it the error is raised.
        """
        refuse(others)
        options = self.options(conf, iou, max_det, classes, agnostic_nms, retina_masks)
        size, tiling = check_size(imgsz, self.spec), check_tiling(tile, overlap, merge, self.spec)
        frames = source if isinstance(source, Source) else open_source(source, self.spec.channels)
        number = batch_size(batch, self.spec.batch, self.session, is_open=frames.is_open)
        return run(self, frames, Call(size, options, number, tiling, on_error))

    def warmup(self, imgsz: int | tuple[int, int] | None = None) -> None:
        """Run once on a grey image, so that memory for this shape is allocated before the first real one."""
        height, width = check_size(imgsz, self.spec)
        blank = np.full((height, width, self.spec.channels), 114, np.uint8)
        self(blank, imgsz=imgsz)

    def with_one_thread(self) -> Engine | None:
        """An equal engine whose runs take one thread; None where there is nothing to gain from it.

        Runs at the same time, each on all cores, would disturb one another.
        """
        reload = self._reload
        if reload is None or self.spec.batch not in (None, 1):
            return None
        if self.session.device.name != "cpu" or self.session.threads == 1:
            return None
        with self._loading:
            if self._for_threads is None and reload.is_current():
                self._for_threads = reload(threads=1)
            return self._for_threads

    def val(self, data: Any, **options: Any) -> Any:
        """Validate this model on a labelled dataset; see `yolean.val` for the options and the report."""
        # By name: the engine imports nothing of what is built on it.
        return import_module("..validation.validator", __package__).val(self, data, **options)

    def size(self, imgsz: int | tuple[int, int] | None = None) -> Size:
        """The (height, width) that a call with this `imgsz` runs at; see `check_size`."""
        return check_size(imgsz, self.spec)

    def place(self, frame: Frame, size: Size) -> Placed:
        """Compute the geometry of a frame in the tensor for `size`: the first of four steps of a call.

        `place`, `prepare`, `infer` and `result` are for callers who schedule these steps themselves, such
        as the server.
        """
        return frame, place(Size.of(frame.image), size, self.spec)

    def prepare(self, placed: list[Placed]) -> Batch:
        """Write frames of one tensor shape into one tensor: at most `spec.batch`, if that is fixed."""
        started = perf_counter()
        shape = (self.spec.batch or len(placed), self.spec.channels, *placed[0][1].tensor)
        tensor = self._pool.take(shape)
        tensor.write([(frame.input, geometry) for frame, geometry in placed], self.spec)
        return Batch(placed, tensor, _ms_since(started))

    def infer(self, ready: Batch, conf: float = 0.0) -> Outputs:
        """Run a batch, once: its tensor goes back to the pool.

        Args:
            conf: the least score threshold that `result` is going to be called with. Files with a sparse
                head do less work for a higher one.
        """
        started = perf_counter()
        try:
            outputs = self.session.run(ready.tensor.array, floor_of(conf))
        finally:
            self._pool.give_back(ready.tensor)
        return Outputs(ready, outputs, _ms_since(started))

    def result(self, outputs: Outputs, row: int, options: Options) -> Results:
        """Decode the outputs of the frame in one row of a batch."""
        return self.results(self.decode(outputs, row, options))

    def decode(self, outputs: Outputs, row: int, options: Options) -> Decoded:
        """The objects of the frame, or of the slice, in one row of a batch."""
        started = perf_counter()
        count = len(outputs.batch.placed)
        frame, geometry = outputs.batch.placed[row]
        dtype = None if self.spec.layout.kind == "class_map" else np.float32  # ids stay integers
        own = [np.asarray(o[row], dtype) for o in outputs.arrays[: self.spec.outputs]]
        try:
            found = self._decode(own, self.spec.layout, geometry, options)
        except ScoreRangeError as exc:
            raise ModelError(
                f"expected scores from 0 to 1 in the {self.spec.layout.kind} layout, found {exc}: this is no "
                "Ultralytics export, or its metadata is wrong"
            ) from exc
        speed = {
            "decode": frame.decode_ms,
            "preprocess": outputs.batch.preprocess_ms / count,
            "inference": outputs.inference_ms / count,
            "postprocess": _ms_since(started),
        }
        return Decoded(frame, found, speed, geometry.tensor)

    def results(self, decoded: Decoded) -> Results:
        """What users get of a frame."""
        return Results(decoded.frame, self.names, self.task, decoded.found, decoded.speed, decoded.tensor)

    def options(
        self,
        conf: float = 0.25,
        iou: float = 0.45,
        max_det: int = 300,
        classes: int | Sequence[int] | None = None,
        agnostic_nms: bool = False,
        retina_masks: bool = False,
    ) -> Options:
        """Check the thresholds and filters of a call, for those who run its steps themselves.

        Raises:
            InputError: an argument is out of range.
        """
        return check_options(self.spec, conf, iou, max_det, classes, agnostic_nms, retina_masks)


def _ms_since(started: float) -> float:
    return (perf_counter() - started) * 1e3
