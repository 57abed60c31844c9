"""`peers`: yolean beside bare sessions, plain decoding beside yolean's, reasons for who is missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import yolean
from click.testing import CliRunner
from yolean.benchmarks import compare, contenders, contest
from yolean.benchmarks.answers import as_answer
from yolean.benchmarks.answers import compare as differences
from yolean.benchmarks.peers import plain
from yolean.models import demo_images

PLAIN = Path(__file__).parents[1] / "golden" / "plain"


@pytest.mark.parametrize("stem", ["shapes", "shapes-seg", "shapes-obb"])
def test_the_plain_way_finds_what_yolean_finds(stem):
    model = yolean.load(PLAIN / f"{stem}.onnx", device="cpu")
    job, kind = contest.describe(PLAIN / f"{stem}.onnx", demo_images(), threads=1)
    assert kind == "raw"
    session = onnxruntime.InferenceSession(job.model, providers=["CPUExecutionProvider"])
    predict = plain.predictor(job, lambda blob: session.run(None, {session.get_inputs()[0].name: blob}))
    found = 0
    for path, shape in zip(job.images, job.shapes, strict=True):
        result = model(path)[0]
        apart = differences(as_answer(result), predict(cv2.imread(path), shape))
        assert (apart.missing, apart.extra) == ((), ())
        found += apart.matched
        if apart.matched:
            assert apart.box < 1
            assert apart.score < 2e-3
    assert found > 10


def test_the_plain_way_classifies():
    job, _ = contest.describe(PLAIN / "shapes-cls.onnx", demo_images(), threads=1)
    session = onnxruntime.InferenceSession(job.model, providers=["CPUExecutionProvider"])
    predict = plain.predictor(job, lambda blob: session.run(None, {session.get_inputs()[0].name: blob}))
    star = next(path for path in job.images if path.endswith("star.jpg"))
    model = yolean.load(job.model, device="cpu")
    assert predict(cv2.imread(star), job.shapes[0])["top5"][0] == model(star)[0].probs.top1


def test_no_object_is_an_answer_for_every_task():
    blank = np.full((48, 64, 3), 114, np.uint8)
    for task, rows in (("detect", 84), ("pose", 56), ("obb", 20), ("segment", 116)):
        job = contest.Job("m.onnx", task, (64, 64), [], [], 1)
        outputs = [np.zeros((1, rows, 84), np.float32), np.zeros((1, 32, 16, 16), np.float32)]
        answer = plain.predictor(job, lambda blob, outputs=outputs: outputs)(blank, (64, 64))
        assert answer["conf"] == []
        assert differences(answer, answer).matched == 0


def test_who_cannot_be_measured_says_why(monkeypatch):
    job, _ = contest.describe(PLAIN / "shapes.onnx", demo_images(), threads=1)
    unknown = contenders.Contender("nobody", "with_nobody", ("surely-not-installed",))
    assert "pip install surely-not-installed" in contenders.command(unknown, job, ())
    broken = replace(unknown, needs=())
    monkeypatch.setattr(contest, "CONTENDERS", (broken, replace(unknown, file="lean"), unknown))
    rows = contest.measure(
        job, {"plain": PLAIN / "shapes.onnx", "lean": "no onnx"}, contest.Plan(1, 0, ()), print
    )
    assert "No module named" in rows[0]["not_measured"]
    assert rows[1]["not_measured"] == "no onnx"
    assert "surely-not-installed" in rows[2]["not_measured"]


def test_targets_are_for_peers_on_the_same_runtime():
    rows = [
        {"side": "slower", "on_onnxruntime": True, "ms": {}, "by yolean": {"median": 1.2}},
        {"side": "faster", "on_onnxruntime": True, "ms": {}, "by yolean": {"median": 0.9}},
        {"side": "elsewhere", "on_onnxruntime": False, "ms": {}, "by yolean": {"median": 0.5}},
        {"side": "absent", "on_onnxruntime": True, "not_measured": "not installed"},
    ]
    found = {row["faster_than"]: row["kept"] for row in contest.targets("m", rows)}
    assert found == {"slower": True, "faster": False}


@pytest.mark.slow
def test_the_command(tmp_path):
    target = tmp_path / "peers.json"
    words = ["--model", str(PLAIN / "shapes.onnx"), "--rounds", "2", "--cold", "1", "--json", str(target)]
    done = CliRunner().invoke(compare.main, words)
    assert done.exit_code == 0, done.output
    assert "Ultralytics: not measured: " in done.output
    (entry,) = json.loads(target.read_text())["models"]
    rows = {row["side"]: row for row in entry["rows"]}
    assert len(rows) == len(contenders.CONTENDERS)
    assert rows["session.run"]["by session.run"]["median"] == 1
    for side in ("yolean", "yolean, lean", "OpenCV dnn"):
        row = rows[side]
        assert len(row["groups"]) == 2
        assert row["ms"]["median"] > 0
        assert row["cold_s"]["median"] > 0
        assert row["agreement"]["missing"] == row["agreement"]["extra"] == 0
        assert row["agreement"]["matched"] > 10
    assert "--calibrate" in rows["yolean, INT8"]["not_measured"]
