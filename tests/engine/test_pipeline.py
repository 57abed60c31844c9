from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import yolean
from fake_engine import classes, engine, grey
from map_models import METRES, Kind, map_model
from onnx import TensorProto
from yolean.engine.errors import ModelError
from yolean.engine.pipeline import Engine
from yolean.models import demo_images, demo_model


def test_one_result_an_image_in_order() -> None:
    model = engine()
    images = [grey(i * 10) for i in range(20)]
    assert classes(model(images)) == [i * 10 for i in range(20)]
    assert classes(list(model.stream(images))) == [i * 10 for i in range(20)]
    assert classes(model(grey(7))) == [7]


def test_batches() -> None:
    for fixed, asked, count, runs in [
        (None, None, 5, [1] * 5),  # free batch on the CPU: one by one is faster
        (None, 2, 5, [2, 2, 1]),  # free batch, asked for
        (1, None, 3, [1] * 3),  # fixed batch of one loops
        (4, None, 5, [4, 4]),  # fixed batch: the last run is filled up
        (4, 2, 5, [4, 4, 4]),
    ]:
        model = engine(batch=fixed)
        found = model([grey(i) for i in range(count)], batch=asked)
        assert classes(found) == list(range(count))
        assert [shape[0] for shape in model.session.shapes] == runs


def test_scores_that_are_no_probabilities_are_a_model_error() -> None:
    model = engine()
    run = model.session.run
    model.session.run = lambda *inputs: [rows * 42 for rows in run(*inputs)]
    with pytest.raises(
        ModelError, match=r"scores from 0 to 1 in the end2end layout, found scores from 0 to 37\.8"
    ):
        model(grey(7))


def test_outputs_that_nobody_decodes_may_have_any_shape() -> None:
    model = engine()
    run = model.session.run
    model.session.run = lambda tensor, floor: [*run(tensor), np.float32(1), np.zeros(0), ["a sequence"]]
    assert classes(model([grey(3), grey(4)], batch=2)) == [3, 4]


def test_gpus_batch_by_default() -> None:
    model = engine()
    model.session.device = SimpleNamespace(is_gpu=True)
    model([grey(i) for i in range(20)])
    assert [shape[0] for shape in model.session.shapes] == [8, 8, 4]


@pytest.mark.parametrize("fixed", [None, 4])
def test_live_sources_do_not_wait_for_a_batch(fixed: Any) -> None:
    model = engine(batch=fixed)
    model.session.device = SimpleNamespace(is_gpu=True)
    taken = []

    def camera() -> Iterator[Any]:
        for i in range(20):
            taken.append(i)
            yield grey(i)

    stream = model.stream(camera())
    assert classes([next(stream)]) == [0]
    assert len(taken) <= 2
    stream.close()


def test_images_of_other_shapes_get_the_tensor_they_get_alone() -> None:
    model = engine()
    images = [grey(1), grey(2, 32, 64), grey(3, 32, 64), grey(4, 64, 32), grey(5)]
    assert classes(model(images, batch=4)) == [1, 2, 3, 4, 5]
    shapes = [(1, 3, 64, 64), (2, 3, 32, 64), (1, 3, 64, 32), (1, 3, 64, 64)]
    assert model.session.shapes == shapes


def test_a_static_model_pads_every_image_to_its_size() -> None:
    model = engine(dynamic=False)
    model([grey(1, 32, 64), grey(2, 10, 90)])
    assert model.session.shapes == [(1, 3, 64, 64)] * 2


def test_stream_prepares_the_next_while_the_current_runs() -> None:
    model = engine(delay=0.02)
    seen = []

    def source() -> Iterator[Any]:
        for i in range(6):
            seen.append(time.perf_counter())
            yield grey(i)

    assert classes(list(model.stream(source()))) == list(range(6))
    # Every frame but the first was asked for before the run of the one before had ended.
    assert all(asked < ended for asked, ended in zip(seen[1:], model.session.ended, strict=False))


