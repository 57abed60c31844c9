from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from yolean.engine.errors import InputError
from yolean.engine.images.frames import Frame
from yolean.engine.images.preprocessing import InputTensor, TensorPool, check_size, place
from yolean.engine.model.spec import ModelSpec
from yolean.postprocess.layout import Layout, Task
from yolean.postprocess.types import Size


def spec(
    task: Task = "detect",
    dynamic: bool = False,
    imgsz: Any = (64, 64),
    channels: Any = 3,
    dtype: Any = "float32",
) -> Any:
    return ModelSpec(Layout(task, "raw", 1), {0: "x"}, Size(*imgsz), 32, channels, 1, dynamic, dtype)


def noise(*shape: Any) -> Any:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape).astype(np.uint8)


def prepared(image: Any, model: Any, size: Any = None) -> Any:
    geometry = place(Size.of(image), size or model.imgsz, model)
    tensor = InputTensor((1, model.channels, *geometry.tensor), model.dtype)
    tensor.array[:] = np.nan
    tensor.write([(image, geometry)], model)
    return tensor.array[0]


def test_letterbox_equals_its_definition() -> None:
    for shape in [(64, 64), (30, 64), (64, 31), (200, 123), (5, 7), (1, 1), (1, 300)]:
        image, model = noise(*shape, 3), spec()
        geometry = place(Size(*shape), model.imgsz, model)
        (height, width), (left, top) = geometry.resized, geometry.pad
        padded = np.full((64, 64, 3), 114, np.uint8)
        padded[top : top + height, left : left + width] = cv2.resize(image, (width, height))
        expected = padded[..., ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(prepared(image, model), expected)


def test_a_tensor_used_again_is_padded_anew_for_another_shape() -> None:
    model, tensor = spec(), InputTensor((2, 3, 64, 64), "float32")
    shapes = [(64, 30), (64, 30), (20, 64), (64, 64), (64, 30)]
    for first, second in zip(shapes, shapes[::-1], strict=True):
        images = [noise(*first, 3), noise(*second, 3)]
        tensor.write([(i, place(Size.of(i), Size(64, 64), model)) for i in images], model)
        for row, image in zip(tensor.array, images, strict=True):
            np.testing.assert_array_equal(row, prepared(image, model))


@pytest.mark.parametrize("task", ["detect", "classify", "depth"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_tensor_of_the_caller_is_written_as_it_is(task: Task, dynamic: bool) -> None:
    given = np.random.default_rng(1).uniform(0, 1, (3, 64, 64)).astype(np.float32)
    frame = Frame.of_tensor(given, "images")
    image, kinds = noise(64, 30, 3), ("float32", "float16", "uint8")
    for dtype, values in zip(kinds, (given, given.astype("float16"), np.rint(given * 255)), strict=True):
        model = spec(task, dynamic=dynamic, dtype=dtype)
        geometry = place(Size.of(frame.image), Size(64, 64), model)
        assert (geometry.scale, geometry.pad, geometry.tensor) == ((1, 1), (0, 0), Size(64, 64))
        tensor = InputTensor((1, 3, 64, 64), dtype)
        whole = place(Size(64, 30), Size(64, 64), spec())
        for _ in range(2):  # the padding of an image comes back
            tensor.write([(frame.input, geometry)], model)
            np.testing.assert_array_equal(tensor.array[0], values)
            tensor.write([(image, whole)], spec(dtype=dtype))
            grey = 114 if dtype == "uint8" else np.float32(114) / np.float32(255)
            np.testing.assert_array_equal(tensor.array[0, :, :, 0], np.full((3, 64), grey, dtype))


def test_the_pool_gives_tensors_again_and_keeps_those_of_few_shapes() -> None:
    pool = TensorPool("float32")
    tensors = [pool.take((1, 3, 32, 32 * width)) for width in range(1, 12)]
    pool.give_back(tensors[0])
    other = pool.take((1, 3, 32, 32))
    assert other is tensors[0]
    assert pool.take((1, 3, 32, 32)) is not other
    for tensor in tensors:
        pool.give_back(tensor)
    kept = [pool.take(tensor.array.shape) is tensor for tensor in tensors]
    assert 1 <= sum(kept) <= 8
    assert kept[-1]


def test_dynamic_models_pad_to_the_stride_only() -> None:
    assert prepared(noise(100, 200, 3), spec(dynamic=True), Size(128, 128)).shape == (3, 64, 128)


def test_half_precision_is_rounded_once() -> None:
    image = noise(64, 64, 3)
    half = prepared(image, spec(dtype="float16"))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, prepared(image, spec()).astype(np.float16))


def test_grey_and_other_channels_keep_their_order() -> None:
    grey = noise(64, 64, 1)
    np.testing.assert_array_equal(prepared(grey, spec(channels=1))[0], grey[..., 0] / np.float32(255))
    assert prepared(noise(31, 17, 1), spec(channels=1)).shape == (1, 64, 64)
    four = noise(64, 64, 4)
    np.testing.assert_array_equal(prepared(four, spec(channels=4))[3], four[..., 3] / np.float32(255))


def test_classify_is_pillow_s_resize_and_a_centre_crop() -> None:
    image, model = noise(300, 200, 3), spec("classify", imgsz=(224, 224))
    geometry = place(Size.of(image), model.imgsz, model)
    left, top = geometry.pad
    size = geometry.resized.width, geometry.resized.height
    pillow = Image.fromarray(image[..., ::-1].copy()).resize(size, Image.Resampling.BILINEAR)
    expected = np.asarray(pillow)[-top : 224 - top, -left : 224 - left].transpose(2, 0, 1)
    np.testing.assert_array_equal(prepared(image, model), expected / np.float32(255))


def test_sizes() -> None:
    for imgsz, dynamic, expected in [
        (None, False, (64, 64)),  # the model's own
        (None, True, (64, 64)),
        (64, False, (64, 64)),  # a static export asked for what it has
        (100, True, (128, 128)),  # rounded up to the stride
        ((33, 64), True, (64, 64)),
        (1, True, (32, 32)),
    ]:
        assert check_size(imgsz, spec(dynamic=dynamic)) == expected


def test_sizes_that_are_refused() -> None:
    cases: list[tuple[Any, ...]] = [
        (320, False, "static export that runs at 64x64 only"),
        ((64, 32), False, "static export"),
        (0, True, "expected a whole number"),
        (-32, True, "expected a whole number"),
        (9000, True, "to 8192"),
        (64.5, True, "expected a whole number"),
        ("640", True, "expected a whole number"),
        ((64, 64, 64), True, "height, width"),
        (True, True, "expected a whole number"),
    ]
    for imgsz, dynamic, message in cases:
        with pytest.raises(InputError, match=message):
            check_size(imgsz, spec(dynamic=dynamic))
