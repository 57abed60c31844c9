from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yolean
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


def test_arguments_out_of_range() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"conf": -0.1}, "conf=-0.1: expected a number from 0 to 1"),
        ({"conf": 1.01}, "conf"),
        ({"conf": float("nan")}, "conf=nan"),
        ({"conf": "0.5"}, "conf='0.5'"),
        ({"conf": None}, "conf=None"),
        ({"iou": 2}, "iou=2"),
        ({"max_det": 0}, "max_det=0"),
        ({"max_det": 2.5}, "max_det=2.5"),
        ({"max_det": True}, "max_det=True"),
        ({"classes": [0, 256]}, r"classes=\[256\]: this model has the ids 0 to 255"),
        ({"classes": -1}, "classes"),
        ({"classes": "cat"}, "classes"),
        ({"classes": [0.5]}, "classes"),
        ({"classes": [[0]]}, "classes"),
        ({"batch": True}, "batch=True"),
        ({"batch": 0}, "batch=0"),
        ({"imgsz": 0}, "imgsz=0"),
        ({"source": []}, "at least one image"),
    ]
    for options, message in cases:
        options = {"source": grey(1)} | options
        with pytest.raises(yolean.InputError, match=message):
            engine()(**options)
        with pytest.raises(yolean.InputError, match=message):
            engine().stream(**options)  # at the call, not at the first result


def test_a_baked_confidence_cannot_be_lowered() -> None:
    model = engine(kind="nms")
    with pytest.raises(yolean.InputError, match="nms=True"):
        model(grey(1), conf=0.1)
    assert classes(model(grey(9), conf=0.3)) == [9]


def test_classes_by_single_number_and_empty() -> None:
    assert classes(engine()(grey(5), classes=5)) == [5]
    assert len(engine()(grey(5), classes=[4])[0]) == 0
    assert len(engine()(grey(5), classes=[])[0]) == 0
    assert classes(engine()(grey(5), classes={5, 6}, max_det=np.int64(3))) == [5]
