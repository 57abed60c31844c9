from __future__ import annotations

from typing import Any

import pytest
from yolean.engine.errors import ModelError
from yolean.engine.model.lean_metadata import KEY, entry, read_entry, read_head
from yolean.engine.model.spec import read_spec
from yolean.engine.runtime.session import TensorInfo
from yolean.postprocess.layout import Head

HEADS = [
    Head((8, 16, 32)),
    Head((8, 16, 32), reg_max=1, kind="26"),
    Head((8, 16, 32, 64), limit=300),
    Head((4, 8, 16, 32), reg_max=8, limit=20, agnostic_nms=True),
]
IMAGE = TensorInfo("images", ("batch", 3, "height", "width"), "tensor(float)")
NAMES = "{0: 'cat', 1: 'dog', 2: 'owl'}"
BASE = {"task": "detect", "names": NAMES, "stride": "32", "imgsz": "[320, 320]"}


def outputs(*channels: Any) -> Any:
    return [TensorInfo(f"o{i}", ("batch", c, "h", "w"), "tensor(float)") for i, c in enumerate(channels)]


def test_what_is_written_is_read() -> None:
    for head in HEADS:
        metadata = {KEY: entry(head, "int8")}
        assert read_head(metadata) == head
        assert read_entry(metadata)["precision"] == "int8"


def test_files_of_ultralytics_have_no_head() -> None:
    assert read_head({}) is None
    assert read_head({KEY: entry(None, "fp16")}) is None  # quantised, in Ultralytics' own layout


def test_entries_that_contradict_themselves_are_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"version": 3}, "newer yolean"),
        ({"version": "1"}, "has not written"),
        ({"strides": []}, "no head that yolean knows"),
        ({"strides": [8, 0]}, "no head that yolean knows"),
        ({"strides": [8, True]}, "no head that yolean knows"),
        ({"reg_max": "16"}, "no head that yolean knows"),
        ({"reg_max": 10**9}, "no head that yolean knows"),
        ({"head": "27"}, "no head that yolean knows"),
        ({"limit": -1}, "no head that yolean knows"),
        ({"agnostic": None}, "no head that yolean knows"),
    ]
    for change, message in cases:
        value = {
            "version": 1, "precision": "fp32", "strides": [8], "reg_max": 16, "head": "v8", "limit": None,
            "agnostic": False,
        } | change  # fmt: skip
        with pytest.raises(ModelError, match=message):
            read_head({KEY: str(value)})


def test_entries_of_others_are_refused() -> None:
    for text in ["[1]", "lean", "{'version': __import__('os')}"]:
        with pytest.raises(ModelError):
            read_head({KEY: text})


def test_layouts() -> None:
    cases: list[tuple[Any, ...]] = [
        ({}, [64, 64, 3, 3], 3, 0),
        ({"names": None}, [64, 64, 80, 80], 80, 0),  # no names: as many as the classes have channels
        ({"task": "segment"}, [64, 64, 3, 3, 32, 32, 32], 3, 32),
        ({"task": "pose", "kpt_shape": "[5, 2]"}, [64, 64, 3, 3, 10, 10], 3, 10),
        ({"task": "obb"}, [64, 64, 3, 3, 1, 1], 3, 1),
    ]
    for metadata, channels, nc, extra in cases:
        given = {key: value for key, value in (BASE | metadata).items() if value is not None}
        found = read_spec(given | {KEY: entry(Head((8, 16)), "fp32")}, [IMAGE], outputs(*channels))
        layout = found.layout
        assert (layout.kind, layout.nc, layout.extra, layout.head) == ("lean", nc, extra, Head((8, 16)))
        assert found.dynamic
        assert found.batch is None


def test_graphs_that_contradict_their_head_are_refused() -> None:
    for metadata, channels, message in [
        ({}, [64, 64, 3], "has 4 outputs, found"),  # one is missing
        ({}, [64, 64, 3, 4], "contradict"),  # another number of classes at the second scale
        ({}, [64, 64, 80, 80], "contradict"),  # more classes than names
        ({}, [32, 64, 3, 3], "contradict"),  # other bins than reg_max
        ({"task": "segment"}, [64, 64, 3, 3, 32, 32], "7 outputs"),  # no prototypes
        ({"task": "segment"}, [64, 64, 3, 3, 32, 32, 16], "contradict"),  # fewer prototypes than coefficients
        ({"task": "pose", "kpt_shape": "[5, 3]"}, [64, 64, 3, 3, 10, 10], "contradict"),
        ({"task": "pose"}, [64, 64, 3, 3, 10, 10], "contradict"),  # keypoints that nobody described
        ({"task": "obb"}, [64, 64, 3, 3, 2, 2], "contradict"),
    ]:
        with pytest.raises(ModelError, match=message):
            read_spec(BASE | metadata | {KEY: entry(Head((8, 16)), "fp32")}, [IMAGE], outputs(*channels))
