"""Which layout follows from metadata and shapes, and that no free axis decides."""

from __future__ import annotations

from typing import Any

import pytest
from yolean.engine.errors import ModelError
from yolean.engine.model.output_layout import Shape, read_layout
from yolean.engine.runtime.session import TensorInfo
from yolean.postprocess.layout import Layout, Task

THREE = {0: "cat", 1: "dog", 2: "owl"}
RAW = {"end2end": "False"}
END2END = {"end2end": "True"}
NMS = {"end2end": "False", "args": "{'nms': True}"}
RTDETR = {"end2end": "False", "head": "RTDETRDecoder", "description": "Ultralytics RTDETR-l model"}
OLD_RTDETR = {"description": "Ultralytics rt-detr-l model"}
EIGHTY = {i: str(i) for i in range(80)}
PROTOTYPES = (1, 32, 80, 80)


def infos(*shapes: Shape) -> list[TensorInfo]:
    return [TensorInfo(f"output{i}", shape, "tensor(float)") for i, shape in enumerate(shapes)]


def layout(
    task: Task,
    metadata: dict[str, str],
    *shapes: Shape,
    names: dict[int, str] | None = None,
    points: tuple[int, int] | None = None,
    measured: tuple[tuple[int, ...], ...] | None = None,
) -> Layout:
    """The layout of outputs of these shapes; `measured` are those that a run gives."""
    measure = None if measured is None else lambda: measured
    return read_layout(task, THREE if names is None else names, points, metadata, infos(*shapes), measure)


def test_layouts_from_metadata_and_shapes() -> None:
    cases: list[tuple[Layout, tuple[str, int, int]]] = [
        (layout("detect", RAW, (1, 7, 2100)), ("raw", 3, 0)),
        (layout("detect", RAW, ("batch", 7, "anchors")), ("raw", 3, 0)),
        (layout("detect", RAW | {"args": "{'nms': None}"}, (1, 7, 2100)), ("raw", 3, 0)),
        (layout("detect", RAW | {"args": "{'project': PosixPath('x')}"}, (1, 7, 21)), ("raw", 3, 0)),
        (layout("detect", END2END, (1, 300, 6)), ("end2end", 3, 0)),
        (
            layout("detect", END2END, ("batch", "anchors", 6)),
            ("end2end", 3, 0),
        ),  # names of axes do not count
        (layout("detect", NMS, (1, 300, 6)), ("nms", 3, 0)),
        (layout("detect", RTDETR, (1, 300, 6)), ("rtdetr", 3, 0)),
        (layout("detect", RTDETR, ("batch", "rows", 6), names=EIGHTY), ("rtdetr", 80, 0)),
        (layout("segment", RAW, (1, 39, 2100), PROTOTYPES), ("raw", 3, 32)),
        (layout("segment", NMS, (1, 300, 38), PROTOTYPES), ("nms", 3, 32)),
        (layout("obb", RAW, (1, 8, 2100)), ("raw", 3, 1)),
        (layout("obb", END2END, (1, 300, 7)), ("end2end", 3, 1)),
        (layout("pose", RAW, (1, 58, 2100), points=(17, 3)), ("raw", 3, 51)),
        (layout("pose", RAW, (1, 15, 2100), points=(4, 2)), ("raw", 3, 8)),
        (layout("pose", {}, (1, 56, 2100), names={0: "x"}), ("raw", 1, 51)),  # a multiple of 3 and not of 2
        (layout("classify", {}, (1, 3)), ("raw", 3, 0)),
        # Older files, and those of others, have no metadata about it.
        (layout("detect", {}, (1, 7, 2100)), ("raw", 3, 0)),
        (layout("detect", {}, (1, 300, 6)), ("end2end", 3, 0)),
        (layout("detect", {}, (1, 6, 2100), names={}), ("raw", 2, 0)),
        (layout("classify", {}, (1, 10), names={}), ("raw", 10, 0)),
    ]
    for found, expected in cases:
        assert (found.kind, found.nc, found.extra) == expected
    assert layout("pose", {}, (1, 56, 2100), names={0: "x"}).kpt_shape == (17, 3)


