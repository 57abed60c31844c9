from __future__ import annotations

import pytest
from yolean.engine.errors import InputError, ModelError
from yolean.engine.model.spec import read_spec
from yolean.engine.runtime.session import TensorInfo

NAMES = "{0: 'cat', 1: 'dog', 2: 'owl'}"
BASE = {"task": "detect", "names": NAMES, "stride": "32", "imgsz": "[320, 320]", "end2end": "False"}
IMAGE = TensorInfo("images", (1, 3, 320, 320), "tensor(float)")
FREE = TensorInfo("images", ("batch", 3, "height", "width"), "tensor(float)")


def output(*shape, name="output0"):
    return TensorInfo(name, shape, "tensor(float)")


PROTOTYPES = output(1, 32, 80, 80, name="output1")


@pytest.mark.parametrize(
    ("metadata", "outputs", "kind", "nc", "extra"),
    [
        ({}, [output(1, 7, 2100)], "raw", 3, 0),
        ({}, [output("batch", 7, "anchors")], "raw", 3, 0),  # free axes: names are not trusted, numbers are
        ({"end2end": "True"}, [output(1, 300, 6)], "end2end", 3, 0),
        ({"end2end": "True"}, [output("batch", "anchors", 6)], "end2end", 3, 0),  # YOLO26, misnamed axis
        ({"args": "{'nms': True}"}, [output(1, 300, 6)], "nms", 3, 0),  # end2end says False there
        ({"args": "{'nms': None}"}, [output(1, 7, 2100)], "raw", 3, 0),
        ({"task": "segment"}, [output(1, 39, 2100), PROTOTYPES], "raw", 3, 32),
        ({"task": "segment", "args": "{'nms': True}"}, [output(1, 300, 38), PROTOTYPES], "nms", 3, 32),
        ({"task": "obb"}, [output(1, 8, 2100)], "raw", 3, 1),
        ({"task": "obb", "end2end": "True"}, [output(1, 300, 7)], "end2end", 3, 1),
        ({"task": "pose", "kpt_shape": "[17, 3]"}, [output(1, 58, 2100)], "raw", 3, 51),
        ({"task": "pose", "kpt_shape": "[4, 2]"}, [output(1, 15, 2100)], "raw", 3, 8),
        ({"task": "classify", "stride": "1"}, [output(1, 3)], "raw", 3, 0),
    ],
)
def test_layouts_from_metadata(metadata, outputs, kind, nc, extra):
    spec = read_spec(BASE | metadata, [IMAGE], outputs)
    assert (spec.layout.kind, spec.layout.nc, spec.layout.extra) == (kind, nc, extra)
    assert spec.names == {0: "cat", 1: "dog", 2: "owl"}


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((1, 7, 2100), "raw"), ((1, 300, 6), "end2end")],
)
def test_older_files_that_do_not_tell_the_layout_are_told_apart_by_shape(shape, kind):
    metadata = {k: v for k, v in BASE.items() if k != "end2end"}
    assert read_spec(metadata, [IMAGE], [output(*shape)]).layout.kind == kind


def test_a_shape_that_fits_two_layouts_is_refused():
    metadata = {k: v for k, v in BASE.items() if k != "end2end"}
    with pytest.raises(ModelError, match="more than one layout"):
        read_spec(metadata, [IMAGE], [output(1, "rows", "columns")])


def test_static_and_dynamic():
    static = read_spec(BASE, [IMAGE], [output(1, 7, 2100)])
    assert (static.imgsz, static.batch, static.dynamic, static.dtype) == ((320, 320), 1, False, "float32")
    half = TensorInfo("images", ("batch", 3, "height", "width"), "tensor(float16)")
    dynamic = read_spec(BASE | {"imgsz": "[320, 640]"}, [half], [output("batch", 7, "anchors")])
    assert (dynamic.imgsz, dynamic.batch, dynamic.dynamic) == ((320, 640), None, True)
    assert (dynamic.dtype, dynamic.stride, dynamic.channels) == ("float16", 32, 3)


def test_without_metadata_task_and_names_can_be_given():
    spec = read_spec({}, [FREE], [output("batch", 6, "anchors")], task="detect", names=["a", "b"])
    assert (spec.names, spec.imgsz, spec.stride) == ({0: "a", 1: "b"}, (640, 640), 32)
    spec = read_spec({}, [IMAGE], [output(1, 6, 2100)], task="detect")
    assert spec.names == {0: "class 0", 1: "class 1"}
    spec = read_spec({}, [IMAGE], [output(1, 300, 6)], task="detect", names={0: "a", 1: "b"})
    assert (spec.layout.kind, spec.layout.nc) == ("end2end", 2)
    spec = read_spec({}, [IMAGE], [output(1, 56, 2100)], task="pose", names=["person"])
    assert spec.layout.kpt_shape == (17, 3)  # 51 values: a multiple of three and not of two
    spec = read_spec({}, [IMAGE], [output(1, 17, 2100)], task="pose", names=["x"], kpt_shape=(6, 2))
    assert spec.layout.extra == 12


