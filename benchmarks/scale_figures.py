"""Figures of `scale`: what was predicted and measured, what replicas hold, how autoscalers follow."""

from __future__ import annotations

import math
import statistics

from .record_base import YOLEAN_SERVE
from .records import RecordedResults
from .scale_records import PEAK, RouterName, ScaleRecord, SimulatedRange
from .tables import UNKNOWN, Table, median_iqr, prose, provenance

_ROUTERS: tuple[RouterName, RouterName] = ("at random", "the shorter of two queues")
_LOADS = (10, 100, 1000, 10_000)
_S3_GETS = 5500  # a second for each prefix, as Amazon documents it


def tables(record: ScaleRecord) -> list[Table]:
    """What was measured beside what was predicted; what replicas hold; how autoscalers follow."""
    return [prediction_table(record), capacity_table(record), autoscaling_table(record)]


def prediction_table(record: ScaleRecord) -> Table:
    """Measured loads, and the range of nine in ten simulated runs."""
    headings = ["", "replicas", "load", "answered/s", "predicted", "p50, ms", "predicted", "p99, ms"]
    table = Table([*headings, "predicted", "refused", "predicted"])
    for each in record.predictions:
        found = each.measured
        load = f"{found.load:g}/s" if found.loop == "open" else f"{found.load:g} connections"
        cells = [f"{found.system}, {found.cores} cores" if found.cores > 1 else f"{found.system}, 1 core"]
        cells += [f"{found.replicas}", load, f"{found.rate:.1f}", _range(each.rate, ".1f")]
        for value, predicted in ((found.p50, each.p50), (found.p99, each.p99)):
            cells.append(UNKNOWN if value is None else f"{value:.0f}")
            cells.append(UNKNOWN if predicted is None else _range(predicted, ".0f"))
        table.rows.append([*cells, f"{found.refused:.1%}", _range(each.refused, ".1%")])
    return table


def _range(found: SimulatedRange, form: str) -> str:
    return f"{found.median:{form}} ({found.low:{form}}-{found.high:{form}})"


def capacity_table(record: ScaleRecord) -> Table:
    """Requests a second of each replica."""
    limit = f"a replica's requests/s, p99 {record.settings.limit_ms:g} ms"
    table = Table(["requests go to", "cores", "replicas", limit, "of what it can do"])
    for row in record.capacities:
        share = f"{row.rate / row.saturated:.0%}"
        table.rows.append([row.router, f"{row.cores}", f"{row.replicas}", f"{row.rate:.1f}", share])
    return table


def autoscaling_table(record: ScaleRecord) -> Table:
    """Two loads under each rule."""
    limit = f"minutes above {record.settings.limit_ms:g} ms, or refusing"
    table = Table(["load", "scaled by", "replicas: mean", "most", "p99, ms", "refused", limit])
    table.texts = frozenset({0, 1})
    for row in record.autoscaled:
        cells = [f"{row.mean_replicas:.1f}", f"{row.most_replicas}", f"{row.p99:.0f}", f"{row.refused:.2%}"]
        table.rows.append([row.load, row.rule, *cells, f"{row.bad_minutes:.0%}"])
    return table


def _hours_and_millions(record: ScaleRecord, cores: int, rate: float) -> tuple[str, str]:
    """Dollars an hour of so many cores, and for a million images at so many a second."""
    hour = cores * record.settings.price
    return f"{hour:,.2f}", f"{hour / (rate * 3600) * 1e6:.2f}"


def sizes(results: RecordedResults) -> str:
    """One core, one machine, ten replicas and a thousand."""
    record = results.scale
    limit = f"requests/s, p99 {record.settings.limit_ms:g} ms"
    headings = ["", "cores", f"{limit}, sent at random", "to the shorter of two queues"]
    table = Table([*headings, "images a day, always busy", "$ an hour", "$ a million images"])
    rows = {"one core": (1, 1), f"one replica of {record.cores} cores": (record.cores, 1)}
    rows |= {f"{count:,} such replicas": (record.cores, count) for count in (10, 1000)}
    for name, (cores, count) in rows.items():
        found = [record.capacity(cores, router, count) for router in _ROUTERS]
        busy = found[0].saturated * count
        rates = [row.rate * count for row in found]
        cells = [f"{cores * count:,}", *(f"{rate:,.{0 if rate >= 100 else 1}f}" for rate in rates)]
        cells += [f"{busy * 86_400 / 1e6:,.1f} million"]
        table.rows.append([name, *cells, *_hours_and_millions(record, cores * count, busy)])
    before = prose(
        f"{record.model}, a JPEG of {record.image.bytes / 1000:.0f} kB a request, at "
        f"{record.settings.price:g} $ for a vCPU and an hour, which is assumed. What is above one replica is "
        "simulated; a vCPU that is half of a core does less."
    )
    return f"{before}\n\n{table.markdown()}{provenance(record)}"


def replicas(results: RecordedResults) -> str:
    """How many replicas a load needs."""
    record = results.scale
    headings = ["requests a second", "replicas, sent at random", "$ an hour", "the shorter of two queues"]
    table = Table([*headings, "$ an hour"], texts=frozenset())
    for load in _LOADS:
        cells = [f"{load:,}"]
        for router in _ROUTERS:
            count = _needed(record, router, load)
            cells += [f"{count:,}", _hours_and_millions(record, count * record.cores, 1.0)[0]]
        table.rows.append(cells)
    before = prose(
        f"Replicas of {record.cores} cores that answer 99% of the requests within "
        f"{record.settings.limit_ms:g} ms and refuse none, by simulation with Poisson arrivals:"
    )
    return f"{before}\n\n{table.markdown()}"


