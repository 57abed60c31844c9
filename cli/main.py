"""The `yolean` command. It composes only.

numpy, OpenCV, ONNX Runtime and rich are imported by the commands that need them: `--help` answers at once,
and `doctor` answers where one of them is broken.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .._version import __version__
from ..benchmarks.bench import bench
from ..engine.errors import InputError, YoleanError
from ..models import DEMO_MODELS, demo_images, model_file
from ..serving.settings import PREFIX, Settings, serve_options
from .export_commands import export, optimize
from .options import options_of_load, options_of_predict

if TYPE_CHECKING:
    from ..engine.pipeline import Engine
    from ..engine.results.results import Results
    from ..engine.results.writers import JsonLines, Recorder
    from .console import RunReport

_DEMO_FOLDER = "yolean-demo"
_LOADING = ("device", "threads", "precision", "task", "names", "kpt_shape")
_WORDS = ", ".join(DEMO_MODELS.values())


class _Refusal(click.ClickException):
    """An error in one line, with the exit status of a wrong call."""

    exit_code = 2


class _Shell(click.Group):
    """The commands, with our errors as one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except YoleanError as exc:
            from .console import printable

            raise _Refusal(printable(str(exc))) from exc
        except ImportError as exc:
            if (exc.name or "").startswith("yolean"):
                raise  # a bug of ours, not of the installation
            reason = " ".join(str(exc).split())[-300:]
            raise _Refusal(
                f"something that yolean needs does not start: {reason}; run `yolean doctor`"
            ) from exc
        except BrokenPipeError:
            raise  # click ends quietly: `yolean predict ... | head`
        except OSError as exc:
            raise _Refusal(f"cannot write the output: {exc.strerror or exc}") from exc
        except KeyboardInterrupt:
            return ctx.exit(128 + signal.SIGINT)


@click.group(cls=_Shell, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="yolean %(version)s")
def cli() -> None:
    """Ultralytics YOLO models on ONNX Runtime, without torch.

    Start with `yolean predict`: it needs no model and no image.
    """


def main() -> None:
    """Run the command line; the entry point of `yolean`."""
    # FFmpeg's own lines about a broken video, beside ours. Read when OpenCV is imported.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    # `kill` and `docker stop` end a run as Ctrl-C does: files are finished on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if hasattr(
        sys.stdout, "reconfigure"
    ):  # a class name with letters that the console lacks is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    cli()


# ---- commands ---------------------------------------------------------------------------------------------


