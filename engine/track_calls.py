"""`track`, which engines inherit: results of a source, with ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Protocol, overload

from ..postprocess.layout import Task
from ..postprocess.merging import Merge
from ..tracking.tracker_config import TrackerConfig
from .errors import InputError
from .model.spec import ModelSpec
from .object_tracker import TRACKED_TASKS, Tracker, no_objects, with_ids
from .prediction_options import BAKED_CONF
from .results.results import Results

_CONF = 0.1  # below that of a call: boxes of low scores keep tracks alive


class PersistedTracker:
    """The tracker that calls of one engine with `persist=True` go on with."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._tracker: Tracker | None = None

    def update(self, results: list[Results], tracker: Tracker) -> list[Results]:
        """The results with ids, by the former tracker, or by this one where its thresholds are others."""
        with self._lock:
            if self._tracker is None or self._tracker.config != tracker.config:
                self._tracker = tracker
            return [self._tracker.update(result) for result in results]


class Predicts(Protocol):
    """The parts of an engine that `track` needs."""

    spec: ModelSpec
    task: Task
    _persisted: PersistedTracker

    def __call__(self, *args: Any, **kwargs: Any) -> list[Results]: ...
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Results]: ...


class TrackCalls:
    """Mixed into engines."""

    @overload
    def track(
        self: Predicts,
        source: Any,
        tracker: str | Path | TrackerConfig = ...,
        *,
        persist: Literal[False] = ...,
        conf: float | None = ...,
        iou: float = ...,
        imgsz: int | tuple[int, int] | None = ...,
        max_det: int = ...,
        classes: int | Sequence[int] | None = ...,
        agnostic_nms: bool = ...,
        batch: int | None = ...,
        retina_masks: bool = ...,
        tile: int | tuple[int, int] | None = ...,
        overlap: float = ...,
        merge: Merge = ...,
        on_error: Callable[[InputError], None] | None = ...,
    ) -> Iterator[Results]: ...

    @overload
    def track(
        self: Predicts,
        source: Any,
        tracker: str | Path | TrackerConfig = ...,
        *,
        persist: Literal[True],
        conf: float | None = ...,
        iou: float = ...,
        imgsz: int | tuple[int, int] | None = ...,
        max_det: int = ...,
        classes: int | Sequence[int] | None = ...,
        agnostic_nms: bool = ...,
        batch: int | None = ...,
        retina_masks: bool = ...,
        tile: int | tuple[int, int] | None = ...,
        overlap: float = ...,
        merge: Merge = ...,
    ) -> list[Results]: ...

    def track(
        self: Predicts,
        source: Any,
        tracker: str | Path | TrackerConfig = "bytetrack",
        *,
        persist: bool = False,
        conf: float | None = None,
        on_error: Callable[[InputError], None] | None = None,
        **options: Any,
    ) -> Iterator[Results] | list[Results]:
        """Follow objects through videos and streams: `stream`, and the same object has the same id.

        `boxes.id` or `obb.id` holds the ids, see `Tracker.update`. They begin at 1 with each video, stream
        and image of the source. Needs the extra `track`.

        Args:
            source: as for `stream`.
            tracker: `bytetrack`; `botsort`, which compensates the motion of the camera; one of Ultralytics'
                tracker files of these two; or thresholds.
            persist: for a loop of your own: go on with the tracks of the last such call of this engine,
                through all images and videos of the source. The results are computed at once and returned as
                a list. Several loops at the same time need a `Tracker` each.
            conf: confidence threshold, 0 to 1. Default: 0.1, as boxes of low scores keep tracks alive; 0.25
                for exports with nms=True.
            on_error: as for `stream`; not together with `persist`.
            options: `iou`, `imgsz`, `max_det`, `classes`, `agnostic_nms`, `batch`, `retina_masks`, `tile`,
                `overlap` and `merge`, as for `stream`.

        Raises:
            InputError: a model that finds no objects, a tracker file with other keys or values, a missing
                package; and what `stream` raises.
        """
        if not persist:
            return track_stream(self, source, tracker, conf=conf, on_error=on_error, **options)
        made, conf = _prepared(self, tracker, conf)
        if on_error is not None:
            raise InputError("on_error: expected None with persist=True, which returns all results or raises")
        return self._persisted.update(self(source, conf, **options), made)


def track_stream(
    engine: Predicts,
    source: Any,
    tracker: str | Path | TrackerConfig,
    *,
    conf: float | None = None,
    persist: bool = False,
    **options: Any,
) -> Iterator[Results]:
    """As `track`, but always a stream; with `persist`, the whole source is one video."""
    made, conf = _prepared(engine, tracker, conf)
    return with_ids(engine.stream(source, conf, **options), made, persist=persist)


def _prepared(
    engine: Predicts, tracker: str | Path | TrackerConfig, conf: float | None
) -> tuple[Tracker, float]:
    """A new tracker, and the threshold of the call."""
    if engine.task not in TRACKED_TASKS:
        raise no_objects(engine.task)
    if conf is None:
        conf = BAKED_CONF if engine.spec.layout.kind == "nms" else _CONF
    return Tracker(tracker), conf
