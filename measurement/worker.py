"""A process that measures one system, one repetition at a time.

Processes of their own, because thread pools within one process disturb one another.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from time import sleep
from typing import Any, Self

PAUSE = 0.05
"""Seconds before a repetition, in which the threads of the system before stop spinning."""


class WorkerError(Exception):
    """A worker did not start, or ended; the message is the last line that it wrote to standard error."""


@dataclass(frozen=True)
class Repetition:
    """Consecutive runs of one system.

    Attributes:
        ms: milliseconds of each run.
        notes: what each run returned, of those that returned something.
        peak_mb: largest resident memory of the process so far, MiB; None if unknown.
    """

    ms: list[float]
    notes: list[Any]
    peak_mb: float | None


class Worker:
    """A process that speaks the protocol of `measurement/channel.py`; a context manager.

    Attributes:
        about: what it reported of itself when it was ready.
    """

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        """Start it and wait until it is ready.

        Raises:
            WorkerError: it ended before it was ready.
        """
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=env
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

    def repetition(self, runs: int) -> Repetition:
        """Let it run so often.

        Raises:
            WorkerError: it ended.
        """
        assert self._process.stdin is not None
        sleep(PAUSE)
        with suppress(BrokenPipeError):  # its last line on standard error says why
            self._process.stdin.write(f"{runs}\n")
            self._process.stdin.flush()
        return Repetition(**self._answer())

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
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            self.close()
            raise WorkerError(lines[-1] if lines else f"ended with status {status} and no message")
        answer: dict[str, Any] = json.loads(line)
        return answer
