"""Runs `yolean optimize` in a folder with a small model and three images."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import onnx
import pytest
import yolean
from click.testing import CliRunner
from heads import build
from numpy.typing import NDArray
from yolean.cli.main import cli
from yolean.export import optimizer as optimize
from yolean.export.evaluation.speed import Speed
from yolean.export.quantization import search as int8
from yolean.export.quantization.calibration import whole
from yolean.export.quantization.search import Quantiser
from yolean.models import demo_images


def read(path: str | Path) -> NDArray[np.uint8]:
    """An image that is there, (height, width, 3)."""
    image = cv2.imread(str(path))
    assert image is not None
    return cast("NDArray[np.uint8]", image)


FASTER = Speed(2.0, 1.0, 0.5, 0.4, 0.6, 7, 2, "CPUExecutionProvider")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that is short, on a machine where every file made is twice as fast as its source."""
    monkeypatch.setattr(optimize, "compare_speed", lambda *_: FASTER)
    monkeypatch.setattr(int8, "compare_speed", lambda *_: FASTER)
    monkeypatch.setattr(int8, "METHODS", {"min-max": whole})
    monkeypatch.setattr(int8, "VALIDATION_IMAGES", 2)
    monkeypatch.setattr(Quantiser, "worth_keeping_in_float", lambda self, method, before: [])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and three images."""
    folder = tmp_path_factory.mktemp("original")
    (folder / "images").mkdir()
    onnx.save(build(), folder / "m.onnx")
    for number, image in enumerate(demo_images()[:3]):
        small = cv2.resize(read(image), None, fx=0.4, fy=0.4)
        cv2.imwrite(str(folder / f"images/{number}.png"), small)
    return folder


@pytest.fixture(autouse=True)
def here(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is where the command runs."""
    shutil.copytree(original, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run(*arguments: object) -> Any:
    """The command in this process; what is no SystemExit is raised."""
    return CliRunner().invoke(cli, ["optimize", *map(str, arguments)], catch_exceptions=False)


def made(*arguments: object, status: int = 0) -> str:
    """What is printed by a command that has nothing to complain of but in its report."""
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert result.stderr == ""
    return str(result.stdout)


def everything() -> dict[str, bytes | None]:
    """What the folder holds, hidden files as well."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(Path().rglob("*"))}


def refused(*arguments: object) -> str:
    """The one line of a refusal that leaves all as it was."""
    before = everything()
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert everything() == before
    return str(line.removeprefix("Error: "))


def load(path: str | Path) -> Any:
    return yolean.load(path, device="cpu")


INT8 = ("--int8", "--calibrate", "images", "--min-agreement", 0.5)


def no_model() -> None:
    Path("m.onnx").write_text("no model\n" * 30)


def nothing() -> None:
    """The model is as it should be."""


def make_folder() -> None:
    Path("o.onnx").mkdir()
