"""The server under load, beside others: requests a second, latencies, memory.

    python -m yolean.benchmarks.serve [--model yolov8n.onnx] [--picture bus.jpg] [--peers-python PYTHON]
        [--also yolov8n-lean.onnx] [--concurrency 8] [--seconds 15] [--rounds 5] [--soak 10000] [--json FILE]

Every server is a process of its own, `wrk` another. Rounds go through all servers in turn, so that whatever
else the machine does falls on all of them, and a ratio is taken round by round. LitServe and Ultralytics run
in an environment of their own, named by --peers-python; without it they are listed as not measured. Without a
model and a picture, the demo's are taken.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..models import demo_model, demo_pictures
from .machine import machine
from .servers import PEERS, Load, free_port, running, wrk, yolean_command

WARM_SECONDS = 3.0

ENGINE = """
import sys, time, statistics, yolean
model = yolean.load({model!r}, device="cpu"); data = open({picture!r}, "rb").read()
for _ in range(10): model(data)
times = []
end = time.perf_counter() + {seconds}
while time.perf_counter() < end:
    started = time.perf_counter(); model(data); times.append(time.perf_counter() - started)
print(statistics.median(times) * 1e3)
"""


def commands(model: Path, also: tuple[Path, ...], peers_python: str | None) -> dict[str, Any]:
    """What starts each server at a port, or None where it cannot be measured.

    `also` are files that yolean serves besides, under the model's name: the lean and the INT8 one.
    """

    def peer(script: str, python: str | None) -> Any:
        return python and (lambda port: [python, str(PEERS / script), str(model), str(port)])

    return {
        "yolean": lambda port: yolean_command([model], port),
        **{f"yolean, {file.stem}": _serving(model.stem, file) for file in also},
        "floor": peer("floor.py", sys.executable),
        "starlette + ultralytics": peer("starlette_ultralytics.py", peers_python),
        "litserve + ultralytics": peer("litserve_ultralytics.py", peers_python),
    }


def _serving(name: str, file: Path) -> Any:
    return lambda port: yolean_command([f"{name}={file}"], port)


def side_by_side(
    servers: dict[str, Any], model: Path, picture: bytes, concurrency: int, seconds: float, rounds: int
) -> dict[str, list[Load]]:
    """All servers in turn, `rounds` times."""
    loads: dict[str, list[Load]] = {name: [] for name, command in servers.items() if command}
    for number in range(rounds):
        for name in loads:
            port = free_port()
            with running(servers[name](port), model.stem, picture, port) as server:
                wrk(server, picture, concurrency, WARM_SECONDS)
                load = wrk(server, picture, concurrency, seconds)
            loads[name].append(load)
            figures = f"{load.rate:.1f}/s p50 {load.p50:.0f} p99 {load.p99:.0f} ms"
            click.echo(f"round {number + 1}: {name}: {figures}")
    return loads


def alone(model: Path, picture: Path, seconds: float, rounds: int) -> dict[str, float]:
    """One request at a time: the server's median latency, and the engine's for decode and predict."""
    data = picture.read_bytes()
    server_ms, engine_ms = [], []
    for _ in range(rounds):
        port = free_port()
        with running(yolean_command([model], port), model.stem, data, port) as server:
            wrk(server, data, 1, WARM_SECONDS)
            server_ms.append(wrk(server, data, 1, seconds).p50)
        script = ENGINE.format(model=str(model), picture=str(picture), seconds=seconds)
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        engine_ms.append(float(found.stdout))
    added = [s - e for s, e in zip(server_ms, engine_ms, strict=True)]
    return {
        "server_p50_ms": statistics.median(server_ms),
        "engine_p50_ms": statistics.median(engine_ms),
        "added_ms": statistics.median(added),
    }


def soak(model: Path, picture: bytes, requests: int) -> dict[str, float]:
    """Memory after 500 requests, and after many more."""
    port = free_port()
    with running(yolean_command([model], port), model.stem, picture, port) as server:
        done, early = 0, 0.0
        while done < requests:
            load = wrk(server, picture, 8, 5)
            if load.broken or load.refused:
                raise click.ClickException(f"{load.broken + load.refused} requests failed")
            done += load.requests
            if done >= 500 and not early:
                early = server.memory()
        return {"requests": done, "mb_after_500": early, "mb_at_the_end": server.memory()}


def summary(loads: dict[str, list[Load]]) -> dict[str, dict[str, Any]]:
    """Medians a server, and the ratio of yolean to it, round by round, with its spread.

    `times` is the ratio of the server's own rate to each of the others.
    """
    rates = {name: [load.rate for load in rows] for name, rows in loads.items()}

    def ratios_of(name: str, other: str) -> list[float]:
        return sorted(a / b for a, b in zip(rates[name], rates[other], strict=True))

    table = {}
    for name, rows in loads.items():
        ratios = ratios_of("yolean", name)
        middle = {key: statistics.median(getattr(row, key) for row in rows) for key in ("rate", "p50", "p99")}
        failed = sum(row.broken + row.refused for row in rows)
        table[name] = {
            **middle,
            "p99_by_p50": statistics.median(row.p99 / row.p50 for row in rows),
            "failed": failed,
            "yolean_is": statistics.median(ratios),
            "yolean_is_from": ratios[0],
            "yolean_is_to": ratios[-1],
            "times": {other: statistics.median(ratios_of(name, other)) for other in loads if other != name},
        }
    return table


@click.command()
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="An .onnx file.")
@click.option(
    "--picture", type=click.Path(exists=True, path_type=Path), help="What is sent; default: a demo."
)
@click.option(
    "--also", type=click.Path(exists=True, path_type=Path), multiple=True, help="Served by yolean besides."
)
@click.option("--peers-python", help="Interpreter that has ultralytics, litserve, starlette and uvicorn.")
@click.option("--concurrency", default=8, show_default=True, help="Connections at once.")
@click.option("--seconds", default=15.0, show_default=True, help="Of load, each time.")
@click.option("--rounds", default=5, show_default=True, help="Times through all servers.")
@click.option("--soak", "soak_requests", default=0, help="Also: memory after so many requests.")
@click.option("--json", "json_to", type=click.Path(path_type=Path), help="Write everything into this file.")
def main(
    model: Path | None,
    picture: Path | None,
    also: tuple[Path, ...],
    peers_python: str | None,
    concurrency: int,
    seconds: float,
    rounds: int,
    soak_requests: int,
    json_to: Path | None,
) -> None:
    """Measure `yolean serve` beside other servers."""
    model, picture = model or demo_model(), picture or demo_pictures()[0]
    servers = commands(model, also, peers_python)
    data = picture.read_bytes()
    loads = side_by_side(servers, model, data, concurrency, seconds, rounds)
    record: dict[str, Any] = {
        "machine": machine(),
        "model": model.name,
        "picture": {"name": picture.name, "bytes": len(data)},
        "concurrency": concurrency,
        "seconds": seconds,
        "rounds": {name: [asdict(load) for load in rows] for name, rows in loads.items()},
        "not_measured": [name for name, command in servers.items() if not command],
        "summary": summary(loads),
        "alone": alone(model, picture, seconds, rounds),
    }  # fmt: skip
    if soak_requests:
        record["soak"] = soak(model, data, soak_requests)
    for name, row in record["summary"].items():
        figures = (
            f"{row['rate']:6.1f}/s  p50 {row['p50']:4.0f}  p99 {row['p99']:4.0f} ms  failed {row['failed']}"
        )
        spread = f"{row['yolean_is_from']:.2f}-{row['yolean_is_to']:.2f}"
        click.echo(f"{name:26} {figures}  yolean is {row['yolean_is']:.2f} times ({spread})")
    for name in record["not_measured"]:
        click.echo(f"{name:26} not measured: give --peers-python")
    click.echo(f"one at a time: {record['alone']}")
    click.echo(f"memory: {record.get('soak', 'not measured: give --soak')}")
    if json_to:
        json_to.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
