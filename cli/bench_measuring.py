"""What `yolean bench` measures: yolean and a bare `session.run` in interleaved repetitions."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

from ..measurement.interleave import for_seconds, interleaved
from ..measurement.summary import Quartiles, paired_ratios, percentile
from ..measurement.worker import PAUSE, Repetition, Worker
from .bench_worker import ImageFile

STAGES = ("decode", "preprocess", "inference", "postprocess")
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

LEAST_REPETITIONS = 5
"""Repetitions of a configuration, however short the time."""

_REPETITIONS = 8  # aimed at in a short time; in a longer one there are more
_LONGEST = 0.25  # seconds of a repetition: a machine changes its pace

YOLEAN, SESSION_RUN = "yolean", "session.run"

Percentiles = dict[str, float]
OnProgress = Callable[[float], None]
"""Is called between repetitions with the share, 0 to 1, of a configuration that is done."""


@dataclass(frozen=True)
class Configuration:
    """What is measured at once.

    Attributes:
        model: the .onnx file.
        label: its name in the table, different from the other files'.
        threads: of one run on the CPU.
        batch: images a call; None: as many as the file fixes, else 1.
        imgsz: as calling a model takes it.
        device, precision: as `yolean.load` takes them.
    """

    model: str
    label: str
    threads: int
    batch: int | None
    imgsz: int | tuple[int, int] | None
    device: str
    precision: str | None

    @property
    def name(self) -> str:
        """What tells it from the other configurations; parts that are None or 0 are left out."""
        height, width = self.imgsz if isinstance(self.imgsz, tuple) else (self.imgsz, self.imgsz)
        size = f", {height}x{width}" if height else ""
        batch = f", batch {self.batch}" if self.batch else ""
        threads = f", {counted(self.threads, 'thread')}" if self.threads else ""
        return f"{self.label}{size}{batch}{threads}"


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'s' * (number != 1)}"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Figures of a configuration, as `--json` writes them; times are milliseconds an image unless noted.

    Attributes:
        model: name, SHA-256 and bytes of the file.
        task, family, layout, weights, dtype, dynamic: of the model.
        threads, batch, imgsz, device, provider, precision: that it ran with.
        tensors: shapes of the inputs, (N, C, H, W).
        warm_ups: calls before anything was timed.
        repetitions, calls, images: how many there were.
        objects_an_image: mean.
        stages: percentiles by stage.
        total: encoded image to `Results`, outlines of masks included.
        session_run: bare `session.run` of the same file, shapes, threads and provider.
        ratio: decoded image to `Results` divided by `session_run`, repetition by repetition.
        images_a_second: throughput of yolean.
        import_ms, load_ms, first_call_ms: importing the libraries, `yolean.load`, the first call, in ms.
        peak_mb: largest resident memory of the process less the encoded images it holds, MiB.
    """

    model: dict[str, Any]
    task: str
    family: str
    layout: str
    weights: str | None
    dtype: str
    dynamic: bool
    threads: int
    batch: int
    imgsz: tuple[int, int]
    tensors: list[tuple[int, ...]]
    device: str
    provider: str
    precision: str | None
    warm_ups: int
    repetitions: int
    calls: int
    images: int
    objects_an_image: float
    stages: dict[str, Percentiles]
    total: Percentiles
    session_run: Percentiles
    ratio: Quartiles
    images_a_second: float
    import_ms: float
    load_ms: float
    first_call_ms: float
    peak_mb: float | None


def measure(
    configuration: Configuration,
    images: list[ImageFile],
    seconds: float,
    on_progress: OnProgress,
    measurements: list[Measurement],
) -> None:
    """Measure a configuration and append the result; also when it is interrupted after enough repetitions.

    Args:
        configuration: what is measured.
        images: that the calls go through.
        seconds: for both systems together.
        on_progress: is called between repetitions.
        measurements: where the result is appended.

    Raises:
        WorkerError: the configuration is refused; the message is the reason.
    """
    task = asdict(configuration)
    with Worker(_command(task | {"system": YOLEAN, "images": images})) as own:
        about = own.about
        same = {name: about[name] for name in ("device", "dtype", "shapes", "warm_ups")}
        with Worker(_command(task | {"system": SESSION_RUN} | same)) as bare:
            runs = runs_a_repetition(about, seconds)
            systems = {YOLEAN: partial(own.repetition, runs), SESSION_RUN: partial(bare.repetition, runs)}
            found: list[dict[str, Repetition]] = []
            try:
                for repetition in for_seconds(interleaved(systems), seconds, LEAST_REPETITIONS, on_progress):
                    found.append(repetition)  # one by one: an interruption leaves what came before
            except (KeyboardInterrupt, SystemExit):
                if len(found) >= LEAST_REPETITIONS:
                    measurements.append(summarised(configuration, about, found))
                raise
    measurements.append(summarised(configuration, about, found))


