"""Runs the parts of a job in this process, on all cores."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from functools import partial
from typing import Any

from ..engine.errors import InputError
from ..engine.images.frames import Frame, SourceItem, read_frames
from ..engine.images.sources import Source
from ..engine.pipeline import Engine
from ..engine.results.results import Results
from .job import Job
from .listing import Entry
from .parts import FinishedPart, Part
from .rows import Row, failed_row, found_row


def run_here(
    engine: Engine,
    parts: Iterable[Part],
    options: Mapping[str, Any],
    job: Job,
    on_row: Callable[[Row], None] = lambda _: None,
) -> list[FinishedPart]:
    """Predict the entries of all parts, and write each part when its last row is there.

    However it ends, by Ctrl-C or by an error, what is there of an incomplete part is written first, as a
    shorter one.

    Args:
        engine: the model.
        parts: taken as they are needed.
        options: arguments of `Engine.stream`.
        job: what writes them.
        on_row: called with each row, in order.

    Returns:
        what is recorded of the parts.

    Raises:
        InputError: a source cannot be listed, or the output cannot be written.
        ModelError: the model fails.
    """
    source = _PartSource(parts, engine.spec.channels)
    assembled = _Assembled(source, job, on_row)
    try:
        with closing(engine.stream(source, **options, on_error=_recorded)) as results:
            for result in results:
                assembled.take(result)
        assembled.take(None)
    except BaseException:
        assembled.cut_short()
        raise
    return assembled.finished


class _PartSource(Source):
    """The images of parts, read in the engine's threads.

    Attributes:
        begun: parts whose entries have been handed out, and that are not yet written.
        errors: why an entry cannot be read, by its number among all that were handed out.
    """

    def __init__(self, parts: Iterable[Part], channels: int) -> None:
        super().__init__((), channels)
        self.begun: deque[Part] = deque()
        self.errors: dict[int, str] = {}
        self._parts, self._of_images = parts, channels

    @property
    def has_many(self) -> bool:
        return True

    @property
    def is_open(self) -> bool:
        return False

    def readers(self) -> Generator[Callable[[], Frame], None, None]:
        number = 0
        for part in self._parts:
            self.begun.append(part)
            for entry in part.entries:
                yield partial(self._read, number, entry)
                number += 1

    def _read(self, number: int, entry: Entry) -> Frame:
        try:
            return next(read_frames(SourceItem("data", entry, entry.address), entry.address, self._of_images))
        except InputError as error:
            self.errors[number] = str(error)
            raise


class _Assembled:
    """Rows in the order of the entries, and parts when all their rows are there.

    Results come in order, without those of entries that cannot be read: the errors of these are there before
    the result of any later entry is.
    """

    def __init__(self, source: _PartSource, job: Job, on_row: Callable[[Row], None]) -> None:
        self._source, self._job, self._on_row = source, job, on_row
        self.finished: list[FinishedPart] = []
        self._rows: list[Row] = []
        self._number = 0  # of the next entry

    def take(self, result: Results | None) -> None:
        """Add the next result, after the errors before it; None at the end."""
        while self._number in self._source.errors:
            error = self._source.errors.pop(self._number)
            self._add(failed_row(self._entry.address, error))
        if result is not None:
            self._add(found_row(self._entry.address, result, self._job.settings.format))

    def cut_short(self) -> None:
        """Write what is there of the current part."""
        if self._rows:
            self._commit()

    @property
    def _entry(self) -> Entry:
        return self._source.begun[0].entries[len(self._rows)]

    def _add(self, row: Row) -> None:
        self._rows.append(row)
        self._number += 1
        self._on_row(row)
        if len(self._rows) == len(self._source.begun[0].entries):
            self._commit()

    def _commit(self) -> None:
        part, rows = self._source.begun.popleft(), self._rows
        self._rows = []  # first: what is interrupted from here on is done again, and not written twice
        self.finished.append(self._job.commit(Part(part.start, part.entries[: len(rows)]), rows))


def _recorded(_error: InputError) -> None:
    """The source has the error already, by the number of its entry."""
