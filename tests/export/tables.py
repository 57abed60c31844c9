"""Tests that go through a table of cases in one go."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest


def for_each(names: str, rows: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test for every row, as `pytest.mark.parametrize` does, but as one test.

    A failure says which row it was; fixtures are shared by all rows.

    Args:
        names: of the test's arguments that a row holds, with commas between.
        rows: tuples of so many values, or the values themselves where there is one name.
    """
    wanted = [name.strip() for name in names.split(",")]
    table = list(rows)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def looped(**fixtures: Any) -> None:
            for number, row in enumerate(table):
                values = row if len(wanted) > 1 else (row,)
                try:
                    test(**fixtures, **dict(zip(wanted, values, strict=True)))
                except BaseException as exc:
                    exc.add_note(f"row {number} of {names}: {row}")
                    raise

        signature = inspect.signature(test)
        others = [one for name, one in signature.parameters.items() if name not in wanted]
        looped.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        del looped.__wrapped__  # pytest would ask it for its arguments  # type: ignore[attr-defined]
        return looped

    return decorate


def slow(*rows: Any) -> list[Any]:
    """Rows of `pytest.mark.parametrize` that run only with `-m slow`."""
    return [
        pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.slow) for row in rows
    ]
