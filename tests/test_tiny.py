"""The whole public surface, in seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yolean
from yolean.models import DEMO_MODELS, demo_images, demo_model

VIEWS = {
    "detect": {"boxes"},
    "segment": {"boxes", "masks"},
    "pose": {"boxes", "keypoints"},
    "obb": {"obb"},
    "classify": {"probs"},
    "semantic": {"semantic_mask"},
    "depth": {"depth"},
}


def test_public_names() -> None:
    assert yolean.__all__ == [
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
    assert dir(yolean) == yolean.__all__
    for name in yolean.__all__:
        assert getattr(yolean, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'YOLO'"):
        _ = yolean.YOLO


def test_error_tree() -> None:
    errors = (yolean.DeviceError, yolean.InputError, yolean.ModelError, yolean.ServerBusy)
    assert all(issubclass(error, yolean.YoleanError) for error in errors)


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_image_in_results_out(task: str, tmp_path: Path) -> None:
    model = yolean.load(demo_model(task), device="cpu")
    assert model.task == task
    model.warmup()
    (result,) = model(demo_images()[0], conf=0.25, iou=0.45)
    assert isinstance(result, yolean.Results)
    names = {name for views in VIEWS.values() for name in views}
    assert {name for name in names if getattr(result, name) is not None} == VIEWS[task]
    assert set(result.speed) == {"decode", "preprocess", "inference", "postprocess"}
    assert len(result) == len(result.summary()) or task in ("classify", "semantic", "depth")
    assert json.loads(result.to_json()) == result.summary()
    drawn = result.plot()
    assert drawn.shape == result.orig_img.shape
    assert (drawn != result.orig_img).any()
    saved = tmp_path / "drawn.png"
    assert result.save(saved) == str(saved)
    assert saved.stat().st_size > 1000


def test_demo_models_find_the_shapes() -> None:
    found = yolean.load(demo_model(), device="cpu")(demo_images()[0])[0]
    assert len(found) >= 4
    assert found.boxes is not None
    assert (found.boxes.conf > 0.25).all()
    assert np.all(found.boxes.xyxy[:, 2:] > found.boxes.xyxy[:, :2])


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        # A prediction needs none of what Ultralytics carries, nor what the server and the shell do.
        (
            "import yolean, yolean.models as m; yolean.load(m.demo_model())(m.demo_images()[0])",
            ("torch", "ultralytics", "onnx", "starlette", "matplotlib", "click", "rich", "PIL"),
        ),
        # The shell answers --help without a runtime.
        ("import yolean.cli.main", ("torch", "onnxruntime", "cv2", "numpy")),
    ],
)
def test_what_is_not_imported(code: Any, absent: Any) -> None:
    check = f"import sys; {code}; print([m for m in {absent!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
