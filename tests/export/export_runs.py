"""Runs `yolean export` without Ultralytics: plain files at hand stand in for what torch makes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yolean
from click.testing import CliRunner
from yolean.cli.main import cli
from yolean.export.evaluation import equality
from yolean.export.evaluation.predictions import Prediction
from yolean.export.weights import pytorch
from yolean.export.weights.pytorch import ExportRequest, ExportResult, ReferencePrediction
from yolean.models import demo_images

PLAIN = Path(__file__).parents[1] / "golden" / "plain"

SIDE = 192
"""Pixels of the input of networks that are exported with the real Ultralytics."""

ZIP = b"PK\x03\x04 and so on"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, ["export", *map(str, arguments)], catch_exceptions=False)


def refusal(*arguments: object) -> str:
    found = run(*arguments)
    assert found.exit_code == 2, found.output
    assert found.stdout == ""
    return str(found.stderr.splitlines()[-1])


def stand_in(name: str, change: Any = lambda asked: asked, conf: float = 0.25) -> Any:
    """What takes torch's part: a plain file that is at hand, and its own answers as PyTorch's."""

    def work(request: ExportRequest, on_progress: Any) -> ExportResult:
        on_progress("exporting", 0, 1)
        file = request.folder / f"{request.weights.stem}.onnx"
        shutil.copy(PLAIN / f"{name}.onnx", file)
        engine = yolean.load(file, device="cpu")
        asked = []
        for path in demo_images()[:2]:
            least = conf if request.min_score is None else request.min_score
            kept = Prediction.from_result(engine(path, conf=least, iou=pytorch.IOU)[0])
            crowd = (
                Prediction.from_result(
                    engine(path, conf=conf, iou=1.0, max_det=equality.MAX_REFERENCE_CANDIDATES)[0]
                )
                if request.candidates
                else None
            )
            asked.append(change(ReferencePrediction(path, kept, crowd)))
        return ExportResult(
            file,
            engine.spec.imgsz,
            engine.spec.stride,
            conf,
            asked,
            demo_images()[0].parent,
            {"torch": "2"},
        )

    return work


def shifted(asked: ReferencePrediction, pixels: float = 2.0) -> ReferencePrediction:
    for one in (asked.kept, asked.candidates):
        if one is not None and one.boxes is not None and one.boxes.xyxy is not None:
            one.boxes.xyxy[:] += pixels
    return asked


def request(**options: Any) -> ExportRequest:
    values = {"imgsz": None, "static": False, "batch": None, "opset": None, "end2end": False, "images": ()}
    return ExportRequest(
        Path("best.pt"), Path("."), candidates=False, min_score=None, threads=1, **(values | options)
    )
