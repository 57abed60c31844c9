"""`yolean track`: follow objects through videos and streams, show, draw and record them."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from .._install_advice import install_command
from ..models import DEMO_MODELS, model_file
from .model_options import class_ids, load_with, options_of_load, options_of_track
from .predict_command import check_words, wanted_model
from .shell import Refusal

if TYPE_CHECKING:
    from ..engine.results.mot import MotFiles
    from ..engine.results.results import Results
    from ..engine.results.trails import Trails
    from ..engine.results.writers import JsonLines, Recorder
    from .console import RunReport

_UNRELATED = "Images are taken as unrelated: ids begin at 1 with each. --persist makes them one video"


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option(
    "--model",
    "-m",
    metavar="FILE",
    help=f"An .onnx file, or a demo model: {', '.join(DEMO_MODELS.values())}.",
)
@click.option("--tracker", default="bytetrack", show_default=True, metavar="NAME|FILE",
              help="bytetrack, botsort (for moving cameras), or a tracker file of Ultralytics.")  # fmt: skip
@click.option("--persist", is_flag=True,
              help="All sources are one video: ids go on from image to image, video to video.")  # fmt: skip
@click.option("--save", metavar="DIR", help="Write videos with ids and trails into this folder.")
@click.option("--format", "formats", multiple=True, type=click.Choice(["video", "mot"]), default=["video"],
              help="What --save writes: annotated videos, or MOTChallenge text; may be repeated."
                   "  [default: video]")  # fmt: skip
@click.option(
    "--json", "json_to", metavar="FILE|-", help="Write one JSON object a line; - is standard output."
)
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
@options_of_track
@options_of_load
def track(
    sources: tuple[str, ...],
    model: str | None,
    tracker: str,
    persist: bool,
    save: str | None,
    formats: tuple[str, ...],
    json_to: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Follow objects through videos and streams.

    A SOURCE is the path of a video, the number of a camera, the address of a stream, or images: with
    --persist they are frames of one video, in the order of their names. Frames of cameras and streams are
    dropped where the model is slower than they come; the line of the next frame tells how many.

    Each frame gets a line: its number, file, width x height, time, what was found and the ids. The exit
    status is that of `yolean predict`.
    """
    check_words(sources)
    if not sources:
        raise Refusal("a SOURCE is needed: a video, camera number, stream, or images")
    if model is None:
        raise Refusal(wanted_model(sources))
    if save is None and "mot" in formats:
        raise Refusal("--format mot needs --save DIR, the folder that the text is written into")
    from ..engine.images.sources import open_source
    from ..engine.results.mot import MotFiles
    from ..engine.results.trails import Trails
    from ..engine.results.writers import JsonLines, Recorder
    from ..engine.track_calls import track_stream
    from .console import RunReport

    json_to = "-" if json_to in ("/dev/stdout", "/dev/fd/1") else json_to
    with ExitStack() as files:
        # First what can be wrong at once: a model takes long to load on a small machine.
        trails = Trails()
        recorder = files.enter_context(Recorder(save, sources, trails.plot)) if save else None
        mot = files.enter_context(MotFiles(save)) if save and "mot" in formats else None
        records = files.enter_context(JsonLines(json_to)) if json_to else None
        engine = load_with(model_file(model), options)
        options["classes"] = class_ids(options["classes"], engine.names)
        source = open_source(list(sources), engine.spec.channels)
        report = RunReport(source.total, to_stderr=json_to == "-", quiet=quiet)
        results = track_stream(engine, source, tracker, persist=persist, on_error=report.failure, **options)
        files.enter_context(report)
        run = _Run(report, records, recorder if "video" in formats else None, mot, trails, persist)
        finished = run.follow(results, is_live=source.is_live)
        report.summary()
        report.note(run.counts())
        if save and report.done:
            report.note(f"Saved {save}")
        if recorder and not recorder.all_h264:
            report.note(f"Browsers do not play these videos; for H.264: {install_command('video')}")
    if not finished:
        sys.exit(128 + signal.SIGINT)
    if report.failed:
        sys.exit(1 if report.done else 2)


@dataclass(eq=False)
class _Run:
    """Where the results of a run go, and what is counted on the way.

    Attributes:
        report: shows a line a frame.
        records: takes a JSON object a frame.
        recorder: writes annotated videos.
        mot: writes MOTChallenge text.
        trails: are drawn by the recorder.
        persist: whether all sources are one video.
    """

    report: RunReport
    records: JsonLines | None
    recorder: Recorder | None
    mot: MotFiles | None
    trails: Trails
    persist: bool
    _objects: Counter[str] = field(default_factory=Counter)
    _newest: int = 0
    _dropped: int = 0

    def follow(self, results: Iterator[Results], *, is_live: bool) -> bool:
        """Report, count and write every result; returns False when Ctrl-C ended it."""
        from ..engine.object_tracker import SequenceStarts
        from ..engine.results.writers import is_moving

        starts, upcoming, noted = SequenceStarts(), 0, self.persist
        try:
            if self.records:
                self.records.clear()
            for result in results:
                moving = is_moving(result)
                if starts.at(result) and not (self.persist and self.report.done):
                    self._begin(result)
                    upcoming = result.frame
                dropped = result.frame - upcoming if is_live else 0
                upcoming = result.frame + 1
                if not moving and not noted:
                    self.report.note(
                        "Images are unrelated: ids begin at 1 with each; --persist makes them a video"
                    )
                    noted = True
                self.report.found(result, result.frame if moving else None, self._text(result, dropped))
                self._write(result)
        except KeyboardInterrupt:
            return False
        return True

    def counts(self) -> str:
        """The number of objects of each class that were followed."""
        from ..engine.results.results import counted

        found = ", ".join(counted(number, name) for name, number in self._objects.most_common())
        dropped = f"; {counted(self._dropped, 'frame')} dropped" if self._dropped else ""
        return f"Tracked {found or 'nothing'}{dropped}"

    def _begin(self, result: Results) -> None:
        self._newest = 0
        self.trails.clear()
        if self.mot:
            self.mot.begin(result)

    def _text(self, result: Results, dropped: int) -> str:
        """What was found, the ids of each class, and how many frames before were dropped."""
        text = result.verbose()
        objects = result.boxes if result.obb is None else result.obb
        if objects is not None and objects.id is not None:
            ids: dict[str, list[int]] = {}
            for number, class_id in sorted(zip(objects.id.tolist(), objects.cls.tolist(), strict=True)):
                ids.setdefault(result.class_name(class_id), []).append(number)
                # Objects are numbered as they come, and confirmed in the frame after: greater ids are new.
                if number > self._newest:
                    self._objects[result.class_name(class_id)] += 1
            self._newest = max(self._newest, int(objects.id.max()))
            text += "; " + ", ".join(f"{name} {' '.join(map(str, numbers))}" for name, numbers in ids.items())
        self._dropped += dropped
        return f"{text}; {dropped} dropped" if dropped else text

    def _write(self, result: Results) -> None:
        if self.records:
            self.records.write(result)
        if self.recorder:
            self.recorder.write(result)
        if self.mot:
            self.mot.write(result, None if self.persist else result.frame + 1)
