"""What a file costs on a labelled dataset, and the verdict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
import yolean
from drawn_sets import MODELS, write_dataset
from yolean.export.evaluation.labelled import LabelledScores, compare_on_labels, images_to_calibrate
from yolean.models import demo_model

SCORES = LabelledScores("data.yaml", 100, 300, "mAP50-95", 0.5, 0.48, {}, {})


def test_the_verdict_is_on_the_share_of_the_score_that_is_kept() -> None:
    assert SCORES.problems(0.95) == []
    assert SCORES.notes(0.95) == []
    (problem,) = SCORES.problems(0.97)
    assert problem == "mAP50-95 falls from 0.5000 to 0.4800, 0.960 of the source's, less than 0.97"
    (problem,) = replace(SCORES, before=0.0).problems(0.5)
    assert "labels do not fit" in problem
    (note,) = replace(SCORES, labels=59).notes(0.95)
    assert note == "59 labels are too few for a verdict on 0.95, which needs 60"


def test_both_are_scored(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "set", "detect", 4)
    source, lean = yolean.load(MODELS["detect"]), yolean.load(demo_model())
    stages: set[str] = set()
    scores = compare_on_labels(source, lean, data, lambda stage, done, total: stages.add(stage))
    assert scores.figure == "mAP50-95"
    assert scores.after == pytest.approx(scores.before, abs=1e-3)
    assert scores.images == 4
    assert "validating the source" in stages
    assert "validating the file" in stages
    json.dumps(scores.as_dict(), allow_nan=False)


def test_images_to_calibrate_are_those_of_training(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "set", "detect", 2)
    source = yolean.load(MODELS["detect"])
    assert images_to_calibrate(data, source)[1] == []
    content = yaml.safe_load(data.read_text(encoding="utf-8"))
    del content["train"]
    data.write_text(yaml.safe_dump(content), encoding="utf-8")
    images, notes = images_to_calibrate(data, source)
    assert len(images) == 2
    assert "calibrated on images that it is scored on" in notes[0]
