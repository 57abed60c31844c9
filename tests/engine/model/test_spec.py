from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from yolean.engine.errors import InputError, ModelError
from yolean.engine.model.spec import read_spec
from yolean.engine.runtime.session import TensorInfo
from yolean.postprocess.types import Float

NAMES = "{0: 'cat', 1: 'dog', 2: 'owl'}"
BASE = {"task": "detect", "names": NAMES, "stride": "32", "imgsz": "[320, 320]", "end2end": "False"}
IMAGE = TensorInfo("images", (1, 3, 320, 320), "tensor(float)")
FREE = TensorInfo("images", ("batch", 3, "height", "width"), "tensor(float)")


def output(*shape: int | str, name: str = "output0") -> TensorInfo:
    return TensorInfo(name, shape, "tensor(float)")


RAW = output(1, 7, 2100)
PROTOTYPES = output(1, 32, 80, 80, name="output1")


def test_static_and_dynamic() -> None:
    static = read_spec(BASE, [IMAGE], [RAW])
    assert (static.imgsz, static.batch, static.dynamic, static.dtype) == ((320, 320), 1, False, "float32")
    assert static.names == {0: "cat", 1: "dog", 2: "owl"}
    half = TensorInfo("images", ("batch", 3, "height", "width"), "tensor(float16)")
    dynamic = read_spec(BASE | {"imgsz": "[320, 640]"}, [half], [output("batch", 7, "anchors")])
    assert (dynamic.imgsz, dynamic.batch, dynamic.dynamic) == ((320, 640), None, True)
    assert (dynamic.dtype, dynamic.stride, dynamic.channels) == ("float16", 32, 3)
    assert dynamic.imgsz.width == 640


def test_without_metadata_task_and_names_can_be_given() -> None:
    spec = read_spec({}, [FREE], [output("batch", 6, "anchors")], task="detect", names=["a", "b"])
    assert (spec.names, spec.imgsz, spec.stride) == ({0: "a", 1: "b"}, (640, 640), 32)
    assert read_spec({}, [IMAGE], [output(1, 6, 2100)], task="detect").names == {0: "class 0", 1: "class 1"}
    spec = read_spec({}, [IMAGE], [output(1, 300, 6)], task="detect", names={0: "a", 1: "b"})
    assert (spec.layout.kind, spec.layout.nc) == ("end2end", 2)
    spec = read_spec({}, [IMAGE], [output(1, 17, 2100)], task="pose", names=["x"], kpt_shape=(6, 2))
    assert spec.layout.extra == 12
    with pytest.raises(ModelError, match="give task= and names="):
        read_spec({}, [IMAGE], [RAW])
    with pytest.raises(InputError, match="expected one of detect"):
        read_spec({}, [IMAGE], [RAW], task="detection")


def test_free_outputs_are_measured_on_a_blank_image_of_the_default_size() -> None:
    seen: list[Any] = []

    def run(tensor: Float) -> list[Float]:
        seen.append((tensor.shape, tensor.dtype))
        return [np.zeros((1, 7, 99), np.float32)]

    spec = read_spec(BASE | {"imgsz": "[64, 96]"}, [FREE], [output("b", "c", "anchors")], run=run)
    assert spec.layout.kind == "raw"
    assert seen == [((1, 3, 64, 96), np.float32)]


def test_further_outputs_are_not_decoded() -> None:
    rest = [output(name="loss"), output(5, name="more")]
    cases: list[tuple[dict[str, str], list[TensorInfo]]] = [
        ({}, [RAW]),
        ({"task": "segment"}, [output(1, 39, 2100), PROTOTYPES]),
        ({"task": "classify"}, [output(1, 3)]),
    ]
    for metadata, outputs in cases:
        spec = read_spec(BASE | metadata, [IMAGE], [*outputs, *rest])
        assert spec.outputs == len(outputs)
        assert spec == read_spec(BASE | metadata, [IMAGE], outputs)


def test_exports_with_nms_have_the_batch_they_were_exported_with() -> None:
    metadata = BASE | {"args": "{'nms': True}", "batch": "2"}
    assert read_spec(metadata, [FREE], [output("batch", 300, 6)]).batch == 2


def test_refusals_in_one_line() -> None:
    def image(*shape: int, dtype: str = "tensor(float)") -> list[TensorInfo]:
        return [TensorInfo("x", shape, dtype)]

    cases: list[tuple[dict[str, str], list[TensorInfo], str]] = [
        # no YOLO model at all
        ({}, image(1, 4), "not a YOLO export"),
        ({}, [IMAGE, IMAGE], "not a YOLO export"),
        ({}, image(1, 3, 8, 8, dtype="tensor(int8)"), "float or float16"),
        ({}, image(1, 3, 0, 0), "no length"),
        ({"channels": "3"}, image(1, 640, 640, 3), "channels"),
        # hostile or broken metadata
        ({"task": "yoga"}, [IMAGE], "names the task 'yoga'"),
        ({"names": "__import__('os').system('echo')"}, [IMAGE], "no Python literal"),
        ({"names": "[" * 5000}, [IMAGE], "no Python literal"),
        ({"names": "{0: 'a'" + " " * 500_001}, [IMAGE], "too long"),
        ({"names": "{0: 'a', 2: 'b'}"}, [IMAGE], "class ids must be 0 to 1 without a gap"),
        ({"names": "7"}, [IMAGE], "names"),
        ({"names": "{(): 1}"}, [IMAGE], "class ids"),
        ({"names": "{" + "1" * 5000 + ": 'x'}"}, [IMAGE], "names"),
        ({"imgsz": "[0, 640]"}, [FREE], "two whole numbers"),
        ({"imgsz": "[1e9, 640]"}, [FREE], "two whole numbers"),
        ({"imgsz": "[0x" + "f" * 9000 + ", 1]"}, [FREE], "two whole numbers"),
        ({"stride": "-1"}, [IMAGE], "stride"),
        ({"stride": "9" * 5000}, [IMAGE], "stride"),
        ({"task": "pose", "kpt_shape": "[51, 1]"}, [IMAGE], "2 or 3"),
    ]
    for metadata, inputs, message in cases:
        with pytest.raises(ModelError, match=message) as caught:
            read_spec(BASE | metadata, inputs, [RAW])
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