def _needed(record: ScaleRecord, router: RouterName, load: float) -> int:
    """The fewest replicas that hold a load."""
    count = math.ceil(load / record.capacity(record.cores, router, 1).saturated)
    while load / count > record.capacity(record.cores, router, count).rate:
        count += 1
    return count


def predictions(results: RecordedResults) -> str:
    """What was measured, beside what the simulation gives."""
    record = results.scale
    times, settings = record.times, record.settings
    kept = [_within(row.measured.p99, row.p99) for row in record.predictions]
    before = prose(
        f"Open loops of {settings.seconds} s and {settings.repetitions} interleaved repetitions, on the "
        f"{record.cores} cores of one machine, clients included. Predicted: the median of {settings.runs} "
        "simulated runs as long, and the range of nine in ten. The simulation knows the times of requests to "
        "one server, and the rate at which that one is saturated, to which its runs on one thread were "
        f"fitted (by a factor of {times.slowdown:.2f}); nothing else."
    )
    after = prose(
        f"The measured p99 lies in that range for {sum(kept)} of {len(kept)} loads. A server answers its "
        f"first request {median_iqr(times.start_seconds, '.1f')} s after it was started."
    )
    parts = [before, prediction_table(record).markdown().rstrip(), after, *_beside_one_server(record)]
    return "\n\n".join(parts) + provenance(record)


def _beside_one_server(record: ScaleRecord) -> list[str]:
    """Answers a second of other systems, divided by those of one server on all cores in the same loop."""
    rows = [row for row in record.predictions if row.measured.loop == "closed"]
    one = {row.measured.load: row for row in rows if row.measured.system == YOLEAN_SERVE}
    ratios: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for row in rows:
        other, found = one.get(row.measured.load), row.measured
        if found.system != YOLEAN_SERVE and other is not None:
            pair = found.rate / other.measured.rate, row.rate.median / other.rate.median
            ratios.setdefault((found.system, found.replicas), []).append(pair)
    said = []
    for (system, count), pairs in ratios.items():
        measured, predicted = (statistics.median(side) for side in zip(*pairs, strict=True))
        said.append(f"{system} with {count}: {measured:.2f}, predicted {predicted:.2f}")
    before = f"Requests a second in the closed loops, divided by those of one {YOLEAN_SERVE} on all cores: "
    return [prose(f"{before}{'; '.join(said)}.")] if said else []


def _within(value: float | None, found: SimulatedRange | None) -> bool:
    return value is not None and found is not None and found.low <= value <= found.high


def autoscaling(results: RecordedResults) -> str:
    """Two loads under each rule."""
    record = results.scale
    hours, start = record.settings.autoscaled_seconds / 3600, record.times.start_seconds.median
    before = prose(
        f"Simulated, {hours:g} hours each, from two replicas of {record.cores} cores, which start in "
        f"{start:.1f} s (a pod that has to be placed, and an image that has to be pulled, take longer):"
    )
    peak = PEAK * record.capacity(record.cores, "at random", 1).saturated
    at_random, shorter = (_needed(record, router, peak) for router in _ROUTERS)
    after = prose(
        f"{at_random} replicas that are always there hold {peak:.0f} requests a second sent at random, as by "
        f"Kubernetes, and {shorter} hold them sent to the shorter of two queues, as by Ray Serve."
    )
    return f"{before}\n\n{autoscaling_table(record).markdown()}\n{after}"


def limits(results: RecordedResults) -> str:
    """Decoding, network, object store, Ray's proxy."""
    record = results.scale
    times, busy = record.times, record.capacity(record.cores, "at random", 1).saturated
    decode, megabits = statistics.mean(times.decode), busy * record.image.bytes * 8 / 1e6
    whole = times.upload + decode + statistics.mean(times.run[1])
    lines = [
        f"**Decoding**: {decode:.1f} ms of the {whole:.0f} ms for which a request keeps a core busy, "
        f"{decode / whole:.0%}; receiving it and answering, {times.upload:.1f} ms.",
        f"**Network**: a busy replica of {record.cores} cores receives {megabits:.0f} Mbit/s: 10 Gbit/s feed "
        f"{10_000 / megabits:,.0f} of them, and 1,000 need {megabits:.0f} Gbit/s.",
        f"**Object store**: 1,000 busy replicas read {1000 * busy:,.0f} images a second. Amazon S3 gives "
        f"{_S3_GETS:,} reads a second for each prefix: spread the images over "
        f"{math.ceil(1000 * busy / _S3_GETS)} prefixes or more.",
    ]
    added = [row.measured.router.added_ms for row in record.predictions if row.measured.router.added_ms]
    if added:
        each = statistics.median(added)
        lines.append(
            f"**Ray's proxy** adds {each:.1f} ms to a request of this size. If all of that is work of one "
            f"core, the proxy of a node passes on {1000 / each:.0f} requests a second; each node has one."
        )
    return "\n".join(f"- {line}" for line in lines)
