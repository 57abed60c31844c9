"""The real Ultralytics run by `parity --make`, as it was for the golden files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from yolean.benchmarks.scenarios import parity
from yolean.models import DEMO_MODELS, demo_model

pytestmark = pytest.mark.export
GOLDEN = Path(__file__).parents[1] / "golden"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(parity.main, ["--make", *map(str, arguments)])


def test_the_demo_models_equal_it(tmp_path: Path) -> None:
    done = run("--models", GOLDEN / "plain", "--reference", tmp_path)
    assert done.exit_code == 0, done.output
    assert "all 28 images agree" in done.output
    # Numbers may differ from version to version, what is told may not.
    for name in DEMO_MODELS.values():
        made, kept = (json.loads((folder / f"{name}.json").read_text()) for folder in (tmp_path, GOLDEN))
        assert list(made) == list(kept)
        images = {key: list(answer) for key, answer in kept["images"].items()}
        assert {key: list(answer) for key, answer in made["images"].items()} == images


def test_it_is_not_run_on_lean_files(tmp_path: Path) -> None:
    done = run("--models", demo_model().parent, "--reference", tmp_path)
    assert done.exit_code == 0, done.output
    assert "shapes.onnx: no answers of Ultralytics: a lean file" in done.output
    assert "all 12 images agree" in done.output  # of the classifier and the maps