def test_stream_reads_at_most_one_ahead_and_lets_go_when_left() -> None:
    model, taken, closed = engine(), [], []

    def source() -> Iterator[Any]:
        try:
            for i in range(100):
                taken.append(i)
                yield grey(i)
        finally:
            closed.append(True)

    for number, _ in enumerate(model.stream(source())):
        if number == 2:
            break
    assert len(taken) <= 5
    assert closed == [True]


def test_bad_images_are_handed_over_and_the_rest_goes_on(tmp_path: Path) -> None:
    model = engine()
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not an image")
    errors: list[yolean.InputError] = []
    sources = [grey(1), bad, grey(2), str(tmp_path / "missing.jpg"), grey(3)]
    assert classes(list(model.stream(sources, on_error=errors.append))) == [1, 2, 3]
    assert ["bad.jpg" in str(errors[0]), "missing.jpg" in str(errors[1])] == [True, True]
    with pytest.raises(yolean.InputError, match=r"bad\.jpg"):
        model(sources)


def test_what_came_before_a_bad_image_is_answered_first(tmp_path: Path) -> None:
    stream = engine().stream([grey(1), grey(2), str(tmp_path / "missing.jpg")], batch=8)
    assert classes([next(stream), next(stream)]) == [1, 2]
    with pytest.raises(yolean.InputError, match="missing"):
        next(stream)


def test_a_model_error_lets_go_of_the_source() -> None:
    model, closed = engine(), []

    def run(tensor: Any, floor: Any) -> None:
        raise yolean.ModelError("no")

    def source() -> Iterator[Any]:
        try:
            yield grey(1)
            yield grey(2)
        finally:
            closed.append(True)

    model.session.run = run
    with pytest.raises(yolean.ModelError):
        list(model.stream(source()))
    assert closed == [True]


@pytest.mark.parametrize("source", [0, "0", "rtsp://127.0.0.1/none"])
def test_a_call_does_not_wait_for_a_camera_to_end(source: Any) -> None:
    with pytest.raises(yolean.InputError, match="use stream"):
        engine()(source)


def test_class_ids_beyond_the_given_names_have_a_name() -> None:
    model, rows = engine(), np.array([[[0, 0, 9, 9, 0.9, 5]]], np.float32)
    model.names, model.session.run = {0: "only"}, lambda tensor, floor: [rows]
    assert model(grey(1))[0].verbose() == "1 class 5"
    assert model(grey(1))[0].summary()[0]["name"] == "class 5"


def test_a_batch_beyond_the_fixed_one_is_refused() -> None:
    with pytest.raises(yolean.InputError, match="batch=8"):
        engine(batch=4)(grey(1), batch=8)


def test_threads_share_an_engine() -> None:
    model = engine(delay=0.001)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: classes(model(grey(i)))[0], range(100)))
    assert found == list(range(100))


def test_real_engine_answers_the_same_from_many_threads() -> None:
    model = yolean.load(demo_model("segment"), device="cpu")
    images = [cv2.imread(str(path)) for path in demo_images()] * 3
    alone = [model(image)[0].to_json() for image in images]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda p: model(p)[0].to_json(), images))
    assert together == alone


def test_batches_answer_as_single_images_do() -> None:
    model = yolean.load(demo_model("pose"), device="cpu")
    image = cv2.imread(str(demo_images()[0]))
    assert image is not None
    images = [image, image[:, ::-1].copy(), image[::-1].copy()]
    together = model(images, batch=3)
    for one, other in zip(images, together, strict=True):
        alone = model(one)[0]
        assert other.boxes is not None
        assert alone.boxes is not None
        assert other.keypoints is not None
        assert alone.keypoints is not None
        np.testing.assert_allclose(other.boxes.xyxy, alone.boxes.xyxy, atol=0.01)
        np.testing.assert_allclose(other.keypoints.data, alone.keypoints.data, atol=0.01)


def test_warmup_runs_the_model() -> None:
    model = engine()
    model.warmup()
    model.warmup(imgsz=(32, 96))
    assert model.session.shapes == [(1, 3, 64, 64), (1, 3, 32, 96)]


def threaded() -> Engine:
    """A demo model whose runs take two threads each, so that many images run in threads of their own."""
    return yolean.load(demo_model(), device="cpu", threads=2)