def _command(task: dict[str, Any]) -> list[str]:
    return [sys.executable, "-m", "yolean.cli.bench_worker", json.dumps(task)]


def runs_a_repetition(about: dict[str, Any], seconds: float) -> int:
    """Calls in a repetition, at least one: all images equally often, where that fits into the time."""
    a_call = about["warm_up_ms"] / about["warm_ups"] / 1e3
    runs = max(1, int(min(seconds / _REPETITIONS / 2 - PAUSE, _LONGEST) / a_call))
    through_all_images = len(about["shapes"])
    return runs // through_all_images * through_all_images or runs


def summarised(
    configuration: Configuration, about: dict[str, Any], repetitions: list[dict[str, Repetition]]
) -> Measurement:
    """The figures of a configuration from what the worker reported of itself and of each repetition."""
    own = [each[YOLEAN] for each in repetitions]
    bare = [each[SESSION_RUN] for each in repetitions]
    calls = [(ms, images) for each in own for ms, images in zip(each.ms, each.notes, strict=True)]
    images = [image for _, batch in calls for image in batch]
    a_call = len(calls[0][1])
    peak = own[-1].peak_mb
    model = Path(configuration.model).read_bytes()
    return Measurement(
        model={
            "file": configuration.label,
            "sha256": hashlib.sha256(model).hexdigest(),
            "bytes": len(model),
        },
        **{name: about[name] for name in ("task", "family", "layout", "weights", "dtype", "dynamic")},
        threads=configuration.threads,
        batch=about["batch"],
        imgsz=(about["imgsz"][0], about["imgsz"][1]),
        tensors=sorted({tuple(shape) for shape in about["shapes"]}),
        device=about["device"],
        provider=about["provider"],
        precision=configuration.precision,
        warm_ups=about["warm_ups"],
        repetitions=len(repetitions),
        calls=len(calls),
        images=len(images),
        objects_an_image=fmean(image[-1] for image in images),
        stages={name: _percentiles([image[i] for image in images]) for i, name in enumerate(STAGES)},
        total=_percentiles([ms / a_call for ms, _ in calls]),
        session_run=_percentiles([ms / a_call for each in bare for ms in each.ms]),
        ratio=paired_ratios([median(_after_decoding(each)) for each in own], [median(b.ms) for b in bare]),
        images_a_second=len(images) / sum(ms for ms, _ in calls) * 1e3,
        import_ms=about["import_ms"],
        load_ms=about["load_ms"],
        first_call_ms=about["first_ms"],
        peak_mb=None if peak is None else peak - about["images_mb"],
    )


def _after_decoding(repetition: Repetition) -> list[float]:
    """Milliseconds of each call from decoded images on."""
    calls = zip(repetition.ms, repetition.notes, strict=True)
    return [ms - sum(image[0] for image in images) for ms, images in calls]


def _percentiles(values: list[float]) -> Percentiles:
    return {name: percentile(values, share) for name, share in PERCENTILES.items()}


def reasons(configurations: list[Configuration], refused: list[tuple[Configuration, str]]) -> list[str]:
    """Why which configurations were not measured, those with the same reason as one line."""
    same: dict[tuple[str, str], list[Configuration]] = {}
    for configuration, reason in refused:
        same.setdefault((configuration.model, reason), []).append(configuration)
    lines = []
    for (model, reason), some in same.items():
        own = [each for each in configurations if each.model == model]
        lines += [reason if model in reason else f"{name}: {reason}" for name in _names(some, own)]
    everywhere = len({reason for _, reason in refused}) == 1 and len(refused) == len(configurations)
    return [refused[0][1]] if everywhere else lines


def _names(some: list[Configuration], all_of_model: list[Configuration]) -> list[str]:
    """What to call some of a model's configurations: by what only they have in common, or one by one."""
    if len(some) == len(all_of_model):
        return [some[0].label]
    parts = ("imgsz", "batch", "threads")
    common: dict[str, Any] = {
        name: getattr(some[0], name) for name in parts if len({getattr(each, name) for each in some}) == 1
    }
    alike = [each for each in all_of_model if all(getattr(each, n) == v for n, v in common.items())]
    if len(alike) > len(some):
        return [each.name for each in some]
    common = {**dict.fromkeys(parts), **common}
    return [replace(some[0], **common).name]


def labels(files: list[str]) -> dict[str, str]:
    """Names of files, with as many of their folders as it takes to tell them apart."""
    parts = {file: Path(file).parts for file in files}
    for count in range(1, max(map(len, parts.values())) + 1):
        found = {file: "/".join(own[-count:]) for file, own in parts.items()}
        if len(set(found.values())) == len(files):
            break
    return found
