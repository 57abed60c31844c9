from __future__ import annotations

import json
from dataclasses import fields
from functools import reduce
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import for_each
from yolean.engine.errors import InputError
from yolean.export.evaluation.agreement import agreement
from yolean.export.evaluation.differences import Differences, differences
from yolean.models import DEMO_MODELS, demo_images, demo_model
from yolean.postprocess.boxes import xywhr_to_corners

SHAPE = (100, 200)
BOXES = np.array([[10, 20, 50, 40], [60, 10, 100, 90], [120, 30, 180, 80]], np.float32)
SCORES = np.array([0.9, 0.8, 0.7], np.float32)
CLASSES = np.array([1, 0, 1])
TURNED = np.array([[50, 50, 60, 20, 0.3], [150, 50, 30, 30, 1.2], [100, 20, 40, 10, 0]], np.float32)


class Stack:
    """N masks and their outlines, cut out as Ultralytics' and yolean's are."""

    def __init__(self, data: Any, xy: Any = None) -> None:
        self.data, self.xy = data, xy

    def __getitem__(self, index: Any) -> Any:
        return Stack(self.data[index])


def answer(**views: Any) -> Any:
    empty = dict.fromkeys(("boxes", "obb", "masks", "keypoints", "probs"))
    return SimpleNamespace(**(empty | {"orig_shape": SHAPE} | views))


class Scored(SimpleNamespace):
    def __len__(self) -> Any:
        return len(self.conf)


def detected(boxes: Any = BOXES, scores: Any = SCORES, classes: Any = CLASSES, **views: Any) -> Any:
    n = len(boxes)
    return answer(boxes=Scored(xyxy=boxes, conf=scores[:n], cls=classes[:n]), **views)


def oriented(corners: Any, scores: Any = SCORES, classes: Any = CLASSES) -> Any:
    n = len(corners)
    return answer(obb=Scored(xyxyxyxy=corners, conf=scores[:n], cls=classes[:n]))


def posed(points: Any, **options: Any) -> Any:
    return detected(keypoints=SimpleNamespace(data=points), **options)


def classified(*probs: Any) -> Any:
    return answer(probs=SimpleNamespace(data=np.array(probs, np.float32)))


def squares(*lefts: Any, size: Any = 20, shape: Any = (64, 64), dtype: Any = np.uint8) -> Any:
    """A mask for each left side: `size` squared, from row 10 on."""
    masks = np.zeros((len(lefts), *shape), dtype)
    for mask, left in zip(masks, lefts, strict=True):
        mask[10 : 10 + size, left : left + size] = 1
    return masks


def permuted(result: Any, order: Any) -> Any:
    """The same answer with its objects in another order."""
    views = {}
    for name in ("boxes", "obb", "keypoints"):
        view = getattr(result, name)
        views[name] = view and type(view)(**{key: value[order] for key, value in vars(view).items()})
    masks = result.masks and Stack(result.masks.data[order])
    return answer(**views, masks=masks)


@st.composite
def pairs_of_answers(draw: Any, most: Any = 8) -> Any:
    """Two answers with the same objects elsewhere; some have no area and some come twice."""
    count, moved = draw(st.integers(0, most)), draw(st.sampled_from([0, 0.1, 3, 20]))
    random, rotated = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.booleans())
    places, classes = random.uniform(0, 100, (count, 2)), random.integers(0, 3, count)
    sizes = random.uniform(1, 60, (count, 2)) * random.choice([0, 1], (count, 1), p=[0.1, 0.9])
    again = np.where(random.random(count) < 0.8, np.arange(count), random.integers(0, max(count, 1), count))
    made = []
    for _ in range(2):
        scores = random.uniform(0.25, 1, count)
        shifted = places + random.normal(0, moved, (count, 2))
        if rotated:
            boxes = xywhr_to_corners(np.hstack((shifted, sizes, places[:, :1])))  # any angle will do
            made.append(oriented(boxes[again], scores, classes[again]))
        else:
            made.append(detected(np.hstack((shifted, shifted + sizes))[again], scores, classes[again]))
    return made


