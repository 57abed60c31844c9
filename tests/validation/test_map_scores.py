"""Scores of class maps and depths, by numbers that can be checked by hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yolean
from drawn_sets import MODELS, write_dataset
from yolean.validation.datasets import Findings
from yolean.validation.map_scores import PixelCounts, PixelScores, depth_errors
from yolean.validation.validation_report import ValidationReport


def scores_of(matrix: list[list[int]], *names: str) -> ValidationReport:
    """Of counts [predicted, true] in one image."""
    scores = PixelScores(dict(enumerate(names)))
    scores.add(PixelCounts(np.array(matrix, np.int64), {}))
    report = ValidationReport("semantic", "m", "d", "val", scores.names, Findings())
    scores.fill(report)
    return report


def test_classes_without_pixels_do_not_count_in_the_mean() -> None:
    report = scores_of([[6, 1, 0], [2, 3, 0], [0, 4, 0]], "a", "b", "c")
    assert report.class_figures["IoU"] == pytest.approx([6 / 9, 3 / 10, 0])
    assert report.results_dict["metrics/mIoU"] == pytest.approx((6 / 9 + 3 / 10) / 2)
    assert report.figures["pixel_acc"] == pytest.approx(9 / 16)
    assert report.instances.tolist() == [8, 8, 0]
    assert report.images_with.tolist() == [1, 1, 0]
    assert [row["name"] for row in report.as_dict()["classes"]] == ["a", "b"]


def test_one_class_has_a_background() -> None:
    report = scores_of([[5, 1], [2, 4]], "road")
    assert report.headline[0] == "mIoU"
    assert report.fitness == pytest.approx(4 / 7)
    assert report.figures["pixel_acc"] == pytest.approx(9 / 12)
    assert report.instances.tolist() == [5]
    assert report.confusion_matrix is not None
    assert report.confusion_matrix.names == ["background", "road"]


def test_depths_are_scaled_to_the_same_median() -> None:
    true = np.linspace(1, 9, 60, dtype=np.float32).reshape(6, 10)
    assert depth_errors(true * 3, true) == pytest.approx([1, 1, 1, 0, 0, 0], abs=1e-4)


def test_errors_of_depths() -> None:
    true = np.full((4, 5), 2, np.float32)
    found = true.copy()
    found[0] = 2.6, 3, 3.8, np.nan, -1  # ratios 1.3, 1.5, 1.9, 50 and 2000
    true[3, :2] = 0, 100  # outside
    figures = depth_errors(found, true)
    assert figures is not None
    assert figures[:3] == pytest.approx([13 / 18, 15 / 18, 16 / 18])
    errors = np.array([0.6, 1, 1.8, 98, -1.999])
    assert figures[3] == pytest.approx(np.abs(errors).sum() / 2 / 18, rel=1e-4)
    assert figures[4] == pytest.approx(np.sqrt((errors**2).sum() / 18), rel=1e-4)
    logs = np.log([1.3, 1.5, 1.9, 50, 0.0005, *[1] * 13])
    assert figures[5] == pytest.approx(logs.std() * 100, rel=1e-4)


def test_too_few_pixels_with_a_depth() -> None:
    true = np.zeros((4, 5), np.float32)
    true[0] = true[1, :4] = 1
    assert depth_errors(np.ones((4, 5), np.float32), true) is None


@pytest.mark.parametrize(
    ("rect", "stages"), [(True, {"reading sizes", "validating"}), (False, {"validating"})]
)
def test_masks_that_are_left_out(tmp_path: Path, rect: bool, stages: set[str]) -> None:
    data = write_dataset(tmp_path / "set", "semantic", 4)
    masks = tmp_path / "set" / "masks" / "val"
    (masks / "0000.png").unlink()
    cv2.imwrite(str(masks / "0001.png"), np.zeros((9, 9), np.uint8))
    cv2.imwrite(str(masks / "0002.png"), np.full((517, 333), 5, np.uint8))
    told: list[str] = []
    report = yolean.val(MODELS["semantic"], data, rect=rect, on_progress=lambda stage, *_: told.append(stage))
    assert report.images == 1
    reasons = {Path(path).stem: reason for path, reason in report.findings.skipped.items()}
    assert set(told) == stages
    assert "it has no mask: expected" in reasons["0000"]
    assert "the mask has 9x9 pixels, its image 400x300" in reasons["0001"]
    assert "class ids beyond the names: 5" in reasons["0002"]


def test_depths_that_are_left_out(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "set", "depth", 2)
    cv2.imwrite(str(tmp_path / "set" / "depth" / "val" / "0000.png"), np.zeros((320, 320), np.uint16))
    report = yolean.val(MODELS["depth"], data)
    assert (report.images, report.figures["delta1"] > 0.5) == (1, True)
    (reason,) = report.findings.skipped.values()
    assert reason == "fewer than 10 pixels have a depth from 0.001 to 100 m"
