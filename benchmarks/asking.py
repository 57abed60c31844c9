"""Ultralytics' answers from an interpreter that has it: a process that runs `peers/reference.py`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from ..engine.errors import InputError
from .peers import reference

Tell = Callable[[str], None]
"""Is told of an image that was answered, by the name of the model."""


def interpreter(named: str | None) -> str:
    """The interpreter to ask: the one named, or our own if it has Ultralytics.

    Raises:
        InputError: there is no such program, or our own has it not.
    """
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise InputError(f"--python {named}: there is no such program")
        return str(Path(found).absolute())  # not resolved: a virtual environment's is a link
    if find_spec("ultralytics") is None:
        raise InputError(_advice(sys.executable, "ultralytics") + ", or name another with --python")
    return sys.executable


def ask(
    python: str, models: Path, names: Sequence[str], images: Path, out: Path, tell: Tell
) -> dict[str, str]:
    """Let Ultralytics write its answers into the folder `out`, a file a model.

    Args:
        python: an interpreter.
        models: a folder of .onnx files.
        names: of those that are asked, without suffix.
        images: a folder.

    Returns:
        by name, why a model was left out.

    Raises:
        InputError: that interpreter lacks a package, or the process has failed; its last word is in the
            message.
    """
    # Where Ultralytics stands it might write: a folder of its own, so all paths have to be whole.
    folders = [str(folder.resolve()) for folder in (models, images, out)]
    command = [python, str(Path(reference.__file__).resolve()), *folders]
    command += [word for name in names for word in ("--model", name)]
    left_out: dict[str, str] = {}
    answered = 0
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryFile() as words:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, text=True,
                cwd=here, env={**os.environ, "PYTHONSAFEPATH": "1"},
            )  # fmt: skip
        except OSError as exc:
            raise InputError(f"{python} cannot be started: {exc.strerror or exc}") from exc
        with process:
            try:
                assert process.stdout is not None
                for said in map(json.loads, process.stdout):
                    if "not_asked" in said:
                        left_out[said["model"]] = said["not_asked"]
                    else:
                        answered += 1
                        tell(said["model"])
            except BaseException:  # Ctrl-C too: no one is left to listen
                process.kill()
                raise
        words.seek(0)
        lines = words.read().decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "without a word"
    if process.returncode == reference.LACKING:
        raise InputError(_advice(python, last))
    if process.returncode:
        raise InputError(f"Ultralytics in {python} has failed with status {process.returncode}: {last}")
    if not answered and not left_out:
        raise InputError(f"{python} gave no answer: is it a Python interpreter?")
    return left_out


def _advice(python: str, package: str) -> str:
    return f"{python} has no {package}: {python} -m pip install ultralytics onnxruntime"
