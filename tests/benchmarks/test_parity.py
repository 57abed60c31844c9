"""`parity`: a row a model, what agrees, what is at the threshold, and what could not be compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from yolean.benchmarks import asking, parity
from yolean.benchmarks.agreeing import Limits, Row
from yolean.benchmarks.peers import reference
from yolean.export.evaluation.differences import Differences
from yolean.models import DEMO_MODELS, demo_images, demo_model

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = sorted(DEMO_MODELS.values())


def run(*arguments):
    return CliRunner().invoke(parity.main, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    """As in a checkout, also where an installed package is tested."""
    monkeypatch.setattr(parity, "GOLDEN", GOLDEN)


@pytest.fixture
def folder(tmp_path):
    """A folder of answers for the detector alone; gives a function that changes them first."""

    def made(change=lambda said: None, stem="shapes"):
        said = json.loads((GOLDEN / f"{stem}.json").read_text())
        change(said)
        (tmp_path / f"{stem}.json").write_text(json.dumps(said))
        return tmp_path

    return made


def test_the_demo_models_agree_with_the_golden_files(tmp_path):
    target = tmp_path / "parity.json"
    done = run("--reference", GOLDEN, "--json", target)
    assert done.exit_code == 0, done.output
    assert "all 20 images agree, within 1 px, score 0.002, mask IoU 0.97" in done.output
    assert max(map(len, done.stdout.splitlines())) <= 100
    record = json.loads(target.read_text())
    assert record["how"]["tolerances"] == {"pixels": 1, "score": 0.002, "mask": 0.97}
    assert record["machine"]["yolean"]
    assert record["not_compared"] == {}
    rows = {row["model"]: row for row in record["rows"]}
    assert sorted(rows) == NAMES
    assert all(row["agree"] == row["images"] == 4 and not row["disagreeing"] for row in rows.values())
    assert (rows["shapes-cls"]["top1"], rows["shapes-cls"]["top5"]) == (4, 4)
    assert set(rows["shapes-cls"]["worst"]) == {"probs"}
    assert set(rows["shapes-seg"]["worst"]) == {"box", "score", "mask_iou"}
    assert set(rows["shapes-pose"]["worst"]) == {"box", "score", "keypoints", "visibility"}
    assert rows["shapes-seg"]["worst"]["mask_iou"]["value"] > 0.99
    images = {path.name for path in demo_images()}
    assert {worst["image"] for row in rows.values() for worst in row["worst"].values()} <= images


def test_without_options_a_checkout_compares_its_golden_files():
    done = run("--model", "shapes-obb")
    assert done.exit_code == 0, done.output
    assert "all 4 images agree" in done.output


def test_without_a_checkout_there_are_no_answers_to_begin_with(monkeypatch, tmp_path):
    monkeypatch.setattr(parity, "GOLDEN", tmp_path / "nothing")
    done = run()
    assert done.exit_code == 2
    assert "name the folder of answers with --reference, or let --make ask for them" in done.output


def test_what_disagrees_is_told_with_its_image(folder, tmp_path):
    def change(said):
        images = said["images"]
        images["shapes.jpg"]["xyxy"][0][2] += 3
        images["shapes.jpg"]["conf"][1] -= 0.05
        for key in ("cls", "conf", "xyxy"):  # what yolean finds and Ultralytics does not
            del images["tall.jpg"][key][0]
        images["wide.jpg"]["cls"].append(0)
        images["wide.jpg"]["conf"].append(0.8)
        images["wide.jpg"]["xyxy"].append([1, 1, 3, 3])

    target = tmp_path / "out" / "parity.json"
    target.parent.mkdir()
    done = run("--reference", folder(change), "--model", "shapes", "--json", target)
    assert done.exit_code == 1, done.output
    assert "shapes: 3 of 4 disagree: box 3 px in shapes.jpg; score 0.05 in shapes.jpg; " in done.output
    assert "1 missing in wide.jpg; 1 extra in tall.jpg" in done.output
    assert "3 of 4 images disagree" in done.output
    (row,) = json.loads(target.read_text())["rows"]
    assert (row["missing"], row["extra"]) == (1, 1)
    assert row["disagreeing"] == {
        "shapes.jpg": ["box", "score"],
        "tall.jpg": ["extra"],
        "wide.jpg": ["missing"],
    }
    assert row["worst"]["box"] == {"value": pytest.approx(3, abs=0.01), "image": "shapes.jpg"}


def test_wider_tolerances_let_it_agree(folder):
    def change(said):
        said["images"]["shapes.jpg"]["xyxy"][0][2] += 3
        said["images"]["shapes.jpg"]["conf"][1] -= 0.05

    where = ("--reference", folder(change), "--model", "shapes")
    assert run(*where).exit_code == 1
    assert run(*where, "--pixels", 3.1).exit_code == 1
    assert run(*where, "--pixels", 3.1, "--score", 0.051).exit_code == 0


def test_outlines_disagree_below_the_least_iou(folder):
    def change(said):
        outline = said["images"]["star.jpg"]["segments"][0]
        outline[::2] = [x + 8 for x in outline[::2]]

    where = ("--reference", folder(change, "shapes-seg"), "--model", "shapes-seg")
    done = run(*where)
    assert done.exit_code == 1
    assert "mask IoU 0." in done.output
    assert "in star.jpg" in done.output
    assert run(*where, "--mask", 0.5).exit_code == 0


def test_an_object_at_the_threshold_may_be_on_one_side_alone(folder):
    def change(said):
        for name, score in (("wide.jpg", said["conf"] + 0.0015), ("tall.jpg", said["conf"] + 0.0025)):
            said["images"][name]["cls"].append(0)
            said["images"][name]["conf"].append(score)
            said["images"][name]["xyxy"].append([1, 1, 3, 3])

    done = run("--reference", folder(change), "--model", "shapes")
    assert done.exit_code == 1
    assert "shapes: 1 of 4 disagree: 1 missing in tall.jpg" in done.output
    assert "wide.jpg: at the threshold, found by Ultralytics alone: score 0.2515" in done.output


def test_a_number_that_is_none_disagrees():
    limits = Limits()
    assert limits.beyond(Differences(1, 1, box=float("inf"), score=0.0)) == ["box"]
    assert limits.beyond(Differences(1, 1, box=1.0, score=0.002, mask=1 - 0.97)) == []
    row = Row("m", "detect", None, {}, worst={"box": (float("inf"), "a.jpg")})
    assert row.as_dict()["worst"] == {"box": {"value": None, "image": "a.jpg"}}


def test_models_and_answers_without_their_counterpart_are_listed(folder):
    where = folder()
    (where / "other.json").write_text(
        (GOLDEN / "shapes.json").read_text().replace("shapes.onnx", "other.onnx")
    )
    (where / "notes.json").write_text("[]")
    (where / "broken.json").write_text("{")
    done = run("--reference", where)
    assert done.exit_code == 0, done.output
    assert f"other.json: not compared: there is no other.onnx in {demo_model().parent}" in done.output
    assert "notes.json: not compared: not a reference file" in done.output
    assert "broken.json: not compared: not a reference file" in done.output
    assert f"shapes-obb.onnx: not compared: no answers in {where}" in done.output


def test_images_that_are_not_there_are_listed(folder):
    def change(said):
        said["images"]["gone.jpg"] = said["images"]["tall.jpg"]

    done = run("--reference", folder(change), "--model", "shapes")
    assert done.exit_code == 0, done.output
    assert "shapes: not compared, no such images: gone.jpg" in done.output


def test_a_model_that_fails_is_listed_and_the_others_go_on(folder, tmp_path):
    where = folder()
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(demo_model(), models)
    (models / "bad.onnx").write_bytes(b"no network")
    (where / "bad.json").write_text((GOLDEN / "shapes.json").read_text().replace("shapes.onnx", "bad.onnx"))
    done = run("--reference", where, "--models", models)
    assert done.exit_code == 1, done.output
    assert "bad.onnx: not compared: " in done.output
    assert "all 4 images agree" in done.output


def test_answers_to_another_image_are_refused_with_its_name(folder):
    done = run("--reference", folder(lambda said: said["images"]["tall.jpg"].update(shape=[9, 9])))
    assert done.exit_code == 2
    assert "shapes.onnx: not compared: tall.jpg: answers to different images" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--models", demo_model().parent), "name the folder of answers with --reference"),
        (("--reference", "nowhere"), "--reference nowhere: there is no such folder"),
        (("--models", "nowhere", "--make"), "--models nowhere: there is no such folder"),
        (("--models", GOLDEN, "--reference", GOLDEN), "there is no .onnx file"),
        (("--reference", GOLDEN, "--model", "yolo"), "--model yolo: there is only shapes, shapes-cls"),
        (("--reference", GOLDEN / "plain"), "nothing could be compared"),
        (("--python", "python3"), "--python is for --make"),
        (("--make", "--python", "no-such-python"), "--python no-such-python: there is no such program"),
        (("--json", GOLDEN), "is a folder"),
        (("--make", "--python", sys.executable, "--images", GOLDEN), "there is no image"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments, words):
    done = run(*arguments)
    assert done.exit_code == 2
    assert words in done.output
    assert "Traceback" not in done.output


def test_without_ultralytics_the_line_tells_what_to_install(monkeypatch):
    monkeypatch.setattr(asking, "find_spec", lambda name: None)
    done = run("--make")
    assert done.exit_code == 2
    assert f"{sys.executable} -m pip install ultralytics onnxruntime" in done.output


@pytest.fixture
def pretender(tmp_path):
    """An interpreter that runs a program of the test instead of `peers/reference.py`."""

    def made(lines):
        program = tmp_path / "python"
        program.write_text(
            f"#!{sys.executable}\nimport json, os, pathlib, shutil, sys\nout = sys.argv[4]\n{lines}"
        )
        program.chmod(0o755)
        return program

    return made


@pytest.mark.skipif(sys.platform == "win32", reason="scripts with #! are for others")
class TestMake:
    def test_answers_are_asked_for_then_compared(self, pretender, tmp_path):
        program = pretender(
            f"shutil.copytree({str(GOLDEN)!r}, out, ignore=shutil.ignore_patterns('plain', '*.py', '__*'))\n"
            "for name in sys.argv[6::2]: print(json.dumps({'model': name, 'image': 'a.jpg'}))\n"
            "print(json.dumps({'model': 'extra', 'not_asked': 'a reason'}))\n"
            "pathlib.Path(out, 'argv').write_text(' '.join(sys.argv[2:4]) + ' ' + os.getcwd())\n"
        )
        out = tmp_path / "new" / "answers"
        done = run("--make", "--python", program, "--reference", out)
        assert done.exit_code == 0, done.output
        assert "asking Ultralytics: shapes-cls" in done.stderr
        assert "extra.onnx: Ultralytics was not asked: a reason" in done.output
        assert f"Ultralytics' answers: {out}" in done.output
        models, images, cwd = (out / "argv").read_text().split()
        assert Path(models) == (GOLDEN / "plain").resolve()  # Ultralytics runs no lean files
        assert Path(images) == demo_images()[0].parent.resolve()
        assert not Path(cwd).exists()  # nothing that it may write stays

    @pytest.mark.parametrize(
        ("program", "words"),
        [
            ("sys.exit('it broke\\nfor a reason')", "has failed with status 1: for a reason"),
            (f"print('onnxruntime', file=sys.stderr); sys.exit({reference.LACKING})", "has no onnxruntime: "),
            ("", "gave no answer"),
        ],
    )
    def test_a_failure_is_told_in_a_line(self, pretender, program, words, tmp_path, monkeypatch):
        monkeypatch.setattr(parity.tempfile, "tempdir", str(tmp_path))
        done = run("--make", "--python", pretender(program))
        assert done.exit_code == 2
        assert words in done.output
        assert not list(tmp_path.glob("yolean-reference-*"))


def test_an_interpreter_without_ultralytics_says_so(tmp_path):
    (tmp_path / "ultralytics.py").write_text("raise ModuleNotFoundError(\"No module\", name='torch')")
    script = Path(reference.__file__)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(tmp_path), str(tmp_path / "out")],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (reference.LACKING, "torch\n")
