"""A measured process of `yolean bench`: yolean or a bare `session.run`, with one configuration.

    python -m yolean.cli.bench_worker '{"system": "yolean" or "session.run", ...}'

Calls go through the images again and again. Both systems make the same number of calls, in the same order of
shapes, so that they do the same work in each repetition.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from itertools import cycle, zip_longest
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..engine.errors import DeviceError, YoleanError
from ..measurement.channel import WARM_UPS, open_channel, serve_repetitions

if TYPE_CHECKING:
    from ..engine.pipeline import Engine

ImageFile = tuple[str, int, int]
"""Path, height and width of an image as it is decoded."""

Call = tuple[list[bytes], tuple[int, ...]]
"""Encoded images that go through the model at once, and the shape of their tensor."""


def measure_yolean(task: dict[str, Any]) -> None:
    """Encoded images to `Results`, outlines of masks computed.

    A run's note is a list with `[decode, preprocess, inference, postprocess, objects]` for each image, the
    times in milliseconds.
    """
    started = perf_counter()
    from ..engine.loading import load
    from ..engine.runtime.devices import import_runtime

    import_runtime()
    imported = perf_counter()
    model = load(task["model"], task["device"], threads=task["threads"], precision=task["precision"])
    loaded = perf_counter()
    batch, imgsz = task["batch"] or model.spec.batch or 1, _size(task["imgsz"])
    calls = calls_of(model, batch, imgsz, task["images"])
    shapes = [shape for _, shape in calls]

    def call(images: list[bytes]) -> list[list[float]]:
        return [_figures(result) for result in model(images, batch=batch, imgsz=imgsz)]

    called = perf_counter()
    call(calls[0][0])
    about = _facts(model) | {
        "batch": batch,
        "imgsz": model.size(imgsz),
        "shapes": shapes,
        "import_ms": (imported - started) * 1e3,
        "load_ms": (loaded - imported) * 1e3,
        "first_ms": (perf_counter() - called) * 1e3,
        "images_mb": sum(Path(path).stat().st_size for path, _, _ in task["images"]) / 2**20,
    }
    batches = cycle([images for images, _ in calls])
    serve_repetitions(lambda: call(next(batches)), about, max(WARM_UPS, len(set(shapes))))


def measure_session_run(task: dict[str, Any]) -> None:
    """`session.run` of the same file, with ONNX Runtime's defaults except for the number of threads.

    On devices other than the CPU, with the provider options that yolean uses. The tensors hold noise: the
    time of a run does not depend on their content (tried, also with NMS in the graph: within 0.2%), except
    for files with a sparse head, which get the default confidence as their threshold: noise holds no object.
    """
    import numpy as np

    from ..engine.runtime.devices import candidates, import_runtime, provider_options
    from ..postprocess.lean_head import floor_of

    ort = import_runtime()
    device = candidates(task["device"], ort.get_available_providers())[0]
    if device.is_gpu and hasattr(ort, "preload_dlls"):
        ort.preload_dlls(directory="")
    providers = provider_options(device, Path(task["model"]), task["threads"], task["precision"], False)
    options = ort.SessionOptions()
    options.intra_op_num_threads = task["threads"]
    session = ort.InferenceSession(task["model"], options, providers=providers)
    if session.get_providers()[0] != device.provider:
        raise DeviceError(
            f"bare ONNX Runtime did not come up on {device.provider}: there is nothing to compare with"
        )
    (name, *thresholds), noise = [value.name for value in session.get_inputs()], np.random.default_rng(0)
    threshold = {other: np.array(floor_of(0.25), np.float32) for other in thresholds}
    shapes = [tuple(shape) for shape in task["shapes"]]
    tensors = {}
    for shape in set(shapes):
        values = noise.random(shape, np.float32)
        tensors[shape] = (values * 255 if task["dtype"] == "uint8" else values).astype(task["dtype"])
    again = cycle(shapes)

    def run() -> None:
        session.run(None, {name: tensors[next(again)], **threshold})

    serve_repetitions(run, {}, task["warm_ups"])


def _figures(result: Any) -> list[float]:
    """Milliseconds of each stage, computing the outlines of masks included, and the number of objects."""
    started = perf_counter()
    if result.masks is not None:
        _ = result.masks.xy
    outlines = (perf_counter() - started) * 1e3
    speed = result.speed
    after = speed["postprocess"] + outlines
    return [speed["decode"], speed["preprocess"], speed["inference"], after, len(result)]


def calls_of(
    model: Engine, batch: int, imgsz: int | tuple[int, int] | None, images: list[ImageFile]
) -> list[Call]:
    """Every image at least once, in full batches whose images share a tensor, the shapes mixed.

    The first calls have all shapes among them.
    """
    from ..engine.images.preprocessing import place
    from ..postprocess.types import Size

    size = model.size(imgsz)
    sizes: dict[tuple[int, int], list[bytes]] = {}
    for path, height, width in images:
        shape = place(Size(height, width), size, model.spec).tensor
        sizes.setdefault(shape, []).append(Path(path).read_bytes())
    queues = [
        [(chunk, (model.spec.batch or batch, model.spec.channels, *shape)) for chunk in _full(members, batch)]
        for shape, members in sizes.items()
    ]
    return [call for column in zip_longest(*queues) for call in column if call is not None]


def _full(members: list[bytes], batch: int) -> Iterator[list[bytes]]:
    """The members in chunks of `batch`, the last filled up from the start."""
    for start in range(0, len(members), batch):
        yield [members[place % len(members)] for place in range(start, start + batch)]


def _facts(model: Engine) -> dict[str, Any]:
    from ..engine.model.lean_metadata import read_entry

    spec, session = model.spec, model.session
    return {
        "task": spec.task,
        "family": spec.family,
        "layout": spec.layout.kind,
        "weights": read_entry(session.metadata).get("precision"),
        "dtype": spec.dtype,
        "dynamic": spec.dynamic,
        "device": str(session.device),
        "provider": session.provider,
    }


def _size(imgsz: Any) -> int | tuple[int, int] | None:
    return tuple(imgsz) if isinstance(imgsz, list) else imgsz


def main(task: dict[str, Any]) -> None:
    """Measure until standard input ends; what cannot be measured is one line on standard error."""
    open_channel()
    systems: dict[str, Callable[[dict[str, Any]], None]] = {
        "yolean": measure_yolean,
        "session.run": measure_session_run,
    }
    try:
        systems[task["system"]](task)
    except YoleanError as exc:
        sys.exit(" ".join(str(exc).split()))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
