"""Differences and agreement of maps: class ids of pixels, and depths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tables import for_each
from yolean.engine.errors import InputError
from yolean.export.evaluation.agreement import agreement
from yolean.export.evaluation.differences import differences
from yolean.export.evaluation.equality import EqualityCheck
from yolean.export.evaluation.predictions import Map, Prediction
from yolean.export.evaluation.tolerance import Tolerance
from yolean.export.evaluation.verdict import compare

TOLERANCE = Tolerance(pixels=1.0, score=0.01, mask=0.1)


def semantic(ids: Any) -> Prediction:
    data = np.array(ids, np.uint8)
    return Prediction((data.shape[0], data.shape[1]), semantic_mask=Map(data))


def deep(metres: Any) -> Prediction:
    data = np.array(metres, np.float32)
    return Prediction((data.shape[0], data.shape[1]), depth=Map(data))


def test_agreement_of_class_maps_is_over_all_images() -> None:
    """Class 0: 4 of 6 pixels in both images, 1: 1 of 3, 2: 1 of 1, and 5 of the candidate alone, 0 of 1."""
    first = semantic([[0, 0, 1, 1]]), semantic([[0, 0, 0, 1]])
    second = semantic([[0, 0, 0, 2]]), semantic([[0, 0, 5, 2]])
    found = agreement(iter((first, second)))
    assert (found.task, found.images, found.objects) == ("semantic", 2, None)
    assert found.equal_pixels == pytest.approx(0.75)
    assert found.mean_class_iou == found.score == pytest.approx((4 / 6 + 1 / 2 + 1 + 0) / 4)
    most = differences(*first).merge(differences(*second))
    assert (most.other_class, most.matched, most.compared) == (0.25, 0, True)


def test_agreement_of_depth_is_relative() -> None:
    pair = deep([[2.0, 4.0], [10.0, 0.0]]), deep([[2.2, 4.0], [9.0, 0.0]])
    found = agreement(iter([pair]))
    assert found.task == "depth"
    assert found.depth_error == pytest.approx(0.05)
    assert found.score == pytest.approx(0.95)
    assert differences(*pair).depth == pytest.approx(0.1, rel=1e-5)


@for_each(
    "reference, candidate, problem",
    [
        (semantic([[1] * 2000]), semantic([[1] * 1999 + [2]]), None),
        (semantic([[1] * 2000]), semantic([[1] * 1990 + [2] * 10]), "other_class by 0.005, more than 0.001"),
        (deep([[5.0, 5.0]]), deep([[5.0, 5.004]]), None),
        (deep([[5.0, 5.0]]), deep([[5.0, 5.01]]), "depth by 0.002, more than 0.001"),
        (deep([[5.0, 0.0]]), deep([[5.0, 1.0]]), "depth by 1, more"),
        (deep([[5.0, 5.0]]), deep([[5.0, math.nan]]), "depth by inf, more"),
    ],
)
def test_equal_maps(reference: Prediction, candidate: Prediction, problem: str | None) -> None:
    check = EqualityCheck("the source", TOLERANCE, 0.25)
    check.add((reference, candidate), (300, 300), (64, 64))
    problems = list(check.problems())
    assert len(problems) == (problem is not None)
    assert problem is None or problem in problems[0]


def test_the_verdict_on_maps() -> None:
    ids = np.repeat([[0, 1]], 100, axis=1)
    worse = ids.copy()
    worse[0, :10] = 1
    same = [(semantic(ids), semantic(ids))] * 10
    assert (compare(iter(same), 0.95).problems, compare(iter(same), 0.95).notes) == ([], [])
    (problem,) = compare([(semantic(ids), semantic(worse))] * 10, 0.95).problems
    assert problem == "mean IoU of the classes against the source is 0.905, less than 0.95"
    far = [(deep([[1.0, 2.0]]), deep([[1.2, 2.0]]))] * 3
    found = compare(iter(far), 0.95)
    assert found.quality is None
    assert found.problems == ["depth differs from the source's by 0.100 (mean, relative), more than 0.05"]
    assert found.notes == ["3 images are too few for a verdict: 10 or more are needed"]
    assert compare([(deep([[1.0]]), deep([[math.nan]]))] * 10, 0.95).problems != []


def test_maps_of_other_images_and_tasks_are_not_compared() -> None:
    with pytest.raises(InputError, match="different tasks"):
        differences(semantic([[1]]), deep([[1.0]]))
    small = Prediction((1, 2), depth=Map(np.ones((2, 2), np.float32)))
    with pytest.raises(InputError, match=r"maps of different sizes: \(height, width\) \(1, 2\) and \(2, 2\)"):
        differences(deep([[1.0, 2.0]]), small)
