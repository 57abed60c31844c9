"""The README's Python and shell examples run, on the demo model under the names that they use."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from yolean.models import demo_images, demo_model

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
INSTALLS = ("pip ", "yolo ", "cd ", "git ")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the examples name."""
    plain = Path(__file__).parent / "golden" / "plain"
    shutil.copy(plain / "shapes.onnx", tmp_path / "yolov8n.onnx")
    shutil.copy(plain / "shapes-seg.onnx", tmp_path / "yolov8n-seg.onnx")
    images = tmp_path / "images"
    images.mkdir()
    for path in demo_images():
        shutil.copy(path, images)
    shutil.copy(demo_images()[0], tmp_path / "bus.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python(number, folder):
    command = [sys.executable, "-W", "error", "-c", blocks("python")[number]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def lines(start):
    return [line for line in "\n".join(blocks("sh")).splitlines() if line.startswith(start)]


OTHERS = ("yolean serve", "yolean export")  # tried below, and where Ultralytics is
COMMANDS = [
    # Calibration asks every layer of the network, which takes most of a minute.
    pytest.param(line, marks=pytest.mark.slow if "--int8" in line else ())
    for line in dict.fromkeys(line.split("#")[0].strip() for line in lines("yolean "))
    if not line.startswith(OTHERS)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_shell(command, folder):
    words = command.split()[1:]
    if words[0] == "bench":
        words += ["--duration", "0.1"]
    done = subprocess.run(
        [sys.executable, "-m", "yolean", *words], capture_output=True, text=True, check=False
    )
    # 3: worse or slower than asked for, as a model of drawn shapes in eight bits may be.
    assert done.returncode in ((0, 3) if "--int8" in words else (0,)), done.stderr


@contextmanager
def serving(words):
    """A server as a line of the README starts it, on a free port; gives its address once it is ready."""
    command = [sys.executable, "-m", "yolean", "serve", *words, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            address = re.search(r"http://[\d.:]+", server.stderr.readline())[0]
            assert any("ready: " in line for line in server.stderr)
            yield address
        finally:
            server.terminate()
            server.communicate()
        assert server.returncode == 0


@pytest.mark.parametrize("command", lines("yolean serve"))
def test_serve(command, folder):
    shutil.copy(demo_model(), "images/in-a-folder.onnx")
    with serving(command.split()[2:]) as address, urlopen(f"{address}/readyz") as answer:
        assert answer.status == 200


def test_curl(folder):
    with serving(["--models", "yolov8n.onnx"]) as address:
        for line in lines("curl "):
            words = shlex.split(line.replace("http://127.0.0.1:8000", address))
            done = subprocess.run(
                [*words, "--fail-with-body", "-sS"], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_every_shell_line_is_tried_or_installs():
    found = [line for line in "\n".join(blocks("sh")).splitlines() if line and not line.startswith("#")]
    assert all(line.startswith(("yolean ", "curl ", *INSTALLS)) for line in found)
    assert len(blocks("python")) >= 2
    assert len(COMMANDS) >= 5
    assert len(lines("curl ")) >= 3
