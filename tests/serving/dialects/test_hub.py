"""Answers: the exact format of both forms for all five tasks, with the numbers that `Results` have."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import yolean
from yolean.engine.images.frames import Frame
from yolean.engine.results.results import Results
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.postprocess.detections import Detections
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.masks import InstanceMasks
from yolean.postprocess.types import Size
from yolean.serving.dialects.arguments import Arguments
from yolean.serving.dialects.hub import answer, encode, first_items, second_items
from yolean.serving.model_registry import LoadedModel

IMAGES = {image.stem: image for image in demo_images()}


@pytest.fixture(scope="module")
def engines():
    return {task: yolean.load(demo_model(task), "cpu", threads=1) for task in DEMO_MODELS}


def arguments(form="first", conf=0.25, size=None):
    return Arguments(form, None, "url", size, "size", conf, 0.45, None)


def ask(engines, task, form, image="shapes", conf=0.25, size=None):
    """The answer as a client reads it, and the results that it was made of."""
    engine = engines[task]
    (results,) = engine(str(IMAGES[image]), conf=conf, imgsz=size)
    served = LoadedModel(DEMO_MODELS[task], demo_model(task), "0", {1: engine})
    body = answer(results, arguments(form, conf, size), served)
    return read(body), results


def read(body):
    """JSON, strictly: every number is finite, no name comes twice."""

    def unique(pairs):
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def never(text):
        raise AssertionError(text)

    return json.loads(body.decode(), parse_constant=never, object_pairs_hook=unique)


def numbers(value):
    """Every number in an answer."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else []


def heads(items):
    return [(item["class"], item["name"], item["confidence"]) for item in items]


def heads_of(results):
    objects = results.obb if results.boxes is None else results.boxes
    return [
        (int(cls), results.names[int(cls)], pytest.approx(float(conf), abs=1e-5))
        for cls, conf in zip(objects.cls, objects.conf, strict=True)
    ]


# ---- the first form ---------------------------------------------------------------------------------------

FIRST = {
    "detect": {"width", "height", "xcenter", "ycenter"},
    "segment": {"segment"},
    "pose": {"keypoints"},
    "obb": {"obb"},
    "classify": set(),
}


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_first_form_has_the_fields_of_the_contract_and_no_others(engines, task):
    found, results = ask(engines, task, "first", "star" if task == "classify" else "shapes")
    assert list(found) == ["success", "message", "data"]
    assert (found["success"], found["message"]) == (True, "Inference complete.")
    assert found["data"]
    for item in found["data"]:
        assert item.keys() == {"class", "name", "confidence"} | FIRST[task]
        assert type(item["class"]) is int
        assert item["name"] == results.names[item["class"]]
        assert type(item["confidence"]) is float
        assert 0 <= item["confidence"] <= 1


@pytest.mark.parametrize("image", IMAGES)
def test_first_form_of_detect(engines, image):
    found, results = ask(engines, "detect", "first", image)
    assert heads(found["data"]) == heads_of(results)
    boxes = [[item[name] for name in ("xcenter", "ycenter", "width", "height")] for item in found["data"]]
    np.testing.assert_allclose(boxes, results.boxes.xywhn, atol=1e-6)
    height, width = results.orig_shape  # and by the definition
    x1, y1, x2, y2 = results.boxes.xyxy[0]
    assert boxes[0] == pytest.approx(
        [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height], abs=1e-6
    )


@pytest.mark.parametrize("image", ["shapes", "tall"])
def test_first_form_of_segment(engines, image):
    found, results = ask(engines, "segment", "first", image)
    assert heads(found["data"]) == heads_of(results)
    height, width = results.orig_shape
    for item, outline in zip(found["data"], results.masks.xy, strict=True):
        assert len(item["segment"]) == 2 * len(outline) >= 6
        points = np.array(item["segment"]).reshape(-1, 2)  # x y x y ...
        np.testing.assert_allclose(points, outline / (width, height), atol=1e-6)


@pytest.mark.parametrize("image", ["shapes", "wide"])
def test_first_form_of_pose(engines, image):
    found, results = ask(engines, "pose", "first", image)
    assert heads(found["data"]) == heads_of(results)
    height, width = results.orig_shape
    for item, points in zip(found["data"], results.keypoints.data, strict=True):
        assert len(item["keypoints"]) == 3 * 5
        triples = np.array(item["keypoints"]).reshape(-1, 3)  # x y visibility, K times
        np.testing.assert_allclose(triples, points / (width, height, 1), atol=1e-6)


@pytest.mark.parametrize("image", ["shapes", "tall"])
def test_first_form_of_obb(engines, image):
    found, results = ask(engines, "obb", "first", image)
    assert heads(found["data"]) == heads_of(results)
    height, width = results.orig_shape
    for item, corners in zip(found["data"], results.obb.xyxyxyxy, strict=True):
        assert len(item["obb"]) == 8
        np.testing.assert_allclose(np.array(item["obb"]).reshape(4, 2), corners / (width, height), atol=1e-6)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("task", ["detect", "segment", "pose"])
