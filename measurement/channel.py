"""The end of a measured process. Standard library only: it also runs under interpreters that lack yolean.

A measured process writes lines of JSON: one about itself once it is warm, then one for every line that it
reads, which is a number of runs. `measurement/worker.py` is the other end.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

WARM_UPS = 3
"""Runs before anything is timed, unless told otherwise."""

_answers: Any = None


def open_channel() -> None:
    """Keep standard output for the answers alone; what libraries print there goes to standard error.

    Call it before the libraries are imported.
    """
    global _answers
    sys.stdout.flush()
    _answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def report(answer: dict[str, Any]) -> None:
    """Write one line of JSON to the process that started this one."""
    _answers.write(json.dumps(answer) + "\n")
    _answers.flush()


def serve_repetitions(run: Callable[[], Any], about: dict[str, Any], warm_ups: int = WARM_UPS) -> None:
    """Warm up, report `about`, then run as often as each line says, until standard input ends.

    An answer holds `ms`, the time of each run, `notes`, what the runs returned if not None, and `peak_mb`.
    """
    started = perf_counter()
    for _ in range(warm_ups):
        run()
    warm_up_ms = (perf_counter() - started) * 1e3
    report(about | {"warm_ups": warm_ups, "warm_up_ms": warm_up_ms, "peak_mb": peak_mb()})
    for line in sys.stdin:
        times, notes = [], []
        for _ in range(int(line)):
            started = perf_counter()
            note = run()
            times.append((perf_counter() - started) * 1e3)
            if note is not None:
                notes.append(note)
        report({"ms": times, "notes": notes, "peak_mb": peak_mb()})


def peak_mb() -> float | None:
    """Largest resident memory of this process so far, in MiB; None where the system does not tell.

    On Linux `VmHWM`, not `getrusage`: the latter begins with what the parent held when it forked.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform != "darwin" else 1024**2)
