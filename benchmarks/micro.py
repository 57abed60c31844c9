"""What the parts of pre- and postprocessing cost alone, and how that grows, beside other ways to do the same.

    python -m yolean.benchmarks micro [--only nms,masks] [--seconds 2.5] [--json FILE] [--plot FILE]

Inputs are seeded (`micro_inputs.py`). Ways take turns in small groups in one process, with OpenCV on one
thread as in the server's lanes; a ratio is taken group by group. Answers are compared before anything is
timed. A way of which one run would take longer than a case may take is listed as not measured.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import click
import cv2

from . import micro_plot
from .micro_cases import OPTIONS, PARTS, YOLEAN, Case, Way
from .micro_table import show
from .options import OUTPUT, PLOT
from .record import ratios, spread, write

LEAST_ROUNDS = 3
GROUP_MS = 10.0
"""How long a group of runs may take, so that fast ways run more often than once."""

MOST_RUNS = 20

Row = dict[str, Any]
TARGETS = (  # name, part, case, count, other way (of which the ratio counts) or None (milliseconds), limit
    ("NMS of 1,000 crowded candidates, by cv2.dnn.NMSBoxes", "nms", "crowded", 1000, "cv2 NMSBoxes", 1.0),
    ("30,000 candidates at conf 0.001, ms", "decode", "crowded", 30000, None, 60.0),
    ("masks of 300 objects at 640 with outlines, ms", "masks", "mixed", 300, None, 60.0),
)


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on one thread, as before at the end."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def measure(case: Case, seconds: float, slow: dict[str, str]) -> list[Row]:
    """A row a way: `ms`, `ratio` (its time by yolean's) and the agreement, or `not_measured`.

    Args:
        case: the input and its ways.
        seconds: how long to go on; every way has at least `LEAST_ROUNDS` turns.
        slow: ways that would take too long, by name, with the reason.
    """
    reasons = slow | {name: way for name, way in case.ways.items() if isinstance(way, str)}
    ways = {name: way for name, way in case.ways.items() if not isinstance(way, str) and name not in slow}
    answers = {name: way() for name, way in ways.items()}  # also the first run, which is not timed
    agreement = {
        name: case.agree(answers[YOLEAN], answer) for name, answer in answers.items() if name != YOLEAN
    }
    del answers
    runs = {name: _runs(way) for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    end = perf_counter() + seconds
    while len(times[YOLEAN]) < LEAST_ROUNDS or perf_counter() < end:
        for name, way in ways.items():
            sleep(case.pause)
            times[name].append(statistics.median(_timed(way) for _ in range(runs[name])))
    what = {"part": case.part, "case": case.case, "count": case.count}
    rows = []
    for name in case.ways:
        row: Row = what | {"side": name}
        if name in reasons:
            rows.append(row | {"not_measured": reasons[name]})
            continue
        row |= {"ms": spread(times[name]), "best_ms": min(times[name]), "rounds": len(times[name])}
        row |= {"runs_a_round": runs[name], "ratio": ratios(times[name], times[YOLEAN])}
        row["yolean_by_it"] = ratios(times[YOLEAN], times[name])
        if name in agreement:
            row["agreement"] = {"of": case.agreement, "value": agreement[name]}
        rows.append(row)
    return rows


def _timed(way: Way) -> float:
    """Milliseconds of one run."""
    started = perf_counter()
    way()
    return (perf_counter() - started) * 1e3


def _runs(way: Way) -> int:
    """How often it runs in a group."""
    return max(1, min(int(GROUP_MS / max(_timed(way), 1e-3)), MOST_RUNS))


def too_slow(case: Case, rows: list[Row], seconds: float) -> dict[str, str]:
    """Ways that would take longer than `seconds` for a run, with the reason, if their cost grows as it may.

    Judged by the rows of the next smaller count of the same kind; what was not measured then is not now.
    """
    before = [row for row in rows if (row["part"], row["case"]) == (case.part, case.case)]
    slow = {}
    for row in before[-len(case.ways) :]:
        if "not_measured" in row:
            slow[row["side"]] = row["not_measured"]
            continue
        guess = row["ms"]["median"] / 1e3 * (case.count / row["count"]) ** case.grows
        if guess > seconds and row["side"] != YOLEAN:
            slow[row["side"]] = f"a run might take {guess:.1f} s"
    return slow


def targets(rows: list[Row]) -> list[Row]:
    """The targets that were measured: `name`, `limit`, `measured` (with its spread) and `kept`."""
    found = []
    for name, part, case, count, other, limit in TARGETS:
        for row in rows:
            where = (row["part"], row["case"], row["count"], row["side"])
            if where == (part, case, count, other or YOLEAN) and "ms" in row:
                measured = row["yolean_by_it" if other else "ms"]
                kept = measured["median"] <= limit
                found.append({"name": name, "limit": limit, "measured": measured, "kept": kept})
    return found


def _parts(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    wanted = tuple(PARTS) if value is None else tuple(part.strip() for part in value.split(","))
    if unknown := [part for part in wanted if part not in PARTS]:
        raise click.BadParameter(f"{', '.join(unknown)!r}: expected some of {','.join(PARTS)}")
    return tuple(part for part in PARTS if part in wanted)


@click.command()
@click.option("--only", "parts", callback=_parts, metavar="PARTS", help=f"Some of {','.join(PARTS)}.")
@click.option("--seconds", default=2.5, show_default=True, type=click.FloatRange(0, min_open=True),
              help="Of each case; also the longest that one run may take.")  # fmt: skip
@click.option("--json", "target", type=OUTPUT, metavar="FILE", help="Record in this file.")
@click.option("--plot", "drawing", type=PLOT, metavar="FILE",
              help="Draw how the cost grows, as .svg or .png.")  # fmt: skip
def main(parts: tuple[str, ...], seconds: float, target: Path | None, drawing: Path | None) -> None:
    """NMS, masks and letterbox alone: how their cost grows, beside OpenCV's and plain numpy."""
    rows: list[Row] = []
    with one_thread():
        for part in parts:
            fresh = _part(part, seconds)
            show(part, fresh)
            rows += fresh
    record: Row = {"rows": rows, "targets": targets(rows)}
    for row in record["targets"]:
        verdict = "kept" if row["kept"] else "MISSED"
        click.echo(
            f"target {verdict}: {row['name']}: {row['measured']['median']:.2f}, at most {row['limit']:g}"
        )
    how = {"parts": parts, "seconds": seconds, "opencv_threads": 1, "least_rounds": LEAST_ROUNDS}
    how |= {"conf": OPTIONS.conf, "iou": OPTIONS.iou, "max_det": OPTIONS.max_det}
    write(target, record, how)
    if drawing:
        micro_plot.draw(json.loads(target.read_text(encoding="utf-8")) if target else record, drawing)


def _part(part: str, seconds: float) -> list[Row]:
    rows: list[Row] = []
    cases: Callable[[], Iterator[Case]] = PARTS[part]
    for case in cases():
        rows += measure(case, seconds, too_slow(case, rows, seconds))
    return rows


if __name__ == "__main__":
    main()
