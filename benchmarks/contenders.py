"""Who runs the same model in `peers`, under which interpreter, and why someone cannot."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from .interpreters import find
from .peers.side import Job

_FOLDER = Path(__file__).parent
# Another interpreter finds the folder `peers` behind everything that it has installed, so that nothing here
# shadows it, and none of the modules of the folder that it happens to be started in.
_BOOT = """
import runpy, sys
folder, module, *sys.argv[1:] = sys.argv[1:]
sys.path.append(folder)
runpy.run_module("peers." + module, run_name="__main__")
"""


@dataclass(frozen=True)
class Contender:
    """One way to run a model.

    Attributes:
        name: as the tables have it.
        module: of the folder `peers`.
        needs: distributions that its interpreter must have.
        file: which form of the model it gets: `plain`, `lean`, `int8` or `pt`.
        precision: of runtimes that offer more than one.
        on_onnxruntime: whether it is a peer on yolean's own runtime, which yolean means to be faster than.
    """

    name: str
    module: str
    needs: tuple[str, ...]
    file: str = "plain"
    precision: str = "f32"
    on_onnxruntime: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is yolean on ONNX Runtime's own CPU provider, under this interpreter."""
        return self.module == "own" and not self.needs


BARE, YOLEAN, ULTRALYTICS = "session.run", "yolean", "Ultralytics"

CONTENDERS = (
    Contender(BARE, "bare", ("onnxruntime",)),
    Contender(YOLEAN, "own", ()),
    Contender("yolean, lean", "own", (), "lean"),
    Contender("yolean, INT8", "own", (), "int8"),
    Contender(ULTRALYTICS, "with_ultralytics", ("ultralytics", "onnxruntime"), on_onnxruntime=True),
    Contender(
        "onnx-predictor-yolo",
        "with_onnx_predictor",
        ("onnx-predictor-yolo", "onnxruntime"),
        on_onnxruntime=True,
    ),
    Contender("Ultralytics on PyTorch", "with_ultralytics", ("ultralytics", "torch"), "pt"),
    Contender("OpenCV dnn", "with_opencv", ("opencv-python-headless",)),
    Contender("OpenVINO", "with_openvino", ("openvino",)),
    Contender("OpenVINO, bf16", "with_openvino", ("openvino",), precision="bf16"),
    Contender("yolean on OpenVINO", "own", ("onnxruntime-openvino",)),
    Contender("yolean on OpenVINO, bf16", "own", ("onnxruntime-openvino",), precision="bf16"),
)


def command(contender: Contender, job: Job, pythons: tuple[str, ...]) -> list[str] | str:
    """What starts its process, or in a line why it cannot be measured here."""
    words = [contender.module, json.dumps(asdict(job))]
    if contender.is_own:
        return [sys.executable, "-m", f"yolean.benchmarks.peers.{words[0]}", words[1]]
    found = find(contender.needs, pythons)
    if isinstance(found, str):
        return found
    if contender.module == "own":
        return [found.python, "-m", f"yolean.benchmarks.peers.{words[0]}", words[1]]
    return [found.python, "-c", _BOOT, str(_FOLDER), *words]


def environment() -> dict[str, str]:
    """For their processes: no module of the current folder, one thread for what is not the runtime's."""
    return {**os.environ, "PYTHONSAFEPATH": "1"}
