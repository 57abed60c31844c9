"""`model.track`, and the tracker for loops of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from fake_engine import engine, grey
from yolean.engine.pipeline import Engine
from yolean.models import demo_images, demo_model

PLAIN = Path(__file__).parents[1] / "golden" / "plain"


@pytest.fixture(scope="module", params=["detect", "segment", "pose", "obb"])
def model(request: pytest.FixtureRequest) -> Engine:
    return yolean.load(demo_model(request.param), device="cpu")


@pytest.fixture(scope="module")
def frames() -> list[Any]:
    """A demo image that moves."""
    image = cv2.imread(str(demo_images()[0]))
    assert image is not None
    return [np.roll(image, 5 * number, axis=1) for number in range(3)]


def of(result: yolean.Results) -> Any:
    return result.boxes if result.obb is None else result.obb


def test_ids_stay_and_everything_follows_its_box(model: Engine, frames: list[Any]) -> None:
    first, *others = [model.track(frame, persist=True, conf=0.4)[0] for frame in frames]
    assert of(first).is_track
    assert of(first).id.tolist() == list(range(1, len(first) + 1))
    assert "track" in first.speed
    for result in others:
        objects, plain = of(result), model(result.orig_img, conf=0.4)[0]
        assert len(set(of(first).id.tolist()) & set(objects.id.tolist())) >= len(first) - 2
        assert (np.diff(objects.conf) <= 0).all()
        rows = [int(np.flatnonzero(of(plain).conf == conf)[0]) for conf in objects.conf]
        np.testing.assert_array_equal(objects.cls, of(plain).cls[rows])
        np.testing.assert_allclose(objects.xyxy, of(plain).xyxy[rows], atol=12)
        if result.masks is not None and plain.masks is not None:
            np.testing.assert_array_equal(result.masks.data, plain.masks.data[rows])
        if result.keypoints is not None and plain.keypoints is not None:
            np.testing.assert_array_equal(result.keypoints.data, plain.keypoints.data[rows])
        assert [item["track_id"] for item in result.summary()] == objects.id.tolist()
        assert objects.data.shape[1] == (8 if model.task == "obb" else 7)
        assert objects[:1].id.int().cpu().tolist() == objects.id[:1].tolist()
        assert not of(plain).is_track
        assert of(plain).id is None


def moving(start: int, count: int) -> Iterator[Any]:
    return (grey(100) for _ in range(count))


def test_ids_begin_anew_with_each_image_unless_they_persist() -> None:
    model = engine()
    assert [r.boxes.id.tolist() for r in model.track(moving(0, 3))] == [[1], [1], [1]]
    assert [r.boxes.id.tolist() for r in model.track([grey(1), grey(1)], persist=True)] == [[1], [1]]
    model.session.run = lambda tensor, floor: [np.zeros((1, 1, 6), np.float32)]  # nothing found
    assert model.track(grey(1), persist=True)[0].boxes.id is None
    del model.session.run
    assert model.track(grey(1), persist=True)[0].boxes.id.tolist() == [1]  # found again
    assert model.track(grey(1), "botsort", persist=True)[0].boxes.id.tolist() == [1]


def test_scores_from_a_tenth_on_are_asked_for() -> None:
    asked: list[float] = []
    for kind in ("end2end", "nms"):
        model = engine(kind=kind)
        run = model.session.run

        def listening(tensor: Any, floor: Any, run: Any = run) -> Any:
            asked.append(float(np.max(floor)))
            return run(tensor)

        model.session.run = listening
        next(model.track(grey(1)))
    low, baked = asked
    assert low < baked


def test_what_cannot_be_tracked_is_refused_at_once(tmp_path: Path) -> None:
    classifier = yolean.load(demo_model("classify"), device="cpu")
    with pytest.raises(
        yolean.InputError, match="classify finds no objects to track: expected detect, segment"
    ):
        classifier.track(grey(1))
    with pytest.raises(yolean.InputError, match="classify finds no objects"):
        yolean.Tracker().update(classifier(grey(1))[0])
    model = engine()
    with pytest.raises(yolean.InputError, match="tracker='sort'"):
        model.track(grey(1), "sort")
    with pytest.raises(yolean.InputError, match="iou=2"):
        model.track(grey(1), iou=2)
    with pytest.raises(yolean.InputError, match="never ends"):
        model.track(0, persist=True)
    with pytest.raises(yolean.InputError, match="on_error"):
        model.track(grey(1), persist=True, on_error=print)


def test_a_tracker_of_ones_own() -> None:
    model, tracker = engine(), yolean.Tracker("botsort")
    for _ in range(2):
        assert of(tracker.update(model(grey(1))[0])).id.tolist() == [1]
    tracker.reset()
    assert of(tracker.update(model(grey(1))[0])).id.tolist() == [1]
    assert tracker.config.tracker_type == "botsort"
