"""Annotated images, from stand-ins for `Results`: no model is needed to see where ink falls."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yolean.engine.results import lettering
from yolean.engine.results.drawing import annotate
from yolean.engine.results.palette import colour

NAMES = {i: f"thing {i}" for i in range(30)}
TASKS = ("detect", "segment", "pose", "obb", "classify")


def blank(height: int = 240, width: int = 320, value: int = 90) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def results(image: np.ndarray, task: str = "detect", **views: Any) -> Any:
    """A stand-in that has the attributes of `Results` that drawing may rely on."""
    empty = dict.fromkeys(("boxes", "masks", "keypoints", "obb", "probs", "semantic_mask", "depth"))
    shape = image.shape[:2]
    return SimpleNamespace(orig_img=image, orig_shape=shape, names=NAMES, task=task, **(empty | views))


def boxes(*xyxy: tuple[float, ...], cls: tuple[int, ...] | None = None) -> Any:
    ids = np.arange(len(xyxy)) if cls is None else np.array(cls, np.int64)
    conf = np.linspace(0.9, 0.3, len(xyxy), dtype=np.float32)
    return SimpleNamespace(xyxy=np.array(xyxy, np.float32).reshape(-1, 4), conf=conf, cls=ids, id=None)


def rotated(*corners: list[tuple[float, float]], cls: tuple[int, ...] = ()) -> Any:
    points = np.array(corners, np.float32).reshape(-1, 4, 2)
    conf = np.linspace(0.9, 0.3, len(points), dtype=np.float32)
    return SimpleNamespace(xyxyxyxy=points, conf=conf, cls=np.array(cls, np.int64), id=None)


def outlines(*polygons: list[tuple[float, float]]) -> Any:
    drawn = [np.array(polygon, np.float32).reshape(-1, 2) for polygon in polygons]
    return SimpleNamespace(parts=[[polygon] if len(polygon) else [] for polygon in drawn])


def points(xy: Any, conf: Any = None) -> Any:
    return SimpleNamespace(
        xy=np.array(xy, np.float32), conf=None if conf is None else np.array(conf, np.float32)
    )


def probs(ids: list[int], conf: list[float]) -> Any:
    return SimpleNamespace(top5=ids, top5conf=np.array(conf, np.float32))


def example(task: str, image: np.ndarray) -> Any:
    """Something to draw in the middle of the image, whatever its size."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = width * 0.4, height * 0.4, width * 0.6, height * 0.6
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    box = boxes((x0, y0, x1, y1))
    person = np.random.default_rng(0).uniform((x0, y0), (x1, y1), (1, 17, 2))
    views: dict[str, dict[str, Any]] = {
        "detect": {"boxes": box},
        "segment": {"boxes": box, "masks": outlines(corners)},
        "pose": {"boxes": box, "keypoints": points(person, np.ones((1, 17)))},
        "obb": {"obb": rotated(corners, cls=(1,))},
        "classify": {"probs": probs([3, 1, 2, 0, 4], [0.5, 0.2, 0.1, 0.05, 0.01])},
    }
    return results(image, task, **views[task])


def nothing(task: str, image: np.ndarray) -> Any:
    none = boxes()
    views: dict[str, dict[str, Any]] = {
        "detect": {"boxes": none},
        "segment": {"boxes": none, "masks": outlines()},
        "pose": {"boxes": none, "keypoints": points(np.zeros((0, 17, 2)), np.zeros((0, 17)))},
        "obb": {"obb": rotated()},
        "classify": {"probs": probs([], [])},
    }
    return results(image, task, **views[task])


def changed(drawn: np.ndarray, before: np.ndarray) -> np.ndarray:
    return np.asarray(np.any(drawn != before, axis=2))


def alike(pixels: np.ndarray, expected: Any) -> bool:
    """Equal but for what anti-aliasing takes from a line of one pixel."""
    return bool((np.abs(pixels.astype(int) - expected) < 32).all())


