"""The plot of `micro`: how the cost of each part grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .micro_cases import YOLEAN
from .plots import plot

_PANELS = (  # part, the case that is drawn or None for all, title, what is counted, divisor of the count
    ("nms", "crowded", "NMS, crowded", "candidates", 1),
    ("rotated", "crowded", "rotated NMS, crowded", "candidates", 1),
    ("masks", None, "masks and outlines at 640", "objects", 1),
    ("letterbox", None, "image to tensor at 640", "megapixels", 1e6),
)
_OWN = "#1f77b4"
_OTHERS = ("#d62728", "#ff7f0e", "#7f7f7f")


def draw(record: Any, target: Path) -> None:
    """Draw a record of `micro` into an .svg or .png file: the parts that were measured.

    Raises:
        click.ClickException: matplotlib is not installed.
    """
    chosen = [(panel, rows) for panel in _PANELS if (rows := _rows(record, panel))]
    with plot(target, record, max(len(chosen), 1), wide=3.2) as axes:
        for axis, ((_, _, title, counted, divisor), rows) in zip(axes, chosen, strict=False):
            _panel(axis, rows, divisor)
            axis.set_title(title, fontsize=11)
            axis.set_xlabel(counted)
        axes[0].set_ylabel("milliseconds")


def _rows(record: Any, panel: tuple[Any, ...]) -> list[Any]:
    part, case, *_ = panel
    return [r for r in record["rows"] if r["part"] == part and case in (None, r["case"]) and "ms" in r]


def _panel(axis: Any, rows: list[Any], divisor: float) -> None:
    """A line a way, both axes logarithmic, with the names in a legend above the lines."""
    from matplotlib.ticker import LogLocator

    names = list(dict.fromkeys(row["side"] for row in rows))
    colours = iter(_OTHERS)
    for name in names:
        own = name == YOLEAN
        points = [(row["count"] / divisor, row["ms"]["median"]) for row in rows if row["side"] == name]
        style = {"color": _OWN, "linewidth": 2.4} if own else {"color": next(colours), "linewidth": 1.3}
        axis.plot(
            *zip(*points, strict=True), marker="o", markersize=4, label=name, zorder=3 if own else 2, **style
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    counts = sorted({row["count"] / divisor for row in rows})
    axis.set_xticks(counts, [_count(count) for count in counts])
    axis.minorticks_off()
    low, high = axis.get_ylim()
    if high < 100 * low:  # decades alone would leave one number on the axis
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    axis.legend(loc="upper left", fontsize=8, frameon=False)


def _count(count: float) -> str:
    return f"{count:,.0f}" if count >= 100 else f"{count:.2g}"
