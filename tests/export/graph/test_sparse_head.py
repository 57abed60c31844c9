"""Sparse models answer as lean ones do, through the engine, at any threshold, alone and in batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
import yolean
from heads import build
from tables import slow
from yolean.engine.images.sources import open_source
from yolean.engine.pipeline import Engine
from yolean.export.evaluation.differences import differences
from yolean.export.graph.head import cut
from yolean.export.graph.sparse_graph import make_sparse
from yolean.export.graph.sparse_head import is_cut, sparse_form
from yolean.models import demo_images


@pytest.mark.parametrize("stem", ["shapes-seg", *slow("shapes", "shapes-pose", "shapes-obb")])
def test_demo_models_answer_the_same(
    demo: Callable[[str], tuple[Engine, onnx.ModelProto]], stem: str
) -> None:
    plain, model = demo(stem)
    sparse = sparse_form(model, plain)
    assert sparse is not None
    assert is_cut(sparse)
    engine = yolean.load(sparse.SerializeToString(), device="cpu", threads=1)
    assert engine.spec.layout.head is not None
    assert engine.spec.layout.head.sparse
    images = [str(path) for path in demo_images()[:2]]
    batch = 1 if plain.spec.batch else 2
    for conf in (0.25, 0.01, 1.0):
        wanted = plain(images, conf=conf, iou=1, batch=batch)
        answers = engine(images, conf=conf, iou=1, batch=batch)
        for one, other in zip(wanted, answers, strict=True):
            found = differences(one, other)
            assert not found.missing
            assert not found.extra
            assert (found.box or 0) < 0.01
            assert (found.score or 0) < 1e-5
            assert (found.mask or 0) < 1e-3


def test_outputs_of_a_higher_threshold_are_not_decoded_with_a_lower_one(
    demo: Callable[[str], tuple[Engine, onnx.ModelProto]],
) -> None:
    plain, model = demo("shapes")
    sparse = sparse_form(model, plain)
    assert sparse is not None
    engine = yolean.load(sparse.SerializeToString(), device="cpu", threads=1)
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    (frame,) = open_source(image)
    outputs = engine.infer(engine.prepare([engine.place(frame, engine.size())]), conf=0.99)
    assert engine.result(outputs, 0, engine.options(conf=0.995)) is not None
    with pytest.raises(ValueError, match="higher threshold"):
        engine.result(outputs, 0, engine.options(conf=1e-9))


def test_a_head_whose_branches_have_one_convolution_is_left_alone() -> None:
    plain = build()
    engine = yolean.load(plain.SerializeToString(), device="cpu", threads=1)
    model = cut(plain, engine)
    assert model is not None
    assert sparse_form(model, engine) is None


def test_values_that_differ_are_not_believed(
    demo: Callable[[str], tuple[Engine, onnx.ModelProto]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong rewrite would be found: here one bias is changed on the way."""

    def wrong(model: onnx.ModelProto, head: object) -> int:
        count = make_sparse(model, head)  # type: ignore[arg-type]
        last = next(t for t in model.graph.initializer if t.name == "sparse_dy")
        last.CopyFrom(onnx.numpy_helper.from_array(np.zeros((9, 1), np.int64), "sparse_dy"))
        return count

    monkeypatch.setattr("yolean.export.graph.sparse_head.make_sparse", wrong)
    plain, model = demo("shapes")
    assert sparse_form(model, plain) is None
