"""Two models are equal although ties are settled otherwise, and different where anything else is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tables import for_each
from yolean.export.evaluation.differences import differences
from yolean.export.evaluation.equality import EqualityCheck, Limits
from yolean.export.evaluation.predictions import Boxes, Keypoints, Prediction, Probs
from yolean.export.evaluation.tolerance import Tolerance

TOLERANCE = Tolerance(pixels=0.5, score=1e-3, mask=0.03)
CONF = 0.25
IMAGE = IMGSZ = (100, 200)
ALL = (300, 300)

Row = tuple[float, float, float, float, float]


def detected(*rows: Row, image: tuple[int, int] = IMAGE) -> Prediction:
    """Boxes of one class from rows of x1, y1, x2, y2, score."""
    values = np.array(rows, np.float64).reshape(-1, 5)
    return Prediction(image, boxes=Boxes(values[:, 4], np.zeros(len(values)), values[:, :4]))


def problems_of(
    kept: tuple[Prediction, Prediction],
    limits: Limits = ALL,
    candidates: tuple[Prediction, Prediction, Limits] | None = None,
    imgsz: tuple[int, int] = IMGSZ,
) -> list[str]:
    check = EqualityCheck("the source", TOLERANCE, CONF)
    unsuppressed: Callable[[], tuple[Prediction, Prediction, Limits]] | None = None
    if candidates is not None:
        unsuppressed = lambda: candidates  # noqa: E731
    check.add(kept, limits, imgsz, unsuppressed)
    problems = list(check.problems())
    assert check.used_candidates == (candidates is not None and not problems)
    return problems


def with_points(x: float) -> Prediction:
    points = Keypoints(np.array([[[x, 5.0, 0.9]]]))
    return Prediction(IMAGE, boxes=detected((0, 0, 50, 50, 0.9)).boxes, keypoints=points)


def classified(*probs: float) -> Prediction:
    return Prediction(IMAGE, probs=Probs(np.array(probs)))


ONE: Row = (0, 0, 50, 50, 0.9)


@for_each("reference, candidate, expected", [
        (detected(ONE), detected(ONE), ""),
        (detected(ONE), detected((0, 0.4, 50, 50, 0.9005)), ""),
        (detected(ONE), detected((0, 0.6, 50, 50, 0.9)), "box by 0.6 px, more than 0.5"),
        (detected(ONE), detected((0, 0, 50, 50, 0.89)), "score by 0.01, more than 0.001"),
        (detected(ONE), detected((0, 0, 50, 50, np.nan)), "score by inf, more than 0.001"),
        (with_points(5), with_points(7), "keypoints by 2 px, more than 0.5"),
        (classified(0.7, 0.3), classified(0.2, 0.8), "probs by 0.5, more than 0.001"),
        (detected(ONE), detected(), "1 object found by the source alone or by the file alone"),
        (detected(), detected(ONE, (100, 0, 150, 50, 0.3)), "2 objects found by"),
        (detected((0, 0, 9, 9, 0.2505)), detected((80, 0, 99, 9, 0.2509)), ""),  # on the threshold
        (detected(), detected(), ""),
    ])  # fmt: skip
def test_what_a_float_file_may_differ_by(reference: Prediction, candidate: Prediction, expected: str) -> None:
    problems = problems_of((reference, candidate))
    assert len(problems) == bool(expected)
    assert all(expected in problem for problem in problems)


def test_pixels_are_those_of_the_networks_input() -> None:
    large = (1000, 2000)
    pair = detected(ONE, image=large), detected((0, 4, 50, 50, 0.9), image=large)
    assert problems_of(pair) == []
    assert "box by 4 px, more than 0.5" in problems_of(pair, imgsz=large)[0]


@for_each("shift", [0.02, 0.4])
def test_a_box_that_the_border_leaves_no_width_equals_itself(shift: float) -> None:
    """After clipping, such boxes have no area and so no IoU: "1 missing, 1 extra"."""
    pair = detected((200, 10, 200, 50, 0.9)), detected((200, 10 + shift, 200, 50, 0.9))
    found = differences(*pair)
    assert (found.matched, found.missing, found.extra) == (1, (), ())
    assert found.box == pytest.approx(shift)
    assert problems_of(pair) == []


def test_objects_in_almost_one_place_are_paired_by_their_scores() -> None:
    reference = detected((0, 0, 100, 100, 0.9), (0, 0, 100.02, 100, 0.6))
    candidate = detected((0, 0, 100.02, 100, 0.9), (0, 0, 100, 100, 0.6))
    assert problems_of((reference, candidate)) == []


FULL = detected(ONE, (60, 0, 110, 50, 0.8), (120, 0, 170, 50, 0.7))
OTHER_LAST = detected(ONE, (60, 0, 110, 50, 0.8), (120, 10, 170, 60, 0.7))


def test_the_last_objects_of_a_full_prediction_may_be_others_of_equal_score() -> None:
    """An end-to-end head of three rows, with four candidates of which the last two have equal scores."""
    kept = FULL, OTHER_LAST
    assert "box by 10 px" in problems_of(kept)[0]
    assert problems_of(kept, (3, 3), (*kept, (3, 3))) == []
    assert "box by 10 px" in problems_of(kept, (4, 4), (*kept, (4, 4)))[0]


def test_of_two_overlapping_objects_of_equal_score_either_may_be_kept() -> None:
    both = detected((0, 0, 50, 50, 0.9), (0, 20, 50, 70, 0.9))
    kept = detected((0, 0, 50, 50, 0.9)), detected((0, 20, 50, 70, 0.9))
    assert len(problems_of(kept)) == 1
    assert problems_of(kept, ALL, (both, both, ALL)) == []
    assert problems_of(kept, ALL, (detected((0, 0, 50, 50, 0.9)), both, (1, 300))) == []
    assert len(problems_of(kept, ALL, (*kept, ALL))) == 1


def test_candidates_that_match_nothing_prove_nothing() -> None:
    kept = detected(ONE), detected((100, 0, 150, 50, 0.9))
    assert len(problems_of(kept, ALL, (*kept, (1, 1)))) == 1


def test_boxes_with_negative_sides_may_be_suppressed_or_not() -> None:
    inverted: Row = (90, 0, 60, 50, 0.8)
    kept = detected(ONE, inverted), detected(ONE)
    assert len(problems_of(kept)) == 1
    assert problems_of(kept, ALL, (*kept, ALL)) == []
    positive = detected(ONE, (60, 0, 90, 50, 0.8)), detected(ONE)
    assert len(problems_of(positive, ALL, (*positive, ALL))) == 1
