"""Validation as a whole, on drawn shapes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yolean
from drawn_sets import MODELS, write_dataset
from yolean.engine.errors import InputError
from yolean.models import demo_model


@pytest.mark.parametrize(
    ("task", "images", "least"),
    [
        ("detect", 2, 0.6),
        pytest.param("segment", 2, 0.6, marks=pytest.mark.slow),
        pytest.param("pose", 2, 0.6, marks=pytest.mark.slow),
        pytest.param("obb", 2, 0.5, marks=pytest.mark.slow),
        ("classify", 8, 0.6),
        ("semantic", 2, 0.6),
    ],
)
def test_every_task(tmp_path: Path, task: str, images: int, least: float) -> None:
    data = write_dataset(tmp_path / "set", task, images)
    report = yolean.val(MODELS[task], data)
    assert report.images == images
    assert report.headline[1] > least
    assert report.confusion_matrix is not None
    diagonal = report.confusion_matrix.matrix.diagonal().sum()
    assert diagonal > report.confusion_matrix.matrix.sum() / 2
    told = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert told["instances"] == sum(row["instances"] for row in told["classes"])
    assert told["metrics"]
    assert all(0 <= value <= 2 for value in report.results_dict.values())


def test_a_lean_file_has_the_scores_of_its_source(drawn: Path) -> None:
    """Its head is decoded here, several classes of an anchor included."""
    lean = yolean.load(demo_model()).val(drawn / "data.yaml")
    plain = yolean.load(MODELS["detect"]).val(drawn / "data.yaml")
    assert lean.results_dict == pytest.approx(plain.results_dict, abs=1e-4)
    assert lean.box.maps == pytest.approx(plain.box.maps, abs=1e-4)


def test_images_that_cannot_be_read_are_left_out(drawn: Path) -> None:
    images = drawn / "images" / "val"
    (images / "0003.jpg").write_bytes(b"no image")
    (images / "0004.jpg").write_bytes((images / "0004.jpg").read_bytes()[:2000])
    told: list[tuple[str, int, int]] = []
    report = yolean.val(MODELS["detect"], drawn / "data.yaml", on_progress=lambda *step: told.append(step))
    assert report.images == 4
    assert sorted(Path(path).name for path in report.findings.skipped) == ["0003.jpg", "0004.jpg"]
    assert {stage for stage, _, _ in told} == {"reading sizes", "validating"}
    for path in images.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match="not one image can be used"):
        yolean.val(MODELS["detect"], drawn / "data.yaml")


def test_images_without_labels_only(drawn: Path) -> None:
    shutil.rmtree(drawn / "labels")
    report = yolean.val(MODELS["detect"], drawn / "data.yaml")
    assert report.findings.unlabelled == 6
    assert report.box is not None
    assert report.box.map == 0
    assert any("no label in the images" in note for note in report.findings.notes)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"save_hybrid": True}, "save_hybrid=True is no setting of val, which has split"),
        ({"batch": 0}, "batch=0: expected a whole number from 1"),
        ({"conf": 2}, "conf=2: expected a number from 0 to 1"),
        ({"split": "every"}, "split='every': expected one of train, val, test"),
    ],
)
def test_settings_that_are_refused(drawn: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        yolean.val(MODELS["detect"], drawn / "data.yaml", **settings)


def test_keypoints_of_another_shape(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "set", "pose", 1)
    text = data.read_text(encoding="utf-8")
    for other, words in (("", "pose needs `kpt_shape:`"), ("kpt_shape: [17, 3]", "other keypoints than")):
        data.write_text(text.replace("kpt_shape:\n- 5\n- 3", other), encoding="utf-8")
        with pytest.raises(InputError, match=words):
            yolean.val(MODELS["pose"], data)
