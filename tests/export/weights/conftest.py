"""Weights that are none, and packages that only seem to be installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from export_runs import ZIP
from yolean.export.evaluation import speed
from yolean.export.weights.exporting import ExportOptions, export


@pytest.fixture
def weights_file(tmp_path: Path) -> Any:
    """What begins as weights do."""
    path = tmp_path / "best.pt"
    path.write_bytes(ZIP)
    return path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the packages of the extra were here."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "8.4.190")
    monkeypatch.setattr(speed, "MAX_PAIRS", speed.MIN_PAIRS)  # the speed is not what is tested here


@pytest.fixture
def make(weights_file: Path, installed: None) -> Any:
    """Runs a job with a stand-in for torch."""

    def made(work: Any, on_progress: Any = lambda *step: None, **options: Any) -> Any:
        return export(ExportOptions(weights_file, **options), on_progress, work)

    return made
