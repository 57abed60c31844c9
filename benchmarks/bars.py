"""The plot of `peers`: a group of bars a task, milliseconds a picture of every side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .contenders import BARE
from .plots import plot

_OWN, _OTHER, _FLOOR = "#1f77b4", "#b8b8b8", "#e5e5e5"


def draw(record: Any, target: Path) -> None:
    """Draw a record of `peers` into an .svg or .png file."""
    with plot(target, record, len(record["models"]), wide=3.0) as axes:
        for axis, entry in zip(axes, record["models"], strict=True):
            rows = [row for row in entry["rows"] if "ms" in row][::-1]
            colours = [_colour(row["side"]) for row in rows]
            places = range(len(rows))
            values = [row["ms"]["median"] for row in rows]
            axis.barh(places, values, color=colours)
            for place, value in zip(places, values, strict=True):
                axis.text(value, place, f" {value:.1f}", va="center", fontsize=8)
            axis.set_yticks(places, [row["side"] for row in rows], fontsize=8)
            axis.grid(visible=False)
            axis.set_xlim(0, max(values) * 1.2)
            axis.set_title(f"{entry['task']}, ms a picture", fontsize=10)


def _colour(side: str) -> str:
    return _FLOOR if side == BARE else _OWN if side.startswith("yolean") else _OTHER
