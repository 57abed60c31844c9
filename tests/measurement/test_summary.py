"""Quartiles, ratios and percentiles against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from yolean.measurement.summary import Quartiles, paired_ratios, percentile, quartiles


@pytest.mark.parametrize("values", [[3.0], [1.0, 2.0], [4.0, 1.0, 9.0], [7.0, 1.0, 3.0, 8.0, 2.0, 2.5]])
def test_quartiles_and_percentiles_are_numpys(values: list[float]) -> None:
    found = quartiles(values)
    np.testing.assert_allclose(
        [found.q1, found.median, found.q3], np.percentile(values, [25, 50, 75]), rtol=1e-12
    )
    for share in (0.0, 0.5, 0.9, 0.99, 1.0):
        assert percentile(values, share) == pytest.approx(np.percentile(values, share * 100))


def test_nothing_has_no_quartiles() -> None:
    with pytest.raises(ValueError, match="no values"):
        quartiles([])


def test_ratios_are_taken_pair_by_pair() -> None:
    """A change of pace that falls on both does not change them."""
    assert paired_ratios([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == Quartiles(2, 2, 2)
    with pytest.raises(ValueError, match="shorter"):
        paired_ratios([1.0, 2.0], [1.0])