def test_first_form_is_normalised(engines, task, image):
    found, _ = ask(engines, task, "first", image, conf=0.05)
    assert all(0 <= number <= 1 for item in found["data"] for number in numbers(item | {"class": 0}))


# ---- the second form --------------------------------------------------------------------------------------

SECOND = {
    "detect": {"box"},
    "segment": {"box", "segments"},
    "pose": {"box", "keypoints"},
    "obb": {"box"},
    "classify": set(),
}


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_second_form_has_the_fields_of_the_contract_and_no_others(engines, task):
    found, results = ask(engines, task, "second", "star" if task == "classify" else "shapes")
    assert list(found) == ["images", "metadata"]
    (image,) = found["images"]
    assert list(image) == ["results", "shape", "speed"]
    assert image["shape"] == list(results.orig_shape)
    assert list(image["speed"]) == ["preprocess", "inference", "postprocess"]
    assert all(0 <= value < 60_000 for value in image["speed"].values())
    assert image["speed"]["inference"] == pytest.approx(results.speed["inference"], abs=1e-3)
    assert image["results"]
    for item in image["results"]:
        assert item.keys() == {"class", "name", "confidence"} | SECOND[task]
        corners = "x1 y1 x2 y2 x3 y3 x4 y4" if task == "obb" else "x1 y1 x2 y2"
        assert task == "classify" or list(item["box"]) == corners.split()


@pytest.mark.parametrize("task", DEMO_MODELS)
@pytest.mark.parametrize("size", [None, 200])
def test_metadata_tells_what_was_in_effect(engines, task, size):
    found, _ = ask(engines, task, "second", "star", conf=0.3, size=size)
    own = 128 if task == "classify" else 320
    rounded = 200 if task == "classify" else 224  # to the stride
    assert found["metadata"] == {
        "model": DEMO_MODELS[task],
        "task": task,
        "imgsz": [own, own] if size is None else [rounded, rounded],
        "conf": 0.3,
        "iou": 0.45,
        "provider": "CPUExecutionProvider",
        "version": yolean.__version__,
    }


@pytest.mark.parametrize("image", ["shapes", "tall"])
@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_second_form_is_in_pixels(engines, task, image):
    found, results = ask(engines, task, "second", image)
    items = found["images"][0]["results"]
    assert heads(items) == heads_of(results)
    boxes = np.array([list(item["box"].values()) for item in items])
    expected = results.obb.xyxyxyxy.reshape(-1, 8) if task == "obb" else results.boxes.xyxy
    np.testing.assert_allclose(boxes, expected, atol=1e-4)
    for row, item in enumerate(items):
        if task == "segment":
            assert list(item["segments"]) == ["x", "y"]
            np.testing.assert_allclose(
                np.transpose(list(item["segments"].values())), results.masks.xy[row], atol=1e-4
            )
        if task == "pose":
            assert list(item["keypoints"]) == ["x", "y", "visible"]
            np.testing.assert_allclose(
                np.transpose(list(item["keypoints"].values())), results.keypoints.data[row], atol=1e-4
            )


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_both_forms_tell_the_same(engines, task):
    first, results = ask(engines, task, "first")
    second, _ = ask(engines, task, "second")
    height, width = results.orig_shape
    for one, other in zip(first["data"], second["images"][0]["results"], strict=True):
        assert heads([one]) == heads([other])
        if task == "detect":
            box = other["box"]
            assert one["xcenter"] * width == pytest.approx((box["x1"] + box["x2"]) / 2, abs=1e-2)
            assert one["height"] * height == pytest.approx(box["y2"] - box["y1"], abs=1e-2)
        elif task == "obb":
            assert np.array(one["obb"]) * ([width, height] * 4) == pytest.approx(
                list(other["box"].values()), abs=1e-2
            )


# ---- classification ---------------------------------------------------------------------------------------


def made(task="detect", shape=(100, 200), boxes=(), scores=(), classes=(), names=None, **parts):
    """Results with these objects."""
    width = 5 if task == "obb" else 4
    found = Detections(
        np.array(boxes, np.float32).reshape(-1, width),
        np.array(scores, np.float32),
        np.array(classes, np.int64),
        **parts,
    )
    speed = {"decode": 1.0, "preprocess": 2.0, "inference": 3.0, "postprocess": 4.0}
    frame = Frame(np.zeros((*shape, 3), np.uint8), "image", 0, None, 1.0)
    return Results(frame, names or {i: f"n{i}" for i in range(9)}, task, found, speed, shape)


def served(imgsz=(64, 96)):
    engine = SimpleNamespace(size=lambda size=None: imgsz, session=SimpleNamespace(provider="FakeProvider"))
    return LoadedModel("fake", demo_model(), "0", {1: engine})


