"""`yolean optimize`: its reports, names of files, interruptions, and packages that are missing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
import yolean
from click.testing import CliRunner
from heads import build
from optimize_runs import INT8, everything, here, load, made, no_model, original, quick, refused, run  # noqa: F401
from yolean.cli.main import cli
from yolean.export import float_forms
from yolean.export import optimizer as optimize


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ((), {}),
        (("--half",), {"task": "segment", "extra": 8}),
        (INT8, {"task": "pose", "extra": 15, "kpt_shape": (5, 3)}),
        ((), {"task": "obb", "extra": 1}),
    ],
)
def test_reports_are_complete_and_finite(options: tuple[Any, ...], settings: dict[str, Any]) -> None:
    onnx.save(build(**settings), "m.onnx")
    run("m.onnx", *options, "--calibrate", "images", "--report", "r.json")
    text = Path("r.json").read_text()
    assert text.endswith("}\n")
    report = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert report.keys() == {
        "source", "target", "task", "layout", "precision", "bytes", "images", "differences", "agreement",
        "quality", "labelled", "speed", "details", "notes", "problems", "written", "versions",
    }  # fmt: skip
    task = settings.get("task", "detect")
    assert (report["task"], report["source"]) == (task, "m.onnx")
    assert report["speed"]["ratio"] == 0.5
    assert report["versions"]["yolean"] == yolean.__version__
    if not options:
        assert report["agreement"] is None
        assert report["differences"]["matched"] > 0
        return
    assert report["differences"] is None
    wanted = {"recall", "precision", "mean_iou", "confidence_change", "score"}
    wanted |= {
        {"segment": "mask_iou", "pose": "keypoint_distance", "obb": "corner_distance"}.get(task, "objects")
    }
    for name in wanted:
        assert isinstance(report["agreement"][name], (int, float)), name


def test_a_report_replaces_an_earlier_one_and_only_when_there_is_a_new_one() -> None:
    Path("r.json").write_text("old")
    refused("missing.onnx", "--report", "r.json")
    made("m.onnx", "--report", "r.json")
    assert json.loads(Path("r.json").read_text())["written"]


@pytest.mark.parametrize("name", ["with space.onnx", "ä日本.onnx", "[a]*.onnx", "-dash.onnx", "no suffix"])
def test_names_of_all_sorts(name: str) -> None:
    os.replace("m.onnx", name)
    target = f"{Path(name).stem}-lean.onnx"
    assert made("--", name).startswith(f"{name} -> {target}\n")
    assert load(target).spec.layout.kind == "lean"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="such names exist on Linux only")
@pytest.mark.parametrize("name", ["\x1b[2J.onnx", "a\nb.onnx"])
def test_what_a_terminal_would_obey_is_spelled_out(name: str) -> None:
    os.replace("m.onnx", name)
    text = made(name, "--report", "r.json")
    assert text.splitlines()[0].isprintable()
    assert text.splitlines()[1].startswith("  made ")
    assert json.loads(Path("r.json").read_text())["source"] == name
    assert "exists" in refused(name)


def impatient(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("where", "name"),
    [(os, "fsync"), (float_forms, "cut"), (optimize, "compare_speed"), (Path, "replace")],
)
def test_ctrl_c_leaves_all_as_it_was(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, there: bool
) -> None:
    if there:
        Path("m-lean.onnx").write_text("mine")
    before = everything()
    with monkeypatch.context() as patch:
        patch.setattr(where, name, impatient)
        result = run("m.onnx", "--overwrite", "--report", "r.json")
    assert result.exit_code == 130
    assert result.output == ""
    assert everything() == before


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float_forms, "cut", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("m.onnx")


@pytest.mark.parametrize("module", ["onnx", "onnxruntime.transformers.float16"])
def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    for name in [one for one in sys.modules if one.startswith("yolean.export.") and module == "onnx"]:
        if name not in ("yolean.cli.making_options", "yolean.cli.optimize_command", "yolean.export.files"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert module in refused("m.onnx", "--half")


@pytest.mark.parametrize("name", ["m.onnx", "out.onnx"])
def test_a_report_does_not_replace_what_it_tells_of(tmp_path: Path, name: str) -> None:
    model = tmp_path / "m.onnx"
    onnx.save(build(), model)
    before = model.read_bytes()
    arguments = ["optimize", str(model), "-o", str(tmp_path / "out.onnx"), "--report", str(tmp_path / name)]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert "name one for the report" in done.output
    assert model.read_bytes() == before
