"""The newest item of a source that does not wait."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from yolean.engine.images.live import newest
from yolean.engine.images.sources import open_source


def counting(went_on: threading.Event, until: int = 6) -> Generator[int, None, None]:
    """One number, then the others as soon as the event is set."""
    yield 0
    went_on.wait()
    yield from range(1, until)


def test_what_comes_meanwhile_is_dropped() -> None:
    went_on = threading.Event()
    items = newest(counting(went_on))
    assert next(items) == 0
    went_on.set()
    for thread in threading.enumerate():
        if thread.name == "yolean-live":
            thread.join()  # all have come, and nobody asked
    assert list(items) == [5]


def test_errors_follow_the_last_item() -> None:
    def failing() -> Generator[int, None, None]:
        yield 1
        raise OSError("the cable is out")

    items = newest(failing())
    assert next(items) == 1
    with pytest.raises(OSError, match="cable"):
        next(items)


def test_closing_ends_the_thread_and_the_source() -> None:
    closed = []

    def endless() -> Generator[int, None, None]:
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    items = newest(endless())
    next(items)
    items.close()
    assert closed == [True]
    assert "yolean-live" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX")
def test_whoever_writes_into_a_pipe_waits(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    content = (folder / "clip.avi").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True)
    writer.start()
    frames = list(open_source(pipe))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
