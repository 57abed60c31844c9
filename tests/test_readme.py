"""The README's Python and shell examples run, on the demo model under the names that they use."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from yolean.models import demo_model, demo_pictures

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
INSTALLS = ("pip ", "yolo ", "cd ", "git ")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the examples name."""
    shutil.copy(demo_model(), tmp_path / "yolov8n.onnx")
    shutil.copy(demo_model("segment"), tmp_path / "yolov8n-seg.onnx")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for path in demo_pictures():
        shutil.copy(path, pictures)
    shutil.copy(demo_pictures()[0], tmp_path / "bus.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python(number, folder):
    command = [sys.executable, "-W", "error", "-c", blocks("python")[number]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def commands():
    lines = "\n".join(blocks("sh")).splitlines()
    return [line for line in lines if line.startswith("yolean ")]


@pytest.mark.parametrize("command", commands())
def test_shell(command, folder):
    words = command.split("#")[0].split()[1:]
    done = subprocess.run(
        [sys.executable, "-m", "yolean", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_shell_line_is_tried_or_installs():
    lines = [line for line in "\n".join(blocks("sh")).splitlines() if line and not line.startswith("#")]
    assert all(line in commands() or line.startswith(INSTALLS) for line in lines)
    assert len(blocks("python")) >= 2
    assert len(commands()) >= 5
