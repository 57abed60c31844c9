"""The same scores as Ultralytics' own `val`, of the same ONNX files on the same data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yolean
from drawn_sets import MODELS, write_dataset

pytestmark = [
    pytest.mark.export,
    pytest.mark.filterwarnings("default"),  # those of torch and Ultralytics are not ours
]
IMGSZ = {"classify": 128, "depth": 192}
WITHIN = 0.002


@pytest.mark.parametrize(
    ("task", "images", "settings"),
    [
        ("detect", 8, {}),  # where one object more or less is a hundredth
        ("detect", 40, {}),
        ("detect", 40, {"rect": False, "iou": 0.5, "max_det": 20, "conf": 0.05}),
        ("detect", 40, {"batch": 3}),
        ("segment", 40, {}),
        ("pose", 40, {}),
        ("obb", 40, {}),
        ("classify", 40, {}),
        ("semantic", 40, {}),
        ("semantic", 20, {"rect": False}),
        ("depth", 40, {}),
    ],
)
def test_equal(tmp_path: Path, task: str, images: int, settings: dict[str, Any]) -> None:
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    from ultralytics import YOLO

    data = write_dataset(tmp_path / "set", task, images)
    imgsz = IMGSZ.get(task, 320)
    theirs = YOLO(MODELS[task], task=task).val(
        data=str(data), imgsz=imgsz, plots=False, workers=0, project=str(tmp_path), verbose=False, **settings
    )
    ours = yolean.val(MODELS[task], data, imgsz=imgsz, **settings)
    compared = {key: value for key, value in theirs.results_dict.items() if key.startswith("metrics/")}
    assert compared
    for key, value in compared.items():
        assert ours.results_dict[key] == pytest.approx(float(value), abs=WITHIN), key
    if ours.box is not None:
        assert ours.box.maps == pytest.approx(theirs.box.maps, abs=0.01)
    if task == "semantic":
        assert ours.class_figures["IoU"] == pytest.approx(theirs.per_class_iou, abs=WITHIN)
        assert ours.class_figures["pixel_acc"] == pytest.approx(theirs.per_class_pixel_accuracy, abs=WITHIN)
        assert ours.instances.tolist() == pytest.approx(theirs.nt_per_class.tolist(), abs=1)
        assert ours.images_with.tolist() == theirs.nt_per_image.tolist()


def test_coco_figures_are_there_and_near(tmp_path: Path) -> None:
    """By faster-coco-eval; its interpolation and its most predictions differ."""
    for task, kind in (("detect", "box"), ("segment", "mask"), ("pose", "keypoints")):
        data = write_dataset(tmp_path / task, task, 12)
        report = yolean.val(MODELS[task], data, coco=True, save=tmp_path / f"out-{task}")
        assert report.coco[kind]["AP_all"] == pytest.approx(report.scores[kind].map, abs=0.06)
        assert all(Path(path).stat().st_size > 10_000 for path in report.plots)
        assert len(report.plots) == 2 + 4 * len(report.scores)
