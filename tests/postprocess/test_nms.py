from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.postprocess import nms as module
from yolean.postprocess.boxes import gaussian, probiou, probiou_reach
from yolean.postprocess.detections import Options
from yolean.postprocess.nms import nms

# Whole coordinates and thresholds that float32 holds exactly: at the threshold, nothing is rounded.
coordinate = st.integers(0, 40)
boxes_strategy = st.lists(
    st.tuples(coordinate, coordinate, st.integers(0, 24), st.integers(0, 24), st.integers(0, 2)), max_size=90
)
thresholds = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])


def loop_iou(a: Any, b: Any) -> Any:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union else 0.0


def loop_nms(boxes: Any, scores: Any, classes: Any, iou: Any, max_det: Any, agnostic: bool) -> Any:
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        rivals = [k for k in kept if agnostic or classes[k] == classes[i]]
        if all(loop_iou(boxes[k], boxes[i]) <= iou for k in rivals):
            kept.append(i)
    return kept[:max_det]


def loop_probiou(a: Any, b: Any) -> Any:
    """Term by term for two cx, cy, w, h, angle boxes, in Python's floats."""

    def covariance(box: Any) -> Any:
        w, h, cos, sin = box[2] ** 2 / 12, box[3] ** 2 / 12, math.cos(box[4]), math.sin(box[4])
        return w * cos**2 + h * sin**2, w * sin**2 + h * cos**2, (w - h) * cos * sin

    (a1, b1, c1), (a2, b2, c2) = covariance(a), covariance(b)
    dx, dy = a[0] - b[0], a[1] - b[1]
    det = (a1 + a2) * (b1 + b2) - (c1 + c2) ** 2
    t1 = ((a1 + a2) * dy**2 + (b1 + b2) * dx**2) / (det + 1e-7) / 4
    t2 = (c1 + c2) * -dx * dy / (det + 1e-7) / 2
    spread = max(a1 * b1 - c1**2, 0) * max(a2 * b2 - c2**2, 0)
    t3 = math.log(det / (4 * math.sqrt(spread) + 1e-7) + 1e-7) / 2
    distance = min(max(t1 + t2 + t3, 1e-7), 100)
    return 1 - math.sqrt(1 - math.exp(-distance) + 1e-7)


@given(boxes_strategy, thresholds, st.integers(1, 40), st.booleans(), st.randoms())
@settings(max_examples=25, deadline=None)
def test_greedy_equals_a_plain_loop(rows: Any, iou: Any, max_det: Any, agnostic: bool, random: Any) -> None:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], np.float32).reshape(-1, 4)
    classes = np.array([row[4] for row in rows], np.int64)
    order = list(range(len(rows)))
    random.shuffle(order)
    scores = (np.array(order) / 100 + 0.01).astype(np.float32)
    kept = nms(boxes, scores, classes, Options(iou=iou, max_det=max_det, agnostic_nms=agnostic))
    assert kept.tolist() == loop_nms(boxes, scores, classes, iou, max_det, agnostic)


@pytest.mark.parametrize("spread", [20, 1000])  # crowded to sparse
@pytest.mark.parametrize("agnostic", [False, True])
def test_greedy_equals_a_plain_loop_over_many_blocks(
    monkeypatch: pytest.MonkeyPatch, spread: Any, agnostic: bool
) -> None:
    """Four blocks and a part of one; smaller ones than in earnest, because the loop asks every pair."""
    monkeypatch.setattr(module, "BLOCK", 128)
    rng = np.random.default_rng(spread)
    corner = rng.integers(0, spread, (550, 2))
    boxes = np.hstack((corner, corner + rng.integers(8, 40, (550, 2)))).astype(np.float32)
    scores = rng.permutation(550).astype(np.float32)
    classes = rng.integers(0, 3, 550)
    kept = nms(boxes, scores, classes, Options(iou=0.5, max_det=10**6, agnostic_nms=agnostic))
    assert kept.tolist() == loop_nms(boxes, scores, classes, 0.5, 10**6, agnostic)


