"""What the shell shows of a job: a bar with images a second, errors and the time that remains; a summary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from ..engine.errors import YoleanError
from .console import error_console, printable

if TYPE_CHECKING:
    from ..batch.listing import Entry
    from ..batch.parts import FinishedPart

_MOST_LINES = 20  # errors that get a line of their own: the output has them all


class BatchReport:
    """Follows a job; a context manager around the run.

    Attributes:
        done: images in the output, those of earlier runs included.
        failed: how many of them could not be read.
    """

    def __init__(
        self, finished: Iterable[FinishedPart], entries: Callable[[], Iterator[Entry]], *, quiet: bool = False
    ) -> None:
        """Prepare for a run.

        Args:
            finished: parts of earlier runs.
            entries: lists all of the job, to count them while the first ones are predicted.
            quiet: print errors only.
        """
        before = list(finished)
        self.done = self.before = sum(part.count for part in before)
        self.failed = sum(part.failed for part in before)
        self._lines = 0
        self._entries, self._quiet = entries, quiet
        self._console = error_console()
        self._started = perf_counter()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        self._started = perf_counter()
        if not self._quiet and self._console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(complete_style="cyan"),
                TextColumn("{task.completed:,}{task.fields[of]}  {task.fields[rate]}{task.fields[errors]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, completed=self.done, of="", rate="", errors="")
            self._bar.start()
            threading.Thread(target=self._count, daemon=True, name="yolean-count").start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def row(self, row: dict[str, Any]) -> None:
        """Count a row; one that has an error is printed."""
        self.done += 1
        if row["error"] is not None:
            self.failed += 1
            self._lines += 1
            if self._lines <= _MOST_LINES:
                self._console.print(f"Error: {printable(row['error'])}", style="red", soft_wrap=True)
            if self._lines == _MOST_LINES:
                self._console.print("Further errors are in the output only.", soft_wrap=True)
        self._show()

    def _show(self) -> None:
        if self._bar is not None:
            errors = f", {self.failed:,} errors" if self.failed else ""
            self._bar.update(
                self._task, completed=self.done, rate=f"{self._rate:.1f} images/s", errors=errors
            )

    def part(self, part: FinishedPart) -> None:
        """Count a part that was written elsewhere; its errors are in the output."""
        self.done += part.count
        self.failed += part.failed
        self._show()

    def summary(self, folder: str) -> None:
        """Print how many images are in the output, how many of them in this run, and how fast."""
        if self._quiet:
            return
        new = self.done - self.before
        parts = [f"{self.done:,} image{'s' * (self.done != 1)} in {folder}"]
        if self.before:
            parts.append(f"{self.before:,} of them from before")
        if new:
            parts.append(f"{new:,} in {perf_counter() - self._started:.1f} s ({self._rate:.1f} images/s)")
        if self.failed:
            parts.append(f"{self.failed:,} could not be read: see the column error")
        self._console.print(printable("; ".join(parts)), soft_wrap=True)

    @property
    def _rate(self) -> float:
        return (self.done - self.before) / max(perf_counter() - self._started, 1e-9)

    def _count(self) -> None:
        """Count the entries beside the run; whether they can be listed is said by the run itself."""
        bar, total = self._bar, 0
        try:
            for _ in self._entries():
                total += 1
        except YoleanError:
            return
        if bar is not None:
            bar.update(self._task, total=total, of=f" of {total:,}")