def test_axes_of_free_length_are_measured() -> None:
    free: Shape = ("batch", "Concatoutput0_dim_1", "anchors")
    raw, rows = (1, 84, 2100), (1, 300, 6)
    assert layout("detect", RAW, free, names=EIGHTY, measured=(raw,)).nc == 80
    assert layout("detect", RAW, free, names={}, measured=(raw,)).nc == 80
    assert layout("detect", {}, free, names=EIGHTY, measured=(rows,)).kind == "end2end"
    assert layout("segment", RAW, free, ("b", "c", "h", "w"), measured=((1, 39, 99), PROTOTYPES)).extra == 32
    assert layout("pose", RAW, free, names={0: "x"}, measured=((1, 56, 99),)).kpt_shape == (17, 3)
    assert layout("classify", {}, ("batch", "classes"), names=EIGHTY, measured=((1, 80),)).nc == 80
    for count in (2, 79, 81):
        names = {i: str(i) for i in range(count)}
        with pytest.raises(ModelError, match=r"\[1, 84, 2100\], but detect needs"):
            layout("detect", RAW, free, names=names, measured=(raw,))
        with pytest.raises(ModelError, match="contradict each other"):
            layout("classify", {}, ("batch", "classes"), names=names, measured=((1, 80),))


def test_axes_of_known_length_are_not_measured() -> None:
    def measure() -> Any:
        raise AssertionError("the model need not run")

    outputs = infos(("batch", 7, "anchors"))
    assert read_layout("detect", THREE, None, RAW, outputs, measure).kind == "raw"


def test_an_rtdetr_is_never_taken_for_a_detector() -> None:
    """Its metadata says end2end=False, and its rows are a free axis, like the anchors of a detector."""
    unnamed = {"end2end": "False"}
    for shape in (("batch", "rows", 6), (1, 300, 6)):
        with pytest.raises(ModelError, match="contradict each other"):
            layout("detect", unnamed, shape, names=EIGHTY, measured=((1, 300, 6),))
    for metadata in (RTDETR, OLD_RTDETR):
        with pytest.raises(ModelError, match=r"RT-DETR export has the output \[1, 300, 84\]"):
            layout("detect", metadata, (1, 300, 84), names=EIGHTY)
    assert layout("detect", OLD_RTDETR, (1, 300, 6), names=EIGHTY).kind == "rtdetr"


def test_rows_are_never_taken_for_channels() -> None:
    """End-to-end rows, YOLOv5 with anchors, RT-DETR: as raw outputs they would have hundreds of classes."""
    for shape in ((1, 300, 6), (1, 2520, 85), (1, 300, 84), (1, 8400, 84)):
        with pytest.raises(ModelError, match="give names="):
            layout("detect", {}, shape, names={})


def test_contradictions_are_refused_in_one_line() -> None:
    cases: list[tuple[Task, dict[str, str], list[Shape], str]] = [
        ("detect", RAW, [(1, 84, 8400)], r"\[1, 84, 8400\].*\(batch, 7, anchors\) with 4 box \+ 3 classes"),
        ("detect", RAW, [(1, 2100, 7)], "contradict"),  # transposed
        ("detect", END2END, [(1, 7, 2100)], r"\(batch, rows, 6\)"),
        ("detect", RAW, [(1, "rows", "columns")], "contradict"),  # and cannot be measured
        ("detect", {}, [(1, 6, 6)], "more than one layout"),
        ("obb", RAW, [(1, 7, 2100)], "but obb needs"),
        ("obb", RTDETR, [(1, 300, 6)], "RT-DETR"),
        ("segment", RAW, [(1, 39, 2100)], r"needs 2 output\(s\) of 3 and 4 axes"),
        ("segment", RAW, [(1, 39, 2100), (1, 32)], "3 and 4 axes"),
        ("segment", RAW, [(1, 39, 2100), (1, 31, 80, 80)], "contradict"),
        ("classify", {}, [(1, 1000)], r"\(batch, 3\) for 3 classes"),
        ("detect", RAW, [(1, 3)], "detect needs 1 output.* of 3 axes"),
        ("pose", RAW, [(1, 13, 2100)], "kpt_shape"),  # 6 values: 2x3 or 3x2
    ]
    for task, metadata, shapes, message in cases:
        names = {0: "a", 1: "b"} if message.startswith("more") else THREE
        with pytest.raises(ModelError, match=message) as caught:
            layout(task, metadata, *shapes, names=names)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
