"""Reference files: how they are read, and how an installed Ultralytics writes them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..engine.errors import InputError
from . import reference_runner
from .answers import PlainAnswer

OnProgress = Callable[[str], None]
"""Is called for every model when its first image was answered, with its name."""


@dataclass(frozen=True)
class Reference:
    """What was answered with a model, and at which thresholds and input size.

    Attributes:
        model: name of the .onnx file.
        version: of Ultralytics, None where the file does not hold it.
        options: for the call of a model.
        images: answers by the name of the image.
    """

    model: str
    version: str | None
    options: dict[str, Any]
    images: dict[str, PlainAnswer]


def read_reference(file: Path) -> Reference | str:
    """A reference file, or in a line why it is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        options: dict[str, Any] = {name: float(content[name]) for name in ("conf", "iou")}
        options["max_det"], imgsz = int(content["max_det"]), content["imgsz"]
        options["imgsz"] = imgsz if isinstance(imgsz, int) else tuple(map(int, imgsz))
        images = {Path(name).name: dict(answer) for name, answer in content["images"].items()}
        return Reference(Path(content["model"]).name, content.get("ultralytics"), options, images)
    except OSError as exc:
        return f"it cannot be read: {exc.strerror or exc}"
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        return "not a reference file: " + (f"it has no {exc}" if isinstance(exc, KeyError) else str(exc))


def interpreter(named: str | None) -> str:
    """The interpreter that runs Ultralytics: the one named, or our own if it has Ultralytics.

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


def make_references(
    python: str, models: Path, names: Sequence[str], images: Path, out: Path, on_progress: OnProgress
) -> dict[str, str]:
    """Let Ultralytics write its answers into the folder `out`, a file a model.

    Args:
        python: an interpreter.
        models: a folder of .onnx files.
        names: of those that are run, without suffix.
        images: a folder.
        out: where the files are written.
        on_progress: is called when the first image of a model was answered.

    Returns:
        by name, why a model was left out.

    Raises:
        InputError: that interpreter lacks a package, or the process has failed; the last line of its
            standard error is in the message.
    """
    # Ultralytics may write into its working directory: that is a temporary one, so all paths are absolute.
    folders = [str(folder.resolve()) for folder in (models, images, out)]
    command = [python, str(Path(reference_runner.__file__).resolve()), *folders]
    command += [word for name in names for word in ("--model", name)]
    left_out: dict[str, str] = {}
    answered: set[str] = set()
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
                cwd=here, env={**os.environ, "PYTHONSAFEPATH": "1"},
            )  # fmt: skip
        except OSError as exc:
            raise InputError(f"{python} cannot be started: {exc.strerror or exc}") from exc
        with process:
            try:
                assert process.stdout is not None
                for report in map(json.loads, process.stdout):
                    if "left_out" in report:
                        left_out[report["model"]] = report["left_out"]
                    elif report["model"] not in answered:
                        answered.add(report["model"])
                        on_progress(report["model"])
            except BaseException:  # Ctrl-C too: nobody reads its reports any more
                process.kill()
                raise
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "without a message"
    if process.returncode == reference_runner.NOT_INSTALLED:
        raise InputError(_advice(python, last))
    if process.returncode:
        raise InputError(f"Ultralytics in {python} has failed with status {process.returncode}: {last}")
    if not answered and not left_out:
        raise InputError(f"{python} gave no answer: is it a Python interpreter?")
    return left_out


def _advice(python: str, package: str) -> str:
    return f"{python} has no {package}: {python} -m pip install ultralytics onnxruntime"
