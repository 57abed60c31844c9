"""Costs of pairs, and the assignment of least cost by either library."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import permutations
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from yolean.tracking.association import assign, overlap_cost, solver, with_scores


def boxes(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def best(costs: NDArray[Any], limit: float) -> float:
    """The least total of costs over the limit, by trying every assignment."""
    benefit = np.minimum(costs - limit, 0)
    benefit = benefit if benefit.shape[0] <= benefit.shape[1] else benefit.T
    rows = range(len(benefit))
    return min(float(benefit[rows, list(p)].sum()) for p in permutations(range(benefit.shape[1]), len(rows)))


def exhaustive(costs: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """`scipy.optimize.linear_sum_assignment`, for small matrices."""
    if costs.shape[0] > costs.shape[1]:
        columns, rows = exhaustive(costs.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    rows = np.arange(len(costs))
    every = permutations(range(costs.shape[1]), len(rows))
    columns = min((np.array(p, np.intp) for p in every), key=lambda p: float(costs[rows, p].sum()))
    return rows, columns


@pytest.fixture(params=["lap", "scipy"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "scipy":
        scipy, optimize = ModuleType("scipy"), ModuleType("scipy.optimize")
        optimize.linear_sum_assignment = exhaustive  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "lap", None)
        monkeypatch.setitem(sys.modules, "scipy", scipy)
        monkeypatch.setitem(sys.modules, "scipy.optimize", optimize)
    solver.cache_clear()
    yield
    solver.cache_clear()


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (1, 1), (4, 5)])
def test_the_assignment_is_the_best_one(shape: tuple[int, int]) -> None:
    for seed in range(8):
        costs = np.random.default_rng(seed).uniform(0, 1, shape)
        rows, columns = assign(costs, 0.6)
        assert (costs[rows, columns] < 0.6).all()
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert len(set(columns.tolist())) == len(columns)
        assert float((costs[rows, columns] - 0.6).sum()) == pytest.approx(best(costs, 0.6))


@pytest.mark.usefixtures("library")
def test_nothing_to_assign() -> None:
    for shape in ((0, 3), (3, 0), (0, 0)):
        rows, columns = assign(np.zeros(shape, np.float32), 0.8)
        assert (len(rows), len(columns)) == (0, 0)
    assert len(assign(np.ones((2, 2), np.float32), 0.8)[0]) == 0


def test_overlaps() -> None:
    one, other = (
        boxes((0, 0, 10, 10)),
        boxes((0, 0, 10, 10), (5, 0, 15, 10), (20, 20, 30, 30), (10, 0, 20, 10)),
    )
    np.testing.assert_allclose(overlap_cost(one, other), [[0, 2 / 3, 1, 1]], atol=1e-6)
    turned = boxes((5, 5, 10, 4, 0.3), (5, 5, 10, 4, 0.3 + np.pi))
    np.testing.assert_allclose(overlap_cost(turned[:1], turned), [[0, 0]], atol=2e-3)
    assert overlap_cost(turned[:0], turned).shape == (0, 2)


def test_scores_weigh_overlaps() -> None:
    costs = np.array([[0.0, 0.5, 1.0]], np.float32)
    np.testing.assert_allclose(with_scores(costs, np.array([0.5, 0.5, 0.5], np.float32)), [[0.5, 0.75, 1]])
