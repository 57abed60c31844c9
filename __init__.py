"""Ultralytics YOLO models on ONNX Runtime, without torch.

>>> import yolean
>>> model = yolean.load("yolov8n.onnx")
>>> for result in model("bus.jpg"):
...     print(result.verbose(), result.boxes.xyxy)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .engine.errors import DeviceError, InputError, ModelError, ServerBusy, YoleanError
    from .engine.loading import load
    from .engine.object_tracker import Tracker
    from .engine.pipeline import Engine
    from .engine.results.results import Results
    from .validation.validator import val

__all__ = [
    "DeviceError",
    "Engine",
    "InputError",
    "ModelError",
    "Results",
    "ServerBusy",
    "Tracker",
    "YoleanError",
    "__version__",
    "load",
    "val",
]

_HOMES = {
    "Engine": ".engine.pipeline",
    "load": ".engine.loading",
    "Results": ".engine.results.results",
    "Tracker": ".engine.object_tracker",
    "val": ".validation.validator",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `yolean --help` needs neither OpenCV nor a runtime."""
    if name not in __all__:
        hint = '; write model = yolean.load("yolov8n.onnx")' if name == "YOLO" else ""
        raise AttributeError(f"module 'yolean' has no attribute {name!r}{hint}")
    value = getattr(import_module(_HOMES.get(name, ".engine.errors"), __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