def size(result: Any) -> Any:
    return len(result.boxes if result.obb is None else result.obb)


@pytest.fixture(scope="module")
def demo() -> Any:
    """Answers of the demo models to the demo images, by task."""
    models = {task: yolean.load(demo_model(task), device="cpu") for task in DEMO_MODELS}
    return {task: [model(image)[0] for image in demo_images()] for task, model in models.items()}


@for_each("task", DEMO_MODELS)
def test_identical_answers_of_the_demo_models(demo: Any, task: str) -> None:
    results = demo[task]
    whole = agreement(zip(results, results, strict=True))
    assert (whole.task, whole.images, whole.score, whole.empty) == (task, 4, 1, False)
    best_values = {"mean_iou": 1, "mask_iou": 1, "keypoint_distance": 0, "corner_distance": 0}
    best_values |= {"confidence_change": 0, "confidence_error": 0, "equal_pixels": 1, "depth_error": 0}
    for name, best in best_values.items():
        assert getattr(whole, name) in (best, None)
    found = reduce(Differences.merge, map(differences, results, results), Differences())
    assert (found.images, found.missing, found.extra) == (4, (), ())
    assert set(found.largest().values()) == {0}


@for_each(
    "task, means, largest",
    [
        ("detect", set(), {"box", "score"}),
        ("segment", {"mask_iou"}, {"box", "score", "mask"}),
        (
            "pose",
            {"keypoint_distance", "keypoint_relative"},
            {"box", "score", "keypoints", "visibility"},
        ),
        ("obb", {"corner_distance"}, {"box", "score"}),
        ("classify", {"top1"}, {"probs"}),
    ],
)
def test_fields_of_other_tasks_are_none(demo: Any, task: str, means: Any, largest: Any) -> None:
    results = demo[task][:2]
    counts = {"objects", "found", "recall", "precision", "mean_iou"} if task != "classify" else set()
    always = {"task", "images", "confidence_change", "confidence_error"}
    assert told(agreement(zip(results, results, strict=True))) == always | counts | means
    assert told(differences(*results[:1] * 2)) == {"images", "matched", "missing", "extra"} | largest


def told(report: Any) -> Any:
    return {field.name for field in fields(report) if getattr(report, field.name) is not None}


def test_a_worse_model_is_told_from_a_good_one(demo: Any) -> None:
    """Another image size is what changes an answer a little: thresholds and masks differ."""
    for task in ("segment", "pose", "obb"):
        model = yolean.load(demo_model(task), device="cpu")
        smaller = [model(image, imgsz=256)[0] for image in demo_images()]
        found = agreement(zip(demo[task], smaller, strict=True))
        assert 0.5 < found.score <= 1
        assert found.mean_iou is not None
        assert 0.8 < found.mean_iou < 1
        assert found.confidence_error is not None
        assert found.confidence_change is not None
        assert found.confidence_error >= abs(found.confidence_change)


@for_each(
    "boxes, scores, classes, expected",
    [
        (BOXES, SCORES, CLASSES, (3, 1, 1)),  # the same
        (BOXES + 2, SCORES, CLASSES, (3, 1, 1)),  # near enough
        (BOXES + 30, SCORES, CLASSES, (3, 0, 0)),  # too far
        (BOXES, SCORES, np.array([1, 2, 1]), (3, 2 / 3, 2 / 3)),  # another class
        (BOXES[:2], SCORES, CLASSES, (2, 2 / 3, 1)),  # one missing
        (BOXES[:0], SCORES, CLASSES, (0, 0, 0)),  # all missing
        (BOXES[[0, 1, 2, 0]], SCORES[[0, 1, 2, 0]], CLASSES[[0, 1, 2, 0]], (4, 1, 0.75)),  # one twice
        (np.full_like(BOXES, np.nan), SCORES, CLASSES, (3, 0, 0)),  # a broken model
        (np.full_like(BOXES, np.inf), SCORES, CLASSES, (3, 0, 0)),  # another one
    ],
)
def test_recall_and_precision(boxes: Any, scores: Any, classes: Any, expected: Any) -> None:
    found = agreement([(detected(), detected(boxes, scores, classes))])
    assert (found.objects, found.found, found.recall, found.precision) == pytest.approx((3, *expected))
    assert found.recall is not None
    assert found.precision is not None
    assert found.score == min(found.recall, found.precision)