@cli.command()
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

    A SOURCE is the path of an image or video, a folder, a glob pattern, the number of a camera or the
    address of a stream. Without any, a demo model runs on a demo image.

    A line an image tells its number, file, width x height, time and what was found. The exit status is 0 when
    all is well, 1 when some images could not be read, 2 when nothing could be done, 130 after Ctrl-C.
    """
    for word in sources:
        if re.match(r"(conf|iou|imgsz|model|source|device|classes|save|max_det)=", word):
            name, _, value = word.partition("=")
            raise _Refusal(f"{word}: options are written --{name.replace('_', '-')} {value} here")
    if json_to in ("/dev/stdout", "/dev/fd/1"):  # opened by name, it would lose what was printed before
        json_to = "-"
    demo = not sources
    if demo:
        model, sources, save = *_demo(model), save or _DEMO_FOLDER
    elif model is None:
        raise _Refusal(_wanted_model(sources))
    from ..engine.images.sources import open_source
    from ..engine.results.writers import JsonLines, Recorder
    from .console import RunReport

    with ExitStack() as files:
        # First what can be wrong at once: a model takes long to load on a small machine.
        recorder = files.enter_context(Recorder(save, sources)) if save else None
        records = files.enter_context(JsonLines(json_to)) if json_to else None
        engine = _load(model, options)
        options["classes"] = _class_ids(options["classes"], engine.names)
        source = open_source(list(sources), engine.spec.channels)
        report = RunReport(source.total, to_stderr=json_to == "-", quiet=quiet)
        results = engine.stream(source, **options, on_error=report.failure)
        files.enter_context(report)
        finished = _follow(results, report, recorder, records)
        report.summary()
        if recorder and recorder.count:
            report.note(f"Saved {recorder.last if recorder.count == 1 else recorder.folder}")
        if demo:
            report.note("Next: yolean predict YOUR.jpg --model YOUR.onnx --save annotated")
    if not finished:
        sys.exit(128 + signal.SIGINT)
    if report.failed:
        sys.exit(1 if report.done else 2)


@cli.command()
@click.argument("model")
@options_of_load
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(model: str, as_json: bool, **options: Any) -> None:
    """Tell what a model is and where it runs.

    MODEL is an .onnx file, or a demo model's word as for `predict`.
    """
    from .console import model_facts, print_model

    path = model_file(model)
    facts = model_facts(_load(path, options), path)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        print_model(facts)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Tell what is wrong with this installation, and what to do.

    The exit status is 0 when yolean works here, 1 when something has failed.
    """
    from ..engine.diagnostics import examine
    from .console import print_findings

    if as_json:
        findings = list(examine())
        healthy = all(finding.level != "fail" for finding in findings)
        click.echo(json.dumps({"healthy": healthy, "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        healthy = print_findings(examine())
    sys.exit(0 if healthy else 1)


@cli.command(context_settings={"auto_envvar_prefix": PREFIX, "show_default": True})
@serve_options
def serve(**options: Any) -> None:
    """Serve models over HTTP: the HUB Inference API on your own machine.

    Without any option: the five demo models, on http://127.0.0.1:8000, with a page to try them. Every option
    can be given as an environment variable too, --max-queue as YOLEAN_MAX_QUEUE and so on.
    """
    try:
        from ..serving.supervisor import serve as run
    except ModuleNotFoundError as exc:
        if (exc.name or "yolean").startswith("yolean"):
            raise
        raise _Refusal(f"the server needs {exc.name}: pip install 'yolean[server]'") from exc
    sys.exit(run(Settings(**options)))


cli.add_command(export)
cli.add_command(optimize)
cli.add_command(bench)


# ---- parts of predict -------------------------------------------------------------------------------------


def _demo(model: str | None) -> tuple[str, tuple[str, ...]]:
    """The model and the image for a call without any source."""
    word = model or DEMO_MODELS["detect"]
    if word not in DEMO_MODELS.values() or os.path.exists(word):
        raise _Refusal("a SOURCE is needed: an image, video, folder, glob pattern, camera number or stream")
    stem = "star" if word == DEMO_MODELS["classify"] else "shapes"  # one object, not many
    return word, tuple(str(image) for image in demo_images() if image.stem == stem)


def _wanted_model(sources: tuple[str, ...]) -> str:
    given = next((source for source in sources if source.endswith(".onnx")), None)
    if given is not None:
        return f"--model is needed, and {given} is no image: did you mean --model {given}?"
    return f"--model is needed: an .onnx file that Ultralytics exported, or a demo model ({_WORDS})"


def _load(model: str, options: dict[str, Any]) -> Engine:
    """Load with those of the options that are for loading, which are taken out."""
    from ..engine.loading import load

    return load(model_file(model), **{name: options.pop(name) for name in _LOADING})


def _class_ids(wanted: tuple[str, ...], names: Mapping[int, str]) -> list[int] | None:
    """Ids of classes given by id or name; names may hold commas, and their case does not matter.

    Raises:
        InputError: the model has no such class.
    """
    by_name = {name.casefold(): class_id for class_id, name in names.items()}
    ids = []
    for value in wanted:
        for part in [value] if value.casefold() in by_name else value.split(","):
            key = part.strip().casefold()
            if not key.isdecimal() and key not in by_name:
                close = difflib.get_close_matches(key, by_name, 3) or list(by_name)[:8]
                known = ", ".join(names[by_name[name]] for name in close)
                raise InputError(f"--classes {part.strip()!r}: this model has no such class, but {known}")
            ids.append(by_name[key] if key in by_name else int(key))
    return ids or None


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
