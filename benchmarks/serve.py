"""The server under load, beside others: `python -m yolean.benchmarks serve`.

Every server is a process of its own. Rounds go through all servers in turn, each time in another order, so
that whatever else the machine does falls on all of them, and a ratio is taken round by round. In its turn a
server meets a closed loop, by `wrk`, at each concurrency, and an open loop at each rate. The open loop is
asyncio in this process, which is enough for some hundred requests a second; how late they were sent is
recorded as `late_ms`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from ..engine.errors import YoleanError
from . import serve_plot
from .curves import closed_rows, open_rows, show
from .entrants import entrants
from .options import FILE, PLOT, model_image_json, numbers
from .record import write
from .rounds import WARM_SECONDS, Plan, Round, Row, capacity, one_round
from .servers import free_port, running, wrk, wrk_program, yolean_command

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


def alone(model: Path, image: Path, seconds: int, rounds: int) -> Row:
    """One request at a time: the server's median latency, and the engine's for decode and predict."""
    data = image.read_bytes()
    server_ms, engine_ms = [], []
    for _ in range(rounds):
        port = free_port()
        with running(yolean_command(model, port), data, port) as server:
            wrk(server, data, 1, min(WARM_SECONDS, seconds))
            latency = wrk(server, data, 1, seconds).p50
        if latency is None:
            raise click.ClickException("yolean serve answered nothing, one request at a time")
        server_ms.append(latency)
        command = [sys.executable, "-c", ENGINE, str(model), str(image), str(seconds)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            words = found.stderr.strip().splitlines() or ["it said nothing"]
            raise click.ClickException(f"the engine alone failed: {words[-1]}")
        engine_ms.append(float(found.stdout))
    added = [s - e for s, e in zip(server_ms, engine_ms, strict=True)]
    return {
        "server_p50_ms": statistics.median(server_ms),
        "engine_p50_ms": statistics.median(engine_ms),
        "added_ms": statistics.median(added),
    }


def soak(model: Path, image: bytes, requests: int) -> Row:
    """Memory after 500 requests, None if there were fewer, and after many more."""
    port = free_port()
    with running(yolean_command(model, port), image, port) as server:
        done, early = 0, None
        while done < requests:
            load = wrk(server, image, 8, 5)
            if load.broken or load.refused:
                raise click.ClickException(f"{load.broken + load.refused} requests failed")
            done += load.requests
            if done >= 500 and early is None:
                early = server.memory()
        return {"requests": done, "mb_after_500": early, "mb_at_the_end": server.memory()}


@click.command()
@model_image_json
@click.option("--also", type=FILE, multiple=True, help="Served by yolean besides; may be repeated.")
@click.option("--python", "pythons", multiple=True, metavar="PYTHON",
              help="An interpreter that has peers; may be repeated.")  # fmt: skip
@click.option("--concurrency", default="1,2,4,8,16,64", show_default=True, callback=numbers(int),
              metavar="A,B", help="Connections of the closed loop.")  # fmt: skip
@click.option("--rates", callback=numbers(float), metavar="A,B",
              help="Requests a second of the open loop.  [default: shares of what yolean does]")  # fmt: skip
@click.option("--in-time", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
              help="Seconds within which an answer of the open loop is in time.")  # fmt: skip
@click.option("--seconds", type=click.IntRange(1), default=10, show_default=True, help="Of each load.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Through all servers.")
@click.option("--soak", "soak_requests", type=click.IntRange(0), default=0,
              help="Also: memory after so many requests.")  # fmt: skip
@click.option("--plot", "drawing", type=PLOT, metavar="FILE", help="Draw both loops, as .svg or .png.")
def main(
    model: Path,
    image: Path,
    target: Path | None,
    also: tuple[Path, ...],
    pythons: tuple[str, ...],
    concurrency: tuple[int, ...],
    rates: tuple[float, ...] | None,
    in_time: float,
    seconds: int,
    rounds: int,
    soak_requests: int,
    drawing: Path | None,
) -> None:
    """Measure `yolean serve` under load beside other servers.

    Peers that are not installed here or in the environments given by --python are listed as not measured;
    benchmarks/peers/requirements.txt names them.
    """
    wrk_program()
    plan = Plan(image.read_bytes(), concurrency, rates or (), seconds, in_time)
    how: Row = {"concurrency": concurrency, "seconds": seconds, "rounds": rounds, "in_time_s": in_time}
    record: Row = {"model": model.name, "image": {"name": image.name, "bytes": len(plan.image)}}
    try:
        _measure(record, (model, also, pythons), plan, rounds, lambda: write(target, record, how))
    except YoleanError as exc:
        raise click.ClickException(str(exc)) from exc
    record["alone"] = alone(model, image, seconds, rounds)
    if soak_requests:
        record["soak"] = soak(model, plan.image, soak_requests)
    write(target, record, how)
    show(record, in_time)
    click.echo(_last_lines(record))
    if drawing:
        serve_plot.draw(json.loads(target.read_text(encoding="utf-8")) if target else record, drawing)


def _measure(
    record: Row,
    who: tuple[Path, tuple[Path, ...], tuple[str, ...]],
    plan: Plan,
    rounds: int,
    keep: Callable[[], None],
) -> None:
    """Fill the record round by round; it is kept after each, because the next takes minutes."""
    servers, missing = entrants(*who)
    record["versions"] = {each.name: each.versions for each in servers if each.versions}
    if not plan.rates:
        record["capacity"] = capacity(servers[0], plan)
        plan = replace(plan, rates=_shares(record["capacity"]))
    minutes = plan.minutes * len(servers) * rounds
    click.echo(f"{len(servers)} servers, {rounds} rounds: about {minutes:.1f} minutes", err=True)
    measured: list[Round] = []
    for number in range(rounds):
        measured.append(one_round(number, servers, plan, missing))
        measured = [{each.name: found[each.name] for each in servers} for found in measured]
        record |= {"closed": closed_rows(measured), "open": open_rows(measured)}
        record["not_measured"] = [{"server": name, "why": why} for name, why in missing.items()]
        keep()


def _shares(most: float) -> tuple[float, ...]:
    """Offered rates, in figures that a table can show."""
    if not most:
        raise click.ClickException("yolean serve answered nothing in time: give more --seconds")
    return tuple(float(f"{share * most:.3g}") for share in SHARES)


def _last_lines(record: Row) -> str:
    own, kept = record["alone"], record.get("soak")
    line = (
        f"One request at a time: {own['server_p50_ms']:.1f} ms; decoding and predicting in Python "
        f"{own['engine_p50_ms']:.1f} ms; the server adds {own['added_ms']:.1f} ms."
    )
    if kept is None:
        return f"{line}\nMemory over time: not measured: give --soak."
    early = "unknown" if kept["mb_after_500"] is None else f"{kept['mb_after_500']:.0f} MB"
    late = f"{kept['mb_at_the_end']:.0f} MB"
    return f"{line}\nMemory after 500 requests: {early}; after {kept['requests']}: {late}."