@pytest.mark.parametrize(
    ("probs", "conf", "classes"),
    [
        ([0.1, 0.6, 0.3], 0.25, [1, 2]),  # best first
        ([0.25, 0.5, 0.25], 0.25, [1, 0, 2]),  # at the threshold is in, and equals keep their order
        ([0.3, 0.7], 0.3, [1, 0]),  # also where float32 rounds 0.3
        ([0.3, 0.7], 0.7, [1]),
        ([0.2, 0.8], 0.80001, []),  # none reaches it
        ([0.1, 0.9], 0.01, [1, 0]),  # fewer than five classes
        ([0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.1], 0.01, [5, 4, 3, 2, 1]),  # at most five
        ([1.0], 1.0, [0]),  # the end of the range
    ],
)
def test_a_classification_lists_the_classes_from_the_threshold_on(probs, conf, classes):
    results = made("classify", probs=np.array(probs, np.float32))
    first = read(answer(results, arguments("first", conf), served()))["data"]
    second = read(answer(results, arguments("second", conf), served()))["images"][0]["results"]
    assert first == second
    assert [item["class"] for item in first] == classes
    assert [item["confidence"] for item in first] == [pytest.approx(probs[i], abs=1e-5) for i in classes]


def test_a_classification_of_the_demo_model(engines):
    found, results = ask(engines, "classify", "first", "wide", conf=0.1)
    best = [
        (i, results.names[i], pytest.approx(float(results.probs.data[i]), abs=1e-5))
        for i in results.probs.top5
    ]
    assert heads(found["data"]) == [head for head in best if results.probs.data[head[0]] >= 0.1]
    assert len(found["data"]) == 3


# ---- edges ------------------------------------------------------------------------------------------------


def test_keypoints_without_visibility_are_visible_in_the_first_form_and_say_nothing_in_the_second():
    points = np.array([[[20, 50], [200, 100], [0, 0]]], np.float32)
    results = made("pose", boxes=[[0, 0, 200, 100]], scores=[0.5], classes=[0], keypoints=points)
    (first,) = first_items(results, 0.25)
    assert first["keypoints"] == pytest.approx([0.1, 0.5, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0])
    (second,) = second_items(results, 0.25)
    assert second["keypoints"] == {"x": [20, 200, 0], "y": [50, 100, 0]}


NOTHING = {
    "detect": {},
    "segment": {
        "masks": InstanceMasks(
            (), np.zeros((0, 2), np.intp), Geometry.letterbox(Size(100, 200), Size(64, 64))
        )
    },
    "pose": {"keypoints": np.zeros((0, 5, 3), np.float32)},
    "pose without visibility": {"keypoints": np.zeros((0, 5, 2), np.float32)},
    "obb": {},
}


@pytest.mark.parametrize("kind", NOTHING)
def test_nothing_found_is_an_empty_list(kind):
    results = made(kind.split()[0], **NOTHING[kind])
    assert read(answer(results, arguments("first"), served()))["data"] == []
    assert read(answer(results, arguments("second"), served()))["images"][0]["results"] == []


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_the_demo_models_find_nothing_above_every_score(engines, task):
    found, _ = ask(engines, task, "first", conf=1.0)
    assert found["data"] == []


def test_a_mask_of_one_pixel_has_an_outline_of_one_point():
    geometry = Geometry.letterbox(Size(64, 64), Size(64, 64))
    masks = InstanceMasks((np.ones((1, 1), np.uint8),), np.array([[8, 16]]), geometry)
    results = made("segment", (64, 64), [[8, 16, 9, 17]], [0.5], [0], masks=masks)
    assert first_items(results, 0.25)[0]["segment"] == pytest.approx([8 / 64, 16 / 64], abs=1 / 64)
    assert len(second_items(results, 0.25)[0]["segments"]["x"]) == 1


def test_a_class_beyond_the_names_has_a_name_too():
    results = made(boxes=[[0, 0, 10, 10]], scores=[0.5], classes=[80])
    for (item,) in (first_items(results, 0.25), second_items(results, 0.25)):
        assert (item["class"], item["name"]) == (80, "class 80")


def test_names_in_any_script_come_through():
    results = made(
        boxes=[[0, 0, 10, 10]], scores=[0.5], classes=[0], names={0: 'a "b" \\ \n 日本 😀 </script>'}
    )
    for form in ("first", "second"):
        found = read(answer(results, arguments(form), served()))
        items = found["data"] if form == "first" else found["images"][0]["results"]
        assert items[0]["name"] == results.names[0]


def test_corners_of_a_rotated_box_may_lie_outside():
    results = made("obb", (100, 100), [[0, 50, 100, 20, math.pi / 4]], [0.5], [0])
    (item,) = first_items(results, 0.25)
    assert min(item["obb"][::2]) < 0
    assert item["obb"] == pytest.approx((results.obb.xyxyxyxy / 100).ravel().tolist(), abs=1e-6)


def test_the_time_of_the_answer_is_that_of_the_results():
    found = read(answer(made(), arguments("second"), served()))
    assert found["images"][0]["speed"] == {"preprocess": 2.0, "inference": 3.0, "postprocess": 4.0}
    assert found["metadata"]["imgsz"] == [64, 96]  # of a static export


def test_encoding_is_compact_utf8():
    assert encode({"a": ["ü", 0.1, None, True]}) == '{"a":["ü",0.1,null,true]}'.encode()
