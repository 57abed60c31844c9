"""Answers compared with a reference: tolerances, the threshold, the worst differences."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from yolean.benchmarks.model_records import AtThreshold, Tolerances
from yolean.benchmarks.scenarios.parity_comparison import ParityComparison

GOLDEN = Path(__file__).parents[2] / "golden"
Answer = dict[str, Any]


def compared(
    change: Callable[[Answer], object], tolerances: Tolerances | None = None, stem: str = "shapes"
) -> ParityComparison:
    """The golden answers for one image, compared with a changed copy."""
    reference = json.loads((GOLDEN / f"{stem}.json").read_text())["images"]["shapes.jpg"]
    changed = copy.deepcopy(reference)
    change(changed)
    found = ParityComparison(tolerances or Tolerances(), conf=0.25)
    found.add("shapes.jpg", reference, changed)
    return found


def move(answer: Answer) -> None:
    answer["xyxy"][0][2] += 3
    answer["conf"][1] -= 0.05


def add(answer: Answer, score: float) -> None:
    answer["cls"].append(0)
    answer["conf"].append(score)
    answer["xyxy"].append([1, 1, 3, 3])


def shift_outline(answer: Answer) -> None:
    answer["segments"][0][::2] = [x + 8 for x in answer["segments"][0][::2]]


def test_differences_beyond_the_tolerances() -> None:
    rows: list[tuple[Tolerances, list[str]]] = [
        (Tolerances(), ["box", "score"]),
        (Tolerances(pixels=3.1), ["score"]),
        (Tolerances(score=0.051), ["box"]),
        (Tolerances(pixels=3.1, score=0.051), []),
    ]
    for tolerances, kinds in rows:
        found = compared(move, tolerances)
        assert found.disagreeing == ({"shapes.jpg": kinds} if kinds else {})
        worst = found.record_of_worst()
        assert worst["box"].value == pytest.approx(3, abs=0.01)
        assert worst["score"].value == pytest.approx(0.05, abs=1e-4)


def test_outlines_disagree_below_the_least_iou() -> None:
    found = compared(shift_outline, stem="shapes-seg")
    assert found.disagreeing == {"shapes.jpg": ["mask"]}
    iou = found.record_of_worst()["mask_iou"].value
    assert iou is not None
    assert 0.5 < iou < 0.97
    assert compared(shift_outline, Tolerances(mask=0.5), "shapes-seg").disagreeing == {}


def test_an_object_at_the_threshold_may_be_found_by_one_alone() -> None:
    found = compared(lambda answer: add(answer, 0.2515))
    assert (found.extra, found.disagreeing) == (0, {})
    assert found.at_threshold == [AtThreshold("shapes.jpg", 0.2515, "yolean")]
    found = compared(lambda answer: add(answer, 0.2525))
    assert (found.extra, found.disagreeing) == (1, {"shapes.jpg": ["extra"]})


def test_objects_of_the_reference_may_be_missing() -> None:
    def remove(answer: Answer) -> None:
        for key in ("cls", "conf", "xyxy"):
            del answer[key][0]

    found = compared(remove)
    assert (found.missing, found.disagreeing) == (1, {"shapes.jpg": ["missing"]})


def test_a_number_that_is_nan_disagrees() -> None:
    found = compared(lambda answer: answer.update(conf=[float("nan")] * len(answer["conf"])))
    assert found.disagreeing == {"shapes.jpg": ["score"]}
    assert found.record_of_worst()["score"].value is None


def test_best_classes_are_counted() -> None:
    found = compared(lambda answer: answer["top5"].reverse(), Tolerances(score=1), "shapes-cls")
    assert (found.objects, found.top1, found.top5) == (None, 0, 1)
