"""Datasets that the tests of validation share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from drawn_sets import write_dataset


@pytest.fixture(scope="session")
def drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images with boxes."""
    return write_dataset(tmp_path_factory.mktemp("drawn") / "set", "detect", 6).parent


@pytest.fixture
def drawn(drawn_once: Path, tmp_path: Path) -> Path:
    """A copy that may be spoilt; its YAML names no path."""
    folder = tmp_path / "set"
    shutil.copytree(drawn_once, folder)
    text = (folder / "data.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith("path:")]
    (folder / "data.yaml").write_text("\n".join(kept), encoding="utf-8")
    return folder
