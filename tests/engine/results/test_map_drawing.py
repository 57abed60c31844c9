"""Maps over an image: which colour falls where, and what the legends leave free."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from yolean.engine.images.frames import Frame
from yolean.engine.results.palette import colour
from yolean.engine.results.results import Results
from yolean.postprocess.detections import Detections
from yolean.postprocess.layout import Task
from yolean.postprocess.types import Size

NAMES = {0: "road", 1: "car", 2: "sky"}
GREY = 100


def results(task: Task, height: int, width: int, names: dict[int, str] = NAMES, **maps: Any) -> Results:
    frame = Frame(np.full((height, width, 3), GREY, np.uint8), "a.jpg", 0, None, 0.0)
    return Results(frame, names, task, Detections.of_map(**maps), {}, Size(64, 64))


def mix(tint: tuple[int, int, int], opacity: float) -> NDArray[Any]:
    return np.array(tint) * opacity + GREY * (1 - opacity)


def test_classes_have_their_colours_and_ignored_pixels_keep_theirs() -> None:
    ids = np.repeat(np.array([0, 2, 255], np.uint8), 100)[None].repeat(240, axis=0)
    drawn = results("semantic", 240, 300, class_map=ids).plot(labels=False)
    for x, expected in ((50, mix(colour(0), 0.5)), (150, mix(colour(2), 0.5)), (250, np.full(3, GREY))):
        assert np.abs(drawn[:, x] - expected).max() <= 1
    plain = results("semantic", 240, 300, class_map=ids).plot(masks=False)
    assert (plain == GREY).all()


def test_of_one_class_only_that_is_drawn() -> None:
    ids = np.repeat(np.array([0, 1], np.uint8), 100)[None].repeat(240, axis=0)
    drawn = results("semantic", 240, 200, {0: "crack"}, class_map=ids).plot(labels=False)
    assert (drawn[:, :100] == GREY).all()
    assert np.abs(drawn[:, 100:] - mix(colour(0), 0.5)).max() <= 1


def test_more_classes_than_a_byte_holds_repeat_the_colours() -> None:
    ids = np.full((240, 320), 307, np.int16)
    drawn = results("semantic", 240, 320, {i: str(i) for i in range(400)}, class_map=ids).plot(labels=False)
    assert np.abs(drawn - mix(colour(307), 0.5)).max() <= 1


def test_the_legend_lists_the_largest_classes_on_top() -> None:
    ids = np.ones((480, 640), np.uint8)
    ids[:100] = 2
    drawn = results("semantic", 480, 640, class_map=ids).plot()
    panel = drawn[:100, :150].reshape(-1, 3)
    rows = [np.flatnonzero((drawn[:100, :60] == colour(i)).all(axis=2).any(axis=1)) for i in (1, 2)]
    assert rows[0].max() < rows[1].min()
    assert (panel == 255).all(axis=1).any()  # text
    unlabelled = results("semantic", 480, 640, class_map=ids).plot(labels=False)
    assert np.array_equal(drawn[240:], unlabelled[240:])


def test_near_is_red_far_is_blue_and_pixels_without_depth_are_plain() -> None:
    depth = np.repeat(np.array([1, 2, 50, 0], np.float32), 60)[None].repeat(240, axis=0)
    drawn = results("depth", 240, 240, depth=depth).plot(labels=False)
    near, middle, far, none = (drawn[120, x].astype(int) for x in (30, 90, 150, 210))
    assert near[2] > near[0] + 40
    assert far[0] > far[2]
    assert middle[1] > max(near[1], far[1])
    assert none.tolist() == [GREY] * 3


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_depth_without_range_is_drawn(value: float) -> None:
    drawn = results("depth", 240, 320, depth=np.full((240, 320), value, np.float32)).plot()
    assert (drawn != GREY).any() == (value > 0)


def test_the_legend_of_depth_is_in_the_lower_left_corner_in_metres() -> None:
    depth = np.linspace(0.8, 30, 480 * 640, dtype=np.float32).reshape(480, 640)
    with_legend, without = (results("depth", 480, 640, depth=depth).plot(labels=on) for on in (True, False))
    changed = np.argwhere((with_legend != without).any(axis=2))
    assert changed[:, 0].min() > 400
    assert changed[:, 1].max() < 320
    turbo = cv2.applyColorMap(np.array([[255, 0]], np.uint8), cv2.COLORMAP_TURBO)[0]
    for end in turbo:
        assert (with_legend[400:] == end).all(axis=2).any()


@pytest.mark.parametrize("size", [(1, 1), (9, 200), (200, 9), (32, 32), (120, 90)])
def test_small_images_have_legends_that_fit_or_none(size: tuple[int, int]) -> None:
    ids = np.random.default_rng(0).integers(0, 3, size, np.uint8)
    depth = np.random.default_rng(0).uniform(0, 9, size).astype(np.float32)
    for found in (results("semantic", *size, class_map=ids), results("depth", *size, depth=depth)):
        assert found.plot().shape == (*size, 3)


def test_maps_follow_the_size_of_another_image() -> None:
    for found in (
        results("semantic", 60, 80, class_map=np.ones((60, 80), np.uint8)),
        results("depth", 60, 80, depth=np.ones((60, 80), np.float32)),
    ):
        assert found.plot(image=np.zeros((120, 160, 3), np.uint8)).shape == (120, 160, 3)
