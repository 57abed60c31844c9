"""Matching and average precision, on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from yolean.validation.precision_recall import (
    THRESHOLDS,
    RankedImage,
    average_precision,
    curves_of,
    match,
)


def ints(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_the_better_score_takes_the_label_and_the_other_gets_none() -> None:
    overlaps = np.array([[0.6, 0.9]], np.float32)
    hits = match(ints(0), ints(0, 0), overlaps)
    assert hits[0].tolist() == [True, True, True, *[False] * 7]
    # Above 0.6 the label is still free for the second.
    assert hits[1].tolist() == [False, False, False, *[True] * 6, False]


def test_classes_are_not_mixed() -> None:
    assert not match(ints(0), ints(1), np.ones((1, 1), np.float32)).any()


@pytest.mark.parametrize(
    ("recall", "precision", "area"),
    [
        ([1.0], [1.0], 0.995),  # behind the last recall it drops to 0: half a step of 1/100 is lost
        ([0.5], [1.0], 0.495),
        ([], [], 0.5),
    ],
)
def test_average_precision(recall: list[float], precision: list[float], area: float) -> None:
    found, envelope = average_precision(np.array(recall), np.array(precision))
    assert found == pytest.approx(area, abs=1e-9)
    assert (np.diff(envelope) <= 0).all()


def test_a_perfect_model() -> None:
    image = RankedImage(
        ints(0, 3), ints(0, 3), np.array([0.9, 0.8], np.float32), {"box": np.ones((2, 10), np.bool_)}
    )
    curves = curves_of([image], "box")
    assert curves.classes.tolist() == [0, 3]
    np.testing.assert_allclose(curves.ap, 0.995, atol=1e-9)
    np.testing.assert_allclose((curves.precision, curves.recall), 1)


def test_predictions_of_classes_without_labels_do_not_count() -> None:
    hits = {"box": np.array([[True] * 10, [False] * 10])}
    image = RankedImage(ints(0), ints(0, 1), np.array([0.5, 0.9], np.float32), hits)
    assert curves_of([image], "box").ap.shape == (1, len(THRESHOLDS))


def test_without_any_label() -> None:
    image = RankedImage(ints(), ints(0), np.ones(1, np.float32), {"box": np.zeros((1, 10), np.bool_)})
    assert curves_of([image], "box").ap.shape == (0, len(THRESHOLDS))
