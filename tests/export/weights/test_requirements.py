"""Weights, packages and opsets are checked before anything takes time."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from export_runs import refusal
from yolean._install_advice import install_command


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "best.pt",
            b"no weights at all",
            "is no PyTorch file: expected what Ultralytics saves after training",
        ),
        ("best.pt", b"", "is no PyTorch file"),
        ("yolov8n.pt", None, "does not exist: yolean downloads nothing; fetch the file first"),
        ("best.onnx", b"onnx", "what is exported already is for yolean optimize"),
        ("best.yaml", b"nc: 80", "is no .pt file: expected the weights of a trained YOLO"),
        ("yolov8n", None, "is no .pt file"),
    ],
)
def test_what_is_no_weights_is_refused(tmp_path: Path, name: str, content: Any, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    line = refusal(path)
    assert message in line
    assert str(path) in line


def test_a_folder_is_no_weights(tmp_path: Path) -> None:
    (tmp_path / "best.pt").mkdir()
    assert "cannot be read: " in refusal(tmp_path / "best.pt")


def test_missing_packages_are_named_with_the_command(
    weights_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "onnx" or None)
    line = refusal(weights_file)
    assert line == f"Error: this needs ultralytics and torch and onnxslim: {install_command('export')}"


def test_an_old_ultralytics_is_refused(
    weights_file: Path, installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "8.4.99")
    line = refusal(weights_file)
    assert f"ultralytics 8.4.99 is too old: {install_command('export')} brings 8.4.142 or newer" in line


@pytest.mark.slow
@pytest.mark.parametrize("module", ["yolean"])
def test_without_onnx(weights_file: Path, module: Any) -> None:
    code = f"""import runpy, sys
sys.modules["onnx"] = None
sys.argv[1:] = {["export"] if module == "yolean" else []} + [{str(weights_file)!r}]
runpy.run_module({module!r}, run_name="__main__", alter_sys=True)"""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: this needs onnx: {install_command('export')}\n"
