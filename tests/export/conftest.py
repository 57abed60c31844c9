"""What several modules of these tests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import onnx
import pytest
import yolean
from yolean.engine.pipeline import Engine
from yolean.export.graph.head import cut
from yolean.export.graph.onnx_graph import read_model

PLAIN = Path(__file__).parents[1] / "golden" / "plain"


@pytest.fixture(scope="session")
def demo() -> Callable[[str], tuple[Engine, onnx.ModelProto]]:
    """Loads a demo model as Ultralytics exported it, and cuts it: once for all tests, which change copies.

    Takes its file's stem, gives its engine and its lean form; of the classifier, which has no head, itself.
    """

    @cache
    def made(stem: str) -> tuple[Engine, onnx.ModelProto]:
        path = PLAIN / f"{stem}.onnx"
        plain = yolean.load(path, device="cpu", threads=1)
        model = read_model(path) if plain.task == "classify" else cut(read_model(path), plain)
        assert model is not None
        return plain, model

    def copied(stem: str) -> tuple[Engine, onnx.ModelProto]:
        plain, model = made(stem)
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        return plain, copy

    return copied