@for_each(
    "width, matched",
    [
        (5.0, 1),  # IoU 0.5, which still is one object
        (4.9, 0),
        (10, 1),
    ],
)
def test_partners_overlap_by_half(width: Any, matched: Any) -> None:
    pair = detected(np.array([[0, 0, 10, 10]])), detected(np.array([[0, 0, width, 10]]))
    assert differences(*pair).matched == matched


def test_partners_are_found_by_overlap_and_not_by_score() -> None:
    # The nearer one fits exactly but has become the less certain.
    near = detected(BOXES[[0, 0]] + np.array([[0], [4]]), np.array([0.3, 0.95]), CLASSES[[0, 0]])
    found = differences(detected(BOXES[:1]), near)
    assert (found.matched, found.box, found.missing) == (1, 0, ())
    assert found.score == pytest.approx(0.6)
    assert found.extra == (0.95,)


def test_changes_of_boxes_and_scores() -> None:
    shifts = np.array([[1, 0, 1, 0], [0, -3, 0, -3], [0, 0, 0, 0]])
    other = detected(BOXES + shifts, SCORES + np.array([0.05, -0.2, 0]))
    found, mean = differences(detected(), other), agreement([(detected(), other)])
    assert found.box == pytest.approx(3)
    assert found.score == pytest.approx(0.2)
    assert mean.confidence_change == pytest.approx(-0.05)
    assert mean.confidence_error == pytest.approx(0.25 / 3)
    # 1 of 40 pixels, 3 of 80, none: the shared part over both.
    assert mean.mean_iou == pytest.approx((39 / 41 + 77 / 83 + 1) / 3)


def test_unmatched_keep_their_scores_and_merge() -> None:
    one = differences(detected(), detected(classes=np.array([1, 2, 2])))
    assert one.missing == one.extra == pytest.approx((0.8, 0.7))
    two = differences(detected(), detected(BOXES[1:] + 1, SCORES[1:], CLASSES[1:]))
    both = one.merge(two)
    assert both == two.merge(one)
    assert both.missing == pytest.approx((0.9, 0.8, 0.7))
    assert (both.images, both.matched, both.box, both.mask) == (2, 3, 1, None)
    assert Differences().merge(one) == one.merge(Differences()) == one


@for_each(
    "one, other, expected",
    [
        (0, 0, (1, 1, 1, True)),  # nobody found anything
        (0, 2, (0, 0, 0, False)),
        (2, 0, (0, 0, 0, False)),
    ],
)
@for_each("task", ["detect", "obb", "segment", "pose"])
def test_empty(task: str, one: Any, other: Any, expected: Any) -> Any:
    def made(n: Any) -> Any:
        if task == "obb":
            return oriented(xywhr_to_corners(TURNED[:n]))
        masks = Stack(squares(*range(n))) if task == "segment" else None
        points = SimpleNamespace(data=np.zeros((n, 5, 3))) if task == "pose" else None
        return detected(BOXES[:n], masks=masks, keypoints=points)

    found = agreement([(made(one), made(other))])
    assert (found.recall, found.precision, found.score, found.empty) == expected
    assert (found.task, found.mean_iou) == (task, None)


@for_each("first", range(4))
@for_each("step", [1, -1])
def test_corners_in_any_order_are_the_same_rectangle(first: Any, step: Any) -> None:
    corners = xywhr_to_corners(TURNED)
    turned = corners[:, [(first + step * n) % 4 for n in range(4)]]
    mean, found = (
        agreement([(oriented(corners), oriented(turned))]),
        differences(oriented(corners), oriented(turned)),
    )
    assert (mean.score, mean.corner_distance, found.box) == (1, 0, 0)
    assert mean.mean_iou == pytest.approx(1, abs=1e-4)
    shifted = agreement([(oriented(corners), oriented(turned + np.array([3, 4])))])
    assert shifted.corner_distance == pytest.approx(5, abs=1e-4)