@pytest.mark.parametrize(
    ("metadata", "inputs", "outputs", "message"),
    [
        # channels that contradict the names; both numbers are named
        (
            {},
            [IMAGE],
            [output(1, 84, 8400)],
            r"\[1, 84, 8400\].*\(batch, 7, anchors\) with 4 box \+ 3 classes",
        ),
        ({"end2end": "True"}, [IMAGE], [output(1, 7, 2100)], r"\(batch, rows, 6\)"),
        ({"task": "obb"}, [IMAGE], [output(1, 7, 2100)], "but obb needs"),
        ({"task": "segment"}, [IMAGE], [output(1, 39, 2100)], r"needs 2 output\(s\) of 3 and 4 axes"),
        ({"task": "classify"}, [IMAGE], [output(1, 1000)], r"\(batch, 3\) for 3 classes"),
        ({"task": "detect"}, [IMAGE], [output(1, 3)], "detect needs 1 output.* of 3 axes"),
        ({"task": "pose"}, [IMAGE], [output(1, 13, 2100)], "kpt_shape"),  # 6 values: 2x3 or 3x2
        ({"task": "yoga"}, [IMAGE], [output(1, 7, 2100)], "names the task 'yoga'"),
        # not a YOLO model at all
        ({}, [TensorInfo("x", (1, 4), "tensor(float)")], [output(1, 7, 2100)], "not a YOLO export"),
        ({}, [IMAGE, IMAGE], [output(1, 7, 2100)], "not a YOLO export"),
        ({}, [TensorInfo("x", (1, 3, 8, 8), "tensor(int8)")], [output(1, 7, 2100)], "float or float16"),
        # hostile or broken metadata
        ({"names": "__import__('os').system('echo')"}, [IMAGE], [output(1, 7, 2100)], "no Python literal"),
        ({"names": "[" * 5000}, [IMAGE], [output(1, 7, 2100)], "no Python literal"),
        ({"names": "{0: 'a'" + " " * 500_001}, [IMAGE], [output(1, 7, 2100)], "too long"),
        (
            {"names": "{0: 'a', 2: 'b'}"},
            [IMAGE],
            [output(1, 7, 2100)],
            "class ids must be 0 to 1 without a gap",
        ),
        ({"names": "7"}, [IMAGE], [output(1, 7, 2100)], "names"),
        ({"names": "{(): 1}"}, [IMAGE], [output(1, 7, 2100)], "class ids"),
        ({"imgsz": "[0, 640]"}, [FREE], [output(1, 7, 2100)], "two whole numbers"),
        ({"imgsz": "[1e9, 640]"}, [FREE], [output(1, 7, 2100)], "two whole numbers"),
        ({"stride": "-1"}, [IMAGE], [output(1, 7, 2100)], "stride"),
        ({"names": "{" + "1" * 5000 + ": 'x'}"}, [IMAGE], [output(1, 7, 2100)], "names"),
        ({"imgsz": "[0x" + "f" * 9000 + ", 1]"}, [FREE], [output(1, 7, 2100)], "two whole numbers"),
        (
            {"channels": "3"},
            [TensorInfo("x", (1, 640, 640, 3), "tensor(float)")],
            [output(1, 7, 9)],
            "channels",
        ),
        ({}, [TensorInfo("x", (1, 3, 0, 0), "tensor(float)")], [output(1, 7, 9)], "no length"),
        ({"task": "pose", "kpt_shape": "[51, 1]"}, [IMAGE], [output(1, 58, 2100)], "2 or 3"),
        ({"task": "segment"}, [IMAGE], [output(1, 39, 2100), output(1, 32)], "3 and 4 axes"),
        ({"stride": "9" * 5000}, [IMAGE], [output(1, 7, 2100)], "stride"),
    ],
)
def test_contradictions_are_refused_in_one_line(metadata, inputs, outputs, message):
    with pytest.raises(ModelError, match=message) as caught:
        read_spec(BASE | metadata, inputs, outputs)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("shape", [(1, 300, 6), (1, 2520, 85), (1, 300, 84)])
def test_rows_are_never_taken_for_channels(shape):
    # End-to-end rows, YOLOv5 with anchors, RT-DETR: as raw outputs they would have hundreds of classes.
    with pytest.raises(ModelError, match="give names="):
        read_spec({}, [IMAGE], [output(*shape)], task="detect")


@pytest.mark.parametrize(
    ("metadata", "outputs", "decoded"),
    [
        ({}, [output(1, 7, 2100)], 1),
        ({"task": "segment"}, [output(1, 39, 2100), PROTOTYPES], 2),
        ({"task": "classify"}, [output(1, 3)], 1),
    ],
)
def test_outputs_behind_those_that_are_decoded_are_passed_over(metadata, outputs, decoded):
    spec = read_spec(BASE | metadata, [IMAGE], [*outputs, output(name="loss"), output(5, name="more")])
    assert spec.outputs == decoded
    assert spec == read_spec(BASE | metadata, [IMAGE], outputs)


def test_exports_with_nms_have_the_batch_they_were_exported_with():
    metadata = BASE | {"args": "{'nms': True}", "batch": "2"}
    assert read_spec(metadata, [FREE], [output("batch", 300, 6)]).batch == 2


def test_export_arguments_that_are_no_literals_are_passed_over():
    metadata = BASE | {"args": "{'project': PosixPath('x')}"}
    assert read_spec(metadata, [IMAGE], [output(1, 7, 2100)]).layout.kind == "raw"


def test_without_metadata_the_task_is_asked_for():
    with pytest.raises(ModelError, match="give task= and names="):
        read_spec({}, [IMAGE], [output(1, 7, 2100)])
    with pytest.raises(InputError, match="expected one of detect"):
        read_spec({}, [IMAGE], [output(1, 7, 2100)], task="detection")
