"""The plot of `serve`: requests a second over connections, and latency over the offered rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .entrants import YOLEAN
from .plots import plot


def draw(record: Any, target: Path) -> None:
    """Draw a record of `serve` into an .svg or .png file.

    Raises:
        click.ClickException: matplotlib is not installed.
    """
    names = list(dict.fromkeys(row["server"] for row in record["closed"]))
    with plot(target, record, columns=2) as (left, right):
        for name in names:
            own = name.startswith(YOLEAN)
            style = {"marker": "o", "markersize": 4, "linewidth": 2.2 if own else 1.3, "label": name}
            style |= {} if own else {"linestyle": "--"}
            left.plot(*_line(record["closed"], name, "concurrency", "rate"), **style)
            right.plot(*_line(record["open"], name, "offered", "p99"), **style)
        at = sorted({row["concurrency"] for row in record["closed"]})
        left.set_xscale("log", base=2)
        left.set_xticks(at, [str(concurrency) for concurrency in at])
        left.minorticks_off()
        left.set_ylim(bottom=0)
        left.set(xlabel="connections, each asks again when answered", ylabel="answers a second")
        right.set_yscale("log")
        right.yaxis.set_major_formatter("{x:g}")
        right.set_xlim(left=0)
        right.set(xlabel="requests offered a second", ylabel="p99 from when it was due, ms")
        left.figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _line(rows: list[Any], name: str, x: str, y: str) -> tuple[list[float], list[float]]:
    points = [(row[x], row[y]["median"]) for row in rows if row["server"] == name and row[y]]
    return [point[0] for point in points], [point[1] for point in points]