@for_each(
    "box, iou",
    [
        ((50, 50, 40, 20, np.pi / 2), 1 / 3),  # a cross: 20 x 20 of 1200
        ((60, 50, 40, 20, 0), 0.6),  # half a height to the side
        ((50, 50, 40, 11, np.pi), 0.55),  # about half as high, and turned around
        ((50, 50, 20, 40, np.pi / 2), 1),  # the same, with width and height exchanged
        ((50, 50, 40, 0, 0), 0),  # without area
        ((150, 50, 40, 20, 0), 0),  # elsewhere
    ],
)
def test_iou_of_oriented_boxes(box: Any, iou: Any) -> None:
    boxes = xywhr_to_corners(np.array([[50, 50, 40, 20, 0], box]))
    # Rotating both changes nothing.
    turn = np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]])
    for corners in (boxes, boxes @ turn):
        found = agreement([(oriented(corners[:1]), oriented(corners[1:]))])
        assert found.recall == (iou >= 0.499)
        assert found.mean_iou == (pytest.approx(iou, abs=1e-4) if iou >= 0.499 else None)


@for_each("seed", range(10))
def test_iou_of_oriented_boxes_is_that_of_their_pixels(seed: int) -> None:
    random = np.random.default_rng(seed)
    box = np.hstack((random.uniform(450, 550, 2), random.uniform(200, 400, 2), random.uniform(0, 3)))
    corners = xywhr_to_corners(np.array([box, box + random.normal(0, 1, 5) * (10, 10, 10, 10, 0.05)]))
    drawn = [np.zeros((1000, 1000), np.uint8) for _ in corners]
    for plane, points in zip(drawn, corners, strict=True):
        cv2.fillPoly(plane, [np.rint(points).astype(np.int32)], 1)
    found = agreement([(oriented(corners[:1]), oriented(corners[1:]))])
    pixels = np.count_nonzero(drawn[0] & drawn[1]) / np.count_nonzero(drawn[0] | drawn[1])
    assert found.mean_iou == pytest.approx(pixels, abs=0.01)


@for_each(
    "shift, expected",
    [
        (0, 1),
        (5, 15 / 25),  # a quarter of each side of the union
        (20, 0),  # boxes agree and masks do not meet
    ],
)
@for_each("dtype", [np.uint8, np.float32, np.bool_])
def test_masks_of_one_size(shift: Any, expected: Any, dtype: Any) -> None:
    one = detected(BOXES[:2], masks=Stack(squares(2, 2)))
    other = detected(BOXES[:2], masks=Stack(squares(2, 2 + shift, dtype=dtype)))
    found = agreement([(one, other)])
    assert (found.task, found.score) == ("segment", 1)
    assert found.mask_iou == pytest.approx((1 + expected) / 2)
    assert differences(one, other).mask == pytest.approx(1 - expected)


OUTLINE = np.array([[10, 10], [29, 10], [29, 29], [10, 29]], np.float32)  # 20 x 20 pixels, filled


@for_each(
    "outline, expected",
    [
        (OUTLINE, 1),
        (OUTLINE + 0.4, 1),  # the same pixels
        (OUTLINE + np.array([5, 0]), 15 / 25),
        (OUTLINE + np.array([100, 0]), 0),
        (OUTLINE[:0], 0),  # Ultralytics' outline of an empty mask
    ],
)
def test_masks_of_two_sizes_are_compared_in_the_image(outline: Any, expected: Any) -> None:
    one = detected(BOXES[:1], masks=Stack(squares(2), [OUTLINE]))
    other = detected(BOXES[:1], masks=Stack(squares(2, shape=(32, 64)), [outline]))
    for pair in ((one, other), (other, one)):
        assert agreement([pair]).mask_iou == pytest.approx(expected)
        assert differences(*pair).mask == pytest.approx(1 - expected)


