"""Which networks are exported, and how Ultralytics' errors are worded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from export_runs import request
from tables import for_each
from yolean.engine.errors import YoleanError
from yolean.export.weights import pytorch


def network(head: str, task: str = "detect", channels: int = 3, **attributes: Any) -> Any:
    last = type(head, (), attributes)()
    parts = {"model": [None, last], "yaml": {"channels": channels}, "pe": attributes.get("pe")}
    return SimpleNamespace(task=task, model=SimpleNamespace(**parts))


@for_each("head", pytorch.RUNNABLE_HEADS)
def test_known_heads_are_taken(head: str) -> None:
    pytorch.check_network(network(head, pe="features"), request())
    pytorch.check_network(network(head, channels=4, one2one_cv2=[], lrpc=[]), request(end2end=True))


@for_each(
    "yolo, options, message",
    [
        (
            network("YOLOESegment", "segment"),
            {},
            "best.pt is a YOLOE without classes: fix them with set_classes",
        ),
        (
            network("MyDetect"),
            {},
            "with the head MyDetect: yolean runs YOLOv5u, v8, v9, .* YOLOE and RT-DETR for",
        ),
        (network("Detect"), {"end2end": True}, "--end2end: best.pt has no end-to-end head"),
        (network("Detect", one2one_cv2=None), {"end2end": True}, "leave --end2end out"),
    ],
)
def test_unknown_networks_are_refused(yolo: Any, options: Any, message: str) -> None:
    with pytest.raises(YoleanError, match=message):
        pytorch.check_network(yolo, request(**options))


def test_advice_is_left_out() -> None:
    assert (
        pytorch.first_sentence("the file is cut (zip: no end. Really). Get another.\nOr not")
        == "the file is cut (zip: no end)"
    )
    assert pytorch.first_sentence("v8.4 is needed\nUpdate") == "v8.4 is needed"


@for_each(
    "text, told",
    [
        ("ERROR ❌️ /tmp/weights.pt is no checkpoint.\nLoad", "/tmp/weights.pt is no checkpoint.\nLoad"),
        ("ERROR: a b", "ERROR: a b"),
        ("plain words", "plain words"),
        ("", "ValueError"),
    ],
)
def test_ornaments_are_left_out(text: str, told: Any) -> None:
    assert pytorch.message_of(ValueError(text)) == told
