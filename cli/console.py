"""What the shell shows: the lines, bar and summary of a run, a model, the findings of the doctor."""

from __future__ import annotations

import os
import platform
import stat
import sys
import textwrap
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TimeRemainingColumn
from rich.text import Text

from .._version import __version__

if TYPE_CHECKING:
    from ..engine.diagnostics import Finding
    from ..engine.pipeline import Engine
    from ..engine.results.results import Results

_LEVELS = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_MEDIAN_OF = 10_000  # images: a stream that runs for weeks must not collect timings for weeks


def printable(text: str) -> str:
    """`text` with what a terminal would obey, or cannot show, spelled out.

    File names and the class names in a model file are not ours: escape sequences in them could rewrite the
    screen, and bytes that are no UTF-8 would end the run with an error.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class RunReport:
    """A line an image, a bar below them on a terminal, and the summary; a context manager around the run.

    Attributes:
        done: images predicted so far.
        failed: images that could not be read so far.
    """

    def __init__(self, total: int | None, *, to_stderr: bool = False, quiet: bool = False) -> None:
        """Prepare for `total` images, None if unknown.

        Args:
            to_stderr: print the lines there, because the standard output carries data.
            quiet: print errors only.
        """
        self.done = self.failed = 0
        self._total, self._quiet = total, quiet
        self._errors = _console(stderr=True)
        self._console = self._errors if to_stderr else _console()
        self._width = 16  # of the file's column; grows
        self._times: dict[str, deque[float]] = {}
        self._started = perf_counter()
        self._bar: Progress | None = None
        if total != 1 and not quiet and _has_room_for_a_bar(to_stderr):
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(complete_style="cyan"),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._errors,
                transient=True,
                redirect_stdout=False,  # it would send what is printed there to the standard error
            )
            self._task = self._bar.add_task("", total=total)
            if self._console.is_terminal:
                self._console = self._errors  # the one that knows of the bar draws the lines above it

    def __enter__(self) -> Self:
        self._exit = ExitStack()
        if self._bar is not None:
            self._exit.enter_context(self._bar)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exit.close()

    def found(self, result: Results, frame: int | None = None, text: str | None = None) -> None:
        """Print the line of a result.

        Args:
            result: of an image or a frame.
            frame: its number in a video.
            text: what was found; default: `result.verbose()`.
        """
        self.done += 1
        for stage, ms in result.speed.items():
            self._times.setdefault(stage, deque(maxlen=_MEDIAN_OF)).append(ms)
        if self._quiet:
            return
        self._advance()
        digits = len(str(self._total or 0))
        known = self._total is not None and self.done <= self._total  # videos miscount themselves
        name = self._short(printable(result.path))
        if frame is not None:
            name += f" #{frame:<{digits}}"
        self._width = max(self._width, cell_len(name))
        height, width = result.orig_shape
        line = Text(f"{self.done:>{digits}}{f'/{self._total}' if known else ''}  ", "dim")
        line.append(name + " " * (self._width - cell_len(name)), "not dim")
        line.append(f"  {f'{width}x{height}':>9}  {sum(result.speed.values()):7.1f} ms  ")
        found = self._wrapped(printable(result.verbose() if text is None else text), cell_len(line.plain))
        self._console.print(line.append(found, "not dim bold" if len(result) else ""), soft_wrap=True)

    def failure(self, error: Exception) -> None:
        """Print the error of an image that cannot be read; may be called from another thread."""
        self.failed += 1
        self._advance()
        self._note(self._errors, Text(f"Error: {printable(str(error))}", "red"))

    def note(self, text: str) -> None:
        """Print a line of its own."""
        if not self._quiet:
            self._note(self._console, Text(printable(text)))

    def summary(self) -> None:
        """After more than one image: how many, how fast, and the median of each stage."""
        if self.done + self.failed < 2:
            return
        seconds = perf_counter() - self._started
        parts = [f"{self.done} image{'s' * (self.done != 1)} in {seconds:.1f} s"]
        if self.failed:
            parts.append(f"{self.failed} could not be read")
        if self.done:
            stages = ", ".join(f"{stage} {median(times):.1f}" for stage, times in self._times.items())
            parts.append(f"median ms: {stages}")
        self.note("; ".join(parts))

    def _advance(self) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)

    @staticmethod
    def _note(console: Console, text: Text) -> None:
        console.print(text, soft_wrap=not console.is_terminal)  # in a file, one line stays one line

    def _wrapped(self, text: str, indent: int) -> str:
        """`text` broken at the terminal's edge, below where it begins."""
        room = self._console.width - indent
        if not self._console.is_terminal or room < 20:
            return text
        return f"\n{'':{indent}}".join(textwrap.wrap(text, room))

    def _short(self, path: str) -> str:
        """The end of a path that would push the line over the terminal's edge."""
        room = max(20, self._console.width - 60)
        if not self._console.is_terminal or len(path) <= room:
            return path
        end = path[4 - room :]
        return f".../{end[end.find(os.sep) + 1 :]}"


