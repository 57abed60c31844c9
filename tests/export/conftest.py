"""What several modules of these tests share."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yolean
from click.testing import CliRunner
from export_runs import SIDE
from yolean.cli.main import cli
from yolean.engine.pipeline import Engine
from yolean.export import optimizer as optimize
from yolean.export.evaluation import speed
from yolean.export.graph.head import cut
from yolean.export.graph.onnx_graph import read_model
from yolean.export.weights import exporting as weights
from yolean.export.weights import pytorch
from yolean.models import demo_images

GOLDEN = Path(__file__).parents[1] / "golden"
PLAIN = GOLDEN / "plain"


@pytest.fixture(scope="session")
def demo() -> Callable[[str], tuple[Engine, onnx.ModelProto]]:
    """Loads a demo model as Ultralytics exported it, and cuts it: once for all tests, which change copies.

    Takes its file's stem, gives its engine and its lean form; of what has no head to cut, itself.
    """

    @cache
    def made(stem: str) -> tuple[Engine, onnx.ModelProto]:
        path = PLAIN / f"{stem}.onnx"
        plain = yolean.load(path, device="cpu", threads=1)
        has_head = plain.task not in ("classify", "semantic", "depth")
        model = cut(read_model(path), plain) if has_head else read_model(path)
        assert model is not None
        return plain, model

    def copied(stem: str) -> tuple[Engine, onnx.ModelProto]:
        plain, model = made(stem)
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return plain, copy

    return copied


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The module that builds networks; Ultralytics keeps its settings in a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLO_CONFIG_DIR", str(tmp_path_factory.mktemp("settings")))
        patch.setenv("YOLO_OFFLINE", "true")
        patch.syspath_prepend(GOLDEN)
        families = importlib.import_module("families")
        patch.setattr(families, "SIDE", SIDE)
        # Of several classes with a score of nearly 1, rounding decides which is the best.
        patch.setattr(families, "LOGIT_DEVIATION", 0.25)
        patch.setattr(families, "PASSING", 0.3)
        yield families


@pytest.fixture(scope="module")
def images(families: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What files are compared on: real images, drawn ones, and noise, fine and coarse."""
    from ultralytics.utils import ASSETS

    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(7)
    tiles = rng.integers(0, 256, (9, 7, 3), np.uint8)
    drawn = {"coarse": cv2.resize(tiles, (300, 400), interpolation=cv2.INTER_CUBIC)}
    drawn["fine"] = rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for name, image in drawn.items():
        cv2.imwrite(str(folder / f"{name}.png"), image)
    return [*sorted(ASSETS.glob("*.jpg")), *demo_images()[:2], *sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def networks(families: Any, images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives the .pt file of a recipe; those with variants are built once.

    They settle on what they are then shown, noise included: on others, random weights may give hundreds of
    boxes with scores of 1, and make much of the last digits.
    """
    folder = tmp_path_factory.mktemp("networks")
    recipes = {recipe.name or recipe.config: recipe for recipe in families.RECIPES}

    def built(name: str) -> Path:
        path: Path = folder / f"{name}.pt"
        if not path.exists():
            families.build(recipes[name], folder, images).save(path)
        return path

    return built


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the command and returns its report; the plain file that it made stays as plain.onnx.

    torch works in this process: to start it anew takes 5 s a case.
    """
    genuine = optimize.optimize

    def spy(options: optimize.OptimizeOptions, on_progress: Any) -> optimize.OptimizeReport:
        shutil.copy(options.source, tmp_path / "plain.onnx")
        return genuine(options, on_progress)

    monkeypatch.setattr(optimize, "optimize", spy)
    monkeypatch.setattr(weights, "run_in_child", pytorch.run_export)
    monkeypatch.setattr(speed, "MAX_PAIRS", speed.MIN_PAIRS)

    def run(path: Path, *options: str) -> dict[str, Any]:
        report, target = tmp_path / "report.json", tmp_path / "lean.onnx"
        arguments = ["export", path, "-o", target, "--report", report, "--overwrite", *options]
        found = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
        assert found.exit_code == 0, found.output
        made: dict[str, Any] = json.loads(report.read_text())
        return made

    return run
