"""Parts of pages that hold figures: each function makes Markdown of the recorded results, sentence and all.

A sentence claims what its record holds and nothing else: which models were compared, which files are refused,
whether a target is kept by the whole IQR. Notes of a record are printed where its figures are.
"""

from __future__ import annotations

from collections.abc import Callable

from . import scale_figures
from .load_records import MicroResult
from .model_figures import bf16, cold, intro, optimized, peers, setting
from .model_records import ModelParity
from .record_base import YOLEAN, YOLEAN_SERVE
from .records import RecordedResults
from .tables import Table, median, median_iqr, prose, provenance, target_list

_MICRO_NAMES = {
    "nms": "NMS",
    "decode": "decoding",
    "rotated": "rotated NMS",
    "masks": "masks",
    "letterbox": "letterbox",
}
_SERVE_FIGURES = (("p50", "ms"), ("p99", "ms"), ("memory_mb", "MB"))
_MICRO_COUNTS = {
    "nms": (1000, 30000),
    "decode": (8400, 30000),
    "rotated": (1000, 8400),
    "masks": (1, 50, 300),
}


def parity(results: RecordedResults) -> str:
    """How equal the answers are, for the models that were compared."""
    record = results.parity
    rows = record.models
    layouts: dict[str, set[str]] = {}
    for row in rows:
        layouts.setdefault(row.task, set()).add(row.layout)
    compared = "; ".join(f"{task} ({', '.join(sorted(kinds))})" for task, kinds in layouts.items())
    versions = sorted({row.reference_version or "" for row in rows} - {""})
    said = f"Ultralytics {', '.join(versions)}" if versions else "Ultralytics (its version was not recorded)"
    limits = record.settings.tolerances
    failed = f" Not compared: {', '.join(record.not_compared)}." if record.not_compared else ""
    return prose(
        f"Compared with what {said} answers, for {len(rows)} exports "
        f"({', '.join(row.model for row in rows)}), by task and output layout: {compared}. "
        f"{sum(row.agree for row in rows)} of {sum(row.images for row in rows)} images agree within "
        f"{limits.pixels:g} px, {limits.score:g} of a score and an IoU of filled outlines of "
        f"{limits.mask:g}; they hold {sum(row.objects or 0 for row in rows)} objects. "
        f"Largest differences: {', '.join(_largest(rows))} (`benchmarks/results/parity.json`).{failed}"
    ) + provenance(record)


def _largest(rows: list[ModelParity]) -> list[str]:
    """The largest differences of each kind that was compared."""

    def values(*kinds: str) -> list[float]:
        found = [row.worst[kind].value for row in rows for kind in kinds if kind in row.worst]
        return [value for value in found if value is not None]

    parts = []
    if pixels := values("box", "keypoints"):
        apart = f"{max(pixels):.3f} px" if max(pixels) >= 0.001 else "less than 0.001 px"
        parts.append(f"{apart} of boxes, corners and keypoints")
    if scores := values("score", "probs"):
        parts.append(f"{max(scores):.4f} of scores")
    if ious := values("mask_iou"):
        parts.append(f"a least IoU of {min(ious):.3f} of outlines")
    if shares := values("other_class"):
        parts.append(f"{max(shares):.5f} of an image's pixels of another class")
    if depths := values("depth"):
        parts.append(f"{max(depths):.5f} of a depth")
    return parts


def serve(results: RecordedResults) -> str:
    """The servers with eight connections, one request at a time, and memory over time."""
    record = results.serve
    rows = record.rows("closed", 8)
    headings = ["eight connections", "requests a second", "p50", "p99", "memory", "failed"]
    table = Table([*headings, f"rate of {YOLEAN_SERVE} / its"])
    for row in rows:
        ratio = record.rate_ratio(YOLEAN_SERVE, row)
        refused, broken = row.total("refused"), row.total("broken")
        failed = f"{refused} refused" if refused else f"{broken} broken" if broken else "0"
        cells = [median(row.quartiles("rate"), ".1f")]
        cells += [f"{median(row.quartiles(name), '.0f')} {unit}" for name, unit in _SERVE_FIGURES]
        cells += [failed, median_iqr(ratio) if ratio else ""]
        table.rows.append([row.server, *cells])
    table.notes += [f"Not measured: {row.system}: {row.reason}." for row in record.not_measured]
    settings = record.settings
    before = prose(
        f"The same upload (a JPEG of {record.image.bytes / 1000:.0f} kB, {record.model}) to each server, "
        f"{settings.repetitions} interleaved repetitions of {settings.seconds} s each:"
    )
    after = []
    if record.single_request is not None:
        after.append(
            f"One request at a time takes {record.single_request.added_ms:.1f} ms more than decoding and "
            "predicting in Python."
        )
    if record.soak is not None and record.soak.mb_after_500 is not None:
        after.append(
            f"Memory was {record.soak.mb_after_500:.0f} MB after 500 requests and "
            f"{record.soak.mb_at_the_end:.0f} MB after {record.soak.requests:,}."
        )
    return f"{before}\n\n{table.markdown()}\n{prose(' '.join(after))}{provenance(record)}"


def threads(results: RecordedResults) -> str:
    """Why a run takes one core under load."""
    record = results.threads
    one, each, both = (way.images_a_second for way in record.sharing)
    return prose(
        "A request alone gets all cores. Under load each run takes one core, and as many runs go side by "
        f"side as there are cores, each from bytes to JSON in one thread: on {record.cores} cores that "
        f"predicts {median_iqr(each, '.1f')} images a second where one run after the other on all gives "
        f"{median_iqr(one, '.1f')}, and as many runs at once, each on all, {median_iqr(both, '.1f')} "
        f"({record.model}; medians and quartiles of {record.settings.repetitions} interleaved repetitions; "
        "`benchmarks/results/threads.json`)."
    ) + provenance(record)


def micro(results: RecordedResults) -> str:
    """Parts alone, compared with other ways to do the same, and the targets."""
    record = results.micro
    cases: dict[tuple[str, str, int], list[MicroResult]] = {}
    for row in record.results:
        if row.part == "letterbox" or row.count in _MICRO_COUNTS.get(row.part, ()):
            cases.setdefault((row.part, row.case, row.count), []).append(row)
    table = Table(["", YOLEAN, "others, times that"], texts=frozenset({0, 2}))
    for (part, case, count), (own, *others) in cases.items():
        size = "" if part == "letterbox" else f" {count:,}"
        ratios = [f"{row.implementation} {row.ratio.median:.2f}" for row in others]
        table.rows.append(
            [f"{_MICRO_NAMES[part]}{size} {case}", f"{own.milliseconds.median:.2f} ms", ", ".join(ratios)]
        )
    return (
        "Alone, on one thread, compared with OpenCV's functions and plain numpy; how far answers agree is "
        f"recorded:\n\n{table.markdown()}\nTargets:\n\n{target_list(record.targets)}{provenance(record)}"
    )


PARTS: dict[str, Callable[[RecordedResults], str]] = {
    "intro": intro,
    "setting": setting,
    "peers": peers,
    "cold": cold,
    "optimized": optimized,
    "bf16": bf16,
    "parity": parity,
    "serve": serve,
    "micro": micro,
    "threads": threads,
    "scale-sizes": scale_figures.sizes,
    "scale-replicas": scale_figures.replicas,
    "scale-predictions": scale_figures.predictions,
    "scale-autoscaling": scale_figures.autoscaling,
    "scale-limits": scale_figures.limits,
}
"""By the name that a page's markers use."""
