"""`yolean export` of semantic segmentation and depth, with the real Ultralytics and random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yolean
from export_runs import SIDE
from yolean.export.evaluation.differences import Differences, differences
from yolean.export.evaluation.predictions import Prediction

pytestmark = pytest.mark.export

CASES = [
    ("yolo26n-sem", "--static"),
    ("yolo26n-sem", "--half"),
    ("yolo26n-sem-one", "--static --imgsz 128,192"),
    ("yolo26n-depth", ""),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=[" ".join(case).strip() for case in CASES])
def test_maps_equal_pytorch_and_ultralytics(
    networks: Any, images: list[Path], export: Any, tmp_path: Path, name: str, options: str
) -> None:
    words = options.split()
    report = export(networks(name), *words, *([] if "--imgsz" in words else ["--imgsz", str(SIDE)]))
    kind, field = ("depth", "depth") if "depth" in name else ("semantic", "other_class")
    assert report["task"] == kind
    assert report["layout"] == {"depth": "raw", "semantic": "class_map"}[kind]
    assert report["verified"]["batches"] == ([] if "--static" in words else [1, 2, 3])
    if "--half" in words:
        assert report["verified"]["agreement"]["equal_pixels"] > 0.98
    else:
        assert report["verified"]["differences"][field] <= 1e-3
    from ultralytics import YOLO

    plain = tmp_path / "plain.onnx"
    engine, reference, most = yolean.load(plain, device="cpu"), YOLO(plain, task=kind), Differences()
    for path in images:
        (theirs,) = reference.predict(str(path), imgsz=list(engine.spec.imgsz), verbose=False, device="cpu")
        expected = Prediction.from_result(theirs.cpu().numpy())
        most = most.merge(differences(expected, Prediction.from_result(engine(path)[0])))
    value = getattr(most, field)
    assert value is not None
    assert value <= 1e-3
