"""What the parts of pre- and postprocessing cost alone, how that grows, and what other implementations cost.

    python -m yolean.benchmarks micro [--only nms,masks] [--seconds 2.5] [--json FILE] [--plot FILE]

Inputs are seeded (`micro_inputs.py`). Implementations run in interleaved repetitions in one process, with
OpenCV on one thread as in the server's workers. Answers are compared before anything is timed. An
implementation of which one run would take longer than a case may take is listed as not measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter, sleep

import click
import cv2

from ...measurement.interleave import for_seconds, interleaved
from ...measurement.summary import paired_ratios, quartiles
from ..command_options import OUTPUT, PLOT
from ..load_records import MicroAgreement, MicroNotMeasured, MicroRecord, MicroResult, MicroSettings
from ..plots import draw
from ..record_base import YOLEAN, PerformanceTarget, judged
from ..records import write
from ..tables import Table
from .micro_cases import OPTIONS, PARTS, Case, Implementation

LEAST_REPETITIONS = 3
REPETITION_MS = 10.0
"""How long a repetition may take, so that fast implementations run more than once in it."""

MOST_RUNS = 20

TARGETS = (  # name, part, case, count, other implementation (for a ratio) or None (for milliseconds), limit
    (
        "NMS of 1,000 crowded candidates, divided by the time of cv2.dnn.NMSBoxes",
        *("nms", "crowded", 1000, "cv2 NMSBoxes", 1.0),
    ),
    ("30,000 candidates at conf 0.001, ms", "decode", "crowded", 30000, None, 60.0),
    ("masks of 300 objects at 640 with outlines, ms", "masks", "mixed", 300, None, 60.0),
)
TITLES = {
    "nms": ("NMS of upright boxes within each class, best 300", "candidates"),
    "decode": ("Raw head, all anchors above conf 0.001, to boxes in the image", "anchors"),
    "rotated": ("NMS of rotated boxes within each class, best 300", "candidates"),
    "masks": ("Masks and outlines at 640", "objects"),
    "letterbox": ("Image to input tensor at 640", "pixels"),
}
"""By part: what is computed, and what is counted."""


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV on one thread, as before at the end."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def measure(
    case: Case, seconds: float, slow: dict[str, str]
) -> tuple[list[MicroResult], list[MicroNotMeasured]]:
    """Measure the implementations of a case, and say why others were not.

    Args:
        case: the input and its implementations.
        seconds: how long to go on; there are at least `LEAST_REPETITIONS`.
        slow: implementations that would take too long, by name, with the reason.
    """
    reasons = slow | {name: found for name, found in case.implementations.items() if isinstance(found, str)}
    chosen = {
        name: found
        for name, found in case.implementations.items()
        if not isinstance(found, str) and name not in slow
    }
    answers = {name: run() for name, run in chosen.items()}  # also the first run, which is not timed
    agreement = {
        name: MicroAgreement(measure=case.agreement, value=float(case.agree(answers[YOLEAN], answer)))
        for name, answer in answers.items()
        if name != YOLEAN
    }
    del answers
    runs = {name: _runs(run) for name, run in chosen.items()}
    systems = {name: partial(_repetition, run, runs[name], case.pause) for name, run in chosen.items()}
    found = list(for_seconds(interleaved(systems), seconds, LEAST_REPETITIONS))
    times = {name: [repetition[name] for repetition in found] for name in chosen}
    results = [
        MicroResult(
            part=case.part,
            case=case.case,
            count=case.count,
            implementation=name,
            milliseconds=quartiles(times[name]),
            best_ms=min(times[name]),
            repetitions=len(found),
            runs_a_repetition=runs[name],
            ratio=paired_ratios(times[name], times[YOLEAN]),
            yolean_ratio=paired_ratios(times[YOLEAN], times[name]),
            agreement=agreement.get(name),
        )
        for name in chosen
    ]
    missing = [MicroNotMeasured(case.part, case.case, case.count, name, why) for name, why in reasons.items()]
    return results, missing


def _repetition(run: Implementation, runs: int, pause: float) -> float:
    """Median milliseconds of so many runs."""
    sleep(pause)
    return statistics.median(_timed(run) for _ in range(runs))


def _timed(run: Implementation) -> float:
    """Milliseconds of one run."""
    started = perf_counter()
    run()
    return (perf_counter() - started) * 1e3


def _runs(run: Implementation) -> int:
    """How often it runs in a repetition."""
    return max(1, min(int(REPETITION_MS / max(_timed(run), 1e-3)), MOST_RUNS))


def too_slow(
    case: Case, results: list[MicroResult], missing: list[MicroNotMeasured], seconds: float
) -> dict[str, str]:
    """Implementations of which a run would take longer than `seconds`, with the reason.

    Judged by the largest smaller count of the same kind; what was not measured then is not now.
    """

    def same(row: MicroResult | MicroNotMeasured) -> bool:
        return (row.part, row.case) == (case.part, case.case)

    slow = {row.implementation: row.reason for row in missing if same(row)}
    latest = {row.implementation: row for row in results if same(row)}
    for name, row in latest.items():
        guess = row.milliseconds.median / 1e3 * (case.count / row.count) ** case.grows
        if guess > seconds and name != YOLEAN and name not in slow:
            slow[name] = f"a run might take {guess:.1f} s"
    return slow


def targets(results: list[MicroResult]) -> list[PerformanceTarget]:
    """The targets whose figures were measured."""
    found = []
    for name, part, case, count, other, limit in TARGETS:
        for row in results:
            if (row.part, row.case, row.count, row.implementation) == (part, case, count, other or YOLEAN):
                measured = row.yolean_ratio if other else row.milliseconds
                found.append(judged(name, "at most", limit, measured))
    return found


def table(part: str, results: list[MicroResult], missing: list[MicroNotMeasured]) -> Table:
    """Milliseconds, how many times yolean's they are, and agreement with yolean's answer."""
    title, counted = TITLES[part]
    names = list(
        dict.fromkeys([*(row.implementation for row in results), *(row.implementation for row in missing)])
    )
    agreement = next((f", {row.agreement.measure}" for row in results if row.agreement), "")
    made = Table(["input", counted, *names], title=f"{title}; ms, times {YOLEAN}'s{agreement}")
    for case, count in dict.fromkeys((row.case, row.count) for row in results):
        cells = {row.implementation: _cell(row) for row in results if (row.case, row.count) == (case, count)}
        made.rows.append([case, f"{count:,}", *(cells.get(name, "not measured") for name in names)])
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in missing:
        reasons.setdefault((row.implementation, row.reason), []).append(f"{row.case} {row.count:,}")
    made.notes = [
        f"{name}, {', '.join(cases)}: not measured: {why}" for (name, why), cases in reasons.items()
    ]
    return made


def _cell(row: MicroResult) -> str:
    ms = row.milliseconds.median
    time = f"{ms:.3f}" if ms < 1 else f"{ms:.2f}" if ms < 10 else f"{ms:.1f}"
    if row.agreement is None:
        return time
    value, kind = row.agreement.value, row.agreement.measure
    if kind.endswith("difference"):
        agreement = f"{value:7.0e}" if value else f"{0:>7}"
    else:
        agreement = f"{value:7.2%}" if kind.endswith("IoU") else f"{value:5.0%}"
    return f"{time} {row.ratio.median:6.2f}x {agreement}"


def _parts(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    wanted = tuple(PARTS) if value is None else tuple(part.strip() for part in value.split(","))
    if unknown := [part for part in wanted if part not in PARTS]:
        raise click.BadParameter(f"{', '.join(unknown)!r}: expected some of {','.join(PARTS)}")
    return tuple(part for part in PARTS if part in wanted)


@click.command()
@click.option("--only", "parts", callback=_parts, metavar="PARTS", help=f"Some of {','.join(PARTS)}.")
@click.option("--seconds", default=2.5, show_default=True, type=click.FloatRange(0, min_open=True),
              help="Of each case; also the longest that one run may take.")  # fmt: skip
@click.option("--json", "file", type=OUTPUT, metavar="FILE", help="Record in this file.")
@click.option("--plot", type=PLOT, metavar="FILE",
              help="Draw how the cost grows, as .svg or .png.")  # fmt: skip
def main(parts: tuple[str, ...], seconds: float, file: Path | None, plot: Path | None) -> None:
    """NMS, masks and letterbox alone: how their cost grows, compared with OpenCV and plain numpy."""
    results: list[MicroResult] = []
    missing: list[MicroNotMeasured] = []
    with one_thread():
        for part in parts:
            cases: Callable[[], Iterator[Case]] = PARTS[part]
            for case in cases():
                slow = too_slow(case, results, missing, seconds)
                measured, left_out = measure(case, seconds, slow)
                results += measured
                missing += left_out
            own = [row for row in results if row.part == part]
            table(part, own, [row for row in missing if row.part == part]).show()
    record = MicroRecord(
        settings=MicroSettings(
            parts=list(parts),
            seconds=seconds,
            opencv_threads=1,
            conf=OPTIONS.conf,
            iou=OPTIONS.iou,
            max_det=OPTIONS.max_det,
        ),
        results=results,
        not_measured=missing,
        targets=targets(results),
    )
    for each in record.targets:
        click.echo(f"{each.name}: {each.measured.median:.2f}, {each.bound} {each.limit:g}: {each.outcome}")
    write(record, file)
    if plot:
        draw(record, plot)
