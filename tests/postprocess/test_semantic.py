"""From class ids or logits in a letterboxed tensor to the ids of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from yolean.postprocess.detections import Options
from yolean.postprocess.geometry import Geometry
from yolean.postprocess.layout import Kind, Layout
from yolean.postprocess.semantic import decode
from yolean.postprocess.types import Size

WIDE = Geometry.letterbox(Size(20, 40), Size(64, 64))
"""An image of 20 x 40, resized to 32 x 64 and placed 16 pixels below the top of the tensor."""


def ids_of(
    output: NDArray[Any],
    kind: Kind = "class_map",
    nc: int = 4,
    classes: tuple[int, ...] | None = None,
    geometry: Geometry = WIDE,
) -> NDArray[Any]:
    found = decode([output], Layout("semantic", kind, nc), geometry, Options(classes=classes))
    assert found.boxes.shape == (0, 4)
    assert found.class_map is not None
    return found.class_map


def halves(dtype: Any = np.uint8, left: int = 1, right: int = 3) -> NDArray[Any]:
    """Padding of class 2; inside, one class to the left and another to the right."""
    tensor = np.full((64, 64), 2, dtype)
    tensor[16:48, :32], tensor[16:48, 32:] = left, right
    return tensor


def test_padding_is_cut_off_and_ids_are_not_mixed() -> None:
    found = ids_of(halves())
    assert found.shape == (20, 40)
    assert found.dtype == np.uint8
    assert (found[:, :20] == 1).all()
    assert (found[:, 20:] == 3).all()


def test_ids_that_were_not_asked_for_are_255() -> None:
    assert np.unique(ids_of(halves(), classes=(3, 0))).tolist() == [3, 255]
    assert np.unique(ids_of(halves(), classes=())).tolist() == [255]
    assert np.unique(ids_of(halves(np.int32, 299, 7), nc=300, classes=(299,))).tolist() == [255, 299]
    logits = np.stack([halves(np.float32) == i for i in range(4)]).astype(np.float32)
    assert np.unique(ids_of(logits, "raw", classes=(1,))).tolist() == [1, 255]


@pytest.mark.parametrize(("nc", "dtype"), [(256, np.uint8), (257, np.int16), (40_000, np.int32)])
def test_dtype_follows_the_number_of_classes(nc: int, dtype: Any) -> None:
    assert ids_of(halves(np.int32), nc=nc).dtype == dtype


def test_ids_beyond_the_names_of_a_caller_are_kept() -> None:
    found = ids_of(halves(np.int32, 1, 300), nc=4)
    assert found.dtype == np.int16
    assert np.unique(found).tolist() == [1, 300]


def test_one_class_is_one_where_it_is() -> None:
    for chosen in (None, (0,)):  # there is nothing to choose
        assert np.unique(ids_of(halves(np.uint8, 0, 1), nc=1, classes=chosen)).tolist() == [0, 1]
    logits = halves(np.float32, -2, 3)[None]
    found = ids_of(logits, "raw", nc=1)
    assert found.dtype == np.uint8
    assert found[:, :20].max() == 0
    assert found[:, 21:].min() == 1


def test_logits_are_resized_before_the_best_is_chosen() -> None:
    """Two classes that cross over between pixel centres: the edge is finer than the pixels of the logits."""
    ramp = np.linspace(-1, 1, 8, dtype=np.float32) + np.float32(0.3)
    logits = np.stack([np.tile(ramp, (8, 1)), np.zeros((8, 8), np.float32)])
    found = ids_of(logits, "raw", nc=2, geometry=Geometry.letterbox(Size(80, 80), Size(64, 64)))
    crossing = (3.5 - 0.3 * 3.5 + 0.5) * 10  # where the ramp is 0, in image pixels
    assert found.shape == (80, 80)
    assert (found[:, : int(crossing)] == 1).all()
    assert (found[:, int(crossing) + 1 :] == 0).all()
