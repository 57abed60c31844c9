from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from fake_engine import engine, grey
from yolean.engine.errors import InputError
from yolean.engine.results.results import Results
from yolean.engine.tiling import Region, Tiling, check_tiling
from yolean.models import demo_images, demo_model
from yolean.postprocess.types import Size

HEIGHT, WIDTH = 480, 640
NEAR = 32  # pixels: the whole image, at half the size, may show an object better, and with other edges


def mosaic(rows: int = 2, columns: int = 3) -> Any:
    """A demo image several times, side by side."""
    image = cv2.imread(str(demo_images()[0]))
    assert image is not None
    assert image.shape == (HEIGHT, WIDTH, 3)
    return np.tile(image, (rows, columns, 1))


def corners(result: Results) -> Any:
    return result.obb.xyxyxyxy if result.obb is not None else result.boxes.xyxy.reshape(-1, 2, 2)  # type: ignore[union-attr]


# ---- where slices lie -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "tile", "overlap"),
    [((2018, 1657), (640, 640), 0.2), ((3000, 4000), (512, 640), 0.25), ((1000, 100), (640, 640), 0.0)],
)
def test_slices_have_one_shape_and_cover_the_image(
    image: tuple[int, int], tile: tuple[int, int], overlap: float
) -> None:
    *slices, whole = Tiling(Size(*tile), overlap).regions(Size(*image))
    assert whole == Region(0, 0, image[1], image[0])
    assert {(s.height, s.width) for s in slices} == {(min(tile[0], image[0]), min(tile[1], image[1]))}
    seen = np.zeros(image, np.uint8)
    for left, top, width, height in slices:
        seen[top : top + height, left : left + width] += 1
    assert seen.min() == 1
    tops = sorted({s.top for s in slices})
    assert all(b - a <= tile[0] - int(overlap * tile[0]) for a, b in pairwise(tops))


def test_an_image_that_a_slice_covers_is_run_once() -> None:
    for image in [(640, 640), (100, 640), (1, 1)]:
        assert Tiling(Size(640, 640)).regions(Size(*image)) == [Region(0, 0, image[1], image[0])]


