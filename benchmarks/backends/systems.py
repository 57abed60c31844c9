"""Which systems `peers` measures, what starts the process of each, and why one cannot be measured here.

To add a system under test, write a module with a function `load` beside this one, and add it to `SYSTEMS`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from ..interpreters import find
from ..record_base import (
    SESSION_RUN,
    ULTRALYTICS,
    YOLEAN,
    YOLEAN_INT8,
    YOLEAN_LEAN,
    YOLEAN_OPENVINO_BF16,
)
from .interface import Workload

_PACKAGE = Path(__file__).resolve().parents[2]
# Modules of this checkout under another name than `yolean`, so that `import yolean` in them is what the
# interpreter has installed, and nothing of the folder that it happens to be started in.
_BOOT = """
import runpy, sys, types
folder, module, *sys.argv[1:] = sys.argv[1:]
package = types.ModuleType("yolean_harness")
package.__path__ = [folder]
sys.modules["yolean_harness"] = package
runpy.run_module("yolean_harness.benchmarks.backends." + module, run_name="__main__")
"""


@dataclass(frozen=True)
class System:
    """A system under test.

    Attributes:
        name: as tables and records have it.
        module: of this folder.
        needs: distributions that its interpreter must have; without any, this interpreter runs it.
        file: which form of the model it gets: `plain`, `lean`, `int8` or `pt`.
        precision: of runtimes that offer more than one.
        is_target: whether yolean is meant to be faster, because it runs on the same runtime.
        python: the interpreter, where it is given.
        runs_folders: whether it is measured on a folder of images, too.
        counterpart: another system that its time is divided by, besides `session.run` and `yolean`.
    """

    name: str
    module: str
    needs: tuple[str, ...] = ()
    file: str = "plain"
    precision: str = "f32"
    is_target: bool = False
    python: str | None = None
    runs_folders: bool = False
    counterpart: str | None = None


SYSTEMS = (
    System(SESSION_RUN, "session_run", ("onnxruntime",)),
    System(YOLEAN, "yolean_api", runs_folders=True),
    System(YOLEAN_LEAN, "yolean_api", file="lean", runs_folders=True),
    System(YOLEAN_INT8, "yolean_api", file="int8", runs_folders=True),
    System(ULTRALYTICS, "ultralytics_api", ("ultralytics", "onnxruntime"), is_target=True, runs_folders=True),
    System(
        "onnx-predictor-yolo", "onnx_predictor_yolo", ("onnx-predictor-yolo", "onnxruntime"), is_target=True
    ),
    System("Ultralytics on PyTorch", "ultralytics_api", ("ultralytics", "torch"), "pt"),
    System("OpenCV dnn", "opencv_dnn", ("opencv-python-headless",)),
    System("OpenVINO", "openvino_runtime", ("openvino",)),
    System("OpenVINO, bf16", "openvino_runtime", ("openvino",), precision="bf16"),
    System("yolean on OpenVINO", "yolean_api", ("onnxruntime-openvino",)),
    System(YOLEAN_OPENVINO_BF16, "yolean_api", ("onnxruntime-openvino",), precision="bf16"),
)


def other_yolean(name: str, python: str) -> tuple[System, ...]:
    """The yolean that an interpreter has installed, with the plain, the lean and the INT8 file."""
    return tuple(
        System(
            own.replace(YOLEAN, name, 1),
            "yolean_api",
            file=file,
            python=python,
            runs_folders=True,
            counterpart=own,
        )
        for own, file in ((YOLEAN, "plain"), (YOLEAN_LEAN, "lean"), (YOLEAN_INT8, "int8"))
    )


def command(system: System, work: Workload, pythons: tuple[str, ...]) -> list[str] | str:
    """What starts its process, or in a line why it cannot be measured here."""
    python = system.python or sys.executable
    if system.needs:
        found = find(system.needs, pythons)
        if isinstance(found, str):
            return found
        python = found.python
    return [python, "-c", _BOOT, str(_PACKAGE), system.module, json.dumps(asdict(work))]


def environment() -> dict[str, str]:
    """Of these processes: nothing is imported from the current folder."""
    return {**os.environ, "PYTHONSAFEPATH": "1"}
