"""`yolean export` without Ultralytics: arguments, targets, reports and exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yolean
from export_runs import ZIP, refusal, run, shifted, stand_in
from tables import for_each, slow
from yolean.engine.errors import ModelError
from yolean.export import optimizer
from yolean.export.weights import exporting as weights
from yolean.export.weights.exporting import ExportOptions, default_target

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--half", "--int8"], "exclude each other"),
        (["--int8"], "--int8 needs --calibrate DIR"),
        (["--plain", "--half"], "--plain leaves out the optimisation"),
        (["--plain", "--int8", "--calibrate", "."], "--plain leaves out the optimisation"),
        (["--batch", "4"], "--batch 4 goes with --static"),
        (["--static", "--batch", "0"], "expected a number of images to 4096, or the word dynamic"),
        (["--static", "--batch", "9" * 30], "expected a number of images to 4096"),
        (["--static", "--batch", "free"], "expected a number of images to 4096"),
        (["--imgsz", "16"], "--imgsz 16,16: expected sides from 32 to 8192"),
        (["--imgsz", "640,9000"], "--imgsz 640,9000: expected sides from 32 to 8192"),
        (["--imgsz", "640x480"], "expected a whole number such as 640, or two such as 480,640"),
        (["--opset", "3"], "3 is not in the range x>=9"),
        (["--min-agreement", "2"], "2.0 is not in the range 0<=x<=1"),
        (["-o", "."], ". is a folder: name the file to write"),
        (["-o", "there/is/none.onnx"], "there is no folder there/is"),
        (["-o", "other.pt"], "-o other.pt names weights"),
        (["--report", "best.onnx"], "--report best.onnx is the name of another file here"),
        (["--report", "best.pt"], "--report best.pt is the name of another file here"),
        (["--calibrate", "nowhere"], "nowhere is no folder"),
        (["--opset", "500"], "--opset 500: onnxruntime"),
    ],
)
def test_arguments_are_checked_first(
    weights_file: Path, installed: None, monkeypatch: pytest.MonkeyPatch, options: Any, message: str
) -> None:
    monkeypatch.chdir(weights_file.parent)
    assert message in refusal("best.pt", *options)
    assert [path.name for path in weights_file.parent.iterdir()] == ["best.pt"]
    assert weights_file.read_bytes() == ZIP


def test_what_exists_is_kept(weights_file: Path, installed: None) -> None:
    target = weights_file.with_suffix(".onnx")
    target.write_text("mine")
    assert "add --overwrite to replace it" in refusal(weights_file)
    assert target.read_text() == "mine"


def test_weights_are_not_their_own_target(tmp_path: Path, installed: None) -> None:
    path = tmp_path / "best.PT"
    path.write_bytes(ZIP)
    (tmp_path / "link.onnx").symlink_to(path)
    assert "names weights" in refusal(path, "-o", tmp_path / "link.onnx", "--overwrite")


def test_help_warns_of_foreign_weights() -> None:
    text = " ".join(run("--help").output.split())
    assert "export only weights that you trust" in text
    assert 'pip install ".[export]"' in text


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("shapes", False),
        ("shapes-pose", True),
        ("shapes-cls", False),
        *slow(("shapes-seg", False), ("shapes-obb", False)),
    ],
)
def test_answers_that_agree(make: Any, weights_file: Path, name: str, plain: Any) -> None:
    stages: list[str] = []
    report = make(stand_in(name), lambda stage, *steps: stages.append(stage), plain=plain)
    target = weights_file.with_suffix(".onnx")
    assert report.problems == []
    assert report.written
    assert report.verified.batches == (1, 2, 3)
    assert report.bytes == target.stat().st_size
    assert (report.optimized is None) == plain
    engine = yolean.load(target, device="cpu")
    assert engine.spec.layout.kind == report.layout
    assert (report.layout == "lean") != (plain or name == "shapes-cls")
    assert sorted(path.name for path in target.parent.iterdir()) == ["best.onnx", "best.pt"]
    assert json.loads(json.dumps(report.as_dict()))["versions"]["torch"] == "2"
    assert stages[0] == "exporting"
    assert stages[-1] == "writing"
    assert stages.count("writing") == 1
    assert stages[-2] == "verifying"
    assert ("comparing" in stages) != plain


def test_exit_status_and_lines(weights_file: Path, installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "run_in_child", stand_in("shapes", shifted))
    found = run(weights_file, "--report", weights_file.with_suffix(".json"))
    assert found.exit_code == 3
    assert found.stdout.splitlines()[-1] == "Nothing was written; --force writes it all the same."
    assert "  PROBLEM    its answers differ from PyTorch's: box by 2 px" in found.stdout
    told = json.loads(weights_file.with_suffix(".json").read_text())
    assert told["problems"]
    assert not told["written"]
    assert not told["optimized"]["written"]
    monkeypatch.setattr(weights, "run_in_child", stand_in("shapes"))
    found = run(weights_file, "--half", "--threads", "1")
    assert (found.exit_code, found.stderr) == (0, "")
    lines = found.stdout.splitlines()
    assert lines[0] == f"best.pt -> {weights_file.parent / 'best-half.onnx'}"
    assert "fp16" in lines[1]
    assert lines[2] == "  input      any height and width, 320x320 by default; any number of images a run"
    assert lines[3].startswith("  PyTorch    on 2 images: ")
    assert "recall 1.000, precision 1.000" in lines[3]


def test_rounded_sizes_are_said(make: Any) -> None:
    report = make(stand_in("shapes"), imgsz=(300, 320))
    assert "--imgsz 300x320 was rounded up to 320x320, a multiple of the stride 32" in report.notes


def test_the_optimisations_errors_name_the_weights(
    make: Any, weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(job: Any, on_progress: Any) -> Any:
        raise ModelError(f"{job.source} is quantised already: start from the float export")

    monkeypatch.setattr(optimizer, "optimize", fails)
    with pytest.raises(ModelError, match=r"^the export of .*best\.pt is quantised already"):
        make(stand_in("shapes"))


@for_each(
    "options, name",
    [({}, "yolov8n.onnx"), ({"half": True}, "yolov8n-half.onnx"), ({"int8": True}, "yolov8n-int8.onnx")],
)
def test_default_targets(options: Any, name: str) -> None:
    assert default_target(ExportOptions(Path("here/yolov8n.pt"), **options)) == Path("here") / name


def test_a_free_batch_of_fixed_sides_is_made(make: Any, weights_file: Path) -> None:
    report = make(stand_in("shapes"), static=True)
    assert (report.dynamic, report.batch, report.imgsz) == (False, None, (320, 320))
    assert report.verified.batches == (1, 2, 3)
