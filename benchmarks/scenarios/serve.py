"""The server and others under load: `python -m yolean.benchmarks serve`.

Every server is a process of its own; all are measured in interleaved repetitions. In each, a server meets a
closed loop, by `wrk`, at each concurrency, and an open loop at each rate. Latencies of the open loop are
counted from when a request was due, so that a server which stalls is not asked less.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import click

from ...engine.errors import YoleanError
from ...measurement.interleave import interleaved
from ..command_options import FILE, PLOT, model_image_json, numbers
from ..load_records import (
    ServeRecord,
    ServerLoads,
    ServeSettings,
    SingleRequest,
    Soak,
    UploadedImage,
)
from ..plots import draw
from ..record_base import YOLEAN_SERVE
from ..records import write
from ..servers.load_generators import closed_loop, wrk_program
from ..servers.measuring_servers import (
    WARM_SECONDS,
    LoadPlan,
    ServerRepetition,
    capacity,
    repetitions,
    rows,
)
from ..servers.server_process import free_port, running, yolean_command
from ..servers.servers_under_test import servers_under_test
from ..tables import Table, median, median_iqr

SHARES = (0.25, 0.5, 0.75, 0.9, 1.1)
"""Offered rates of the open loop, as shares of what yolean answers with eight connections."""

ENGINE = """
import statistics, sys, time, yolean
model = yolean.load(sys.argv[1], device="cpu"); data = open(sys.argv[2], "rb").read()
for _ in range(10): model(data)
times = []
end = time.perf_counter() + float(sys.argv[3])
while time.perf_counter() < end:
    started = time.perf_counter(); model(data); times.append(time.perf_counter() - started)
