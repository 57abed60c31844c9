"""What the sides of `peers` have in common: images in, answers out, a clock around both. No yolean needed.

A side is a module beside this one with a function `start(job) -> Side`. Its process gets the job as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from itertools import cycle
from time import perf_counter
from typing import Any

from .installed import installed_mb
from .turn import open_channel, peak_mb, take_turns, tell


@dataclass(frozen=True)
class Job:
    """What every side is asked to do.

    Attributes:
        model: the file.
        task: `detect`, `segment`, `pose`, `obb` or `classify`.
        imgsz: height and width that the model was exported at.
        images: paths.
        shapes: height and width of the tensor that each image becomes: `imgsz`, but for models with free
            axes, where the short side is padded to the stride only.
        threads: of one run.
        precision: of runtimes that offer more than one: `f32` or `bf16`.
        once: only the first answer of a fresh process is wanted.
    """

    model: str
    task: str
    imgsz: tuple[int, int]
    images: list[str]
    shapes: list[tuple[int, int]]
    threads: int
    precision: str = "f32"
    conf: float = 0.25
    iou: float = 0.45
    max_det: int = 300
    once: bool = False


@dataclass(frozen=True)
class Side:
    """A loaded model.

    Attributes:
        predict: from a BGR image (H, W, 3) and the shape of its tensor to what this side's users get,
            outlines of masks computed.
        answer: that as the reference files have it; None for a side that only runs the network.
        distributions: what one installs for it; their versions and the space they take are recorded.
        about: what else is worth recording.
    """

    predict: Callable[[Any, tuple[int, int]], Any]
    answer: Callable[[Any], dict[str, Any]] | None
    distributions: tuple[str, ...]
    about: dict[str, Any] = field(default_factory=dict)


def main(start: Callable[[Job], Side]) -> None:
    """Answer all images once, then take turns: a run is one image, the next one each time."""
    open_channel()
    begun = perf_counter()
    fields = json.loads(sys.argv[1])
    shapes = [(height, width) for height, width in fields["shapes"]]
    job = Job(**fields | {"imgsz": tuple(fields["imgsz"]), "shapes": shapes})
    import cv2

    side = start(job)
    loaded = perf_counter()
    images = [cv2.imread(path) for path in job.images]
    tasks = list(zip(images, job.shapes, strict=True))
    if job.once:
        side.predict(*tasks[0])
        tell({"inside_s": perf_counter() - begun, "peak_mb": peak_mb()})
        return
    answers = [side.answer(side.predict(*task)) for task in tasks] if side.answer else None
    about = {
        "load_ms": (loaded - begun) * 1e3,
        "versions": {name: metadata.version(name) for name in side.distributions},
        "installed_mb": installed_mb(side.distributions),
        "answers": answers,
    }  # fmt: skip
    turning = cycle(tasks)

    def run() -> None:
        side.predict(*next(turning))

    take_turns(run, about | side.about, warm_ups=len(images))


def installed_versions(*names: str) -> tuple[str, ...]:
    """Those of these distributions that are installed."""
    found = []
    for name in names:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        found.append(name)
    return tuple(found)