def test_many_images_give_the_answers_of_each_alone() -> None:
    model = threaded()
    images = [str(path) for path in demo_images()] * 4
    assert len(images) >= 16
    alone = [model(image)[0].to_json() for image in images[:5]]
    found = list(model.stream(images))
    assert [result.path for result in found] == images
    assert [result.to_json() for result in found[:5]] == alone
    assert [result.to_json() for result in found] == [result.to_json() for result in model(images)]


def test_errors_among_many_images_stand_in_their_place(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    images = [str(path) for path in demo_images()] * 4
    images.insert(7, str(broken))
    order: list[str] = []
    for result in threaded().stream(images, on_error=lambda error: order.append("broken")):
        order.append(result.path)
    assert order == [*images[:7], "broken", *images[8:]]
    stream = threaded().stream(images)
    assert [next(stream).path for _ in range(7)] == images[:7]
    with pytest.raises(yolean.InputError, match=r"broken\.jpg"):
        next(stream)


def test_frames_of_a_video_keep_their_order(tmp_path: Path) -> None:
    target = str(tmp_path / "shapes.avi")
    writer = cv2.VideoWriter(target, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), number * 20, np.uint8))
    writer.release()
    found = list(threaded().stream(target))
    assert [result.frame for result in found] == list(range(12))
    means = [float(result.orig_img.mean()) for result in found]
    assert means == sorted(means)


def shaded(height: int, width: int) -> Any:
    """An image whose four quarters are of 0, 90, 150 and 255."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, width // 2 :], image[height // 2 :, : width // 2] = 90, 150
    image[height // 2 :, width // 2 :] = 255
    return image


@pytest.mark.parametrize("kind", ["class_map", "wide_map", "logits"])
@pytest.mark.parametrize("size", [(64, 96), None])
def test_semantic_models_give_the_class_of_each_pixel(kind: Kind, size: tuple[int, int] | None) -> None:
    """Letterboxed into static exports, of the least size for dynamic ones; padding is never seen."""
    model: Any = yolean.load(map_model(kind, 4, size, batch=None), device="cpu")
    images = [shaded(48, 96), shaded(64, 40), shaded(200, 300)]
    found = model(images, batch=2)
    for image, result in zip(images, found, strict=True):
        ids = result.semantic_mask.data
        assert (ids.dtype, ids.shape) == (np.uint8, image.shape[:2])
        clear = [(8, 8), (8, -8), (-8, 8), (-8, -8)]  # away from the edges of the quarters
        assert [ids[at] for at in clear] == [0, 1, 2, 3]
        near_edges = ids != np.minimum(image[:, :, 0] // 64, 3)
        assert near_edges.mean() < 0.02
        assert (len(result), result.boxes, result.depth) == (1, None, None)
    assert [len(r) for r in model.stream(images)] == [1, 1, 1]
    (chosen,) = model(images[0], classes=[2])
    assert np.unique(chosen.semantic_mask.data).tolist() == [2, 255]


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize("size", [(64, 96), None])
def test_depth_models_see_the_whole_image_stretched(size: tuple[int, int] | None, dtype: int) -> None:
    model: Any = yolean.load(map_model("depth", size=size, dtype=dtype, batch=2), device="cpu")
    images = [shaded(64, 96), shaded(100, 40), shaded(150, 192)]
    for image, result in zip(images, model(images, imgsz=(64, 96)), strict=True):
        depth = result.depth.data
        assert (depth.dtype, depth.shape) == (np.float32, image.shape[:2])
        assert result.tensor_shape == (64, 96)
        corners = [depth[at] for at in ((0, 0), (0, -1), (-1, 0), (-1, -1))]
        np.testing.assert_allclose(corners, np.array((0, 90, 150, 255)) / 255 * METRES, rtol=1e-3)
        assert (result.semantic_mask, result.boxes, result.summary()) == (None, None, [])
    exact = model(images[0], imgsz=(64, 96))[0].depth.data
    np.testing.assert_allclose(exact, images[0][:, :, 0] / 255 * METRES, rtol=1e-3)
