"""`yolean predict`: predict images and videos, show, draw and record what is found."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from .._install_advice import install_command
from ..models import DEMO_MODELS, demo_images, model_file
from .model_options import class_ids, load_with, options_of_load, options_of_predict
from .shell import Refusal

if TYPE_CHECKING:
    from ..engine.results.results import Results
    from ..engine.results.writers import JsonLines, Recorder
    from .console import RunReport

_DEMO_FOLDER = "yolean-demo"
_WORDS = ", ".join(DEMO_MODELS.values())


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--model", "-m", metavar="FILE", help=f"An .onnx file, or a demo model: {_WORDS}.")
@click.option("--save", metavar="DIR", help="Write annotated images and videos into this folder.")
@click.option(
    "--json", "json_to", metavar="FILE|-", help="Write one JSON object a line; - is standard output."
)
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
@options_of_predict
@options_of_load
def predict(
    sources: tuple[str, ...],
    model: str | None,
    save: str | None,
    json_to: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Predict images and videos.

    A SOURCE is the path of an image or video, a folder, a glob pattern, a ZIP or tar archive of images, the
    number of a camera or the address of a stream. Without any, a demo model runs on a demo image.

    Each image gets a line: its number, file, width x height, time and what was found. The exit status is 0
    when all is well, 1 when some images could not be read, 2 when nothing could be done, 130 after Ctrl-C.
    """
    check_words(sources)
    if json_to in ("/dev/stdout", "/dev/fd/1"):  # opened by name, it would lose what was printed before
        json_to = "-"
    demo = not sources
    if demo:
        model, sources, save = *_demo(model), save or _DEMO_FOLDER
    elif model is None:
        raise Refusal(wanted_model(sources))
    from ..engine.images.sources import open_source
    from ..engine.results.writers import JsonLines, Recorder
    from .console import RunReport

    with ExitStack() as files:
        # First what can be wrong at once: a model takes long to load on a small machine.
        recorder = files.enter_context(Recorder(save, sources)) if save else None
        records = files.enter_context(JsonLines(json_to)) if json_to else None
        engine = load_with(model_file(model), options)
        options["classes"] = class_ids(options["classes"], engine.names)
        source = open_source(list(sources), engine.spec.channels)
        report = RunReport(source.total, to_stderr=json_to == "-", quiet=quiet)
        results = engine.stream(source, **options, on_error=report.failure)
        files.enter_context(report)
        finished = _follow(results, report, recorder, records)
        report.summary()
        if recorder and recorder.count:
            report.note(f"Saved {recorder.last if recorder.count == 1 else recorder.folder}")
            if not recorder.all_h264:
                report.note(f"Browsers do not play these videos; for H.264: {install_command('video')}")
        if demo:
            report.note("Next: yolean predict YOUR.jpg --model YOUR.onnx --save annotated")
    if not finished:
        sys.exit(128 + signal.SIGINT)
    if report.failed:
        sys.exit(1 if report.done else 2)


def _demo(model: str | None) -> tuple[str, tuple[str, ...]]:
    """The model and the image for a call without any source."""
    word = model or DEMO_MODELS["detect"]
    if word not in DEMO_MODELS.values() or os.path.exists(word):
        raise Refusal("a SOURCE is needed: an image, video, folder, glob pattern, camera number or stream")
    stem = "star" if word == DEMO_MODELS["classify"] else "shapes"  # one object, not many
    return word, tuple(str(image) for image in demo_images() if image.stem == stem)


def check_words(sources: tuple[str, ...]) -> None:
    """Refuse options in the form that Ultralytics' command takes."""
    for word in sources:
        if re.match(r"(conf|iou|imgsz|model|source|tracker|device|classes|save|max_det)=", word):
            name, _, value = word.partition("=")
            raise Refusal(f"{word}: options are written --{name.replace('_', '-')} {value} here")


def wanted_model(sources: tuple[str, ...]) -> str:
    """The error for a call without a model."""
    given = next((source for source in sources if source.endswith(".onnx")), None)
    if given is not None:
        return f"--model is needed, and {given} is no image: did you mean --model {given}?"
    return f"--model is needed: an .onnx file that Ultralytics exported, or a demo model ({_WORDS})"


def _follow(
    results: Iterator[Results], report: RunReport, recorder: Recorder | None, records: JsonLines | None
) -> bool:
    """Report and write every result; returns False when Ctrl-C ended it."""
    from ..engine.results.writers import is_moving

    try:
        if records:
            records.clear()
        for result in results:
            report.found(result, result.frame if is_moving(result) else None)
            if records:
                records.write(result)
            if recorder:
                recorder.write(result)
    except KeyboardInterrupt:
        return False
    return True