@for_each("shape", [(64, 64), (32, 32)])
def test_empty_masks_agree(shape: Any) -> None:
    one, other = (
        detected(BOXES[:1], masks=Stack(np.zeros((1, *size)), [OUTLINE[:0]])) for size in (shape, (64, 64))
    )
    assert agreement([(one, other)]).mask_iou == 1


def test_keypoints_that_the_reference_sees_are_averaged() -> None:
    points = np.zeros((3, 4, 3))
    points[..., 2] = 0.9
    points[0, 0, 2] = 0.4  # not visible
    other = points.copy()
    other[0, 0, :2] = 50
    other[1, 1, :2] = 3, 4
    other[2, 2, 2] = 0.2
    mean, found = agreement([(posed(points), posed(other))]), differences(posed(points), posed(other))
    assert mean.keypoint_distance == pytest.approx(5 / 11)
    assert mean.keypoint_relative == pytest.approx(5 / np.hypot(40, 80) / 11)  # of the second box' diagonal
    assert found.keypoints == 50
    assert found.visibility == pytest.approx(0.7)


@for_each(
    "points, distance, visibility",
    [
        (np.zeros((3, 4, 2)), 5, None),  # a model that does not tell what is visible
        (np.zeros((3, 4, 3)), None, 0),  # a model that saw none
    ],
)
def test_keypoints_without_visible_ones(points: Any, distance: Any, visibility: Any) -> None:
    other = points + np.array([3, 4, 0][: points.shape[2]])
    mean, found = agreement([(posed(points), posed(other))]), differences(posed(points), posed(other))
    assert (mean.keypoint_distance, found.keypoints, found.visibility) == (distance, 4, visibility)


def test_classification() -> None:
    pairs = [
        (classified(0.7, 0.2, 0.1), classified(0.5, 0.3, 0.2)),  # less certain
        (classified(0.6, 0.4, 0), classified(0.3, 0.7, 0)),  # another one
    ]
    found = agreement(pairs)
    assert (found.task, found.images, found.top1, found.score, found.empty) == (
        "classify",
        2,
        0.5,
        0.5,
        False,
    )
    assert found.confidence_change == pytest.approx(-0.25)
    assert found.confidence_error == pytest.approx(0.25)
    assert differences(*pairs[1]).probs == pytest.approx(0.3)