def model_facts(engine: Engine, path: str) -> dict[str, Any]:
    """What `yolean info` prints of a loaded model, as plain values."""
    import cv2
    import numpy as np
    import onnxruntime

    from ..engine.model.lean_metadata import read_entry  # not above: `doctor` answers where numpy is missing

    spec, session = engine.spec, engine.session
    return {
        "path": path,
        "bytes": os.path.getsize(path),
        "task": spec.task,
        "family": spec.family,
        "names": list(spec.names.values()),
        "imgsz": list(spec.imgsz),
        "dynamic": spec.dynamic,
        "batch": spec.batch,
        "channels": spec.channels,
        "stride": spec.stride,
        "dtype": spec.dtype,
        "layout": spec.layout.kind,
        "weights": read_entry(session.metadata).get("precision"),
        "outputs": {output.name: list(output.shape) for output in session.outputs},
        "kpt_shape": spec.layout.kpt_shape,
        "device": str(session.device),
        "provider": session.provider,
        "threads": session.threads,
        "versions": {
            "yolean": __version__,
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "python": platform.python_version(),
        },
    }


def print_model(facts: Mapping[str, Any]) -> None:
    """Print `model_facts` for people."""
    names, (height, width) = facts["names"], facts["imgsz"]
    size = f"{height}x{width} (height x width), "
    size += f"free in steps of {facts['stride']}" if facts["dynamic"] else "fixed"
    batch = "free" if facts["batch"] is None else f"fixed at {facts['batch']}"
    outputs = ", ".join(f"{name} {tuple(shape)}" for name, shape in facts["outputs"].items())
    rows = {
        "task": facts["task"],
        "family": facts["family"] or "unknown",
        "classes": "" if facts["task"] == "depth" else f"{len(names)}: {_first_few(names)}",
        "keypoints": " x ".join(map(str, facts["kpt_shape"] or ())),
        "size": size,
        "batch": batch,
        "weights": facts["weights"],
        "input": f"{facts['dtype']}, {facts['channels']} channel{'s' * (facts['channels'] != 1)}",
        "output": f"{facts['layout']}: {outputs}".replace("'", ""),
        "runs on": f"{facts['provider']} ({facts['device']}), {facts['threads']} threads",
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    }
    console = _console()
    title = Text(printable(facts["path"]), "bold")
    console.print(title.append(f"  {_megabytes(facts['bytes'])}", "not bold dim"), soft_wrap=True)
    for name, value in rows.items():
        if value:
            line = Text(f"  {name:<9}  ", "dim")
            console.print(line.append(printable(value), "not dim"), soft_wrap=True)


def print_findings(findings: Iterable[Finding]) -> bool:
    """Print what the doctor finds as it finds it; returns whether nothing has failed."""
    console = _console()
    count = dict.fromkeys(_LEVELS, 0)
    for finding in findings:
        count[finding.level] += 1
        line = Text.assemble((f"{finding.level:<4}", _LEVELS[finding.level]), f"  {finding.about:<15} ")
        console.print(line.append(printable(finding.what)), soft_wrap=True)
        if finding.advice:
            console.print(Text(f"{'':6}{'do:':<16}{printable(finding.advice)}", "bold"), soft_wrap=True)
    healthy = not count["fail"]
    worse = [f"{n} {what}" for n, what in ((count["fail"], "failed"), (count["warn"], "to look at")) if n]
    console.print(Text(", ".join(worse) or "All is well.", "green" if healthy else "bold red"))
    return healthy


def _megabytes(size: int) -> str:
    """A size in bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _first_few(names: Sequence[Any], most: int = 8) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(map(str, names[:most]))
    return f"{shown}, and {len(names) - most} more" if len(names) > most else shown


def error_console() -> Console:
    """The console of the standard error: bars, errors and what else is no data."""
    return _console(stderr=True)


def _console(stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def _has_room_for_a_bar(data_on_stdout: bool) -> bool:
    """Whether a bar garbles nothing: stderr is a terminal, and what goes to stdout does not get to the same
    terminal behind its back, as data or through a pipe."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return False
    if sys.stdout.isatty():
        return not data_on_stdout
    try:
        return not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode)
    except (OSError, ValueError):
        return False
