"""Trails of tracked objects."""

from __future__ import annotations

import numpy as np
from yolean.engine.images.decoding import Image
from yolean.engine.images.frames import Frame
from yolean.engine.results.lettering import INK, PAPER
from yolean.engine.results.palette import colour
from yolean.engine.results.results import Results
from yolean.engine.results.trails import Trails
from yolean.postprocess.detections import Detections
from yolean.postprocess.types import Bool, Size


def result(x: float | None, number: int = 3) -> Results:
    """An object with an id at x, or none, in a black image."""
    boxes = np.array([] if x is None else [(x, 180, x + 20, 200)], np.float32).reshape(-1, 4)
    count = len(boxes)
    found = Detections(boxes, np.full(count, 0.9, np.float32), np.zeros(count, np.int64))
    frame = Frame(np.zeros((240, 320, 3), np.uint8), "clip.mp4", 0, 25.0, 0.0)
    plain = Results(frame, {0: "box"}, "detect", found, {}, Size(64, 64))
    return plain.with_tracks(np.arange(count), boxes, np.full(count, number)) if count else plain


def covered(image: Image) -> Bool:
    """Which columns hold the colour of id 3, smoothed against black, at the height of the trail."""
    return np.asarray((image[186:195] >= np.multiply(colour(3), 0.6)).all(axis=2).any(axis=0))


def test_a_trail_follows_its_object_in_its_colour() -> None:
    trails = Trails(length=10)
    for x in range(20, 120, 10):
        image = trails.plot(result(x))
    assert covered(image)[60:90].all()
    assert (image[190, :15] == 0).all()
    assert (trails.plot(result(None))[190] == 0).all()  # it is not seen
    assert covered(trails.plot(result(120)))[70:100].all()  # and seen again
    trails.clear()
    assert (trails.plot(result(130))[190, :120] == 0).all()


def test_old_parts_are_forgotten() -> None:
    trails = Trails(length=3)
    for x in range(20, 220, 20):
        image = trails.plot(result(x))
    assert (image[190, :150] == 0).all()
    assert image[190, 180:190].any()


def test_labels_tell_ids_and_boxes_have_their_colours() -> None:
    tracked, other = result(100, 3), result(100, 4)
    one, two = tracked.plot(), other.plot()
    assert tuple(one[190, 100]) == colour(3)
    assert tuple(two[190, 100]) == colour(4)
    inks = [(image == INK).all(axis=2) | (image == PAPER).all(axis=2) for image in (one, two)]
    assert not np.array_equal(*inks)
