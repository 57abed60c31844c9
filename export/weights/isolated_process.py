"""A call in a process of its own, which keeps prints, warnings, threads and memory of libraries to itself.

    python -P -m yolean.export.weights.isolated_process LOG

reads a pickled function and its argument from standard input, and writes its progress and its result to
standard output, pickled too. All other output, also of native libraries, goes into the file LOG.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ...engine.errors import ModelError, YoleanError
from ..progress import OnProgress

T = TypeVar("T")
A = TypeVar("A")


def call(function: Callable[[A, OnProgress], T], argument: A, on_progress: OnProgress, log: Path) -> T:
    """Call a function of a module in a process of its own.

    Args:
        function: called with the argument and a callback, whose calls reach `on_progress` here.
        argument: anything that can be pickled.
        log: a file that gets what the process prints, in a folder for its temporary files.

    Raises:
        YoleanError: as the function raises it.
        ModelError: any other exception of the function, in one line, or what ended the process.
    """
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    # What libraries leave in the folder for temporary files goes where the log goes.
    scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(log.parent))
    process = subprocess.Popen(
        # -P: the folder that the user stands in must not be searched for modules.
        [sys.executable, "-P", "-m", __name__, str(log)],
        env={**os.environ, **scratch, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            if process.stdin is None or process.stdout is None:
                raise AssertionError("both are pipes")
            pickle.dump((function, argument), process.stdin)
            process.stdin.close()
            while True:
                word, value = pickle.load(process.stdout)
                if word == "progress":
                    on_progress(*value)
                elif word == "raised":
                    raise value
                else:
                    return value  # type: ignore[no-any-return]
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as exc:
            raise ModelError(f"the process that exports has ended early: {_ending(process, log)}") from exc
        finally:
            process.kill()


def _ending(process: subprocess.Popen[bytes], log: Path) -> str:
    status = process.wait()
    if status < 0:
        name = signal.Signals(-status).name
        return f"killed by {name}" + (", which may mean that memory ran out" if name == "SIGKILL" else "")
    text = log.read_text(errors="replace") if log.exists() else ""
    return last_line(text) or f"exit status {status}"


def last_line(text: str) -> str:
    """The last line that is not blank, without space around it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches us too: our parent ends us then
    answers = os.fdopen(os.dup(1), "wb")
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)

    def send(word: str, value: Any) -> None:
        answers.write(pickle.dumps((word, value)))
        answers.flush()

    function, argument = pickle.load(sys.stdin.buffer)
    try:
        send("returned", function(argument, lambda *step: send("progress", step)))
    except YoleanError as exc:
        send("raised", exc)
    except Exception as exc:
        send("raised", ModelError(f"{type(exc).__name__}: {last_line(str(exc))}"))


if __name__ == "__main__":
    _main()
