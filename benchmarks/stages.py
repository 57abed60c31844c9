"""What `yolean bench` measures: yolean and bare ONNX Runtime in turn, and what becomes of their times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import Any

from .measured import Image
from .record import percentile, ratios
from .workers import PAUSE, Worker, yolean_worker

STAGES = ("decode", "preprocess", "inference", "postprocess")
MARKS = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

LEAST_GROUPS = 5
"""Groups of either side, however short the time."""

_GROUPS = 8  # aimed at in a short time; in a longer one there are more
_LONGEST = 0.25  # seconds of a group: a machine changes its pace


@dataclass(frozen=True)
class Case:
    """A configuration.

    Attributes:
        model: the .onnx file.
        label: what it is called beside the others.
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


@dataclass
class Turns:
    """What both sides told, group by group."""

    own: list[dict[str, Any]] = field(default_factory=list)
    bare: list[dict[str, Any]] = field(default_factory=list)


Advance = Callable[[float], None]
"""Is told which share (0 to 1) of a configuration is done, between groups."""


def measure(case: Case, images: list[Image], seconds: float, advance: Advance, keep: list[Any]) -> None:
    """Measure a configuration and add its row to `keep`; also when it is interrupted after enough groups.

    Raises:
        WorkerError: the configuration is refused; the message is the reason.
    """
    task = asdict(case)
    with Worker(_command(task | {"side": "yolean", "images": images})) as own:
        about = own.about
        same = {name: about[name] for name in ("device", "dtype", "shapes", "warm_ups")}
        with Worker(_command(task | {"side": "bare"} | same)) as bare:
            turns = Turns()
            try:
                _take(turns, own, bare, seconds, advance)
            except (KeyboardInterrupt, SystemExit):
                if len(turns.bare) >= LEAST_GROUPS:
                    keep.append(row(case, about, turns))
                raise
    keep.append(row(case, about, turns))


def _command(task: dict[str, Any]) -> list[str]:
    return yolean_worker("measured", json.dumps(task))


def _take(turns: Turns, own: Worker, bare: Worker, seconds: float, advance: Advance) -> None:
    runs = group_size(own.about, seconds)
    started = perf_counter()
    while (passed := perf_counter() - started) < seconds or len(turns.bare) < LEAST_GROUPS:
        advance(min(passed / seconds, len(turns.bare) / LEAST_GROUPS, 1.0))
        turns.own.append(own.group(runs))
        turns.bare.append(bare.group(runs))


def group_size(about: dict[str, Any], seconds: float) -> int:
    """Calls in a group, at least one: whole rounds of the images, if a round fits."""
    a_call = about["warm_up_ms"] / about["warm_ups"] / 1e3
    runs = max(1, int(min(seconds / _GROUPS / 2 - PAUSE, _LONGEST) / a_call))
    rounds = len(about["shapes"])
    return runs // rounds * rounds or runs


def row(case: Case, about: dict[str, Any], turns: Turns) -> dict[str, Any]:
    """The figures of a configuration; times are milliseconds an image unless they say otherwise."""
    own = turns.own[: len(turns.bare)]  # an interruption falls between the two
    calls = [(ms, images) for group in own for ms, images in zip(group["ms"], group["notes"], strict=True)]
    images = [image for _, batch in calls for image in batch]
    a_call = len(calls[0][1])
    bare = [ms for group in turns.bare for ms in group["ms"]]
    peak = own[-1]["peak_mb"]
    return {
        "model": {"file": case.label} | _file(case.model),
        **{name: about[name] for name in ("task", "family", "layout", "weights", "dtype", "dynamic")},
        "threads": case.threads,
        "batch": about["batch"],
        "imgsz": about["imgsz"],
        "tensors": [list(shape) for shape in sorted({tuple(shape) for shape in about["shapes"]})],
        "device": about["device"],
        "provider": about["provider"],
        "precision": case.precision,
        "warm_ups": about["warm_ups"],
        "groups": len(turns.bare),
        "calls": len(calls),
        "images": len(images),
        "objects_an_image": fmean(image[-1] for image in images),
        "stages": {name: _marks([image[i] for image in images]) for i, name in enumerate(STAGES)},
        "total": _marks([ms / a_call for ms, _ in calls]),
        "session_run": _marks([ms / a_call for ms in bare]),
        "ratio": ratios(
            [median(_decoded(group)) for group in own], [median(group["ms"]) for group in turns.bare]
        ),
        "images_a_second": len(images) / sum(ms for ms, _ in calls) * 1e3,
        "import_ms": about["import_ms"],
        "load_ms": about["load_ms"],
        "first_call_ms": about["first_ms"],
        "peak_mb": peak if peak is None else peak - about["images_mb"],
    }


def _decoded(group: dict[str, Any]) -> list[float]:
    """Time of each call from decoded images on."""
    return [
        ms - sum(image[0] for image in images) for ms, images in zip(group["ms"], group["notes"], strict=True)
    ]


def _marks(values: list[float]) -> dict[str, float]:
    return {name: percentile(values, share) for name, share in MARKS.items()}


@cache
def _file(path: str) -> dict[str, Any]:
    data = Path(path).read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