def test_greedy_equals_a_plain_loop_with_many_classes() -> None:
    """Few pairs are of one class, and those are looked at one by one."""
    for spread in [40, 400]:
        for kinds in [20, 300]:
            rng = np.random.default_rng(kinds)
            corner = rng.integers(0, spread, (700, 2))
            boxes = np.hstack((corner, corner + rng.integers(8, 40, (700, 2)))).astype(np.float32)
            scores = rng.permutation(700).astype(np.float32)
            classes = rng.integers(0, kinds, 700) * (300 // kinds)
            kept = nms(boxes, scores, classes, Options(iou=0.3, max_det=10**6))
            assert kept.tolist() == loop_nms(boxes, scores, classes, 0.3, 10**6, False)


def test_boxes_inside_out_neither_fall_nor_suppress() -> None:
    boxes = np.array([[10, 10, 0, 0], [0, 0, 10, 10], [10, 0, 0, 10], [0, 10, 10, 0]], np.float32)
    scores = np.array([0.9, 0.8, 0.7, 0.6], np.float32)
    assert nms(boxes, scores, np.zeros(4, np.int64), Options(iou=0.0)).tolist() == [0, 1, 2, 3]


def random_rotated(rng: Any, count: int, spread: Any) -> Any:
    centre, size = rng.uniform(0, spread, (count, 2)), rng.uniform(4, 40, (count, 2))
    return np.hstack((centre, size, rng.uniform(-0.8, 2.4, (count, 1)))).astype(np.float32)


def test_rotated_equals_a_plain_loop() -> None:
    for agnostic in [False, True]:
        for iou in [0.1, 0.45, 0.7]:
            for spread in [40, 400]:
                rng = np.random.default_rng(7)
                boxes = random_rotated(rng, 700, spread)  # more than one block
                scores = rng.permutation(700).astype(np.float32)
                classes = rng.integers(0, 3, 700)
                overlap = probiou(gaussian(boxes)[:, None], gaussian(boxes))  # itself checked below
                expected = []
                for i in np.argsort(-scores):
                    better = (scores > scores[i]) & (agnostic | (classes == classes[i]))
                    if not (overlap[better, i] > np.float32(iou)).any():  # also boxes that fell themselves
                        expected.append(i)
                kept = nms(boxes, scores, classes, Options(iou=iou, max_det=10**6, agnostic_nms=agnostic))
                assert kept.tolist() == expected
                assert (
                    nms(boxes, scores, classes, Options(iou=iou, max_det=5, agnostic_nms=agnostic)).tolist()
                    == (expected[:5])
                )


def test_rotated_chain_differs_from_greedy() -> None:
    # B overlaps A, C overlaps B but not A. Greedy NMS would keep C; Fast-NMS drops it, as Ultralytics does.
    boxes = np.array([[0, 0, 40, 10, 0], [14, 0, 40, 10, 0], [28, 0, 40, 10, 0]], np.float32)
    kept = nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.zeros(3, np.int64), Options(iou=0.45))
    assert kept.tolist() == [0]
    assert nms(boxes[[0, 2]], np.array([0.9, 0.7], np.float32), np.zeros(2, np.int64), Options()).size == 2


rotated_box = st.tuples(
    st.floats(0, 100), st.floats(0, 100), st.floats(1, 60), st.floats(1, 60), st.floats(-0.79, 2.36)
)


@given(rotated_box, rotated_box)
def test_probiou_equals_its_formula(a: Any, b: Any) -> None:
    pair = gaussian(np.array([a, b], np.float32))
    assert probiou(pair[0], pair[1]) == pytest.approx(loop_probiou(a, b), abs=2e-3)
    assert probiou(pair[0], pair[1]) == pytest.approx(float(probiou(pair[1], pair[0])), abs=1e-5)


@given(rotated_box, rotated_box, st.sampled_from([0.05, 0.3, 0.45, 0.7, 0.95]))
def test_pairs_out_of_reach_never_exceed_the_threshold(a: Any, b: Any, threshold: Any) -> None:
    one, other = gaussian(np.array([a, b], np.float32))
    apart = (one[:2] - other[:2]) ** 2 > probiou_reach(threshold) * (one[2:4] + other[2:4])
    if apart.any():
        assert probiou(one, other) <= threshold


@pytest.mark.parametrize("width", [4, 5])
def test_nothing_in_nothing_out(width: Any) -> None:
    none = np.zeros(0, np.float32)
    assert nms(np.zeros((0, width), np.float32), none, none.astype(np.int64), Options()).shape == (0,)


def test_ties_keep_the_order_of_the_input() -> None:
    boxes = np.array([[50, 0, 60, 10], [0, 0, 10, 10], [100, 0, 110, 10]], np.float32)
    scores = np.full(3, 0.5, np.float32)
    assert nms(boxes, scores, np.zeros(3, np.int64), Options()).tolist() == [0, 1, 2]


def test_overlap_at_the_threshold_stays() -> None:
    # Intersection 10, union 20: IoU is exactly 0.5.
    boxes = np.array([[0, 0, 10, 1.5], [0, 0.5, 10, 2]], np.float32)
    scores, classes = np.array([0.9, 0.8], np.float32), np.zeros(2, np.int64)
    assert len(nms(boxes, scores, classes, Options(iou=0.5))) == 2
    assert len(nms(boxes, scores, classes, Options(iou=0.499))) == 1


def test_thirty_thousand_candidates_stay_small() -> None:
    for spread in [60, 6000]:
        for width in [4, 5]:
            import tracemalloc

            rng = np.random.default_rng(0)
            rotated = random_rotated(rng, 30000, spread)
            boxes = rotated if width == 5 else np.hstack((rotated[:, :2], rotated[:, :2] + rotated[:, 2:4]))
            scores, classes = rng.random(30000, np.float32), rng.integers(0, 80, 30000)
            tracemalloc.start()
            kept = nms(boxes, scores, classes, Options(conf=0.001))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert 0 < len(kept) <= 300
            assert peak < 40e6  # the full matrix of overlaps would be 3.6 GB
