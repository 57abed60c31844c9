"""What `yolean bench` shows: a bar while it measures, then the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.box import HORIZONTALS
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from .bench_measuring import PERCENTILES, Measurement, counted
from .console import printable

_PROVIDER_WORDS = "ExecutionProvider"


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, int, float], None]]:
    """A bar on standard error, if that is a terminal.

    The call takes the model's name, how many configurations are done, and the share of the next that is.
    The bar moves at these calls only: drawn by a thread of its own, it would take from what is measured.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    shown = console.is_terminal and not console.is_dumb_terminal
    columns = (TextColumn("{task.description}"), BarColumn(complete_style="cyan"), TimeRemainingColumn())
    bar = Progress(
        *columns,
        console=console,
        transient=True,
        disable=not shown,
        auto_refresh=False,
        redirect_stdout=False,
    )
    task = bar.add_task("", total=total)

    def advance(label: str, done: int, share: float) -> None:
        which = f"{printable(label)}  {done + 1}/{total}"
        bar.update(task, description=which, completed=done + share, refresh=True)

    with bar:
        yield advance


def show(rows: list[Measurement], reasons: list[str]) -> None:
    """Print the measurements, and what was not measured and why."""
    console = Console(highlight=False, markup=False, emoji=False)
    if rows:
        console.print(_table(rows))
        console.print(
            "Milliseconds an image; total: encoded image to results. x run: decoded image to results, "
            "divided by bare session.run, repetition by repetition: median (q1-q3)."
        )
    for line in fastest(rows):
        console.print(line, soft_wrap=True)
    for reason in reasons:
        console.print(Text(f"Not measured: {printable(reason)}", "red"), soft_wrap=True)


def _table(rows: list[Measurement]) -> Table:
    table = Table(box=HORIZONTALS, show_lines=True, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold", min_width=18, max_width=22)
    table.add_column("stage", no_wrap=True)
    for name in PERCENTILES:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        lines = [*row.stages.items(), ("total", row.total), ("session.run", row.session_run)]
        columns = ("\n".join(_ms(values[name]) for _, values in lines) for name in PERCENTILES)
        table.add_row(_what(row), "\n".join(name for name, _ in lines), *columns, _figures(row))
    return table


def _what(row: Measurement) -> str:
    height, width = row.imgsz
    where = row.provider.removesuffix(_PROVIDER_WORDS)
    return "\n".join(
        (
            printable(row.model["file"]),
            f"{row.task} {height}x{width}",
            f"{counted(row.threads, 'thread')}, batch {row.batch}",
            where if where == "CPU" else f"{where} ({row.device})",
        )
    )


def _figures(row: Measurement) -> str:
    ratio, peak = row.ratio, row.peak_mb
    lines = [
        f"{row.images_a_second:.1f} images/s",
        f"{ratio.median:.2f} x run ({ratio.q1:.2f}-{ratio.q3:.2f})",
        f"loads in {row.load_ms:.0f} ms",
        f"first call {row.first_call_ms:.0f} ms",
    ]
    if peak is not None:
        lines.append(f"peak {peak:.0f} MB")
    return "\n".join(lines)


def _ms(value: float) -> str:
    """Three digits: more would be noise."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def fastest(rows: list[Measurement]) -> Iterator[str]:
    """Which number of threads gave most images a second, where several were tried."""
    same: dict[tuple[Any, ...], list[Measurement]] = {}
    for row in rows:
        same.setdefault((row.model["file"], row.imgsz, row.batch), []).append(row)
    for (label, (height, width), batch), tried in same.items():
        if len({row.threads for row in tried}) > 1:
            best = max(tried, key=lambda row: row.images_a_second)
            threads, rate = counted(best.threads, "thread"), best.images_a_second
            yield printable(
                f"{label}, {height}x{width}, batch {batch}: fastest with {threads}, {rate:.1f} images/s"
            )
