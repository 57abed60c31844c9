"""Branches gathered at few anchors give what the convolutions give, and the graph chooses by their number."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import yolean
from heads import HEIGHT, WIDTH, Builder, build, deep_branch
from numpy.typing import NDArray
from yolean.engine.runtime.session import Session
from yolean.export.graph.head import cut
from yolean.export.graph.sparse_graph import make_sparse, set_share
from yolean.postprocess.layout import Head

KINDS: dict[str, dict[str, Any]] = {
    "detect": {"deep": (0, 1)},
    "one class": {"deep": (0,), "nc": 1},
    "segment": {"task": "segment", "extra": 8, "deep": (0, 1, 2)},
    "pose": {"task": "pose", "extra": 15, "kpt_shape": (5, 3), "deep": (0, 1, 2)},
    "obb": {"task": "obb", "extra": 1, "deep": (0, 1, 2)},
    "extra of another form": {"task": "obb", "extra": 1, "deep": (0, 1)},
    "two scales": {"strides": (16, 32), "deep": (0, 1)},
    "end-to-end": {"limit": 20, "reg_max": 1, "deep": (0, 1)},
}


@cache
def lean(kind: str) -> tuple[bytes, Head]:
    """A lean model and its head."""
    plain = build(**KINDS[kind])
    model = cut(plain, yolean.load(plain.SerializeToString(), device="cpu", threads=1))
    assert model is not None
    head = yolean.load(model.SerializeToString(), device="cpu", threads=1).spec.layout.head
    assert head is not None
    return model.SerializeToString(), head


def outputs(
    model: onnx.ModelProto, tensor: NDArray[np.float32], floor: float = -math.inf
) -> dict[str, NDArray[Any]]:
    session = Session(model.SerializeToString(), device="cpu", threads=1)
    return dict(zip((o.name for o in session.outputs), session.run(tensor, floor), strict=True))


def assert_close(found: NDArray[Any], wanted: NDArray[Any]) -> None:
    """Equal up to the order of sums, which other kernels may take."""
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max(initial=0))


def noise(batch: int = 1, height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((batch, 3, height, width), np.float32)


def with_free_axes(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with free batch, height and width."""
    for value in (*model.graph.input[:1], *model.graph.output):
        for number, dim in enumerate(value.type.tensor_type.shape.dim):
            if number != 1:
                dim.dim_param = f"{value.name}_{number}"
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.4])
def test_gathered_values_are_those_of_the_convolutions(kind: str, share: float) -> None:
    """Of no anchor, of those above a threshold, and of all, borders and corners included."""
    content, head = lean(kind)
    model = onnx.ModelProto.FromString(content)
    wanted = outputs(model, noise())
    branches = 2 if "extra" in KINDS[kind] and 2 in KINDS[kind]["deep"] else 1
    assert make_sparse(model, head) == branches * len(head.strides)
    set_share(model, 1)
    best = np.concatenate([wanted[f"classes_{s}"][0].max(axis=0).ravel() for s in head.strides])
    floor = float(np.quantile(best, 1 - share))
    for level in (floor, -math.inf, math.inf):
        found = outputs(model, noise(), level)
        assert [name for name in found if not name.startswith("anchors")] == list(wanted)
        for name, value in wanted.items():
            stride = name.rpartition("_")[2]
            if found[name].ndim == 4:  # classes, prototypes, and branches of another form
                assert np.array_equal(found[name], value)
                continue
            over = np.flatnonzero(wanted[f"classes_{stride}"][0].max(axis=0).ravel() > np.float32(level))
            assert np.array_equal(found[f"anchors_{stride}"], over[None])
            flat = value.reshape(1, value.shape[1], -1)[..., over]
            assert_close(found[name], flat)


def test_many_survivors_take_the_convolutions() -> None:
    content, head = lean("segment")
    model = onnx.ModelProto.FromString(content)
    wanted = outputs(model, noise())
    make_sparse(model, head)
    found = outputs(model, noise(), -math.inf)
    for stride in head.strides:
        assert found[f"anchors_{stride}"].shape == (1, 0)
        for kind in ("boxes", "coefficients"):
            value = wanted[f"{kind}_{stride}"]
            assert_close(found[f"{kind}_{stride}"], value.reshape(1, value.shape[1], -1))
    few = outputs(model, noise(), 1e3)
    assert all(few[f"boxes_{stride}"].shape == (1, 4 * head.reg_max, 0) for stride in head.strides)


def test_several_images_take_the_convolutions() -> None:
    content, head = lean("detect")
    model = with_free_axes(onnx.ModelProto.FromString(content))
    tensor = noise(2, 32, 64)
    wanted = outputs(model, tensor)
    make_sparse(model, head)
    set_share(model, 1)
    found = outputs(model, tensor, 1e3)
    for stride in head.strides:
        value = wanted[f"boxes_{stride}"]
        assert found[f"anchors_{stride}"].shape == (2, 0)
        assert_close(found[f"boxes_{stride}"], value.reshape(2, value.shape[1], -1))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (32, 160), (96, 64)])
def test_free_axes(height: int, width: int) -> None:
    content, head = lean("pose")
    model = with_free_axes(onnx.ModelProto.FromString(content))
    tensor = noise(1, height, width)
    wanted = outputs(model, tensor)
    make_sparse(model, head)
    set_share(model, 1)
    found = outputs(model, tensor)
    for stride in head.strides:
        for kind in ("boxes", "keypoints"):
            value = wanted[f"{kind}_{stride}"]
            flat = value.reshape(found[f"{kind}_{stride}"].shape)
            assert_close(found[f"{kind}_{stride}"], flat)


def one_more(b: Builder, source: str, inner: int, outer: int, scale: float) -> Any:
    """The same form behind a wider first convolution: it is the last three that count."""
    return deep_branch(b, b.silu(b.conv(source, inner, 8, 3)), 8, outer, scale)


def test_only_the_last_three_convolutions_count() -> None:
    plain = build(deep=(0,), branch=one_more)
    model = cut(plain, yolean.load(plain.SerializeToString(), device="cpu", threads=1))
    assert model is not None
    wanted = outputs(model, noise())
    assert make_sparse(model, Head((8, 16, 32))) == 3
    set_share(model, 1)
    found = outputs(model, noise())["boxes_8"]
    value = wanted["boxes_8"]
    np.testing.assert_allclose(found, value.reshape(found.shape), rtol=1e-4, atol=1e-4 * np.abs(value).max())
