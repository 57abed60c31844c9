"""Which servers `serve` measures: what starts each at a port, or why one cannot be measured here.

To add a server, write a script beside this module that takes MODEL PORT PATH TASK HEIGHT WIDTH, and add it to
`OTHERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from ...engine.loading import load
from ...engine.model.spec import ModelSpec
from ..interpreters import find
from ..record_base import YOLEAN_SERVE, NotMeasured
from .server_process import PATH, yolean_command

_SERVING = ("starlette", "uvicorn", "python-multipart", "onnxruntime")
OTHERS = {  # name: script of this folder, and the distributions that it needs
    "starlette + session.run": ("starlette_session_run.py", _SERVING),
    "starlette + ultralytics": ("starlette_ultralytics.py", ("ultralytics", *_SERVING)),
    "litserve + ultralytics": ("litserve_ultralytics.py", ("ultralytics", "litserve", "onnxruntime")),
}
_ENVIRONMENT = {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "PYTHONSAFEPATH": "1"}


@dataclass(frozen=True)
class ServerUnderTest:
    """A server to be measured.

    Attributes:
        name: as the tables have it.
        command: what starts it, given a port.
        env: variables of its own.
        versions: of what its interpreter brings.
    """

    name: str
    command: Callable[[int], list[str]]
    env: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def servers_under_test(
    model: Path, also: Sequence[Path], pythons: Sequence[str]
) -> tuple[list[ServerUnderTest], list[NotMeasured]]:
    """Those that can be measured, yolean with the model itself first, and why others cannot.

    Args:
        model: a plain export, which other servers run as well.
        also: files that yolean serves besides: the lean and the INT8 one.
        pythons: interpreters that may have other servers.

    Raises:
        click.BadParameter: two files of one name.
        YoleanError: the model cannot be used.
    """
    spec = load(model, device="cpu", threads=1).spec
    names = [YOLEAN_SERVE, *(f"{YOLEAN_SERVE}, {_kind(file, model)}" for file in also)]
    if len(set(names)) < len(names):
        raise click.BadParameter("the files need different names", param_hint="'--also'")
    found = [_yolean(name, file) for name, file in zip(names, (model, *also), strict=True)]
    missing = []
    for name, (script, needs) in OTHERS.items():
        other = _other(name, script, needs, model, spec, pythons)
        if isinstance(other, str):
            missing.append(NotMeasured(system=name, reason=other))
        else:
            found.append(other)
    return found, missing


def _kind(file: Path, model: Path) -> str:
    """`lean` of `yolov8n-lean.onnx` beside `yolov8n.onnx`; the whole stem where nothing is in common."""
    return file.stem.removeprefix(model.stem).strip("-_. ") or file.stem


def _yolean(name: str, file: Path) -> ServerUnderTest:
    return ServerUnderTest(name, lambda port: yolean_command(file, port))


def _other(
    name: str, script: str, needs: Sequence[str], model: Path, spec: ModelSpec, pythons: Sequence[str]
) -> ServerUnderTest | str:
    if "ultralytics" in needs and spec.layout.kind == "lean":
        return "Ultralytics does not run lean files: give a plain export"
    interpreter = find(needs, pythons)
    if isinstance(interpreter, str):
        return interpreter
    start = [interpreter.python, str(Path(__file__).parent / script), str(model)]
    about = [PATH, spec.task, *map(str, spec.imgsz)]
    return ServerUnderTest(name, lambda port: [*start, str(port), *about], _ENVIRONMENT, interpreter.versions)
