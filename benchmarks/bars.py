"""The plot of `peers`: a group of bars a task, milliseconds an image of every side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .contenders import BARE
from .plots import plot

_OWN, _OTHER, _FLOOR = "#1f77b4", "#b8b8b8", "#e5e5e5"


def draw(record: Any, target: Path) -> None:
    """Draw a record of `peers` into an .svg or .png file; what was not measured has no bar.

    Raises:
        click.ClickException: matplotlib is not installed.
    """
    with plot(target, record, len(record["models"]), wide=2.7) as axes:
        for axis, entry in zip(axes, record["models"], strict=True):
            sides = [row["side"] for row in entry["rows"]][::-1]
            values = [row["ms"]["median"] if "ms" in row else 0 for row in entry["rows"]][::-1]
            axis.barh(range(len(sides)), values, color=[_colour(side) for side in sides])
            for place, value in enumerate(values):
                axis.text(value, place, f" {value:.1f}" if value else " -", va="center", fontsize=8)
            axis.set_yticks(range(len(sides)), sides if axis is axes[0] else [""] * len(sides), fontsize=8)
            axis.grid(visible=False)
            axis.set_xlim(0, max(values) * 1.25)
            axis.set_title(f"{entry['task']}, ms", fontsize=10)


def _colour(side: str) -> str:
    return _FLOOR if side == BARE else _OWN if side.startswith("yolean") else _OTHER
