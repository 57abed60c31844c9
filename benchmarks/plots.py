"""Plots of recorded results. Each carries a digest of its record, so that a stale plot is found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from .._install_advice import install_command
from .load_records import MicroRecord, MicroResult, ServeRecord
from .model_records import PeersRecord
from .record_base import SESSION_RUN, YOLEAN
from .records import AnyRecord

_OWN, _OTHER, _FLOOR = "#1f77b4", "#b8b8b8", "#e5e5e5"
_LINES = ("#d62728", "#ff7f0e", "#7f7f7f")
_STYLE: Any = {
    "svg.hashsalt": "yolean",  # the same data give the same file
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def digest(record: AnyRecord) -> str:
    """Of a record, whatever the order of its keys."""
    return hashlib.sha256(msgspec.json.encode(record, order="sorted")).hexdigest()[:16]


def shows(file: Path, record: AnyRecord) -> bool:
    """Whether a plot was drawn from this record."""
    try:
        return f"data {digest(record)}".encode() in file.read_bytes()
    except OSError:
        return False


def draw(record: AnyRecord, file: Path) -> None:
    """Draw the plot of a record of `peers`, `serve` or `micro` into an .svg or .png file.

    Raises:
        click.ClickException: matplotlib is not installed.
    """
    if isinstance(record, PeersRecord):
        _peers(record, file)
    elif isinstance(record, ServeRecord):
        _serve(record, file)
    elif isinstance(record, MicroRecord):
        _micro(record, file)


@contextmanager
def _figure(file: Path, record: AnyRecord, columns: int, width: float) -> Iterator[list[Any]]:
    """Axes in a row, each `width` inches wide; the figure is written to `file`."""
    try:
        import matplotlib
    except ModuleNotFoundError as exc:
        raise click.ClickException(f"plots need matplotlib: {install_command('bench')}") from exc
    matplotlib.use("agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(_STYLE):
        figure, axes = pyplot.subplots(1, columns, figsize=(width * columns, 3.8), layout="constrained")
        yield list(axes.flat) if columns > 1 else [axes]
        metadata: dict[str, Any] = {"Description": f"data {digest(record)}"}
        metadata |= {"Date": None} if file.suffix == ".svg" else {}
        figure.savefig(file, metadata=metadata, facecolor="white", dpi=150)
        pyplot.close(figure)


def _peers(record: PeersRecord, file: Path) -> None:
    """A panel a task, a bar a system; what was not measured has no bar."""
    names = list(dict.fromkeys(each.system for model in record.models for each in model.systems))[::-1]
    with _figure(file, record, len(record.models), width=2.7) as axes:
        for axis, model in zip(axes, record.models, strict=True):
            times = {each.system: each.milliseconds.median for each in model.systems}
            values = [times.get(name, 0.0) for name in names]
            axis.barh(range(len(names)), values, color=[_colour(name) for name in names])
            for place, value in enumerate(values):
                axis.text(value, place, f" {value:.1f}" if value else " -", va="center", fontsize=8)
            axis.set_yticks(range(len(names)), names if axis is axes[0] else [""] * len(names), fontsize=8)
            axis.grid(visible=False)
            axis.set_xlim(0, max(values) * 1.25)
            axis.set_title(f"{model.task}, ms", fontsize=10)


def _colour(system: str) -> str:
    return _FLOOR if system == SESSION_RUN else _OWN if system.startswith(YOLEAN) else _OTHER


def _serve(record: ServeRecord, file: Path) -> None:
    """Answers a second over connections, and latency over the offered rate."""
    with _figure(file, record, 2, width=4.6) as (left, right):
        for axis, loop, figure in ((left, "closed", "rate"), (right, "open", "p99")):
            rows = [row for row in record.loads if row.loop == loop]
            for name in dict.fromkeys(row.server for row in rows):
                own = name.startswith(YOLEAN)
                style = {"marker": "o", "markersize": 4, "linewidth": 2.2 if own else 1.3, "label": name}
                style |= {} if own else {"linestyle": "--"}
                known = [(row.load, row.quartiles(figure)) for row in rows if row.server == name]
                points = [(load, found.median) for load, found in known if found]
                axis.plot([load for load, _ in points], [value for _, value in points], **style)
        at = sorted({row.load for row in record.rows("closed")})
        left.set_xscale("log", base=2)
        left.set_xticks(at, [f"{connections:g}" for connections in at])
        left.minorticks_off()
        left.set_ylim(bottom=0)
        left.set(xlabel="connections, each sends again when answered", ylabel="answers a second")
        right.set_yscale("log")
        right.yaxis.set_major_formatter("{x:g}")
        right.set_xlim(left=0)
        right.set(xlabel="requests offered a second", ylabel="p99 from when it was due, ms")
        left.figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3)


_PANELS = (  # part, the case that is drawn or None for all, title, what is counted, divisor of the count
    ("nms", "crowded", "NMS, crowded", "candidates", 1.0),
    ("rotated", "crowded", "rotated NMS, crowded", "candidates", 1.0),
    ("masks", None, "masks and outlines at 640", "objects", 1.0),
    ("letterbox", None, "image to tensor at 640", "megapixels", 1e6),
)


def _micro(record: MicroRecord, file: Path) -> None:
    """How the cost of each part that was measured grows."""
    panels = []
    for part, case, title, counted, divisor in _PANELS:
        rows = [row for row in record.results if row.part == part and case in (None, row.case)]
        panels += [(rows, title, counted, divisor)] if rows else []
    with _figure(file, record, max(len(panels), 1), width=3.2) as axes:
        for axis, (rows, title, counted, divisor) in zip(axes, panels, strict=False):
            _growth(axis, rows, divisor)
            axis.set_title(title, fontsize=11)
            axis.set_xlabel(counted)
        axes[0].set_ylabel("milliseconds")


def _growth(axis: Any, rows: list[MicroResult], divisor: float) -> None:
    """A line an implementation, both axes logarithmic, with a legend above the lines."""
    from matplotlib.ticker import LogLocator

    colours = iter(_LINES)
    for name in dict.fromkeys(row.implementation for row in rows):
        own = name == YOLEAN
        line = [row for row in rows if row.implementation == name]
        style = {"color": _OWN, "linewidth": 2.4} if own else {"color": next(colours), "linewidth": 1.3}
        style |= {"marker": "o", "markersize": 4, "label": name, "zorder": 3 if own else 2}
        axis.plot([row.count / divisor for row in line], [row.milliseconds.median for row in line], **style)
    axis.set_xscale("log")
    axis.set_yscale("log")
    counts = sorted({row.count / divisor for row in rows})
    axis.set_xticks(counts, [f"{count:,.0f}" if count >= 100 else f"{count:.2g}" for count in counts])
    axis.minorticks_off()
    low, high = axis.get_ylim()
    if high < 100 * low:  # decades alone would leave one number on the axis
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_ylim(low, high * (high / low) ** 0.35)  # room for the legend
    axis.legend(loc="upper left", fontsize=8, frameon=False)
