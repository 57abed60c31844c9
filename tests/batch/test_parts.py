"""Which parts of a job are still to do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yolean.batch.listing import Entry
from yolean.batch.parts import FinishedPart, Part, pending_parts
from yolean.engine.errors import InputError


def entries(count: int, prefix: str = "image") -> list[Entry]:
    return [Entry(f"{prefix}{n}.jpg", partial(bytes, b"")) for n in range(count)]


def finished(part: Part) -> FinishedPart:
    return FinishedPart(part.start, len(part.entries), 0, part.digest)


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 9), st.data())
def test_every_entry_is_either_finished_or_pending_once(
    count: int, before: int, now: int, data: st.DataObject
) -> None:
    every = entries(count)
    parts = list(pending_parts(every, {}, before))
    assert [e.address for part in parts for e in part.entries] == [e.address for e in every]
    done = [part for part in parts if data.draw(st.booleans())]
    if done and len(done[-1].entries) > 1 and data.draw(st.booleans()):  # cut short by Ctrl-C
        done[-1] = Part(done[-1].start, done[-1].entries[:-1])
    rest = list(pending_parts(every, {part.start: finished(part) for part in done}, now))
    assert all(len(part.entries) <= now for part in rest)
    addresses = [(part.start + n, e.address) for part in done + rest for n, e in enumerate(part.entries)]
    assert sorted(addresses) == [(n, e.address) for n, e in enumerate(every)]


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (entries(7, "other"), "images 1 to 3 were others"),
        (entries(2), "images 1 to 3 were others"),
        (entries(5), "images 4 to 6 were others"),
        (entries(3), "images 4 to 6 were others"),
    ],
)
def test_sources_that_have_changed_are_refused(later: list[Entry], message: str) -> None:
    done = {part.start: finished(part) for part in list(pending_parts(entries(7), {}, 3))[:2]}
    with pytest.raises(InputError, match=message):
        list(pending_parts(later, done, 3))


def test_sources_that_end_before_a_finished_part_are_refused() -> None:
    _, second, _ = pending_parts(entries(7), {}, 3)
    with pytest.raises(InputError, match="there are 2 images now, and there were more"):
        list(pending_parts(entries(2), {second.start: finished(second)}, 3))


def test_entries_before_an_error_are_a_part() -> None:
    def listing() -> Iterator[Entry]:
        yield from entries(5)
        raise InputError("shard.tar: expected a tar archive")

    parts = pending_parts(listing(), {}, 3)
    assert [len(next(parts).entries) for _ in range(2)] == [3, 2]
    with pytest.raises(InputError, match="expected a tar"):
        next(parts)


def test_sources_that_have_grown_at_their_end_are_continued() -> None:
    done = {part.start: finished(part) for part in pending_parts(entries(7), {}, 4)}
    (part,) = pending_parts(entries(9), done, 4)
    assert (part.start, len(part.entries)) == (7, 2)
