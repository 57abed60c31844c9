"""The numpy half of the head against the formulas written out anchor by anchor, in float64."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.postprocess import detect, obb, pose, segment
from yolean.postprocess import lean_head as lean
from yolean.postprocess.detections import Options
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.layout import Head, Layout
from yolean.postprocess.types import Size

SIZES = {8: (4, 6), 16: (2, 3), 32: (1, 2)}  # stride -> rows, columns: a tensor of 32 x 48, the last padded
SAME = Geometry.letterbox(Size(32, 64), Size(32, 64))

LAYOUTS = [
    Layout("detect", "lean", 3, head=Head((8, 16, 32))),
    Layout("detect", "lean", 1, head=Head((8, 16, 32), reg_max=1)),
    Layout("segment", "lean", 2, extra=5, head=Head((8, 16), reg_max=4)),
    Layout("pose", "lean", 2, extra=6, kpt_shape=(2, 3), head=Head((8, 16, 32))),
    Layout("pose", "lean", 1, extra=4, kpt_shape=(2, 2), head=Head((16, 8), reg_max=1, kind="26")),
    Layout("obb", "lean", 3, extra=1, head=Head((8, 16, 32))),
    Layout("obb", "lean", 3, extra=1, head=Head((8, 16, 32), reg_max=1, kind="26")),
]
IDS = [f"{one.task}-{one.head.kind}-{one.head.reg_max}" for one in LAYOUTS if one.head]


def outputs(layout: Any, seed: int, scale: Any = 3.0) -> Any:
    """What the convolutions of such a head might give."""
    rng = np.random.default_rng(seed)
    branches = [4 * layout.head.reg_max, layout.nc] + [layout.extra] * bool(layout.extra)
    shapes = [(channels, *SIZES[stride]) for channels in branches for stride in layout.head.strides]
    if layout.task == "segment":
        shapes.append((layout.extra, 8, 16))
    return [rng.normal(0, scale, shape).astype(np.float32) for shape in shapes]


def logistic(x: Any) -> Any:
    return 1 / (1 + math.exp(-x))


def naive(arrays: Any, layout: Any) -> Iterator[Any]:
    """(box, scores, extra) of every anchor."""
    head, scales = layout.head, len(layout.head.strides)
    for scale, stride in enumerate(head.strides):
        rows, columns = SIZES[stride]
        for row in range(rows):
            for column in range(columns):
                x, y = column + 0.5, row + 0.5
                at = [float(v) for v in arrays[scale][:, row, column]]
                sides = []
                for side in range(4):
                    bins = at[side * head.reg_max : (side + 1) * head.reg_max]
                    weights = [math.exp(b) for b in bins]
                    mean = sum(i * w for i, w in enumerate(weights)) / sum(weights)
                    sides.append(mean if head.reg_max > 1 else bins[0])
                left, top, right, bottom = sides
                scores = [logistic(float(v)) for v in arrays[scales + scale][:, row, column]]
                extra = []
                if layout.extra:
                    extra = [float(v) for v in arrays[2 * scales + scale][:, row, column]]
                box = [x - left, y - top, x + right, y + bottom]
                if layout.task == "obb":
                    angle = extra[0] if head.kind == "26" else (logistic(extra[0]) - 0.25) * math.pi
                    cos, sin = math.cos(angle), math.sin(angle)
                    dx, dy = (right - left) / 2, (bottom - top) / 2
                    box = [x + dx * cos - dy * sin, y + dx * sin + dy * cos, left + right, top + bottom]
                    extra = [angle]
                    yield [v * stride for v in box] + extra, scores, extra
                    continue
                if layout.task == "pose":
                    extra = keypoints(extra, x, y, stride, layout)
                yield [v * stride for v in box], scores, extra


def keypoints(values: Any, x: Any, y: Any, stride: Any, layout: Any) -> Any:
    decoded, number = [], layout.kpt_shape[1]
    for start in range(0, len(values), number):
        px, py, *seen = values[start : start + number]
        if layout.head.kind == "26":
            decoded += [(px + x) * stride, (py + y) * stride]
        else:
            decoded += [(2 * px + x - 0.5) * stride, (2 * py + y - 0.5) * stride]
        decoded += map(logistic, seen)
    return decoded


@pytest.mark.parametrize("layout", LAYOUTS, ids=IDS)
def test_every_anchor_is_decoded_as_the_formulas_say(layout: Any) -> None:
    arrays = outputs(layout, 1)
    boxes, scores, extra = lean.dense(arrays, layout)
    expected = list(naive(arrays, layout))
    np.testing.assert_allclose(boxes, [e[0] for e in expected], atol=1e-3)
    np.testing.assert_allclose(scores, [e[1] for e in expected], atol=1e-6)
    np.testing.assert_allclose(extra, np.reshape([e[2] for e in expected], extra.shape), atol=1e-3)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(LAYOUTS), st.integers(0, 99), st.floats(0.001, 0.999))
def test_candidates_are_the_anchors_above_the_threshold_in_their_order(
    layout: Any, seed: int, conf: Any
) -> None:
    arrays = outputs(layout, seed)
    found = lean.candidates(arrays, layout, conf)
    expected = [e for e in naive(arrays, layout) if max(e[1]) > conf]
    assert found.classes.tolist() == [int(np.argmax(e[1])) for e in expected]
    np.testing.assert_allclose(found.scores, [max(e[1]) for e in expected], atol=1e-6)
    np.testing.assert_allclose(
        found.boxes, np.reshape([e[0] for e in expected], found.boxes.shape), atol=1e-3
    )


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(LAYOUTS), st.integers(0, 99), st.integers(1, 40), st.booleans(), st.floats(0, 0.9))
def test_end_to_end_heads_keep_so_many_anchors_and_then_so_many_rows(
    layout: Any, seed: int, limit: Any, agnostic: bool, conf: Any
) -> None:
    layout = replace(layout, head=replace(layout.head, limit=limit, agnostic_nms=agnostic))
    arrays = outputs(layout, seed)
    found = lean.candidates(arrays, layout, conf)
    anchors = sorted(naive(arrays, layout), key=lambda e: -max(e[1]))[:limit]
    if agnostic:
        rows = [(max(scores), int(np.argmax(scores)), box) for box, scores, _ in anchors]
    else:
        rows = [(score, number, box) for box, scores, _ in anchors for number, score in enumerate(scores)]
    rows = [row for row in sorted(rows, key=lambda row: -row[0])[:limit] if row[0] > conf]
    assert found.classes.tolist() == [row[1] for row in rows]
    np.testing.assert_allclose(found.scores, [row[0] for row in rows], atol=1e-6)
    np.testing.assert_allclose(found.boxes, np.reshape([r[2] for r in rows], found.boxes.shape), atol=1e-3)


def test_the_threshold_is_strictly_above() -> None:
    layout = LAYOUTS[1]
    arrays = outputs(layout, 0)
    for branch in arrays[3:6]:
        branch[:] = -9
    arrays[3][0, 1, 1] = 0.0  # a score of one half exactly
    assert len(lean.candidates(arrays, layout, 0.5).scores) == 0
    assert lean.candidates(arrays, layout, 0.4999).scores.tolist() == [0.5]


@pytest.mark.parametrize("conf", [0.0, 1.0])
def test_the_ends_of_the_range(conf: Any) -> None:
    arrays = outputs(LAYOUTS[0], 2, scale=200)  # logits beyond what exp can take
    found = lean.candidates(arrays, LAYOUTS[0], conf)
    assert len(found.scores) == (0 if conf else sum(max(e > -80 for e in s) for s in logits(arrays)))


def logits(arrays: Any) -> Any:
    return np.concatenate([branch.reshape(3, -1) for branch in arrays[3:6]], axis=1).T


def test_anchors_that_overflowed_are_dropped() -> None:
    for place in [0, 3, 6]:
        for value in [np.nan, np.inf, -np.inf]:
            layout = LAYOUTS[3]
            arrays = outputs(layout, 3)
            sound = len(lean.candidates(arrays, layout, 0.25).scores)
            arrays[place][:, 0, 0] = value
            found = lean.candidates(arrays, layout, 0.25)
            assert np.isfinite(found.boxes).all()
            assert np.isfinite(found.extra).all()
            assert sound - 1 <= len(found.scores) <= sound + 1


@pytest.mark.parametrize(("module", "index"), [(detect, 0), (segment, 2), (pose, 3), (obb, 5)])
def test_decoders_take_lean_outputs(module: Any, index: Any) -> None:
    layout = LAYOUTS[index]
    arrays = outputs(layout, 4)
    found = module.decode(arrays, layout, SAME, Options(conf=0.3, iou=0.9))
    assert 0 < len(found.scores) <= len(lean.candidates(arrays, layout, 0.3).scores)
    assert (np.diff(found.scores) <= 0).all()
    none = module.decode([a * 0 - 9 for a in arrays], layout, SAME, Options())
    assert none.boxes.shape == ((0, 5) if layout.task == "obb" else (0, 4))


def test_end_to_end_heads_are_not_suppressed_again() -> None:
    layout = replace(LAYOUTS[0], head=Head((8, 16, 32), limit=50))
    arrays = outputs(layout, 5)
    found = detect.decode(arrays, layout, SAME, Options(conf=0.3, iou=0.0))
    assert len(found.scores) == len(lean.candidates(arrays, layout, 0.3).scores)
    assert layout.suppressed
    assert not LAYOUTS[0].suppressed
