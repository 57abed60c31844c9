"""The tables of `micro`: a row a case, a column a way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.box import HORIZONTALS
from rich.console import Console
from rich.table import Table

Row = dict[str, Any]

TITLES = {
    "nms": "NMS of upright boxes within each class, best 300",
    "decode": "Raw head, all anchors above conf 0.001, to boxes in the image",
    "rotated": "NMS of rotated boxes within each class, best 300",
    "masks": "Masks and outlines at 640",
    "letterbox": "Image to input tensor at 640",
}
COUNTED = {"nms": "candidates", "decode": "anchors", "rotated": "candidates", "masks": "objects",
           "letterbox": "pixels"}  # fmt: skip
WIDTH = 100
"""Of the tables, where the output is no terminal."""


def show(part: str, rows: Sequence[Row]) -> None:
    """Print the table of one part: milliseconds, how many times yolean's they are, agreement with yolean."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    own, *others = dict.fromkeys(row["side"] for row in rows)
    table = Table(box=HORIZONTALS, pad_edge=False)
    table.add_column("input", no_wrap=True)
    table.add_column(COUNTED[part], justify="right", no_wrap=True)
    table.add_column(own, justify="right", no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    for case, count in dict.fromkeys((row["case"], row["count"]) for row in rows):
        cells = {row["side"]: row for row in rows if (row["case"], row["count"]) == (case, count)}
        first = _number(cells[own]["ms"]["median"])
        table.add_row(case, f"{count:,}", first, *(_cell(cells[name]) for name in others))
    agreement = next((f", {row['agreement']['of']}" for row in rows if "agreement" in row), "")
    console.print(TITLES[part], style="bold")
    console.print(f"ms, times {own}'s{agreement}", style="dim")
    console.print(table)
    for reason in dict.fromkeys((row["side"], row["not_measured"]) for row in rows if "not_measured" in row):
        console.print(_unmeasured(*reason, rows), soft_wrap=True, style="dim")
    console.print()


def _unmeasured(side: str, why: str, rows: Sequence[Row]) -> str:
    """One line for the cases that a way was left out of for one reason."""
    cases: dict[str, list[str]] = {}
    for row in rows:
        if row["side"] == side and row.get("not_measured") == why:
            cases.setdefault(row["case"], []).append(f"{row['count']:,}")
    where = "; ".join(f"{case} {' and '.join(counts)}" for case, counts in cases.items())
    return f"{side}, {where}: not measured: {why}"


def _cell(row: Row) -> str:
    """Time, ratio and agreement."""
    if "not_measured" in row:
        return "not measured"
    return f"{_number(row['ms']['median'])} {row['ratio']['median']:6.2f}x {_agreement(row['agreement'])}"


def _agreement(found: Row) -> str:
    """A share as percentage, a difference as it is."""
    value: float = found["value"]
    if found["of"].endswith("difference"):
        return f"{value:7.0e}" if value else f"{0:>7}"
    return f"{value:7.2%}" if found["of"].endswith("IoU") else f"{value:5.0%}"


def _number(ms: float) -> str:
    return f"{ms:.3f}" if ms < 1 else f"{ms:.2f}" if ms < 10 else f"{ms:.1f}"
