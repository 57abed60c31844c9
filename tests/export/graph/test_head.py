"""Heads are found by what they compute: in the demo models, and in graphs built by hand."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import yolean
from heads import HEIGHT, WIDTH, build
from tables import for_each, slow
from yolean.engine.errors import ModelError
from yolean.export.evaluation.differences import Differences, differences
from yolean.export.graph.head import cut, last_convolutions
from yolean.export.graph.onnx_graph import Graph, read_model
from yolean.models import demo_images
from yolean.postprocess.layout import Head

PLAIN = Path(__file__).parents[2] / "golden" / "plain"

KINDS: dict[str, dict[str, Any]] = {
    "detect": {},
    "one class": {"nc": 1},
    "as many classes as bins": {"nc": 64},
    "four classes, no bins": {"nc": 4, "reg_max": 1},
    "segment": {"task": "segment", "extra": 8},
    "as many masks as classes": {"task": "segment", "extra": 8, "nc": 8},
    "all branches alike": {"task": "segment", "extra": 16, "nc": 16, "reg_max": 4},
    "pose": {"task": "pose", "extra": 15, "kpt_shape": (5, 3)},
    "pose without visibility": {"task": "pose", "extra": 10, "kpt_shape": (5, 2), "nc": 1},
    "pose of YOLO26": {"task": "pose", "extra": 15, "kpt_shape": (5, 3), "kind": "26", "reg_max": 1},
    "as many keypoints as classes": {"task": "pose", "extra": 6, "kpt_shape": (2, 3), "nc": 6},
    "obb": {"task": "obb", "extra": 1},
    "obb of one class": {"task": "obb", "extra": 1, "nc": 1},
    "obb of YOLO26": {"task": "obb", "extra": 1, "kind": "26", "reg_max": 1},
    "two scales": {"strides": (16, 32)},
    "four scales": {"strides": (4, 8, 16, 32)},
    "end-to-end": {"limit": 20, "reg_max": 1},
    "end-to-end, best class only": {"limit": 20, "agnostic_nms": True},
    "end-to-end segment": {"limit": 20, "task": "segment", "extra": 8},
    "end-to-end pose": {"limit": 20, "task": "pose", "extra": 15, "kpt_shape": (5, 3), "kind": "26"},
    "end-to-end obb": {"limit": 20, "task": "obb", "extra": 1, "kind": "26", "reg_max": 1},
}


@cache
def images() -> Any:
    """Two of the drawn images, and noise of odd sizes."""
    rng = np.random.default_rng(3)
    noise = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((50, 70), (333, 111))]
    return [cv2.imread(str(path)) for path in demo_images()[:2]] + noise


def largest(plain: Any, lean: Any, conf: Any = 0.1) -> Any:
    """The largest differences, with NMS off.

    It is the same code for both, and of two overlapping boxes whose scores are equal but for the last bit, it
    may keep the one here and the other there.
    """
    found, options = Differences(), {"conf": conf, "iou": 1.0, "max_det": 30_000}
    for image in images():
        found = found.merge(differences(plain(image, **options)[0], lean(image, **options)[0]))
    return found


def same(found: Any) -> Any:
    return (
        found.matched > 0
        and not found.missing
        and not found.extra
        and found.box <= 0.05
        and found.score <= 1e-5
        and (found.keypoints or 0) <= 0.05
        and (found.mask or 0) <= 0.01
    )


OFTEN = ("detect", "segment", "pose of YOLO26", "obb", "end-to-end")


@pytest.mark.parametrize("kind", [*OFTEN, *slow(*(kind for kind in KINDS if kind not in OFTEN))])
def test_heads_of_every_kind_are_found_and_decoded(kind: str) -> None:
    settings = KINDS[kind]
    model = build(**settings)
    plain = yolean.load(model.SerializeToString())
    made = cut(model, plain)
    assert made is not None
    lean = yolean.load(made.SerializeToString())
    expected = {"strides": (8, 16, 32), "reg_max": 16, "kind": "v8", "limit": None, "agnostic_nms": False}
    wanted = Head(**{key: settings.get(key, value) for key, value in expected.items()})
    assert lean.spec.layout.head == wanted
    assert same(largest(plain, lean, conf=0.6))


@for_each("score_scale", [1e-4, 0])
def test_an_end_to_end_head_is_found_although_all_scores_are_nearly_equal(score_scale: float) -> None:
    model = build(limit=20, score_scale=score_scale)
    made = cut(model, yolean.load(model.SerializeToString()))
    assert made is not None
    assert yolean.load(made.SerializeToString()).spec.layout.head == Head((8, 16, 32), 16, "v8", 20, False)


@for_each("settings", [{}, {"limit": 20}, {"task": "obb", "extra": 1}])
def test_a_head_that_computes_something_else_is_not_recognised(settings: Any) -> None:
    model = build(**settings, spoil=True)
    assert cut(model, yolean.load(model.SerializeToString())) is None


@pytest.mark.parametrize("stem", ["shapes-pose", *slow("shapes", "shapes-seg", "shapes-obb")])
def test_demo_models(stem: str, demo: Any) -> None:
    plain, made = demo(stem)
    lean = yolean.load(made.SerializeToString())
    assert (lean.spec.dynamic, lean.spec.batch, lean.names) == (True, None, plain.names)
    assert lean.spec.imgsz == plain.spec.imgsz
    assert same(largest(plain, lean))


def test_batches_are_answered_as_single_images(demo: Any) -> None:
    lean = yolean.load(demo("shapes-seg")[1].SerializeToString())
    image = demo_images()[0]
    alone, together = lean(image)[0], lean([image] * 3, batch=3)
    assert alone.boxes is not None
    assert alone.masks is not None
    for one in together:
        assert one.boxes is not None
        assert one.masks is not None
        assert one.boxes.cls.tolist() == alone.boxes.cls.tolist()
        np.testing.assert_allclose(one.boxes.xyxy, alone.boxes.xyxy, atol=0.01)
        assert (one.masks.data == alone.masks.data).mean() > 0.999


@pytest.mark.slow
def test_names_tell_nothing() -> None:
    path = PLAIN / "shapes-seg.onnx"
    model = read_model(path)
    graph = Graph(model)
    kept = {*graph.outputs, model.graph.input[0].name}
    names = {name for node in graph.nodes for name in (*node.input, *node.output) if name}
    numbers = {name: f"n{number}" for number, name in enumerate(sorted(names - kept))}
    for node in graph.nodes:
        node.name = ""
        for field in (node.input, node.output):
            field[:] = [numbers.get(name, name) for name in field]
    for weight in graph.weights.values():
        weight.name = numbers[weight.name]
    plain = yolean.load(path)
    made = cut(model, plain)
    assert made is not None
    assert same(largest(plain, yolean.load(made.SerializeToString())))


def test_the_way_through_shape_is_not_taken() -> None:
    ends = last_convolutions(Graph(read_model(PLAIN / "shapes.onnx")))
    assert len(ends) == 6  # a dynamic graph also asks three feature maps for their sizes


def test_the_source_is_left_as_it_was() -> None:
    model = build()
    before = model.SerializeToString()
    cut(model, yolean.load(before))
    assert model.SerializeToString() == before


def test_weights_that_lie_outside_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    onnx.save(build(), path, save_as_external_data=True, size_threshold=0)
    with pytest.raises(ModelError, match="external data"):
        read_model(path)


def test_shape_of_the_built_models() -> None:
    plain = yolean.load(build().SerializeToString())
    assert plain.spec.imgsz == (HEIGHT, WIDTH)
    assert len(plain(images()[0], conf=0.3)[0]) > 0
