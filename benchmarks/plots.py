"""Plots of recorded results. Each carries a digest of what it shows, so that a stale one is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from .._install_advice import install_command

_STYLE: Any = {
    "svg.hashsalt": "yolean",  # the same data give the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def digest(record: Any) -> str:
    """Of a record, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def plot(target: Path, record: Any, columns: int = 1, wide: float = 4.6) -> Iterator[list[Any]]:
    """Axes side by side to draw on, each `wide` inches; the figure goes to `target`, .svg or .png.

    Raises:
        click.ClickException: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError as exc:
        raise click.ClickException(f"plots need matplotlib: {install_command('bench')}") from exc
    matplotlib.use("agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(_STYLE):
        figure, axes = pyplot.subplots(1, columns, figsize=(wide * columns, 3.8), layout="constrained")
        yield list(axes.flat) if columns > 1 else [axes]
        kept: dict[str, Any] = {"Description": f"data {digest(record)}"}
        kept |= {"Date": None} if target.suffix == ".svg" else {}
        figure.savefig(target, metadata=kept, facecolor="white", dpi=150)
        pyplot.close(figure)


def shows(target: Path, record: Any) -> bool:
    """Whether a plot was drawn from this record."""
    try:
        return f"data {digest(record)}".encode() in target.read_bytes()
    except OSError:
        return False
