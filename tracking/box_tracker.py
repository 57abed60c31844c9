"""Gives the boxes of consecutive frames ids: ByteTrack, and BoT-SORT without appearance features.

ByteTrack (Zhang et al., https://arxiv.org/abs/2110.06864) associates detections of high scores with the
predicted boxes of all tracks, then those of low scores with the tracks that are left. BoT-SORT (Aharon et
al., https://arxiv.org/abs/2206.14651) adds the motion of the camera and another state of the filter. What the
papers leave open, thresholds above all, is as in Ultralytics, so that ids are equal.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..postprocess.boxes import xyxy_to_xywh
from ..postprocess.types import Float, Index, Int
from . import kalman
from .association import assign, overlap_cost, with_scores
from .camera_motion import SparseFlow
from .kalman import Double
from .track_table import TrackTable
from .tracker_config import TrackerConfig

_LOW_SCORE_LIMIT = 0.5  # greatest costs of a match with a detection of low score,
_UNCONFIRMED_LIMIT = 0.7  # of one with a track that was seen once,
_DUPLICATE = 0.15  # and below which a seen and a lost track are the same object


class Tracked(NamedTuple):
    """The objects of a frame that have ids.

    Attributes:
        rows: (K,) of the detections, ascending.
        boxes: (K, 4) float32 x1, y1, x2, y2, or (K, 5) centre x, centre y, width, height, angle, as the
            filter has smoothed them; not clipped.
        ids: (K,) int64, from 1.
        is_pending: whether there are tracks that the next frame has to confirm.
    """

    rows: Index
    boxes: Float
    ids: Int
    is_pending: bool


class _Measured(NamedTuple):
    """N detections in one stage of the association."""

    states: Double  # (N, 4) what the filter measures
    boxes: Float  # (N, 4) or (N, 5) what overlaps are computed of
    angles: Double  # (N,)
    scores: Float
    rows: Int

    def at(self, rows: NDArray[Any]) -> _Measured:
        return _Measured(*(column[rows] for column in self))


class BoxTracker:
    """Tracks of one video; every class of object is associated with every other, as in Ultralytics."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self._space: kalman.Space = "xyah" if config.tracker_type == "bytetrack" else "xywh"
        self._flow = SparseFlow() if config.gmc_method == "sparseOptFlow" else None
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; ids begin at 1 again."""
        self._tracks = TrackTable.empty()
        self._frame = 0
        self._next_id = 1
        if self._flow is not None:
            self._flow.reset()

    def update(self, boxes: Float, scores: Float, image: NDArray[np.uint8] | None = None) -> Tracked:
        """Associate the detections of the next frame.

        Args:
            boxes: (N, 4) float32 x1, y1, x2, y2, or (N, 5) centre x, centre y, width, height, angle.
            scores: (N,) float32, 0 to 1.
            image: the frame, for the motion of the camera, see `SparseFlow.estimate`; None for none.
        """
        self._frame += 1
        oriented = boxes.shape[1] == 5
        found = _measure(boxes, scores, self._space)
        sides = found.states[:, 2:]
        usable = (sides > 0).all(axis=1) & np.isfinite(found.states).all(axis=1)
        high = found.at(usable & (scores >= self.config.track_high_thresh))
        is_low = (scores > self.config.track_low_thresh) & (scores < self.config.track_high_thresh)
        low = found.at(usable & is_low)
        tracks = self._tracks
        pool = np.concatenate((np.flatnonzero(tracks.confirmed & ~tracks.lost), np.flatnonzero(tracks.lost)))
        fresh = np.flatnonzero(~tracks.confirmed)  # they are not predicted: their velocity is unknown
        self._predict(pool)
        if self._flow is not None and image is not None:
            self._compensate(self._flow.estimate(image), oriented)
        predicted = _boxes(tracks, self._space, oriented)

        pairs, rest = self._match(pool, predicted, high, self.config.match_thresh)
        seen_before = np.setdiff1d(pool, pairs[0], assume_unique=True)
        seen_before = seen_before[~tracks.lost[seen_before]]
        low_rows, low_columns = assign(overlap_cost(predicted[seen_before], low.boxes), _LOW_SCORE_LIMIT)
        low_pairs = seen_before[low_rows], low.at(low_columns)
        fresh_pairs, rest = self._match(fresh, predicted, rest, _UNCONFIRMED_LIMIT)

        self._correct([pairs, low_pairs, fresh_pairs])
        self._finish(fresh, rest.at(rest.scores >= self.config.new_track_thresh))
        self._drop_duplicates(oriented)
        return self._answer(oriented)

    def _predict(self, pool: Index) -> None:
        """Move the tracks one frame on. Those that are lost keep their size, as nothing corrects it."""
        tracks = self._tracks
        means = tracks.means[pool]
        means[tracks.lost[pool], 7 if self._space == "xyah" else 6 :] = 0
        tracks.means[pool], tracks.covariances[pool] = kalman.predict(
            self._space, means, tracks.covariances[pool]
        )

    def _compensate(self, motion: Double, oriented: bool) -> None:
        """Move all tracks with the camera.

        Centres and velocities turn and grow with it. An upright box gets the sides of the box around its
        turned self, an oriented one turns.
        """
        tracks, linear = self._tracks, motion[:, :2]
        step = np.kron(np.eye(4), linear)
        of_sides = np.linalg.norm(linear[:, 0]) * np.eye(2) if oriented else np.abs(linear)
        step[2:4, 2:4] = step[6:8, 6:8] = of_sides
        tracks.means = tracks.means @ step.T
        tracks.means[:, :2] += motion[:, 2]
        tracks.covariances = step @ tracks.covariances @ step.T
        if oriented:
            tracks.angles = tracks.angles + np.arctan2(linear[1, 0], linear[0, 0])

    def _match(
        self, rows: Index, predicted: Float, found: _Measured, limit: float
    ) -> tuple[tuple[Index, _Measured], _Measured]:
        """Pairs of tracks, at `rows` of the table, and detections; and the detections that are left."""
        costs = overlap_cost(predicted[rows], found.boxes)
        if self.config.fuse_score:
            costs = with_scores(costs, found.scores)
        matched, columns = assign(costs, limit)
        return (rows[matched], found.at(columns)), found.at(np.delete(np.arange(len(found.rows)), columns))

    def _correct(self, matches: list[tuple[Index, _Measured]]) -> None:
        """Correct the states of the tracks that were seen."""
        tracks = self._tracks
        rows = np.concatenate([rows for rows, _ in matches])
        found = _Measured(
            *(np.concatenate(columns) for columns in zip(*(f for _, f in matches), strict=True))
        )
        if len(rows):
            tracks.means[rows], tracks.covariances[rows] = kalman.update(
                self._space, tracks.means[rows], tracks.covariances[rows], found.states
            )
        # A box that is turned by half a turn is the same box: the turn nearest to the former angle is taken.
        turns = np.round((found.angles - tracks.angles[rows]) / np.pi)
        tracks.angles[rows] = found.angles - np.pi * turns
        tracks.last[rows], tracks.rows[rows] = self._frame, found.rows
        tracks.confirmed[rows] = True

    def _finish(self, fresh: Index, new: _Measured) -> None:
        """Sort the tracks into seen and lost ones, begin new ones, and forget those that were lost for long.

        Seen tracks keep their order; new ones follow, then those that were found again. A lost track is
        looked for in one more frame after it has expired, and if it is found then, it is forgotten when it is
        lost again: both as in Ultralytics.
        """
        tracks = self._tracks
        seen = tracks.last == self._frame
        was_lost, was_expired = tracks.lost, tracks.expired.copy()
        tracks.expired |= was_lost & (self._frame - tracks.last > self.config.track_buffer)
        unconfirmed = np.zeros(len(tracks), np.bool_)
        unconfirmed[fresh] = True  # and not seen a second time: it was none
        kept, refound = seen & ~was_lost, seen & was_lost
        tracks.lost = ~seen
        missing = tracks.lost & ~was_expired & ~unconfirmed
        still_lost, newly_lost = missing & was_lost, missing & ~was_lost
        every = tracks + self._begin(new)
        begun = np.arange(len(tracks), len(every))
        after = [np.flatnonzero(group) for group in (refound, still_lost, newly_lost)]
        self._tracks = every[np.concatenate((np.flatnonzero(kept), begun, *after))]

    def _begin(self, new: _Measured) -> TrackTable:
        """Tracks of detections that fit none; those of the first frame need not be seen twice."""
        count = len(new.rows)
        means, covariances = kalman.start(self._space, new.states)
        ids = np.arange(self._next_id, self._next_id + count)
        self._next_id += count
        frame = np.full(count, self._frame)
        no = np.zeros(count, np.bool_)
        confirmed = np.full(count, self._frame == 1)
        return TrackTable(
            means, covariances, new.angles, ids, frame, frame.copy(), new.rows, no, confirmed, no.copy()
        )

    def _drop_duplicates(self, oriented: bool) -> None:
        """Of a seen and a lost track in one place, keep the one that was there for longer."""
        tracks = self._tracks
        seen, lost = np.flatnonzero(~tracks.lost), np.flatnonzero(tracks.lost)
        if not len(seen) or not len(lost):
            return
        boxes = _boxes(tracks, self._space, oriented)
        one, other = np.nonzero(overlap_cost(boxes[seen], boxes[lost]) < _DUPLICATE)
        if not len(one):
            return
        age = tracks.last - tracks.first
        older = age[seen[one]] > age[lost[other]]
        dropped = np.concatenate((lost[other[older]], seen[one[~older]]))
        self._tracks = tracks[np.delete(np.arange(len(tracks)), dropped)]

    def _answer(self, oriented: bool) -> Tracked:
        """The confirmed tracks of this frame, in the order of their detections."""
        tracks = self._tracks
        shown = tracks[tracks.confirmed & ~tracks.lost]
        order = np.argsort(shown.rows, kind="stable")
        boxes = _boxes(shown, self._space, oriented)[order]
        return Tracked(shown.rows[order], boxes, shown.ids[order], not bool(tracks.confirmed.all()))


def _measure(boxes: Float, scores: Float, space: kalman.Space) -> _Measured:
    """Detections as the filter measures them; an oriented box has its longer side as its width."""
    angles = np.zeros(len(boxes))
    if boxes.shape[1] == 5:
        upright = boxes[:, 2] < boxes[:, 3]
        boxes = boxes.copy()
        boxes[upright] = boxes[upright][:, [0, 1, 3, 2, 4]]
        boxes[upright, 4] += np.pi / 2
        angles = boxes[:, 4].astype(np.float64)
        states = boxes[:, :4].astype(np.float64)
    else:
        states = xyxy_to_xywh(boxes).astype(np.float64)
    if space == "xyah":
        with np.errstate(divide="ignore", invalid="ignore"):  # boxes without height are left out
            states[:, 2] /= states[:, 3]
    return _Measured(states, boxes, angles, scores, np.arange(len(boxes)))


def _boxes(tracks: TrackTable, space: kalman.Space, oriented: bool) -> Float:
    """(N, 4) x1, y1, x2, y2 of tracks, or (N, 5) centre, width, height and angle."""
    boxes = tracks.means[:, :4].copy()
    if space == "xyah":
        boxes[:, 2] *= boxes[:, 3]
    if oriented:
        return np.column_stack((boxes, tracks.angles)).astype(np.float32)
    half = boxes[:, 2:] / 2
    return np.hstack((boxes[:, :2] - half, boxes[:, :2] + half)).astype(np.float32)
