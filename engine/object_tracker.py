"""Gives the objects of consecutive results ids."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from time import perf_counter

from ..tracking.box_tracker import BoxTracker
from ..tracking.tracker_config import TrackerConfig
from .errors import InputError
from .results.results import Results
from .tracker_files import tracker_config

TRACKED_TASKS = ("detect", "segment", "pose", "obb")


class Tracker:
    """The tracks of one video or stream, for those who have results of its frames one by one.

    >>> tracker = yolean.Tracker("botsort")
    >>> for frame in frames:
    ...     (result,) = model(frame, conf=0.1)
    ...     print(tracker.update(result).boxes.id)

    `model.track` does this itself. Calls must come one after the other, in the order of the frames.

    Attributes:
        config: the thresholds.
    """

    def __init__(self, tracker: str | Path | TrackerConfig = "bytetrack") -> None:
        """Prepare for the first frame.

        Args:
            tracker: `bytetrack`, `botsort`, one of Ultralytics' tracker files, or thresholds.

        Raises:
            InputError: the file or its values are wrong, or a package of the extra `track` is missing.
        """
        self.config = tracker_config(tracker)
        self._tracker = BoxTracker(self.config)

    def reset(self) -> None:
        """Forget all tracks; ids begin at 1 again."""
        self._tracker.reset()

    def update(self, result: Results) -> Results:
        """The objects of the next frame that are tracked, with ids and smoothed boxes, best score first.

        New objects are left out until the next frame confirms them, except in the first frame. Where no
        object is tracked and none waits for that, the result is returned as it is, with `id` None. Both are
        as in Ultralytics.

        Args:
            result: of the frame. Scores below `track_high_thresh` help to keep tracks: ask for `conf=0.1`.

        Raises:
            InputError: a classification, which has no objects.
        """
        started = perf_counter()
        if result.obb is not None:
            boxes, conf = result.obb.xywhr, result.obb.conf
        elif result.boxes is not None:
            boxes, conf = result.boxes.xyxy, result.boxes.conf
        else:
            raise no_objects(result.task)
        found = self._tracker.update(boxes.numpy(), conf.numpy(), result.orig_img)
        if len(found.ids) or found.is_pending:
            result = result.with_tracks(found.rows, found.boxes, found.ids if len(found.ids) else None)
        result.speed["track"] = (perf_counter() - started) * 1e3
        return result


class SequenceStarts:
    """Tells where another source, a video, stream or image, begins among results."""

    def __init__(self) -> None:
        self._path, self._frame = "", -1

    def at(self, result: Results) -> bool:
        """Whether this result, which follows that of the last call, is the first of its source."""
        begins = result.path != self._path or result.frame <= self._frame
        self._path, self._frame = result.path, result.frame
        return begins


def with_ids(
    results: Iterator[Results], tracker: Tracker, *, persist: bool = False
) -> Generator[Results, None, None]:
    """The results of a stream with ids.

    Args:
        results: in the order of their frames; closed with the generator.
        tracker: is reset where another video, stream or image begins.
        persist: do not reset it there.
    """
    starts = SequenceStarts()
    try:
        for result in results:
            if starts.at(result) and not persist:
                tracker.reset()
            yield tracker.update(result)
    finally:
        if isinstance(results, Generator):
            results.close()


def no_objects(task: str) -> InputError:
    """The error for models whose results hold nothing that could be followed."""
    return InputError(f"a model for {task} finds no objects to track: expected {', '.join(TRACKED_TASKS)}")
