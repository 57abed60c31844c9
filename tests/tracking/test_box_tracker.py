"""Ids of boxes over frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from yolean.tracking.box_tracker import BoxTracker, Tracked
from yolean.tracking.tracker_config import BOTSORT, BYTETRACK, TrackerConfig

Row = tuple[float, ...]
BOTH = pytest.mark.parametrize("config", [BYTETRACK, BOTSORT], ids=lambda c: c.tracker_type)


def see(tracker: BoxTracker, *rows: Row) -> Tracked:
    """A frame with rows of x1, y1, x2, y2, score, or centre, width, height, angle, score."""
    found = np.array(rows or np.zeros((0, 5)), np.float32)
    return tracker.update(found[:, :-1], found[:, -1])


def at(x: float, score: float = 0.9) -> Row:
    return (x, 10, x + 40, 70, score)


@BOTH
def test_objects_keep_their_ids_and_rows(config: TrackerConfig) -> None:
    tracker = BoxTracker(config)
    for frame in range(20):
        one, other = at(10 + 4 * frame), at(300 - 3 * frame)
        found = see(tracker, one, other) if frame % 2 else see(tracker, other, one)
        expected = [1, 2] if frame == 0 else ([2, 1] if frame % 2 else [1, 2])
        assert found.ids.tolist() == expected
        assert found.rows.tolist() == [0, 1]
        np.testing.assert_allclose(found.boxes[0], (one if frame % 2 else other)[:4], atol=8)


@BOTH
def test_new_objects_wait_for_the_next_frame(config: TrackerConfig) -> None:
    tracker = BoxTracker(config)
    see(tracker, at(10))
    found = see(tracker, at(10), at(200), at(300, 0.2))  # the last is too weak to begin with
    assert (found.ids.tolist(), found.is_pending) == ([1], True)
    found = see(tracker, at(10), at(200), at(300, 0.2))
    assert (found.ids.tolist(), found.is_pending) == ([1, 2], False)
    see(tracker, at(10), at(200), at(400))  # seen once: it was none
    assert see(tracker, at(10), at(200)).ids.tolist() == [1, 2]
    assert see(tracker, at(10), at(200), at(400)).ids.tolist() == [1, 2]
    assert see(tracker, at(10), at(200), at(400)).ids.tolist() == [1, 2, 4]


def test_weak_detections_keep_tracks_but_begin_none() -> None:
    tracker = BoxTracker(BYTETRACK)
    see(tracker, at(10))
    assert see(tracker, at(12, 0.15)).ids.tolist() == [1]
    assert see(tracker, at(14, 0.1)).ids.tolist() == []  # not above the lower threshold
    assert see(tracker, at(16, 0.15)).ids.tolist() == []  # lost tracks are found again by strong ones alone
    assert see(tracker, at(18, 0.5)).ids.tolist() == [1]


@BOTH
def test_a_lost_object_is_found_within_the_buffer(config: TrackerConfig) -> None:
    config = replace(config, track_buffer=5)
    for missing, expected in ((5, [1]), (6, [1]), (7, []), (20, [])):
        tracker = BoxTracker(config)
        for _ in range(3):
            see(tracker, at(10))
        for _ in range(missing):
            assert len(see(tracker).ids) == 0
        assert see(tracker, at(10)).ids.tolist() == expected, missing


def test_what_expired_and_was_found_is_forgotten_when_it_is_lost_again() -> None:
    tracker = BoxTracker(replace(BYTETRACK, track_buffer=2))
    see(tracker, at(10))
    for _ in range(3):
        see(tracker)
    assert see(tracker, at(10)).ids.tolist() == [1]
    see(tracker)
    assert see(tracker, at(10)).ids.tolist() == []


def test_of_two_tracks_in_one_place_the_older_stays() -> None:
    tracker = BoxTracker(BYTETRACK)
    for _ in range(5):
        see(tracker, at(10))
    see(tracker)
    # A weak overlap with the lost track begins a new one, which then moves into its place.
    see(tracker, at(60))
    for x in (48, 36, 24, 14, 10, 10):
        found = see(tracker, at(x))
    assert found.ids.tolist() in ([1], [])
    assert see(tracker, at(10)).ids.tolist() == [1]


def test_oriented_boxes_do_not_flip() -> None:
    tracker = BoxTracker(BYTETRACK)
    for frame in range(10):
        # The same box in the four ways in which a model may write it.
        width, height, angle = (30, 80, 0.4) if frame % 2 else (80, 30, 0.4 + np.pi / 2)
        found = see(tracker, (100 + frame, 100, width, height, angle + np.pi * (frame % 3 == 0), 0.9))
        assert found.ids.tolist() == [1]
        w, h, r = found.boxes[0, 2:].tolist()
        assert (w, h) == (pytest.approx(80, abs=1), pytest.approx(30, abs=1))
        assert r == pytest.approx(0.4 + np.pi / 2 + np.pi, abs=0.01)  # as it began


def test_a_reset_begins_anew() -> None:
    tracker = BoxTracker(BOTSORT)
    see(tracker, at(10), at(200))
    see(tracker, at(10), at(200), at(400))
    tracker.reset()
    assert see(tracker, at(400), at(10)).ids.tolist() == [1, 2]


def test_the_camera_is_compensated() -> None:
    rng = np.random.default_rng(5)
    ground = np.repeat(np.repeat(rng.integers(0, 256, (80, 160, 3), np.uint8), 8, 0), 8, 1)
    ids = {}
    for name, config in (("still", replace(BOTSORT, gmc_method="none")), ("flow", BOTSORT)):
        tracker = BoxTracker(config)
        for frame in range(6):
            shift = 34 * (frame % 2)  # a shaken camera: no constant velocity
            image = np.ascontiguousarray(ground[:480, 100 + shift : 740 + shift])
            box = np.array([(300 - shift, 200, 340 - shift, 260)], np.float32)
            found = tracker.update(box, np.array([0.9], np.float32), image)
        ids[name] = found.ids.tolist()
    assert ids == {"still": [], "flow": [1]}


def test_boxes_without_area_and_nan_are_left_out() -> None:
    tracker = BoxTracker(BYTETRACK)
    found = see(tracker, (5, 5, 5, 20, 0.9), (5, 20, 30, 20, 0.9), (np.nan, 5, 30, 20, 0.9), at(10))
    assert found.rows.tolist() == [3]
    assert found.ids.tolist() == [1]
