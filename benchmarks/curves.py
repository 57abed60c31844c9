"""What the rounds of `serve` come to: rows with medians and ratios, and their tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..cli.console import printable
from .entrants import YOLEAN
from .record import ratios, spread
from .rounds import Round, Row

WIDTH = 100
"""Of the tables, where the output is no terminal."""


def closed_rows(rounds: Sequence[Round]) -> list[Row]:
    """A row for each concurrency and server, with spreads over the rounds.

    `times` is the server's rate divided by each of the others', round by round.
    """
    rows = []
    for load, name, own in _loads(rounds, "closed"):
        row: Row = {"server": name, "concurrency": load}
        row |= {key: _spread(own, key) for key in ("rate", "p50", "p90", "p99", "memory_mb")}
        row |= {key: sum(figures[key] for figures in own) for key in ("broken", "refused")}
        row["times"] = {
            other: ratios([figures["rate"] for figures in own], rates)
            for other in rounds[0]
            if other != name
            and all(rates := [each[other]["closed"][load]["rate"] for each in rounds])  # 0: nothing answered
        }
        rows.append(row | {"rounds": own})
    return rows


def open_rows(rounds: Sequence[Round]) -> list[Row]:
    """A row for each offered rate and server, with spreads over the rounds."""
    rows = []
    for load, name, own in _loads(rounds, "open"):
        row: Row = {"server": name, "offered": load}
        row |= {key: _spread(own, key) for key in ("p50", "p99", "in_time", "late_ms")}
        row |= {key: sum(figures[key] for figures in own) for key in ("asked", "broken", "refused")}
        rows.append(row | {"rounds": own})
    return rows


def _loads(rounds: Sequence[Round], loop: str) -> list[tuple[float, str, list[Row]]]:
    """Every load of a loop: how much, whose, and its figures in each round."""
    if not rounds:
        return []
    first = rounds[0]
    loads = sorted({load for server in first.values() for load in server[loop]})
    return [(load, name, [each[name][loop][load] for each in rounds]) for load in loads for name in first]


def _spread(figures: Sequence[Row], key: str) -> dict[str, float] | None:
    """Over the rounds that have it; None when none has."""
    known = [each[key] for each in figures if each[key] is not None]
    return spread(known) if known else None


def show(record: Row, in_time: float) -> None:
    """Both loops as tables, what was not measured below; an answer is in time within `in_time` seconds."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(_closed_table(record))
    console.print(_open_table(record, in_time))
    for row in record["not_measured"]:
        console.print(Text(printable(f"{row['server']}: not measured: {row['why']}")), soft_wrap=True)


def _closed_table(record: Row) -> Table:
    title = f"{record['model']}, closed loop: each connection asks again when it is answered; latencies in ms"
    headings = ("requests/s", "p50", "p90", "p99", "failed", "memory", "yolean is")
    table = _table(title, "at once", *headings)
    rows = record["closed"]
    for row in rows:
        cells = [_median(row["rate"], ".1f")]
        cells += [_median(row[key], ".0f") for key in ("p50", "p90", "p99")]
        cells += [_failed(row), _median(row["memory_mb"], ".0f") + " MB", _times(row, rows)]
        _add(table, row, "concurrency", rows, cells)
    return _with_missing(table, record)


def _open_table(record: Row, in_time: float) -> Table:
    title = f"{record['model']}, open loop: latencies in ms from when a request was due"
    table = _table(title, "offered/s", "p50", "p99", f"within {in_time:g} s", "failed")
    rows = record["open"]
    for row in rows:
        cells = [_median(row["p50"], ".0f"), _median(row["p99"], ".0f"), _median(row["in_time"], ".1%")]
        _add(table, row, "offered", rows, [*cells, _failed(row)])
    return _with_missing(table, record)


def _table(title: str, load: str, *headings: str) -> Table:
    table = Table(
        title=Text(printable(title), "italic"),
        title_justify="left",
        padding=(0, 1, 0, 0),
        box=box.HORIZONTALS,
    )
    table.add_column(load, justify="right")
    table.add_column("server")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _add(table: Table, row: Row, load: str, rows: list[Row], cells: list[str]) -> None:
    """A row; the load is said once for all servers."""
    group = [other for other in rows if other[load] == row[load]]
    said = f"{row[load]:g}" if row is group[0] else ""
    table.add_row(said, Text(printable(row["server"])), *cells, end_section=row is group[-1])


def _with_missing(table: Table, record: Row) -> Table:
    """Those without figures below the others, so that nobody thinks they were forgotten."""
    for row in record["not_measured"]:
        table.add_row("", Text(printable(row["server"])), "-")
    return table


def _median(value: dict[str, float] | None, form: str) -> str:
    return format(value["median"], form) if value else "-"


def _failed(row: Row) -> str:
    """How many broke off or were turned away."""
    return ", ".join(f"{row[key]} {key}" for key in ("broken", "refused") if row[key]) or "0"


def _times(row: Row, rows: list[Row]) -> str:
    """What the rate of yolean is of this server's, with its spread."""
    own = next(r for r in rows if r["server"] == YOLEAN and r["concurrency"] == row["concurrency"])
    found = own["times"].get(row["server"])
    if found is None:
        return ""
    return f"{found['median']:.2f} ({found['quarter']:.2f}-{found['three_quarters']:.2f})"
