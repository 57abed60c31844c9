"""From one server to many: `python -m yolean.benchmarks scale`.

Measured here: how long each stage of a request takes, how long a server takes to start, and Poisson loads on
one replica on all cores, on one a core, and on two a core. From the times alone a simulation
(`benchmarks/simulation`) predicts these loads, how many replicas hold a load, and how autoscalers follow one.
Loads that were measured elsewhere, such as on Ray Serve, are predicted as well: --measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import click
import msgspec

from ...measurement.interleave import interleaved
from ...measurement.summary import quartiles
from ..command_options import FILE, model_image_json
from ..load_records import UploadedImage
from ..records import read, write
from ..scale_figures import tables
from ..scale_records import (
    MeasuredReplicas,
    Prediction,
    RequestTimes,
    ScaleRecord,
    ScaleSettings,
    SimulatedRange,
)
from ..servers.load_generators import Tally
from ..servers.measuring_replicas import (
    Placement,
    StageTimes,
    placements,
    poisson_load,
    running_replicas,
    stage_times,
    summed,
)
from ..simulation.capacity import fitted, service_times
from ..simulation.many_replicas import simulated

SHARES = (0.5, 0.7, 0.85, 1.2)
"""Measured rates, as shares of what one server on all cores answers."""

_KEPT = 100  # samples of each time in the record, as quantiles


def measured_times(model: Path, image: bytes, settings: ScaleSettings) -> RequestTimes:
    """The times of one server, fitted to the rate that it answers."""
    found = [stage_times(model, image, settings.seconds) for _ in range(settings.repetitions)]
    cores, saturated = len(placements()[0][0]), quartiles(each.saturated for each in found).median
    upload = quartiles(each.upload for each in found).median
    decode = _thinned([each for one in found for each in one.decode])
    run = {threads: _thinned([ms for one in found for ms in one.run[threads]]) for threads in found[0].run}
    times = RequestTimes(upload, decode, run, 1.0, saturated, quartiles(_starts(found)))
    fit, slowdown = fitted(service_times(times), cores, 2 * cores, saturated, settings.seed)
    run[1] = [round(1e3 * each, 3) for each in fit.run[1]]
    return msgspec.structs.replace(times, run=run, slowdown=slowdown)


def _starts(found: Sequence[StageTimes]) -> list[float]:
    return [each.start_seconds for each in found]


def _thinned(values: Sequence[float]) -> list[float]:
    """At most `_KEPT` of the values, evenly by their order."""
    ordered = sorted(values)
    count = min(_KEPT, len(ordered))
    return [round(ordered[int((place + 0.5) / count * len(ordered))], 3) for place in range(count)]


def measured_loads(
    model: Path, image: bytes, rates: Sequence[float], settings: ScaleSettings
) -> list[MeasuredReplicas]:
    """Every rate on every placement of replicas, in interleaved repetitions."""
    found: dict[tuple[Placement, float], list[Tally]] = {}
    seeds = iter(range(settings.seed, settings.seed + 10_000))

    def measure(placement: Placement) -> Callable[[], None]:
        def run() -> None:
            with running_replicas(model, image, placement) as servers:
                for rate in rates:
                    tally = poisson_load(servers, image, rate, settings.seconds, next(seeds))
                    found.setdefault((placement, rate), []).append(tally)
                    for server in servers:
                        server.wait_until_idle(image)

        return run

    systems = {f"{len(placement)}": measure(placement) for placement in placements()}
    for number, _ in enumerate(islice(interleaved(systems), settings.repetitions), 1):
        click.echo(f"repetition {number} of {settings.repetitions}", err=True)
    return [
        summed(placement, rate, settings.seconds, found[placement, rate])
        for placement in placements()
        for rate in rates
    ]


def _unpredicted(measured: MeasuredReplicas) -> Prediction:
    nothing = SimulatedRange(0.0, 0.0, 0.0)
    return Prediction(measured=measured, rate=nothing, p50=None, p99=None, refused=nothing)


@click.command()
@model_image_json
@click.option("--measured", type=FILE, metavar="FILE",
              help="Loads that were measured elsewhere, a JSON list, to be predicted too.")  # fmt: skip
@click.option("--from", "earlier", type=FILE, metavar="FILE",
              help="Measure nothing: simulate what this record has measured.")  # fmt: skip
@click.option("--seconds", type=click.IntRange(1), default=10, show_default=True, help="Of each load.")
@click.option("--rounds", "repetitions", type=click.IntRange(1), default=2, show_default=True,
              help="Interleaved repetitions.")  # fmt: skip
@click.option("--requests", type=click.IntRange(100), default=20_000, show_default=True,
              help="Of each simulated load.")  # fmt: skip
@click.option("--runs", type=click.IntRange(1), default=40, show_default=True,
              help="Simulated, of each measured load.")  # fmt: skip
@click.option("--hours", type=click.FloatRange(0.05), default=2.0, show_default=True,
              help="Of each autoscaled load.")  # fmt: skip
@click.option("--limit", type=click.FloatRange(1), default=500.0, show_default=True, metavar="MS",
              help="Of the p99.")  # fmt: skip
@click.option("--price", type=click.FloatRange(0, min_open=True), default=0.05, show_default=True,
              metavar="DOLLARS", help="Of a vCPU for an hour.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of all that is random.")
def main(
    model: Path,
    image: Path,
    file: Path | None,
    measured: Path | None,
    earlier: Path | None,
    seconds: int,
    repetitions: int,
    requests: int,
    runs: int,
    hours: float,
    limit: float,
    price: float,
    seed: int,
) -> None:
    """Measure replicas on this machine, and simulate many."""
    settings = ScaleSettings(seconds, repetitions, requests, runs, seed, limit, price, 3600 * hours)
    elsewhere = _measured_elsewhere(measured)
    record = _measured_here(model, image, settings) if earlier is None else _read(earlier, settings)
    loads = record.predictions + [_unpredicted(each) for each in elsewhere]
    record = msgspec.structs.replace(record, predictions=loads)
    write(record, file)  # what was measured: the simulation takes a while
    click.echo("measured; simulating", err=True)
    record = simulated(record)
    write(record, file)
    for table in tables(record):
        table.show()


def _measured_here(model: Path, image: Path, settings: ScaleSettings) -> ScaleRecord:
    """A record in which nothing is simulated yet."""
    data = image.read_bytes()
    times = measured_times(model, data, settings)
    rates = [float(f"{share * times.saturated:.3g}") for share in SHARES]
    loads = measured_loads(model, data, rates, settings)
    return ScaleRecord(
        settings=settings,
        model=model.name,
        image=UploadedImage(image.name, len(data)),
        cores=len(placements()[0][0]),
        times=times,
        predictions=[_unpredicted(each) for each in loads],
        capacities=[],
        autoscaled=[],
    )


def _read(file: Path, settings: ScaleSettings) -> ScaleRecord:
    """An earlier record, which keeps how it was measured, and is simulated as is asked for now.

    Raises:
        click.ClickException: it is no record of this scenario.
    """
    record = read(file)
    if not isinstance(record, ScaleRecord):
        raise click.ClickException(f"{file}: expected a record of scale")
    how = record.settings
    now = msgspec.structs.replace(settings, seconds=how.seconds, repetitions=how.repetitions)
    return msgspec.structs.replace(record, settings=now)


def _measured_elsewhere(file: Path | None) -> list[MeasuredReplicas]:
    if file is None:
        return []
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[MeasuredReplicas])
    except msgspec.MsgspecError as exc:
        raise click.ClickException(f"{file}: expected a list of measured loads: {exc}") from exc
