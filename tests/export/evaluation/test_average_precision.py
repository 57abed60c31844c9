from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from yolean.export.evaluation.average_precision import QualityMeasurement, objects_needed


def found(*objects: tuple[float, float], side: float = 10, cls: int = 0) -> Any:
    """Square boxes in a row: (place, score) each; neighbours do not overlap."""
    lefts = np.array([20 * place for place, _ in objects], np.float32).reshape(-1)
    boxes = np.stack([lefts, np.zeros_like(lefts), lefts + side, np.full_like(lefts, 10)], axis=1)
    scores = np.array([score for _, score in objects], np.float32)
    view = SimpleNamespace(xyxy=boxes, conf=scores, cls=np.full(len(objects), cls))
    return SimpleNamespace(orig_shape=(100, 200), boxes=view, obb=None)


def measured(*pairs: tuple[Any, Any]) -> Any:
    measurement = QualityMeasurement()
    for pair in pairs:
        measurement.add(*pair)
    return measurement.result()


def test_the_same_objects_are_perfect_whatever_their_scores() -> None:
    reference = found((0, 0.9), (1, 0.5), (2, 0.26))
    quality = measured((reference, found((0, 0.8), (1, 0.4), (2, 0.2))))
    assert (quality.ap50, quality.ap, quality.objects) == (1.0, 1.0, 3)
    assert (quality.ap50_interval, quality.ap_interval) == ((1.0, 1.0), (1.0, 1.0))
    assert quality.scored == 3
    assert quality.score_mean == pytest.approx(-0.26 / 3, abs=1e-6)
    assert quality.score_deviation == pytest.approx(np.std([0.1, 0.1, 0.06]), abs=1e-6)


def test_average_precision_of_a_ranking() -> None:
    reference = found((0, 0.9), (1, 0.8), (2, 0.7), (3, 0.6))
    # hit, false alarm, hit, hit; one object is lost: precision 1, 3/4 and 3/4 at the three hits
    candidate = found((0, 0.9), (5, 0.7), (1, 0.6), (2, 0.5))
    assert measured((reference, candidate)).ap50 == pytest.approx((1 + 0.75 + 0.75) / 4)
    # The false alarm is another class: as bad. Split over two images: the same ranking.
    other = (found((0, 0.9)), found((0, 0.9)))
    split = measured((found((1, 0.8), (2, 0.7), (3, 0.6)), found((5, 0.7), (1, 0.6), (2, 0.5))), other)
    assert split.ap50 == pytest.approx((1 + 0.75 + 0.75) / 4)
    assert split.ap50_interval[0] < split.ap50 < split.ap50_interval[1]
    assert measured((found((0, 0.9)), found((0, 0.9), cls=1))).ap50 == 0


def test_faint_objects_count_neither_for_nor_against() -> None:
    faint = measured((found((0, 0.9), (1, 0.2)), found((1, 0.95), (0, 0.9))))
    assert (faint.ap50, faint.objects, faint.scored) == (1.0, 1, 2)
    unscored = measured((found((0, 0.9), (1, 0.05)), found((0, 0.9), (1, 0.3))))
    assert (unscored.ap50, unscored.scored) == (1.0, 1)
    doubled = measured((found((0, 0.9)), found((0, 0.9), (0, 0.8))))  # the second has nothing left to hit
    assert doubled.ap50 == 1.0
    before = measured((found((0, 0.9), (1, 0.8)), found((0, 0.9), (0, 0.85), (1, 0.8))))
    assert before.ap50 == pytest.approx((1 + 2 / 3) / 2)


def test_overlap_decides_the_stricter_average() -> None:
    quality = measured((found((0, 0.9)), found((0, 0.9), side=7.7)))  # IoU 0.77: six of ten levels
    assert (quality.ap50, quality.ap) == (1.0, pytest.approx(0.6))


def test_oriented_boxes() -> None:
    corners = np.array([[[0, 0], [10, 0], [10, 10], [0, 10]]], np.float32)
    view = SimpleNamespace(xyxyxyxy=corners, conf=np.array([0.9]), cls=np.array([0]))
    result: Any = SimpleNamespace(orig_shape=(50, 50), boxes=None, obb=view)
    assert measured((result, result)).ap == 1.0


def test_images_without_objects() -> None:
    nothing = measured((found(), found()))
    assert (nothing.ap50, nothing.objects, nothing.scored, nothing.score_deviation) == (1.0, 0, 0, None)
    assert measured((found(), found((0, 0.9)))).ap50 == 0
    assert measured((found(), found((0, 0.1)))).ap50 == 1
    assert measured((found((0, 0.9)), found())).ap50 == 0


def test_loss_is_lost_precision_and_change_of_scores() -> None:
    measurement = QualityMeasurement()
    measurement.add(found((0, 0.9), (1, 0.5)), found((0, 0.6), (1, 0.1)))
    assert measurement.loss() == pytest.approx(np.sqrt((0.3**2 + 0.4**2) / 2), abs=1e-6)
    measurement.add(found((0, 0.9), (1, 0.5)), found())
    assert measurement.loss() == pytest.approx(0.5 + np.sqrt((0.3**2 + 0.4**2) / 2), abs=1e-6)


def test_objects_that_a_verdict_needs() -> None:
    assert [objects_needed(least) for least in (0, 0.9, 0.95, 0.99, 1)] == [3, 30, 60, 300, 300]


def test_it_is_ready_for_json_and_always_the_same() -> None:
    pairs = [(found((0, 0.9), (1, 0.5)), found((0, 0.7)))] * 3 + [(found((2, 0.4)), found((2, 0.5)))]
    one, other = (json.dumps(measured(*pairs).as_dict()) for _ in range(2))
    assert one == other
    assert json.loads(one)["ap50"] == pytest.approx(4 / 7, abs=1e-5)
