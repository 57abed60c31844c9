"""Answers as plain data: what yolean found, and how far two answers differ."""

from __future__ import annotations

import copy
import json
from functools import cache

import pytest
import yolean
from yolean import InputError
from yolean.benchmarks.answers import PlainAnswer, compare
from yolean.benchmarks.reference_runner import answer as plain_answer
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_images, demo_model

OBJECTS = [task for task in DEMO_MODELS if task not in ("classify", "semantic", "depth")]
KEYS = {
    "detect": ["shape", "cls", "conf", "xyxy"],
    "segment": ["shape", "cls", "conf", "xyxy", "segments"],
    "pose": ["shape", "cls", "conf", "xyxy", "keypoints", "kpt_shape"],
    "obb": ["shape", "cls", "conf", "xywhr", "obb"],
    "classify": ["shape", "top5", "top5conf"],
    "semantic": ["shape", "semantic_mask"],
    "depth": ["shape", "depth_map", "depth_max"],
}


@cache
def loaded(task: str) -> Engine:
    return yolean.load(demo_model(task), device="cpu")


@cache
def found(task: str, conf: float = 0.25) -> PlainAnswer:
    return plain_answer(loaded(task)(demo_images()[0], conf=conf)[0])


def answer(task: str, conf: float = 0.25) -> PlainAnswer:
    """A copy that may be changed, of at least two objects unless `conf` is 1."""
    made = copy.deepcopy(found(task, conf))
    assert conf == 1 or task in ("semantic", "depth") or len(made["cls" if "cls" in made else "top5"]) > 1
    return made


def without_first(one: PlainAnswer) -> PlainAnswer:
    rows = {key: value[1:] for key, value in one.items() if key not in ("shape", "kpt_shape")}
    return one | rows


def test_an_answer_has_the_format_of_the_reference_files_and_equals_itself() -> None:
    for task in DEMO_MODELS:
        one = answer(task)
        assert list(one) == KEYS[task]
        assert json.loads(json.dumps(one)) == one
        apart = compare(one, one)
        assert (apart.images, apart.missing, apart.extra) == (1, (), ())
        assert apart.matched == len(one.get("cls", ()))
        assert set(apart.largest().values()) == {0.0}
        assert (apart.other_class is None, apart.depth is None) == (
            task != "semantic",
            task != "depth",
        )
        assert (apart.keypoints is not None, apart.mask is not None) == (task == "pose", task == "segment")


def test_an_object_that_one_of_the_two_lacks_is_kept_by_its_score() -> None:
    for task in OBJECTS:
        one = answer(task)
        apart = compare(one, without_first(one))
        assert apart.missing == (one["conf"][0],)
        assert apart.extra == ()
        assert compare(without_first(one), one).extra == (one["conf"][0],)


def test_a_changed_score_and_a_shifted_box_are_reported_in_full() -> None:
    for task in OBJECTS:
        one, other = answer(task), answer(task)
        other["conf"][1] -= 0.125
        box = other["obb" if task == "obb" else "xyxy"][0]
        box[:] = [value + 2.5 for value in box]
        apart = compare(one, other)
        assert apart.matched == len(one["cls"])
        assert apart.score == pytest.approx(0.125)
        assert apart.box == pytest.approx(2.5)


def test_another_class_makes_another_object() -> None:
    one, other = answer("detect"), answer("detect")
    other["cls"][0] += 1
    apart = compare(one, other)
    assert apart.missing == apart.extra == (one["conf"][0],)


def test_the_order_of_objects_and_the_first_corner_do_not_matter() -> None:
    one, other = answer("obb"), answer("obb")
    for key in ("cls", "conf", "xywhr", "obb"):
        other[key].reverse()
    other["obb"] = [row[2:] + row[:2] for row in other["obb"]]
    apart = compare(one, other)
    assert (apart.box, apart.score, apart.missing) == (0, 0, ())


def test_outlines_are_compared_filled() -> None:
    one, other = answer("segment"), answer("segment")
    one["xyxy"][0] = other["xyxy"][0] = [0, 0, 99, 49]
    one["segments"][0] = [0, 0, 99, 0, 99, 49, 0, 49]
    other["segments"][0] = [0, 49, 0, 25, 99, 25, 99, 49]  # the lower half, from another corner
    assert compare(one, other).mask == pytest.approx(0.5)


