"""Parts of a job: consecutive entries whose rows are written together, and which of them are still to do."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from ..engine.errors import InputError
from .listing import Entry


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Consecutive entries of a job.

    Attributes:
        start: position of the first one in the job, from 0.
        entries: at least one.
    """

    start: int
    entries: list[Entry]

    @property
    def digest(self) -> str:
        """Of the addresses: whether a later listing has the same ones at this place."""
        joined = "\n".join(entry.address for entry in self.entries)
        return hashlib.blake2b(joined.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class FinishedPart:
    """What is recorded of a part that is in the output.

    Attributes:
        start: position of its first entry in the job.
        count: number of its entries.
        failed: how many of them could not be read.
        digest: see `Part.digest`.
    """

    start: int
    count: int
    failed: int
    digest: str


def pending_parts(
    entries: Iterable[Entry], finished: Mapping[int, FinishedPart], size: int
) -> Iterator[Part]:
    """The parts that are still to do, in order.

    Args:
        entries: all of the job.
        finished: parts in the output, by start.
        size: most entries of a new part.

    Raises:
        InputError: the entries are not those of the finished parts any more.
    """
    entries, start = iter(entries), 0
    starts = sorted(finished)
    while True:
        done = finished.get(start)
        later = bisect_right(starts, start)
        room = starts[later] - start if done is None and later < len(starts) else size
        part = Part(start, [])
        try:
            for entry in islice(entries, done.count if done else min(size, room)):
                part.entries.append(entry)
        except InputError:
            if part.entries and not done:
                yield part  # what comes before the error is predicted first
            raise
        if done and (len(part.entries) != done.count or part.digest != done.digest):
            raise _changed(f"images {done.start + 1} to {done.start + done.count} were others")
        if not part.entries:
            if later < len(starts):
                raise _changed(f"there are {start} images now, and there were more")
            return
        if not done:
            yield part
        start += len(part.entries)


def _changed(how: str) -> InputError:
    return InputError(
        f"the sources have changed since this job began: {how}; begin a new job in another folder"
    )
