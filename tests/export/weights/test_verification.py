"""Files whose answers differ from PyTorch's are refused; ties are not differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_runs import shifted, stand_in
from numpy.typing import NDArray
from yolean.export import optimizer
from yolean.export.evaluation.predictions import Boxes, Keypoints, PackedMasks, Prediction
from yolean.export.weights.pytorch import ReferencePrediction
from yolean.models import demo_images

pytestmark = pytest.mark.slow


def boxes_of(one: Prediction) -> Boxes:
    assert one.boxes is not None
    return one.boxes


def corners_of(one: Prediction) -> NDArray[Any]:
    corners = boxes_of(one).xyxy
    assert corners is not None
    return corners


def changed(asked: ReferencePrediction, change: Callable[[Prediction], Prediction]) -> ReferencePrediction:
    """A reference prediction whose objects, before suppression and after it, are changed alike."""
    candidates = None if asked.candidates is None else change(asked.candidates)
    return replace(asked, kept=change(asked.kept), candidates=candidates)


def rescored(asked: ReferencePrediction) -> ReferencePrediction:
    def lower(one: Prediction) -> Prediction:
        boxes = boxes_of(one)
        return replace(one, boxes=replace(boxes, conf=boxes.conf - np.float32(0.01)))

    return changed(asked, lower)


def without_the_first(asked: ReferencePrediction) -> ReferencePrediction:
    def rest(one: Prediction) -> Prediction:
        boxes = boxes_of(one)
        return replace(one, boxes=Boxes(boxes.conf[1:], boxes.cls[1:], corners_of(one)[1:]))

    return changed(asked, rest)


def the_last_alone(asked: ReferencePrediction) -> ReferencePrediction:
    return replace(asked, kept=replace(asked.kept, boxes=boxes_of(asked.kept)[-1:]))


def unmasked(asked: ReferencePrediction) -> ReferencePrediction:
    def without_rows(one: Prediction) -> Prediction:
        assert isinstance(one.masks, PackedMasks)
        masks = one.masks.data.copy()
        masks[:, ::3] = 0
        return replace(one, masks=PackedMasks(masks))

    return changed(asked, without_rows)


def moved_points(asked: ReferencePrediction) -> ReferencePrediction:
    def moved(one: Prediction) -> Prediction:
        assert one.keypoints is not None
        points = one.keypoints.data.copy()
        points[..., :2] += 3
        return replace(one, keypoints=Keypoints(points))

    return changed(asked, moved)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("shapes", shifted, "its answers differ from PyTorch's: box by 2 px, more than"),
        ("shapes", rescored, "its answers differ from PyTorch's: score by 0.01, more than 0.005"),
        ("shapes", without_the_first, "2 objects found by PyTorch alone or by the file alone"),
        ("shapes-seg", unmasked, "its answers differ from PyTorch's: mask by"),
        ("shapes-pose", moved_points, "its answers differ from PyTorch's: keypoints by 3 px"),
    ],
)
def test_answers_that_differ_are_not_written(
    make: Any, weights_file: Path, name: str, change: Any, message: str
) -> None:
    report = make(stand_in(name, change))
    assert any(message in problem for problem in report.problems), report.problems
    assert not report.written
    assert [path.name for path in weights_file.parent.iterdir()] == ["best.pt"]
    forced = make(stand_in(name, change), force=True)
    assert forced.problems
    assert forced.written
    assert weights_file.with_suffix(".onnx").exists()


def test_boxes_of_equal_scores_may_change_places(make: Any) -> Any:
    """After suppression another box is left, and before it all are the same."""

    def swapped(asked: ReferencePrediction) -> ReferencePrediction:
        moved = corners_of(asked.kept) + np.array([9, 0, 9, 0], np.float32)
        boxes = replace(boxes_of(asked.kept), xyxy=moved)
        return replace(asked, kept=replace(asked.kept, boxes=boxes))

    report = make(stand_in("shapes", swapped))
    assert report.problems == []
    assert any("objects of equal scores change places" in note for note in report.notes)
    assert report.verified.differences.box < 0.01


def test_objects_on_the_threshold_may_be_found_by_one_only(make: Any) -> Any:
    def more(asked: ReferencePrediction) -> ReferencePrediction:
        def added(one: Prediction) -> Prediction:
            boxes = boxes_of(one)
            return replace(
                one,
                boxes=Boxes(
                    np.append(boxes.conf, np.float32(0.2549)),
                    np.append(boxes.cls, 0),
                    np.vstack((corners_of(one), [[0, 0, 5, 5]])),
                ),
            )

        return changed(asked, added)

    report = make(stand_in("shapes", more))
    assert report.problems == []
    assert len(report.verified.differences.missing) == 2


def test_what_finds_nothing_is_said(make: Any) -> Any:
    def nothing(asked: ReferencePrediction) -> ReferencePrediction:
        empty = Boxes(np.zeros(0, np.float32), np.zeros(0), np.zeros((0, 4), np.float32))
        return replace(asked, kept=replace(asked.kept, boxes=empty))

    report = make(stand_in("shapes", nothing, conf=1.0))
    assert "nothing in the 2 images scores above 1: no box was compared with PyTorch's" in report.notes


def test_a_lower_score_is_said(make: Any) -> None:
    report = make(stand_in("shapes", conf=0.1))
    assert report.problems == []
    assert "PyTorch finds little in these images: compared is what scores above 0.1" in report.notes


def test_int8_is_held_to_the_agreement(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quantising is tested elsewhere: here the report calls a float file INT8."""
    genuine = optimizer.optimize
    monkeypatch.setattr(
        optimizer,
        "optimize",
        lambda job, on_progress: genuine(replace(job, int8=False), on_progress),
    )
    folder = demo_images()[0].parent
    report = make(stand_in("shapes"), int8=True, images=folder)
    assert report.target.endswith("best-int8.onnx")
    assert report.problems == []
    assert report.verified.quality is not None
    assert report.verified.quality.ap50 == 1
    assert any("too few for a verdict on 0.95, which needs 60" in note for note in report.notes)
    report = make(stand_in("shapes", the_last_alone), int8=True, images=folder, overwrite=True)
    assert any("average precision against PyTorch is 0." in problem for problem in report.problems)
    report = make(
        stand_in("shapes", the_last_alone), int8=True, images=folder, overwrite=True, min_agreement=0.1
    )
    assert report.problems == []


@pytest.mark.parametrize(
    ("change", "message"), [(shifted, "overlap"), (rescored, "score"), (without_the_first, "found by")]
)
def test_half_precision_is_held_to_looser_numbers(make: Any, change: Any, message: str) -> None:
    assert make(stand_in("shapes"), half=True).problems == []
    far = {shifted: lambda asked: shifted(asked, 12), rescored: lambda asked: _times(asked, rescored, 7)}
    report = make(stand_in("shapes", far.get(change, change)), half=True, overwrite=True)
    assert any(message in problem for problem in report.problems), report.problems


def _times(asked: ReferencePrediction, change: Any, count: int) -> ReferencePrediction:
    for _ in range(count):
        asked = change(asked)
    return asked