print(statistics.median(times) * 1e3)
"""


def single_request(model: Path, image: Path, seconds: int, count: int) -> SingleRequest:
    """One request at a time: median latency of the server, and of decoding and predicting in Python."""
    systems: dict[str, Callable[[], float]] = {
        "server": partial(_server_p50, model, image, seconds),
        "engine": partial(_engine_p50, model, image, seconds),
    }
    found = list(islice(interleaved(systems), count))
    return SingleRequest(
        server_p50_ms=statistics.median(each["server"] for each in found),
        engine_p50_ms=statistics.median(each["engine"] for each in found),
        added_ms=statistics.median(each["server"] - each["engine"] for each in found),
    )


def _server_p50(model: Path, image: Path, seconds: int) -> float:
    data, port = image.read_bytes(), free_port()
    with running(yolean_command(model, port), data, port) as server:
        closed_loop(server.url, data, 1, min(WARM_SECONDS, seconds))
        latency = closed_loop(server.url, data, 1, seconds).p50
    if latency is None:
        raise click.ClickException(f"{YOLEAN_SERVE} answered nothing, one request at a time")
    return latency


def _engine_p50(model: Path, image: Path, seconds: int) -> float:
    command = [sys.executable, "-c", ENGINE, str(model), str(image), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it wrote nothing"]
        raise click.ClickException(f"predicting in Python failed: {lines[-1]}")
    return float(done.stdout)


def soak(model: Path, image: bytes, requests: int) -> Soak:
    """Memory after 500 requests, None if there were fewer, and after many more."""
    port = free_port()
    with running(yolean_command(model, port), image, port) as server:
        done, early = 0, None
        while done < requests:
            load = closed_loop(server.url, image, 8, 5)
            if load.broken or load.refused:
                raise click.ClickException(f"{load.broken + load.refused} requests failed")
            done += load.answered
            if done >= 500 and early is None:
                early = server.memory_mb()
        return Soak(requests=done, mb_after_500=early, mb_at_the_end=server.memory_mb())


@click.command()
@model_image_json
@click.option("--also", type=FILE, multiple=True, help="Served by yolean besides; may be repeated.")
@click.option("--python", "pythons", multiple=True, metavar="PYTHON",
              help="An interpreter that has other servers; may be repeated.")  # fmt: skip
@click.option("--concurrency", default="1,2,4,8,16,64", show_default=True, callback=numbers(int),
              metavar="A,B", help="Connections of the closed loop.")  # fmt: skip
@click.option("--rates", callback=numbers(float), metavar="A,B",
              help="Requests a second of the open loop.  [default: shares of what yolean does]")  # fmt: skip
@click.option("--in-time", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
              help="Seconds within which an answer of the open loop is in time.")  # fmt: skip
@click.option("--seconds", type=click.IntRange(1), default=10, show_default=True, help="Of each load.")
@click.option("--rounds", "count", type=click.IntRange(1), default=3, show_default=True,
              help="Interleaved repetitions.")  # fmt: skip
@click.option("--soak", "soak_requests", type=click.IntRange(0), default=0,
              help="Also: memory after so many requests.")  # fmt: skip
@click.option("--plot", type=PLOT, metavar="FILE", help="Draw both loops, as .svg or .png.")
def main(
    model: Path,
    image: Path,
    file: Path | None,
    also: tuple[Path, ...],
    pythons: tuple[str, ...],
    concurrency: tuple[int, ...],
    rates: tuple[float, ...] | None,
    in_time: float,
    seconds: int,
    count: int,
    soak_requests: int,
    plot: Path | None,
) -> None:
    """Measure `yolean serve` and other servers under load.

    Servers that are not installed here or in the environments given by --python are listed as not measured;
    benchmarks/backends/requirements.txt names them.
    """
    wrk_program()
    plan = LoadPlan(image.read_bytes(), concurrency, rates or (), seconds, in_time)
    try:
        servers, missing = servers_under_test(model, also, pythons)
    except YoleanError as exc:
        raise click.ClickException(str(exc)) from exc
    most = None
    if not plan.rates:
        most = capacity(servers[0], plan)
        plan = replace(plan, rates=_shares(most))
    minutes = plan.minutes * len(servers) * count
    click.echo(f"{len(servers)} servers, {count} repetitions: about {minutes:.1f} minutes", err=True)

    def record(single: SingleRequest | None = None, soaked: Soak | None = None) -> ServeRecord:
        return ServeRecord(
            settings=ServeSettings(list(concurrency), seconds, count, in_time),
            model=model.name,
            image=UploadedImage(image.name, len(plan.image)),
            versions={each.name: each.versions for each in servers if each.versions},
            capacity=most,
            loads=rows(measured),
            not_measured=missing,
            single_request=single,
            soak=soaked,
        )

    measured: list[ServerRepetition] = []
    for repetition in islice(repetitions(servers, plan, missing), count):
        measured.append(repetition)
        most_seen = [(name, max(load.rate for load in loads.values())) for name, loads in repetition.items()]
        best = ", ".join(f"{name} up to {rate:.1f}/s" for name, rate in most_seen)
        click.echo(f"repetition {len(measured)}: {best}", err=True)
        write(record(), file)  # after every repetition: the next takes minutes
    single = single_request(model, image, seconds, count)
    whole = record(single, soak(model, plan.image, soak_requests) if soak_requests else None)
    write(whole, file)
    for table in tables(whole):
        table.show()
    click.echo(_last_lines(whole))
    if plot:
        draw(whole, plot)


def _shares(most: float) -> tuple[float, ...]:
    """Offered rates, in figures that a table can show."""
    if not most:
        raise click.ClickException(f"{YOLEAN_SERVE} answered nothing in time: give more --seconds")
    return tuple(float(f"{share * most:.3g}") for share in SHARES)


def tables(record: ServeRecord) -> list[Table]:
    """The closed and the open loop; what was not measured below."""
    headings = ["connections", "server", "requests/s", "p50", "p90", "p99", "failed", "memory"]
    closed = Table(
        [*headings, f"{YOLEAN_SERVE} / it"],
        title=f"{record.model}, closed loop: connections send again when answered; latencies in ms",
        texts=frozenset({1}),
    )
    for row in record.rows("closed"):
        ratio = record.rate_ratio(YOLEAN_SERVE, row)
        cells = [median(row.quartiles("rate"), ".1f")]
        cells += [median(row.quartiles(name), ".0f") for name in ("p50", "p90", "p99")]
        cells += [_failed(row), f"{median(row.quartiles('memory_mb'), '.0f')} MB"]
        _add(closed, row, [*cells, median_iqr(ratio) if ratio else ""])
    opened = Table(
        ["offered/s", "server", "p50", "p99", f"within {record.settings.in_time_s:g} s", "failed"],
        title=f"{record.model}, open loop: latencies in ms from when a request was due",
        texts=frozenset({1}),
    )
    for row in record.rows("open"):
        cells = [median(row.quartiles(name), ".0f") for name in ("p50", "p99")]
        _add(opened, row, [*cells, median(row.quartiles("in_time"), ".1%"), _failed(row)])
    opened.notes = [f"{row.system}: not measured: {row.reason}" for row in record.not_measured]
    return [closed, opened]


def _add(table: Table, row: ServerLoads, cells: Sequence[str]) -> None:
    """A row; a line is drawn above the first server of each load."""
    if table.rows and table.rows[-1][0] != f"{row.load:g}":
        table.sections.add(len(table.rows) - 1)
    table.rows.append([f"{row.load:g}", row.server, *cells])


def _failed(row: ServerLoads) -> str:
    """How many broke off or were refused."""
    counts = {kind: row.total(kind) for kind in ("broken", "refused")}
    return ", ".join(f"{number} {kind}" for kind, number in counts.items() if number) or "0"


def _last_lines(record: ServeRecord) -> str:
    single, soaked = record.single_request, record.soak
    assert single is not None
    line = (
        f"One request at a time: {single.server_p50_ms:.1f} ms; decoding and predicting in Python "
        f"{single.engine_p50_ms:.1f} ms; the server adds {single.added_ms:.1f} ms."
    )
    if soaked is None:
        return f"{line}\nMemory over time: not measured: give --soak."
    early = "unknown" if soaked.mb_after_500 is None else f"{soaked.mb_after_500:.0f} MB"
    return (
        f"{line}\nMemory after 500 requests: {early}; after {soaked.requests}: {soaked.mb_at_the_end:.0f} MB."
    )
