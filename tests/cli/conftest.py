"""The current folder of these tests, and what lies in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yolean
from invocation import IMAGE
from yolean.engine.pipeline import Engine


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def image(here: Path) -> Path:
    (here / "a.jpg").write_bytes(IMAGE.read_bytes())
    return Path("a.jpg")


@pytest.fixture
def broken(here: Path) -> Path:
    (here / "broken.jpg").write_text("no image")
    return Path("broken.jpg")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the engine is loaded and called with; both happen nevertheless."""
    seen: dict[str, Any] = {}
    load, stream = yolean.load, Engine.stream

    def spy_load(model: str, **options: Any) -> Engine:
        seen.update(options, model=model)
        return load(model, **{k: v for k, v in options.items() if k in ("device", "threads")})

    def spy_stream(self: Engine, source: Any, **options: Any) -> Any:
        seen.update(options)
        return stream(self, source, **options)

    monkeypatch.setattr("yolean.engine.loading.load", spy_load)
    monkeypatch.setattr(Engine, "stream", spy_stream)
    return seen
