from __future__ import annotations

import pickle

import numpy as np
import pytest
from yolean.engine.results.dense_views import DepthMap, SemanticMask
from yolean.postprocess.types import Size

SIZE = Size(2, 3)
IDS = np.array([[0, 1, 1], [300, 1, 0]], np.int16)
METRES = np.array([[0, 2, 4], [8, 16, 0.5]], np.float32)


@pytest.mark.parametrize("view", [SemanticMask(IDS, SIZE), DepthMap(METRES, SIZE)])
def test_a_map_is_one_result(view: SemanticMask | DepthMap) -> None:
    assert (len(view), view.shape, view.orig_shape, view.data.ndim) == (1, (2, 3), (2, 3), 2)
    for same in (
        view[0],
        view[-1],
        view[:],
        view[[True]],
        view.cpu().numpy(),
        pickle.loads(pickle.dumps(view)),
    ):
        assert np.array_equal(same.data, view.data)
        assert type(same) is type(view)
    for none in (view[1:], view[[]], view[[False]]):
        assert (len(none), none.shape) == (0, (0, 3))
    with pytest.raises(IndexError):
        view[1]
    assert type(view.data.cpu().numpy()) is np.ndarray


def test_shares_of_the_ids() -> None:
    assert SemanticMask(IDS, SIZE).shares == {0: pytest.approx(1 / 3), 1: 0.5, 300: pytest.approx(1 / 6)}
    assert SemanticMask(IDS, SIZE)[1:].shares == {}


def test_the_range_of_depth_leaves_out_pixels_without() -> None:
    assert DepthMap(METRES, SIZE).range == (0.5, 16)
    assert DepthMap(METRES + 1, SIZE).range == (1, 17)
    assert DepthMap(METRES * 0, SIZE).range is None
    np.testing.assert_array_equal(DepthMap(METRES, SIZE).at_input, METRES)
    np.testing.assert_array_equal(DepthMap(METRES, SIZE, METRES[:1]).at_input, METRES[:1])
    assert DepthMap(METRES, SIZE)[1:].range is None


def test_the_map_at_the_input_stays_with_its_map() -> None:
    view = DepthMap(METRES, SIZE, METRES[:1])
    assert view[0].at_input.shape == view.numpy().at_input.shape == (1, 3)
    assert np.array_equal(DepthMap(METRES, SIZE).at_input, METRES)
