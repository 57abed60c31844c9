"""The small demo models that ship with the package, and images to try them on."""

from __future__ import annotations

import os
from pathlib import Path

from ..engine.errors import InputError

DEMO_MODELS = {
    "detect": "shapes",
    "segment": "shapes-seg",
    "pose": "shapes-pose",
    "obb": "shapes-obb",
    "classify": "shapes-cls",
    "semantic": "shapes-sem",
    "depth": "shapes-depth",
}
"""Name of the demo model, by task."""

_FOLDER = Path(__file__).parent


def demo_model(task: str = "detect") -> Path:
    """The .onnx file of the demo model for a task.

    Raises:
        InputError: no such task.
    """
    if task not in DEMO_MODELS:
        raise InputError(f"task={task!r}: expected one of {', '.join(DEMO_MODELS)}")
    return _FOLDER / f"{DEMO_MODELS[task]}.onnx"


def demo_images() -> list[Path]:
    """The demo images, by name; `shapes.jpg` comes first."""
    return sorted(_FOLDER.glob("*.jpg"))


def model_file(model: str) -> str:
    """The file of the demo model that is called so, unless there is such a file; else the path itself."""
    task = next((task for task, word in DEMO_MODELS.items() if word == model), None)
    return model if task is None or os.path.exists(model) else str(demo_model(task))
