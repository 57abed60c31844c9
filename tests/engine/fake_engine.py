"""An engine on a session that needs no model: it tells how bright an image is."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from yolean.engine.model.spec import ModelSpec
from yolean.engine.pipeline import Engine
from yolean.postprocess.layout import Layout
from yolean.postprocess.types import Size


class FakeSession:
    """Finds one box an image, whose class is the image's mean brightness; remembers the shapes it saw."""

    device = SimpleNamespace(is_gpu=False)

    def __init__(self, delay: Any = 0.0) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.ended: list[float] = []
        self.delay = delay

    def run(self, tensor: Any, floor: Any = 0.0) -> Any:
        self.shapes.append(tensor.shape)
        time.sleep(self.delay)
        self.ended.append(time.perf_counter())
        rows = np.zeros((len(tensor), 1, 6), np.float32)
        rows[:, 0, 2:5] = (16, 16, 0.9)
        rows[:, 0, 5] = np.rint(tensor[:, :, tensor.shape[2] // 2, tensor.shape[3] // 2].mean(axis=1) * 255)
        return [rows]


def engine(batch: Any = None, dynamic: bool = True, delay: Any = 0.0, kind: Any = "end2end") -> Any:
    names = {i: f"grey {i}" for i in range(256)}
    spec = ModelSpec(Layout("detect", kind, 256), names, Size(64, 64), 32, 3, batch, dynamic, "float32")
    session: Any = FakeSession(delay)
    return Engine(session, spec)


def grey(value: Any, height: Any = 64, width: Any = 64) -> Any:
    return np.full((height, width, 3), value, np.uint8)


def classes(results: Any) -> Any:
    return [int(r.boxes.cls[0]) for r in results]
