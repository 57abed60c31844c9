"""Two models timed in alternation."""

from __future__ import annotations

import numpy as np
import pytest
from optimize_runs import here, load, original, quick  # noqa: F401
from yolean.export.evaluation import speed as timing
from yolean.export.evaluation.speed import compare_speed


def test_two_models_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name, self.session = name, load("m.onnx").session

        def __call__(self, image: object) -> None:
            order.append(self.name)

    clock = iter(range(10_000))
    monkeypatch.setattr(timing, "perf_counter", lambda: float(next(clock)))
    found = compare_speed(Fake("a"), Fake("b"), np.zeros((4, 4, 3), np.uint8), seconds=0.0)  # type: ignore[arg-type]
    assert order == ["a", "b"] * (3 + 7)
    assert (found.pairs, found.ratio, found.reference_ms) == (7, 1.0, 1000.0)
    order.clear()
    found = compare_speed(Fake("a"), Fake("b"), np.zeros((4, 4, 3), np.uint8), seconds=1e9)  # type: ignore[arg-type]
    assert found.pairs == 61
