"""`parity`: a row a model, what agrees, what is at the threshold, and what could not be compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from yolean.benchmarks import records, reference_runner
from yolean.benchmarks.model_records import ModelParity, ParityRecord, Tolerances
from yolean.benchmarks.scenarios import parity
from yolean.models import DEMO_MODELS, demo_images, demo_model

GOLDEN = Path(__file__).parents[2] / "golden"
Content = dict[str, Any]
"""Of a reference file."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(parity.main, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout, also where an installed package is tested."""
    monkeypatch.setattr(parity, "GOLDEN", GOLDEN)


Change = Callable[[Content], object]


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A folder of answers of one model; called with a function that changes them first."""

    def make(change: Change = lambda content: None, stem: str = "shapes") -> Path:
        content = json.loads((GOLDEN / f"{stem}.json").read_text())
        change(content)
        (tmp_path / f"{stem}.json").write_text(json.dumps(content))
        return tmp_path

    return make


def rows_of(file: Path) -> dict[str, ModelParity]:
    record = records.read(file)
    assert isinstance(record, ParityRecord)
    return {row.model: row for row in record.models}


@pytest.mark.slow
def test_the_demo_models_agree_with_the_golden_files(tmp_path: Path) -> None:
    file = tmp_path / "parity.json"
    done = run("--reference", GOLDEN, "--json", file)
    assert done.exit_code == 0, done.output
    assert "all 28 images agree, within 1 px, score 0.002, mask IoU 0.97" in done.output
    record = records.read(file)
    assert isinstance(record, ParityRecord)
    assert record.settings.tolerances == Tolerances(1, 0.002, 0.97)
    assert record.not_compared == {}
    rows = rows_of(file)
    assert sorted(rows) == sorted(DEMO_MODELS.values())
    assert all(row.agree == row.images == 4 and not row.disagreeing for row in rows.values())
    assert all(row.reference_version for row in rows.values())
    assert (rows["shapes-cls"].top1, rows["shapes-cls"].top5) == (4, 4)
    assert set(rows["shapes-cls"].worst) == {"probs"}
    assert set(rows["shapes-seg"].worst) == {"box", "score", "mask_iou"}
    assert set(rows["shapes-sem"].worst) == {"other_class"}
    assert set(rows["shapes-depth"].worst) == {"depth"}
    assert set(rows["shapes-pose"].worst) == {"box", "score", "keypoints", "visibility"}
    iou = rows["shapes-seg"].worst["mask_iou"].value
    assert iou is not None
    assert iou > 0.99
    images = {path.name for path in demo_images()}
    assert {worst.image for row in rows.values() for worst in row.worst.values()} <= images


def test_without_options_a_checkout_compares_its_golden_files() -> None:
    done = run("--model", "shapes-obb")
    assert done.exit_code == 0, done.output
    assert "all 4 images agree" in done.output


def test_without_a_checkout_there_are_no_answers_to_begin_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(parity, "GOLDEN", tmp_path / "nothing")
    done = run()
    assert done.exit_code == 2
    assert "name the folder of answers with --reference, or let --make write them" in done.output


def test_what_disagrees_is_reported_with_its_image(folder: Callable[..., Path], tmp_path: Path) -> None:
    def change(content: Content) -> None:
        images = content["images"]
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
    row = rows_of(target)["shapes"]
    assert (row.missing, row.extra) == (1, 1)
    assert row.disagreeing == {
        "shapes.jpg": ["box", "score"],
        "tall.jpg": ["extra"],
        "wide.jpg": ["missing"],
    }
    assert row.worst["box"].value == pytest.approx(3, abs=0.01)
    assert row.worst["box"].image == "shapes.jpg"


def test_models_and_answers_without_their_counterpart_are_listed(folder: Callable[..., Path]) -> None:
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


def test_images_that_are_not_there_are_listed(folder: Callable[..., Path]) -> None:
    def change(content: Content) -> None:
        content["images"]["gone.jpg"] = content["images"]["tall.jpg"]

    done = run("--reference", folder(change), "--model", "shapes")
    assert done.exit_code == 0, done.output
    assert "shapes: not compared, no such images: gone.jpg" in done.output


def test_a_model_that_fails_is_listed_and_the_others_go_on(
    folder: Callable[..., Path], tmp_path: Path
) -> None:
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


def test_answers_to_another_image_are_refused_with_its_name(folder: Callable[..., Path]) -> None:
    done = run("--reference", folder(lambda content: content["images"]["tall.jpg"].update(shape=[9, 9])))
    assert done.exit_code == 2
    assert "shapes.onnx: not compared: tall.jpg: answers to different images" in done.output


def test_mistakes_are_reported_in_a_line() -> None:
    rows: list[tuple[tuple[object, ...], str]] = [
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
    ]
    for arguments, words in rows:
        done = run(*arguments)
        assert done.exit_code == 2
        assert words in done.output
        assert "Traceback" not in done.output


@pytest.mark.skipif(find_spec("ultralytics") is not None, reason="it is installed here")
def test_without_ultralytics_the_line_says_what_to_install() -> None:
    done = run("--make")
    assert done.exit_code == 2
    assert f"{sys.executable} -m pip install ultralytics onnxruntime" in done.output


@pytest.fixture
def pretender(tmp_path: Path) -> Callable[[str], Path]:
    """An interpreter that runs a program of the test instead of `reference_runner.py`."""

    def made(lines: str) -> Path:
        program = tmp_path / "python"
        program.write_text(
            f"#!{sys.executable}\nimport json, os, pathlib, shutil, sys\nout = sys.argv[4]\n{lines}"
        )
        program.chmod(0o755)
        return program

    return made


@pytest.mark.skipif(sys.platform == "win32", reason="scripts with #! are for others")
class TestMake:
    def test_answers_are_recorded_then_compared(
        self, pretender: Callable[[str], Path], tmp_path: Path
    ) -> None:
        program = pretender(
            f"shutil.copytree({str(GOLDEN)!r}, out, ignore=shutil.ignore_patterns('plain', '*.py', '__*'))\n"
            "for name in sys.argv[6::2]: print(json.dumps({'model': name, 'image': 'a.jpg'}))\n"
            "print(json.dumps({'model': 'extra', 'left_out': 'a reason'}))\n"
            "pathlib.Path(out, 'argv').write_text(' '.join(sys.argv[2:4]) + ' ' + os.getcwd())\n"
        )
        out = tmp_path / "new" / "answers"
        done = run("--make", "--python", program, "--reference", out, "--model", "shapes-cls")
        assert done.exit_code == 0, done.output
        assert "Ultralytics has answered: shapes-cls" in done.stderr
        assert "extra.onnx: no answers of Ultralytics: a reason" in done.output
        assert f"Ultralytics' answers: {out}" in done.output
        models, images, cwd = (out / "argv").read_text().split()
        assert Path(models) == (GOLDEN / "plain").resolve()  # Ultralytics runs no lean files
        assert Path(images) == demo_images()[0].parent.resolve()
        assert not Path(cwd).exists()  # nothing that it may write stays

    @pytest.mark.parametrize(
        ("program", "words"),
        [
            ("sys.exit('it broke\\nfor a reason')", "has failed with status 1: for a reason"),
            (
                f"print('onnxruntime', file=sys.stderr); sys.exit({reference_runner.NOT_INSTALLED})",
                "has no onnxruntime: ",
            ),
            ("", "gave no answer"),
        ],
    )
    def test_a_failure_is_reported_in_a_line(
        self,
        pretender: Callable[[str], Path],
        program: str,
        words: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        done = run("--make", "--python", pretender(program))
        assert done.exit_code == 2
        assert words in done.output
        assert not list(tmp_path.glob("yolean-reference-*"))


def test_an_interpreter_without_ultralytics_says_so(tmp_path: Path) -> None:
    (tmp_path / "ultralytics.py").write_text("raise ModuleNotFoundError(\"No module\", name='torch')")
    script = Path(reference_runner.__file__)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(tmp_path), str(tmp_path / "out")],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (reference_runner.NOT_INSTALLED, "torch\n")