@given(pairs_of_answers(), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_order_of_objects_does_not_matter(pair: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = (permuted(result, random.permutation(size(result))) for result in pair)
    shuffled = one, other
    assert differences(*shuffled).as_dict() == differences(*pair).as_dict()
    assert agreement([shuffled]).as_dict() == agreement([pair]).as_dict()


@given(pairs_of_answers())
@settings(max_examples=20, deadline=None)
def test_exchanged_models_exchange_the_two_shares(pair: Any) -> None:
    there, back = agreement([pair]), agreement([pair[::-1]])
    assert (there.recall, there.precision, there.score) == (back.precision, back.recall, back.score)
    assert there.confidence_error == (back.confidence_error and pytest.approx(back.confidence_error))
    one, other = differences(*pair), differences(*pair[::-1])
    assert (one.missing, one.extra, one.score) == (other.extra, other.missing, other.score)


@given(pairs_of_answers(), st.data())
@settings(max_examples=20, deadline=None)
def test_dropped_objects_lower_the_recall_alone(pair: Any, data: Any) -> None:
    whole, count = pair[0], size(pair[0])
    kept = data.draw(st.sets(st.sampled_from(range(count)))) if count else set()
    part = permuted(whole, np.array(sorted(kept), np.intp))
    found = agreement([(whole, part)])
    assert found.recall == (len(kept) / count if count else 1)
    assert found.precision == float(bool(kept) or not count)
    assert found.mean_iou in (1, None)
    assert found.confidence_error in (0, None)
    assert len(differences(whole, part).missing) == count - len(kept)


@given(st.lists(pairs_of_answers().filter(lambda pair: pair[0].boxes), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_images_add_up(pairs: Any) -> None:
    single, found = [agreement([pair]) for pair in pairs], agreement(iter(pairs))
    assert found.objects == sum(one.objects or 0 for one in single)
    assert found.found == sum(one.found or 0 for one in single)
    merged = reduce(Differences.merge, (differences(*pair) for pair in pairs))
    assert merged.matched + len(merged.missing) == found.objects
    assert merged.matched + len(merged.extra) == found.found
    assert found.recall == (merged.matched / found.objects if found.objects else 1)


def test_no_answer_is_kept() -> Any:
    alive = 0

    class Counted(SimpleNamespace):
        def __init__(self) -> None:
            nonlocal alive
            alive += 1
            super().__init__(**vars(detected()))

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def pairs() -> Any:
        for _ in range(4):
            yield Counted(), Counted()
            assert alive <= 2

    assert agreement(pairs()).objects == 12


NOTHING = detected(BOXES[:0])


@for_each(
    "pairs, task",
    [
        ([(NOTHING, NOTHING)], "detect"),  # or segment, or pose: Ultralytics does not tell
        ([(NOTHING, NOTHING), (detected(masks=Stack(squares(1, 2, 3))),) * 2], "segment"),
        ([(posed(np.zeros((3, 4, 3))), NOTHING)], "pose"),
        ([(NOTHING, detected())], "detect"),
    ],
)
def test_task_is_told_by_the_views(pairs: Any, task: str) -> None:
    assert agreement(pairs).task == task


@for_each(
    "pairs, message",
    [
        ([], "no images to compare"),
        ([(detected(), oriented(xywhr_to_corners(TURNED)))], "different tasks: detect, and obb"),
        ([(detected(), posed(np.zeros((3, 4, 3))))], "different tasks: detect, and pose"),
        ([(detected(),) * 2, (classified(1, 0),) * 2], "different tasks: detect, and classify"),
        ([(answer(), answer())], "different tasks: none known"),  # such as Ultralytics' semantic masks
        (
            [(detected(), detected(orig_shape=(100, 201)))],
            r"different images: .* \(100, 200\) and \(100, 201\)",
        ),
        ([(classified(1, 0), classified(1, 0, 0))], "different models: 2 and 3 classes"),
        ([(posed(np.zeros((3, 4, 3))), posed(np.zeros((3, 5, 3))))], r"keypoints \(4, 3\) and \(5, 3\)"),
    ],
)
def test_what_cannot_be_compared(pairs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        agreement(pairs)


def test_json_holds_finite_rounded_numbers() -> None:
    points = np.full((3, 4, 3), 0.9)
    broken = posed(np.where(np.arange(4)[:, None] == 1, np.nan, points), scores=SCORES - np.float32(0.1 / 3))
    mean, found = agreement([(posed(points), broken)]), differences(posed(points), broken)
    # A difference that is no number is never smaller than a tolerance.
    assert found.keypoints == float("inf")
    told = json.loads(json.dumps([mean.as_dict(), found.as_dict()], allow_nan=False))
    assert told[0] | {"score": 1, "empty": False, "confidence_change": -0.03333} == told[0]
    assert (told[0]["keypoint_distance"], told[1]["keypoints"], told[1]["score"]) == (None, None, 0.03333)
    lost = differences(detected(), detected(BOXES[:1])).as_dict()
    assert (lost["missing"], lost["missing_score"], lost["extra"], lost["extra_score"]) == (2, 0.8, 0, None)


def test_three_hundred_objects_twice_in_a_image() -> None:
    random = np.random.default_rng(1)
    places = random.uniform(0, 2000, (300, 2))
    boxes = np.hstack((places, random.uniform(10, 200, (300, 2)), random.uniform(0, 3, (300, 1))))
    corners, scores, classes = (
        xywhr_to_corners(boxes.astype(np.float32)),
        random.uniform(0.25, 1, 300),
        random.integers(0, 15, 300),
    )
    one = oriented(corners, scores, classes)
    found = agreement([(one, oriented(corners + 1, scores, classes))] * 3)
    assert (found.objects, found.score) == (900, 1)
    assert found.corner_distance == pytest.approx(2**0.5)
