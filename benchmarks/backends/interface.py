"""What every system under test of `peers` implements, and the process that measures it.

A backend is a module beside this one with a function `load(work) -> Backend` that calls `run(load)` when it
is run. Its process gets the workload as JSON. It may run under an interpreter without this version of yolean:
modules of this folder import the standard library, numpy and OpenCV, and what the backend is made of.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

from ...measurement.channel import open_channel, peak_mb, report, serve_repetitions

_ALTERNATIVES = {"opencv-python-headless": "opencv-python"}


@dataclass(frozen=True)
class Workload:
    """What every backend is asked to do.

    Attributes:
        model: the file.
        task: of the model.
        imgsz: height and width that the model was exported at.
        images: paths.
        shapes: height and width of the tensor that each image becomes: `imgsz`, except for models with free
            axes, where the short side is padded to the stride only.
        threads: intra-op threads of one run.
        precision: of runtimes that offer more than one: `f32` or `bf16`.
        conf, iou, max_det: thresholds, as in `yolean.load(...)(...)`.
        cold: only the first answer of a fresh process is wanted.
        folder: a folder of images to run on as a whole; empty where single images are wanted.
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
    cold: bool = False
    folder: str = ""


@dataclass(frozen=True)
class Backend:
    """A loaded model.

    Attributes:
        predict: from a BGR image (H, W, 3) uint8 and the shape of its tensor to what this backend's users
            get, outlines of masks computed.
        answer: that in the format of the reference files; None for a backend that only runs the network.
        distributions: what one installs for it; their versions and sizes are recorded.
        details: what else is worth recording.
        predict_folder: from the path of a folder to the number of objects in all its images (of classes, the
            number of images), as this backend's users run it; None where it has no such call.
    """

    predict: Callable[[Any, tuple[int, int]], Any]
    answer: Callable[[Any], dict[str, Any]] | None
    distributions: tuple[str, ...]
    details: dict[str, str] = field(default_factory=dict)
    predict_folder: Callable[[str], int] | None = None


def run(load: Callable[[Workload], Backend]) -> None:
    """Answer all images once, then serve repetitions: a run is the next image, or a folder."""
    open_channel()
    begun = perf_counter()
    fields = json.loads(sys.argv[1])
    shapes = [(height, width) for height, width in fields["shapes"]]
    work = Workload(**fields | {"imgsz": tuple(fields["imgsz"]), "shapes": shapes})
    import cv2

    backend = load(work)
    loaded = perf_counter()
    if work.folder:
        assert backend.predict_folder is not None
        serve_repetitions(partial(backend.predict_folder, work.folder), {}, warm_ups=1)
        return
    inputs = list(zip([cv2.imread(path) for path in work.images], work.shapes, strict=True))
    if work.cold:
        backend.predict(*inputs[0])
        report({"peak_mb": peak_mb()})
        return
    about = {
        "load_ms": (loaded - begun) * 1e3,
        "versions": {name: metadata.version(name) for name in backend.distributions},
        "installed_mb": installed_mb(backend.distributions),
        "answers": [backend.answer(backend.predict(*each)) for each in inputs] if backend.answer else None,
        "details": backend.details,
    }
    again = cycle(inputs)

    def predict_next() -> None:
        backend.predict(*next(again))

    serve_repetitions(predict_next, about, warm_ups=len(inputs))


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


def installed_mb(names: Iterable[str]) -> float:
    """Megabytes of the files of these distributions and of what they require, each counted once.

    Requirements of extras are not followed, nor those that are not installed here.
    """
    waiting, seen, total = list(names), set[str](), 0
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # for another system, or an alternative
            waiting += [_ALTERNATIVES[name]] if name in _ALTERNATIVES else []
            continue
        total += sum(_size(Path(str(found.locate_file(file)))) for file in found.files or ())
        wanted = (text for text in found.requires or () if not re.search(r"\bextra\s*==", text))
        waiting += [re.split(r"[\s;<>=!~\[(]", text, maxsplit=1)[0] for text in wanted]
    return total / 1e6


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
