"""YOLO-World, YOLOE and RT-DETR: what Ultralytics exports of them is answered as Ultralytics answers it.

The classes of the first two are texts. Their features, which need a downloaded text model, are random here;
what is exported is the graph that it is with real ones.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import yolean
from click.testing import CliRunner
from export_runs import SIDE
from yolean.cli.main import cli
from yolean.export.evaluation.differences import differences
from yolean.export.evaluation.predictions import Prediction

pytestmark = pytest.mark.export

CONF, IOU = 0.25, 0.45
SMALL = 96  # RT-DETR is large; here all its anchors are queries

# name, options of yolean export, the layout of the plain file and of the one made of it
CASES = [
    ("yolov8n-world", "--static", "raw", "raw"),
    ("yolov8n-worldv2", "", "raw", "raw"),
    ("yoloe-v8n-seg", "", "raw", "lean"),
    ("rtdetr-l", f"--static --imgsz {SMALL}", "rtdetr", "rtdetr"),
]


@pytest.mark.parametrize(("name", "options", "plain", "made"), CASES, ids=[case[0] for case in CASES])
def test_exports_equal_ultralytics(
    networks: Any,
    images: list[Path],
    export: Any,
    tmp_path: Path,
    name: str,
    options: str,
    plain: str,
    made: str,
) -> None:
    words = options.split()
    side = SMALL if "--imgsz" in words else SIDE
    report = export(networks(name), *words, *([] if "--imgsz" in words else ["--imgsz", str(SIDE)]))
    assert report["verified"]["differences"]["matched"] > 0
    assert report["layout"] == made
    engine = yolean.load(tmp_path / "plain.onnx", device="cpu")
    assert engine.spec.layout.kind == plain
    if "world" in name or "yoloe" in name:
        assert engine.names[3] == "a box with a lid"
    same_as_ultralytics(engine, tmp_path / "plain.onnx", images, side)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        # The graph leaves out anchors that are no objects: there may be any number of them, and none.
        ("yoloe-11n-seg-pf", {"dynamic": True}),
        ("yoloe-26n-seg", {"nms": False}),
    ],
    ids=["prompt-free", "end2end"],
)
def test_ultralytics_own_files(
    networks: Any, images: list[Path], name: str, arguments: dict[str, Any]
) -> None:
    from ultralytics import YOLO

    with warnings.catch_warnings(action="ignore"):
        network = YOLO(networks(name))
        file = Path(network.export(format="onnx", imgsz=SIDE, verbose=False, **arguments))
    same_as_ultralytics(yolean.load(file, device="cpu"), file, images, SIDE)


def same_as_ultralytics(engine: yolean.Engine, file: Path, images: list[Path], side: int) -> None:
    """Boxes, scores, classes and masks of a file equal those that Ultralytics gives for it."""
    from ultralytics import YOLO

    reference, found = YOLO(file, task=engine.task), 0
    options = {"conf": CONF, "iou": IOU, "imgsz": side, "verbose": False, "device": "cpu"}
    for path in images:
        (theirs,) = reference.predict(str(path), **options)
        expected = Prediction.from_result(theirs.cpu().numpy())
        most = differences(expected, Prediction.from_result(engine(path, conf=CONF, iou=IOU)[0]))
        assert (most.missing, most.extra) == ((), ()), path
        assert (most.box or 0.0) <= 0.05
        assert (most.score or 0.0) <= 1e-4
        assert (most.mask or 0.0) <= 0.01
        found += most.matched
    assert found > 0


def test_a_yoloe_without_classes_is_refused(families: Any, tmp_path: Path) -> None:
    from ultralytics import YOLO
    from ultralytics.utils import YAML

    config = tmp_path / "yoloe-v8n-seg.yaml"
    YAML.save(config, families.yaml_model_load("yoloe-v8n-seg.yaml"))
    YOLO(str(config)).save(tmp_path / "open.pt")
    found = CliRunner().invoke(cli, ["export", str(tmp_path / "open.pt")])
    assert found.exit_code == 2
    (line,) = found.stderr.splitlines()
    assert "is a YOLOE without classes: fix them with set_classes() and save it" in line
