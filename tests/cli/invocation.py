"""Ways to call the `yolean` command, and the files that its tests give it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from yolean.cli.main import cli
from yolean.models import demo_images, demo_model

SHAPES = str(demo_model())
IMAGE = demo_images()[0]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


def run(*arguments: object) -> Result:
    """The command in this process; what is no SystemExit is raised."""
    return CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)


def start(
    *arguments: object,
    stdout: int | IO[str] = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    env: dict[str, str] = ENV,
) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "yolean", *map(str, arguments)]
    return subprocess.Popen(command, env=env, text=True, stdout=stdout, stderr=stderr)


def error_of(result: Result, status: int = 2) -> str:
    """The one line of a refusal, and nothing else anywhere."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")


def read_image(path: str | Path) -> NDArray[Any]:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def write_video(path: Path, frames: int, size: tuple[int, int] = (96, 64), fps: float = 12.5) -> Path:
    """A video of the demo image, which moves; `size` is (width, height)."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    assert writer.isOpened()
    image = cv2.resize(read_image(IMAGE), size)
    for number in range(frames):
        writer.write(np.roll(image, number, axis=1))
    writer.release()
    return path


def read_video(path: Path) -> tuple[int, float, tuple[int, ...]]:
    """Frames that can be decoded, frames a second, shape."""
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return len(frames), fps, frames[0].shape
