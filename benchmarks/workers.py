"""Worker processes that run one side of a comparison each, a group of runs at a time.

Processes of their own, because thread pools of one process disturb one another. Turns in small groups, so
that whatever else the machine does falls on all sides; a ratio is taken group by group.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from time import sleep
from typing import Any, Self

PAUSE = 0.05
"""Seconds before a group, for the threads of the side before to stop spinning."""


class WorkerError(Exception):
    """A worker did not start, or ended; the message is its last word."""


class Worker:
    """A process that speaks as `peers/turn.py` says; a context manager.

    Attributes:
        about: what it told of itself when it was ready.
    """

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        """Start it and wait until it is ready.

        Raises:
            WorkerError: it ended before it was ready.
        """
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words, text=True, env=env
        )
        try:
            self.about: dict[str, Any] = self._answer()
        except KeyboardInterrupt:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def group(self, runs: int) -> dict[str, Any]:
        """Let it run so often; gives `ms`, `notes` and `peak_mb`.

        Raises:
            WorkerError: it ended.
        """
        assert self._process.stdin is not None
        sleep(PAUSE)
        with suppress(BrokenPipeError):  # its last word says why
            self._process.stdin.write(f"{runs}\n")
            self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._words.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._words.seek(0)
            words = self._words.read().decode(errors="replace").strip().splitlines()
            self.close()
            raise WorkerError(words[-1] if words else f"ended with status {status}, without a word")
        answer: dict[str, Any] = json.loads(line)
        return answer


def yolean_worker(module: str, *arguments: str) -> list[str]:
    """The command for a worker that is a module of yolean, under this interpreter."""
    return [sys.executable, "-m", f"yolean.benchmarks.{module}", *arguments]