def extent(where: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of the true pixels."""
    y, x = np.nonzero(where)
    return int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1


def tags_only(xyxy: list[tuple[float, ...]], size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """Where tags change the image. Masks without a point let them stand alone, without boxes."""
    image = blank(*size, value=0)
    found = results(image, boxes=boxes(*xyxy), masks=outlines(*([] for _ in xyxy)))
    return changed(annotate(found, boxes=False), image)


# Colours


def test_colours_are_far_apart_and_repeat() -> None:
    palette = np.array([colour(i) for i in range(20)])
    lab = cv2.cvtColor(palette[None].astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 15
    assert colour(23) == colour(3)


def test_colours_are_bgr() -> None:
    blue, _, red = colour(0)
    assert blue > 200 > 100 > red


# Every task


def test_draws_on_a_copy() -> None:
    for task in TASKS:
        image = blank()
        image.flags.writeable = False
        drawn = annotate(example(task, image))
        assert drawn.shape == image.shape
        assert drawn.dtype == np.uint8
        assert (image == 90).all()
        assert changed(drawn, image).sum() > 50


def test_nothing_found_gives_an_equal_copy() -> None:
    for task in TASKS:
        image = blank()
        drawn = annotate(nothing(task, image))
        assert np.array_equal(drawn, image)
        assert not np.shares_memory(drawn, image)


def test_tiny_images() -> None:
    for size in [(1, 1), (1, 40), (40, 1), (7, 9), (16, 300)]:
        for task in TASKS:
            assert annotate(example(task, blank(*size))).shape == (*size, 3)


def test_grey_becomes_bgr() -> None:
    for task in TASKS:
        image = blank()
        expected = annotate(example(task, image))
        for grey in (image[:, :, :1], image[:, :, 0]):
            assert np.array_equal(annotate(example(task, grey)), expected)


def test_strided_image() -> None:
    image = blank(480, 640)[::2, ::-2]  # as left by a flip and a crop: not contiguous
    assert np.array_equal(annotate(example("segment", image)), annotate(example("segment", image.copy())))


def test_another_image_may_be_given() -> None:
    dark = blank(value=10)
    drawn = annotate(example("detect", blank()), dark)
    assert (drawn[0, 0] == 10).all()
    assert changed(drawn, dark).any()


def test_everything_can_be_switched_off() -> None:
    cases: list[tuple[Any, ...]] = [
        ("detect", {"boxes": False}),
        ("segment", {"boxes": False, "masks": False}),
        ("pose", {"boxes": False, "keypoints": False}),
        ("obb", {"boxes": False}),
        ("classify", {"probs": False}),
    ]
    for task, options in cases:
        image = blank()
        assert np.array_equal(annotate(example(task, image), **options), image)


def test_score_is_optional() -> None:
    image = blank()
    found = results(image, boxes=boxes((100, 100, 110, 140)))
    without: list[dict[str, Any]] = [{"conf": False}, {}, {"labels": False}]
    name, score, none = (extent(changed(annotate(found, **options), image)) for options in without)
    assert score[2] > name[2]  # the score makes the tag longer
    assert name[1] < none[1]  # without labels nothing stands above the box


# Boxes


def test_box_is_where_it_should_be() -> None:
    image = blank()
    drawn = annotate(results(image, boxes=boxes((50, 60, 151, 121))), labels=False, line_width=2)
    assert extent(changed(drawn, image)) == (49, 59, 152, 122)
    assert (drawn[[60, 120, 90, 90], [100, 100, 50, 150]] == colour(0)).all()
    assert (drawn[62:119, 52:149] == 90).all()


def test_line_width_is_respected() -> None:
    for width in [1, 2, 5]:
        image = blank()
        drawn = annotate(results(image, boxes=boxes((50, 60, 150, 120))), labels=False, line_width=width)
        assert changed(drawn, image)[90, :100].sum() == width


def test_lines_and_text_grow_with_the_image() -> None:
    small, large = blank(320, 320), blank(1600, 1600)
    widths, heights = [], []
    for image, side in ((small, 200), (large, 1000)):
        found = results(image, boxes=boxes((side / 2, side / 2, side, side)))
        plain = changed(annotate(found, labels=False), image)
        widths.append(plain[side * 3 // 4, : side * 3 // 4].sum())
        heights.append(extent(plain)[1] - extent(changed(annotate(found), image))[1])
    assert widths[0] == 1
    assert widths[1] == 5
    assert 2 < heights[1] / heights[0] < 5


def test_many_objects_get_finer_lines() -> None:
    image = blank(960, 960)
    few, many = (
        changed(annotate(results(image, boxes=boxes(*[(200, 200, 700, 700)] * n)), labels=False), image)
        for n in (20, 100)
    )
    assert few[450, :450].sum() > many[450, :450].sum() > 0


def test_the_best_lies_on_top() -> None:
    same = (50, 60, 150, 120)
    drawn = annotate(results(blank(), boxes=boxes(same, same, cls=(4, 7))), labels=False)
    assert (drawn[60, 100] == colour(4)).all()


def test_a_box_as_large_as_the_image_shows_its_whole_line() -> None:
    image = blank()
    drawn = annotate(results(image, boxes=boxes((-3, 0, 320, 260))), labels=False, line_width=3)
    assert (drawn[100, [0, 1, 318, 319]] == colour(0)).all()
    assert (drawn[[0, 1, 238, 239], 100] == colour(0)).all()


def test_a_sliver_at_the_border() -> None:
    image = blank()
    drawn = annotate(results(image, boxes=boxes((0, 60, 1, 100))), labels=False, line_width=5)
    assert extent(changed(drawn, image)) == (0, 58, 4, 102)


@given(st.lists(st.tuples(*[st.floats(-(2.0**99), 2.0**99, width=32)] * 4), max_size=4))
@settings(max_examples=25, deadline=None)
def test_any_box_can_be_drawn(found: list[tuple[float, ...]]) -> None:
    image = blank(48, 64)
    assert annotate(results(image, boxes=boxes(*found))).shape == image.shape
    corners = [[(a, b), (c, b), (c, d), (a, d)] for a, b, c, d in found]
    assert annotate(results(image, "obb", obb=rotated(*corners, cls=(0,) * len(found)))).shape == image.shape


DIAMOND = [(160.0, 40.0), (240.0, 120.0), (160.0, 200.0), (80.0, 120.0)]


def test_rotated_box_is_a_polygon() -> None:
    image = blank()
    drawn = annotate(results(image, "obb", obb=rotated(DIAMOND, cls=(6,))), labels=False, line_width=3)
    assert (drawn[[40, 80, 160, 160], [160, 200, 200, 120]] == colour(6)).all()
    assert (drawn[[45, 195, 120], [85, 235, 160]] == 90).all()  # two corners of its upright frame, the centre


def test_lines_of_a_small_rotated_box_are_finer() -> None:
    image = blank()
    tall = [(100.0, 40.0), (108.0, 40.0), (108.0, 200.0), (100.0, 200.0)]
    found = results(image, "obb", obb=rotated(tall, cls=(6,)))
    drawn = annotate(found, labels=False, line_width=6)
    assert (drawn[120, 102:107] == 90).all()


# Tags


def test_tags_stay_inside() -> None:
    for box in [
        (0, 0, 60, 60),  # top left: no room above
        (280, 0, 320, 40),  # top right: no room above, nor to the right
        (300, 200, 320, 240),  # bottom right
        (-50, 220, 3, 300),  # beyond the left and lower border
        (0, 0, 320, 240),  # all of the image
    ]:
        x0, y0, x1, y1 = extent(tags_only([(120, 100, 200, 200)]))
        left, top, right, bottom = extent(tags_only([box]))
        assert (right - left, bottom - top) == (x1 - x0, y1 - y0)


@pytest.mark.parametrize("box", [(120, 100, 200, 180), (0, 0, 320, 240)])
def test_tags_do_not_cover_each_other(box: tuple[float, ...]) -> None:
    one, several = tags_only([box]).sum(), tags_only([box] * 5).sum()
    assert abs(several - 5 * one) < 0.05 * one  # the digits' ink differs a little


def test_in_a_crowd_the_best_keep_their_tags() -> None:
    size, box = (40, 110), (10.0, 15.0, 50.0, 30.0)
    alone, crowd = tags_only([box], size), tags_only([box] * 20, size)
    assert (crowd & alone == alone).all()
    assert crowd.sum() < 6 * alone.sum()


def test_a_image_too_low_for_a_tag_gets_none() -> None:
    assert not tags_only([(10, 2, 60, 6)], size=(8, 300)).any()


def test_a_long_name_is_shortened_to_the_image() -> None:
    image = blank(100, 120)
    found = results(image, boxes=boxes((10, 50, 60, 90)))
    found.names = {0: "a name that is much longer than the image is wide"}
    drawn = annotate(found)
    left, top, right, bottom = extent(changed(drawn, annotate(found, labels=False)))
    assert right - left > 90
    assert bottom <= 51
    assert (drawn[top:bottom, [left, right - 1]] == colour(0)).all()  # no letter is cut in two by an edge


def test_tag_of_a_rotated_box_stands_on_its_top_corner() -> None:
    found = results(blank(), "obb", obb=rotated(DIAMOND[2:] + DIAMOND[:2], cls=(6,)))
    left, top, right, bottom = extent(changed(annotate(found), annotate(found, labels=False)))
    assert (left + right) / 2 == pytest.approx(160, abs=2)
    assert 20 < top < bottom <= 40


@pytest.fixture
def ascii_only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """OpenCV 4, whose fonts hold nothing but ASCII."""
    monkeypatch.delattr(cv2, "FontFace", raising=False)
    lettering.writable.cache_clear()
    yield
    lettering.writable.cache_clear()


@pytest.mark.usefixtures("ascii_only")
def test_names_beyond_ascii() -> None:
    for name, shown in [
        ("stop sign", "stop sign"),
        ("café crème", "cafe creme"),
        ("e\u0301clair", "eclair"),  # the accent as a character of its own
        ("ｔｒｕｃｋ", "truck"),  # noqa: RUF001  full width
        ("自転車", "class 7"),
        ("自転車 bicycle", "bicycle"),
        ("велосипед 2", "class 7"),  # "2" alone would say nothing
        ("dog 🐶", "dog"),
        ("two\n\tlines", "two lines"),
        ("bell\x07", "bell"),
        ("   ", "class 7"),
    ]:

        def labelled(text: str) -> np.ndarray:
            found = results(blank(), boxes=boxes((50, 60, 151, 121), cls=(7,)))
            found.names = {7: text}
            return annotate(found)

        assert np.array_equal(labelled(name), labelled(shown))
        assert not np.array_equal(labelled(shown), labelled("????"))


def test_a_class_without_a_name() -> None:
    found = results(blank(), boxes=boxes((50, 60, 151, 121), cls=(7,)))
    found.names = {}
    nameless = annotate(found)
    found.names = {7: "class 7"}
    assert np.array_equal(nameless, annotate(found))


# Masks

SQUARE = [(100.0, 100.0), (180.0, 100.0), (180.0, 160.0), (100.0, 160.0)]


def masked(image: np.ndarray, *polygons: list[tuple[float, float]], cls: tuple[int, ...]) -> np.ndarray:
    found = results(
        image, "segment", boxes=boxes(*[(0, 0, 9, 9)] * len(cls), cls=cls), masks=outlines(*polygons)
    )
    return annotate(found, boxes=False, labels=False)


def test_mask_is_translucent_with_an_outline() -> None:
    image = blank()
    drawn = masked(image, SQUARE, cls=(2,))
    blend = 0.42 * np.array(colour(2)) + 0.58 * 90
    assert np.abs(drawn[105:155, 105:175] - blend).max() <= 1
    assert alike(drawn[[100, 160], 105:175], colour(2))
    assert alike(drawn[105:155, [100, 180]], colour(2))
    left, top, right, bottom = extent(changed(drawn, image))
    assert left >= 98
    assert top >= 98
    assert right <= 183
    assert bottom <= 163


def test_upper_mask_hides_the_lower() -> None:
    shifted = [(x + 40, y) for x, y in SQUARE]
    drawn = masked(blank(), SQUARE, shifted, cls=(2, 5))
    assert (drawn[130, 150] == drawn[130, 110]).all()
    assert not (drawn[130, 200] == drawn[130, 110]).all()


def test_mask_without_outline_is_skipped() -> None:
    image = blank()
    assert np.array_equal(masked(image, [], SQUARE, cls=(2, 5)), masked(image, SQUARE, cls=(5,)))
    assert np.array_equal(masked(image, [], cls=(2,)), image)


def test_mask_beyond_the_border() -> None:
    image = blank()
    drawn = masked(image, [(x + 1e5, y) for x, y in SQUARE], [(x - 130, y) for x, y in SQUARE], cls=(1, 2))
    assert (drawn[130, :40] != 90).any(axis=1).all()
    assert (drawn[:, 60:] == 90).all()


def test_parts_of_a_mask_are_not_joined_by_a_line() -> None:
    image = blank()
    both = outlines(SQUARE, [(x + 100, y) for x, y in SQUARE])
    one_mask = SimpleNamespace(parts=[both.parts[0] + both.parts[1]])
    boxed = boxes((0, 0, 9, 9), cls=(3,))
    drawn = annotate(results(image, "segment", boxes=boxed, masks=one_mask), boxes=False, labels=False)
    assert (drawn[90:170, 185:195] == 90).all()
    for x in (105, 205):
        assert (drawn[130, x : x + 70] != 90).any(axis=1).all()
    assert alike(drawn[100, 205:275], colour(3))
    assert alike(drawn[105:155, 180], colour(3))


def test_a_mask_one_pixel_thin_is_drawn() -> None:
    image = blank()
    assert changed(masked(image, [(100, 100), (120, 100)], cls=(3,)), image)[100, 102:119].all()


# Keypoints


def posed(image: np.ndarray, xy: Any, conf: Any = None) -> np.ndarray:
    found = results(image, "pose", boxes=boxes((0, 0, 9, 9)), keypoints=points(xy, conf))
    return annotate(found, boxes=False)


def person() -> tuple[np.ndarray, np.ndarray]:
    """Left shoulder, elbow and wrist in a row, all else hidden in the other half of the image."""
    xy, conf = np.full((1, 17, 2), (40, 200), np.float32), np.zeros((1, 17), np.float32)
    xy[0, [5, 7, 9]] = (200, 40), (200, 120), (200, 200)
    conf[0, [5, 7, 9]] = 0.9
    return xy, conf


def test_limbs_join_visible_points() -> None:
    image = blank()
    drawn = posed(image, *person())
    arm = drawn[80, 200]
    assert alike(drawn[[120, 160], 200], arm)
    assert not changed(drawn, image)[:, :180].any()


def test_limbs_end_at_the_last_visible_point() -> None:
    image = blank()
    xy, conf = person()
    conf[0, 9] = 0.49
    drawn = changed(posed(image, xy, conf), image)
    assert drawn[80, 200]
    assert not drawn[130:].any()


def test_left_and_right_differ() -> None:
    xy, conf = person()
    mirrored, visible = np.zeros_like(xy), np.zeros_like(conf)
    mirrored[:, [6, 8, 10]], visible[:, [6, 8, 10]] = xy[:, [5, 7, 9]], 0.9
    left, right = posed(blank(), xy, conf), posed(blank(), mirrored, visible)
    assert changed(right, blank())[80, 200]
    assert (left[80, 200] != right[80, 200]).any()


def test_another_skeleton_gets_points_and_no_limbs() -> None:
    image = blank()
    drawn = posed(image, [[(200, 40), (200, 120), (200, 200)]], [[0.9, 0.9, 0.4]])
    assert (drawn[[40, 120], 200] == [colour(0), colour(1)]).all()
    assert not changed(drawn, image)[60:100].any()
    assert not changed(drawn, image)[140:].any()


def test_points_without_visibility_are_all_drawn() -> None:
    image = blank()
    drawn = changed(posed(image, [[(30, 40), (200, 120)]]), image)
    assert drawn[40, 30]
    assert drawn[120, 200]


def test_a_person_without_visible_points() -> None:
    image = blank()
    xy, conf = person()
    assert np.array_equal(posed(image, xy, np.zeros_like(conf)), image)


def test_a_lone_point_has_the_size_of_the_image_s_lines() -> None:
    image = blank(1600, 1600)
    left, top, right, bottom = extent(changed(posed(image, [[(800, 900)]]), image))
    assert 14 < right - left < 30
    assert (left + right, top + bottom) == pytest.approx((1601, 1801), abs=1)


# Classification


def classified(image: np.ndarray, conf: list[float], **options: Any) -> np.ndarray:
    ids = list(range(len(conf)))
    return annotate(results(image, "classify", probs=probs(ids, conf)), **options)


def test_panel_is_in_the_corner_and_translucent() -> None:
    image = blank(480, 640)
    image[:, ::2] = 255
    drawn = classified(image, [0.5, 0.2, 0.1, 0.05, 0.01])
    left, top, right, bottom = extent(changed(drawn, image))
    assert max(left, top) < 20
    assert right < 320
    assert bottom < 240
    assert drawn[top, left].sum() != drawn[top, left + 1].sum()  # the image's stripes show through


def test_bars_are_as_long_as_the_probabilities() -> None:
    drawn = classified(blank(480, 640), [0.8, 0.4, 0.0])
    lengths = [(drawn == colour(i)).all(axis=2).sum(axis=1).max() for i in range(3)]
    assert lengths[0] == pytest.approx(2 * lengths[1], abs=1)
    assert lengths[2] == 1


def test_fewer_classes_make_a_lower_panel() -> None:
    image = blank(480, 640)
    two, five = (extent(changed(classified(image, [0.2] * n), image)) for n in (2, 5))
    assert two[3] < five[3]


def test_panel_shows_as_many_rows_as_fit() -> None:
    image = blank(60, 200)
    drawn = classified(image, [0.5, 0.2, 0.1, 0.05, 0.01])
    shown = [(drawn == colour(i)).all(axis=2).any() for i in range(5)]
    assert shown[0]
    assert not shown[4]
    assert extent(changed(drawn, image))[3] <= 60