def test_masks_without_an_outline_equal_each_other_only() -> None:
    one, other = answer("segment"), answer("segment")
    one["segments"][0] = other["segments"][0] = []
    assert compare(one, other).mask == 0
    assert compare(answer("segment"), other).mask == 1


def test_keypoints_are_measured_in_pixels_and_their_visibility_apart() -> None:
    one, other = answer("pose"), answer("pose")
    other["keypoints"][0][0] += 3
    other["keypoints"][1][2] -= 0.25
    apart = compare(one, other)
    assert apart.keypoints == pytest.approx(3)
    assert apart.visibility == pytest.approx(0.25)


def test_how_many_numbers_a_keypoint_has() -> None:
    rows: list[tuple[list[int] | None, int, float | None]] = [
        ([2, 3], 6, 0.5),  # the answer tells that the third number is a visibility
        ([3, 2], 6, None),  # or that there are two numbers each
        (None, 6, 0.5),  # neither tells: three, where that is possible
        (None, 8, None),  # and two where it is not
    ]
    for told, flat, visibility in rows:
        one: PlainAnswer = {"shape": [9, 9], "cls": [0], "conf": [0.5], "xyxy": [[1, 1, 8, 8]]}
        one["keypoints"] = [[1.0] * flat]
        other = copy.deepcopy(one) | ({} if told is None else {"kpt_shape": told})
        other["keypoints"][0][2] += 0.5  # a visibility or an x
        apart = compare(one, other)
        assert apart.visibility == visibility
        assert apart.keypoints == (0.5 if visibility is None else 0)


def test_images_without_objects_are_compared() -> None:
    for task in OBJECTS:
        nothing = answer(task, conf=1)
        assert list(nothing) == KEYS[task]
        assert nothing["cls"] == []
        assert compare(nothing, nothing).matched == 0
        some = answer(task)
        assert compare(nothing, some).extra == tuple(sorted(some["conf"], reverse=True))
        assert compare(some, nothing).missing == tuple(sorted(some["conf"], reverse=True))


def test_ultralytics_lists_no_segments_where_it_found_nothing() -> None:
    some = answer("segment")
    nothing = {"shape": some["shape"], "cls": [], "conf": [], "xyxy": []}
    assert len(compare(nothing, some).extra) == len(some["cls"])
    assert compare(nothing, answer("segment", conf=1)).matched == 0


def test_classifications_are_compared_class_by_class() -> None:
    rows: list[tuple[list[int], list[float], float]] = [
        ([3, 1, 2], [0.6, 0.3, 0.1], 0.0),  # the same
        ([1, 3, 2], [0.5, 0.4, 0.1], 0.2),  # another order: class by class
        ([3, 1, 7], [0.6, 0.3, 0.1], 0.1),  # class 2 is lacking
        ([9, 8, 7], [0.6, 0.3, 0.1], 0.6),  # all are
    ]
    for top5, top5conf, probs in rows:
        one = {"shape": [9, 9], "top5": [3, 1, 2], "top5conf": [0.6, 0.3, 0.1]}
        assert compare(one, one | {"top5": top5, "top5conf": top5conf}).probs == pytest.approx(probs)


def test_what_is_no_such_answer_is_refused_in_a_line() -> None:
    rows: list[tuple[str, PlainAnswer, str]] = [
        ("detect", {"conf": [0.5]}, "conf has 1 numbers"),
        ("detect", {"xyxy": None}, "not an answer"),
        ("detect", {"shape": [9, 9]}, "different images"),
        ("detect", {"shape": 9}, "not an answer"),
        ("segment", {"segments": []}, "0 segments"),
        ("classify", {"top5": [1]}, "not an answer"),
        ("obb", {"cls": [[1], [2, 3]]}, "not an answer"),
    ]
    for task, change, words in rows:
        with pytest.raises(InputError, match=words) as error:
            compare(answer(task), answer(task) | change)
        assert "\n" not in str(error.value)


def test_a_key_that_is_missing_is_named() -> None:
    other = answer("detect")
    del other["conf"]
    with pytest.raises(InputError, match="no 'conf'"):
        compare(answer("detect"), other)


def test_answers_of_different_tasks_are_refused() -> None:
    with pytest.raises(InputError, match="different tasks"):
        compare(answer("detect"), answer("classify"))
