from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yolean
from fake_engine import classes, engine, grey


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
