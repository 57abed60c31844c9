"""The callback by which long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[str, int, int], None]
"""Called with the name of the current stage, the number of its steps that are done, and their total."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """An `OnProgress` that does nothing."""