def test_too_many_slices_are_refused_before_any_is_made() -> None:
    with pytest.raises(InputError, match=r"tile=32x32, overlap=0\.9: 95499 slices of an image"):
        Tiling(Size(32, 32), 0.9).regions(Size(1000, 1600))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": 31}, "at least the stride of the model, 32"),
        ({"tile": (640, 16)}, "at least the stride of the model, 32"),
        ({"tile": 0}, "at least the stride"),
        ({"tile": -64}, "at least the stride"),
        ({"tile": 64.5}, "whole number of pixels"),
        ({"tile": True}, "whole number of pixels"),
        ({"tile": (64, 64, 3)}, "whole number of pixels"),
        ({"tile": 10**9}, "to 8192"),
        ({"tile": 64, "overlap": 1}, "from 0 to below 1"),
        ({"tile": 64, "overlap": -0.1}, "from 0 to below 1"),
        ({"tile": 64, "overlap": float("nan")}, "from 0 to below 1"),
        ({"tile": 64, "overlap": "much"}, "from 0 to below 1"),
        ({"tile": 64, "merge": "average"}, "nmm, nms"),
        ({"overlap": 2}, "from 0 to below 1"),
    ],
)
def test_refusals(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        engine().stream(grey(1), **arguments)  # at once, not at the first result
    assert "\n" not in str(error.value)


def test_a_classification_of_slices_is_refused() -> None:
    model = yolean.load(demo_model("classify"), device="cpu")
    with pytest.raises(InputError, match="this one is for classify"):
        model(demo_images()[0], tile=64)
    assert check_tiling(None, 0.2, "nmm", model.spec) is None


# ---- what is found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_each_slice_finds_what_it_finds_alone(task: str) -> None:
    model, image = yolean.load(demo_model(task), device="cpu"), mosaic(2, 2)
    alone = model(image[:HEIGHT, :WIDTH])[0]
    (found,) = model(image, tile=(HEIGHT, WIDTH), overlap=0, merge="nms")
    assert found.orig_shape == image.shape[:2]
    assert len(found) >= 4 * len(alone) > 4
    for corner in ((0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)):
        for row, points in enumerate(corners(alone) + np.array(corner, np.float32)):
            gaps = np.abs(corners(found) - points).max(axis=(1, 2))
            match = int(gaps.argmin())
            assert gaps[match] < NEAR
            if alone.keypoints is not None and found.keypoints is not None:
                expected = alone.keypoints.xy[row] + np.array(corner, np.float32)
                np.testing.assert_allclose(found.keypoints.xy[match], expected, atol=NEAR)
            if alone.masks is not None and found.masks is not None:
                own, outline = alone.masks.xy[row] + np.array(corner, np.float32), found.masks.xy[match]
                np.testing.assert_allclose(outline.min(axis=0), own.min(axis=0), atol=NEAR)
                np.testing.assert_allclose(outline.max(axis=0), own.max(axis=0), atol=NEAR)


def test_masks_have_the_size_of_the_image() -> None:
    model, image = yolean.load(demo_model("segment"), device="cpu"), mosaic(2, 2)
    (found,) = model(image, tile=(HEIGHT, WIDTH))
    assert found.masks is not None
    assert found.masks.data.shape == (len(found), *image.shape[:2])
    for mask, outline in zip(found.masks.data, found.masks.xy, strict=True):
        filled = np.zeros(image.shape[:2], np.uint8)
        cv2.fillPoly(filled, [np.rint(outline).astype(np.int32)], (1,))
        assert np.count_nonzero(filled & mask) / np.count_nonzero(filled | mask) > 0.9
    assert len(found.masks[1:].xy) == len(found) - 1
    assert found.plot().shape == image.shape


@pytest.mark.parametrize("arguments", [{}, {"batch": 4}], ids=["threads", "batches"])
def test_threads_and_batches_answer_as_one_after_the_other(arguments: dict[str, Any]) -> None:
    image = mosaic(1, 2)
    slow = yolean.load(demo_model(), device="cpu", threads=1)
    fast = yolean.load(demo_model(), device="cpu", threads=2)
    (expected,) = slow(image, tile=320)
    for result in fast([image, image], tile=320, **arguments):
        assert result.summary(decimals=2) == expected.summary(decimals=2)


def test_a_frame_of_each_is_one_result_in_order(tmp_path: Path) -> None:
    images = [grey(10, 100, 200), grey(20, 64, 64), grey(30, 300, 90)]
    for arguments in ({}, {"batch": 2}):
        found = engine().stream(images, tile=64, overlap=0, **arguments)
        assert [(r.orig_shape, {int(c) for c in r.boxes.cls}) for r in found] == [
            ((100, 200), {10}),
            ((64, 64), {20}),
            ((300, 90), {30}),
        ]


def test_errors_stand_for_their_image(tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not an image")
    huge = grey(3, 1000, 8000)
    errors: list[yolean.InputError] = []
    sources = [grey(1), bad, huge, grey(4)]
    tile: Any = {"tile": 32, "overlap": 0.9}
    found = list(engine().stream(sources, on_error=errors.append, **tile))
    assert [int(r.boxes.cls[0]) for r in found] == [1, 4]
    assert ["bad.jpg" in str(errors[0]), "slices of an image" in str(errors[1])] == [True, True]
    stream = engine().stream([grey(1), huge], **tile)
    assert int(next(stream).boxes.cls[0]) == 1
    with pytest.raises(InputError, match="slices of an image"):
        next(stream)


def test_leaving_early_lets_go_of_the_source() -> None:
    closed, taken = [], []

    def source() -> Any:
        try:
            for i in range(100):
                taken.append(i)
                yield grey(i, 200, 200)
        finally:
            closed.append(True)

    stream = engine().stream(source(), tile=64)
    next(stream)
    stream.close()
    assert closed == [True]
    assert len(taken) <= 3
