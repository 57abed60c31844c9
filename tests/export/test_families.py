"""`yolean export` of every family and task, with the real Ultralytics and random weights.

    pip install ".[cpu,export,test]" && pytest -m export tests/export

The networks are those of `tests/golden/families.py`, whose random weights find hundreds of objects of all
sorts. What is "the same" is said at `same_answers`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yolean
from click.testing import CliRunner
from export_runs import SIDE
from yolean.cli.main import cli
from yolean.engine.pipeline import Engine
from yolean.export.evaluation.differences import differences
from yolean.export.evaluation.matching import pairwise_iou
from yolean.export.evaluation.predictions import Boxes, Prediction
from yolean.export.trial_images import read_images
from yolean.export.weights import pytorch
from yolean.postprocess.boxes import gaussian, probiou

pytestmark = pytest.mark.export

CONF, IOU, ALL = 0.25, 0.45, 10_000

# What may differ between the plain and the lean file of one network. Noise drives random weights further than
# real images do, to scores of 1 everywhere, and with them what rounding costs: ten times as much there.
PIXELS, SCORE, NOISE = 0.05, 1e-5, 10
# What may differ where the last digits of two scores, or of an overlap and the threshold, decide.
TIE, BRINK = 2e-5, 1e-3

# Every family, task and option at least once, and the combinations that found an error.
CASES = [
    ("yolov5n", "--static"),
    ("yolov8n", ""),
    ("yolov8n", "--static --batch dynamic"),
    ("yolov8n", "--static --batch 2"),
    ("yolov8n", "--imgsz 128,192 --opset 17"),
    ("yolov8n", "--half"),
    ("yolov8n-seg", "--static --half"),
    ("yolov8n-pose", ""),
    ("yolov8n-obb", "--static --batch dynamic --imgsz 128,192"),
    ("yolov8n-cls", "--half"),
    ("yolov9t", ""),
    ("yolov10n", "--static --end2end"),
    ("yolo11n-seg", "--static"),
    ("yolo11n-obb", ""),
    ("yolo12n-pose", ""),
    ("yolo12n-cls", "--static --batch dynamic"),
    ("yolo26n", "--end2end"),
    ("yolo26n-seg", "--static --batch dynamic --end2end"),
    ("yolo26n-pose", "--static"),
    ("yolo26n-obb", "--static --end2end"),
    ("yolov8n-p6", ""),
    ("yolov8n-many", ""),
    ("yolov8n-grey", ""),
    ("yolov8n-four", "--static"),
    ("yolov8n-pose-pairs", ""),
    ("yolo26n-pose-two", "--end2end"),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=[" ".join(case).strip() for case in CASES])
def test_every_family(
    networks: Any, images: list[Path], export: Any, tmp_path: Path, name: str, options: Any
) -> None:
    words = options.split()
    if "--imgsz" not in words:
        words += ["--imgsz", str(SIDE)]
    report = export(networks(name), *words)
    lean, plain = (yolean.load(tmp_path / f"{kind}.onnx", device="cpu") for kind in ("lean", "plain"))
    size = (128, 192) if "128,192" in words else (SIDE, SIDE)
    batch = 2 if "--batch 2" in options else None if "dynamic" in words or "--static" not in words else 1
    for engine in (lean, plain):
        assert engine.spec.imgsz == size
        assert engine.spec.dynamic == ("--static" not in words)
        assert engine.spec.batch == batch
    kinds = (
        ("raw", "raw") if lean.task == "classify" else ("end2end" if "--end2end" in words else "raw", "lean")
    )
    assert (plain.spec.layout.kind, lean.spec.layout.kind) == kinds
    assert report["verified"]["batches"] == {None: [1, 2, 3], 1: [], 2: [2]}[batch]
    verified = report["verified"]["differences"]
    assert lean.task == "classify" or verified["matched"] > 0
    if "--half" not in words:
        for path in images:
            image = next(read_images([path], lean.spec.channels)).image
            same_answers(plain, lean, image, NOISE if path.suffix == ".png" else 1)


def same_answers(plain: Engine, lean: Engine, image: np.ndarray, scale: float) -> None:
    """Two files give the same objects, as far as rounding lets them.

    Before suppression, the boxes above the confidence must be the same one by one. After it, what one file
    keeps and the other does not must lie on a brink: objects are dropped for one that overlaps them, so in
    the other file there is such a box, and either that box is itself kept by one file only, or the two have
    equal scores, or they overlap by the threshold. Following the boxes upwards in score, every dispute so
    ends at two equal scores or at an overlap that is equal to the threshold, and both sides are right.
    Boxes that touch the image's border are cut off after suppression, so their overlap is not known here.

    Args:
        scale: of what may differ.
    """
    crowds = crowd(plain, image), crowd(lean, image)
    if crowds[0].probs is not None:
        probs = differences(*crowds).probs
        assert probs is not None
        assert probs <= SCORE * scale
        return
    close(*crowds, scale)
    kept = [
        Prediction.from_result(engine(image, conf=CONF, iou=IOU, max_det=ALL)[0]) for engine in (plain, lean)
    ]
    disputed = [lone(*kept), lone(*reversed(kept))]
    for own, others, dropped in zip(disputed, reversed(disputed), reversed(crowds), strict=True):
        for row in own:
            assert on_a_brink(row, dropped, others), f"{row} is kept by one file, and nothing tells why"


def crowd(engine: Engine, image: np.ndarray) -> Prediction:
    return Prediction.from_result(engine(image, conf=CONF, iou=1.0, max_det=ALL)[0])


def close(one: Prediction, other: Prediction, scale: float) -> None:
    found = differences(one, other)
    assert max([0.0, *found.missing, *found.extra]) <= CONF + SCORE * scale
    limits = {"box": PIXELS, "keypoints": PIXELS, "score": SCORE, "visibility": SCORE, "mask": 0.01}
    values = {name: getattr(found, name) or 0.0 for name in limits}
    assert {name: value for name, value in values.items() if value > limits[name] * scale} == {}, found


def rows(found: Prediction) -> np.ndarray:
    """(N, 4 or 8) corners, class, score."""
    objects = found.boxes if found.obb is None else found.obb
    assert objects is not None
    corners = objects.xyxy if found.obb is None else objects.xyxyxyxy
    assert corners is not None
    corners = corners.reshape(len(corners), 4 if found.obb is None else 8)
    return np.column_stack((corners, objects.cls, objects.conf)).astype(np.float64)


def same(one: np.ndarray, other: np.ndarray) -> Any:
    """Whether rows are one object: class and corners."""
    return np.all(np.abs(one[..., :-1] - other[..., :-1]) <= PIXELS, axis=-1)


def lone(own: Prediction, other: Prediction) -> list[np.ndarray]:
    """Rows of `own` that `other` has not."""
    theirs = rows(other)
    return [row for row in rows(own) if not same(theirs, row).any()]


def on_a_brink(row: np.ndarray, candidates: Prediction, disputed: list[np.ndarray]) -> bool:
    """Whether a candidate may have taken this row's place: see `same_answers`."""
    height, width = candidates.orig_shape
    sides = np.array([0, 0, width, height])
    for box in rows(candidates):
        if box[-2] != row[-2] or box[-1] < row[-1] - TIE or same(box, row):
            continue
        over = overlap(row, box)
        cut = len(row) == 6 and bool(np.any(np.abs(np.stack((row, box))[:, :4] - sides) <= PIXELS))
        equal = abs(box[-1] - row[-1]) <= TIE or abs(over - IOU) <= BRINK or cut
        if (over > IOU - BRINK or cut) and (equal or any(same(one, box) for one in disputed)):
            return True
    return bool(row[-1] <= CONF + TIE)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """What suppression goes by: IoU, or ProbIoU of oriented boxes."""
    pair = one[:-2].reshape(1, -1, 2), other[:-2].reshape(1, -1, 2)
    if len(one) == 6:
        return float(pairwise_iou(*pair, np.array([[True]]))[0, 0])
    turned = []
    for corners in pair:
        across, along = corners[0, 0] - corners[0, 1], corners[0, 0] - corners[0, 3]
        sides = np.hypot(*along), np.hypot(*across)
        turned.append(np.array([[*corners[0].mean(0), *sides, np.arctan2(*along[::-1])]], np.float32))
    return float(probiou(*map(gaussian, turned))[0])


def test_a_brink_is_told_from_an_error() -> None:
    kept, equal = [0, 0, 100, 100, 3, 0.8], [0, 20, 100, 120, 3, 0.8]
    scores, classes, corners = np.array([0.8, 0.8]), np.array([3, 3]), np.zeros((2, 4))
    candidates = Prediction((500, 500), boxes=Boxes(scores, classes, corners))
    for change, fine in (
        ({}, True),  # equal scores
        ({5: 0.9}, False),  # the better one should have gone
        ({4: 2}, False),  # another class takes nobody's place
        ({1: 90, 3: 190}, False),  # far away
        ({5: 0.7}, False),  # nor does a worse one
    ):
        box = list(equal)
        for place, value in change.items():
            box[place] = value
        shifted = np.array([kept, box]) + np.array([200, 200, 200, 200, 0, 0])
        corners[:] = shifted[:, :4]
        classes[:] = shifted[:, 4]
        scores[:] = shifted[:, 5]
        assert on_a_brink(shifted[0], candidates, []) == fine, change
    better = shifted[1] + np.array([0, -30, 0, -30, 0, 0.2])
    corners[1], scores[1] = better[:4], better[5]
    assert not on_a_brink(shifted[0], candidates, [])
    assert on_a_brink(shifted[0], candidates, [better])  # which is disputed itself


def test_in_a_process_of_its_own(networks: Any, tmp_path: Path) -> None:
    """The command as it is typed: its report and nothing else, its file and nothing else."""
    home, scratch, work = (tmp_path / name for name in ("home", "scratch", "work"))
    for folder in (home, scratch, work):
        folder.mkdir()
    weights_file = work / "it's 100% mine.pt"
    shutil.copy(networks("yolov8n"), weights_file)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("YOLO_", "XDG_", "MPL"))
    }
    environment |= {"HOME": str(home), "TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["ORT_DISABLE_TELEMETRY"] = "1"  # else ONNX Runtime itself writes into both
    command = [sys.executable, "-m", "yolean", "export", weights_file.name, "--imgsz", "100", "--static"]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("it's 100% mine.pt -> it's 100% mine.onnx\n")
    assert "--imgsz 100x100 was rounded up to 128x128" in done.stdout
    assert all(line.startswith("  ") for line in done.stdout.splitlines()[1:])
    assert sorted(path.name for path in work.iterdir()) == ["it's 100% mine.onnx", "it's 100% mine.pt"]
    assert [*home.rglob("*"), *scratch.rglob("*")] == []
    found = onnx.load(work / "it's 100% mine.onnx")
    entries = {entry.key: entry.value for entry in found.metadata_props}
    assert entries["author"] == "Ultralytics"
    assert {"yolean", "names", "task", "stride", "version"} <= set(entries)


def test_plain_files_are_ultralytics_own(networks: Any, export: Any, tmp_path: Path) -> None:
    report = export(networks("yolov8n"), "--plain", "--static", "--batch", "dynamic", "--imgsz", str(SIDE))
    assert report["optimized"] is None
    model = onnx.load(tmp_path / "lean.onnx")
    (output,) = model.graph.output
    shape = [axis.dim_param or axis.dim_value for axis in output.type.tensor_type.shape.dim]
    assert shape == ["batch", 84, SIDE**2 // 64 + SIDE**2 // 256 + SIDE**2 // 1024]
    from ultralytics import YOLO

    image = np.full((100, 150, 3), 127, np.uint8)
    results = YOLO(tmp_path / "lean.onnx", task="detect").predict(
        [image, image], imgsz=SIDE, rect=False, verbose=False
    )
    assert len(results) == 2


def refused(arguments: list[Any], status: int = 2) -> str:
    found = CliRunner().invoke(cli, ["export", *map(str, arguments)], catch_exceptions=False)
    assert found.exit_code == status, found.output
    (line,) = found.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"layer.weight": "a tensor"}, "holds no weights that Ultralytics can load"),
        ({"model": {"layer.weight": "a tensor"}}, "holds no weights that Ultralytics can load"),
        (["a list"], "holds no weights that Ultralytics can load"),
        ("script", "is a TorchScript archive"),
        ("cut", "truncated or corrupted"),
    ],
)
def test_what_holds_no_network_is_refused(networks: Any, tmp_path: Path, content: Any, message: str) -> None:
    import torch

    path = tmp_path / "best.pt"
    if content == "script":
        with warnings.catch_warnings(action="ignore"):
            torch.jit.trace(torch.nn.ReLU(), torch.zeros(1)).save(path)
    elif content == "cut":
        path.write_bytes(networks("yolov8n").read_bytes()[:100_000])
    else:
        torch.save(content, path)
    line = refused([path])
    assert message in line
    assert str(path) in line
    assert "/weights.pt" not in line
    assert [one.name for one in tmp_path.iterdir()] == ["best.pt"]


def test_networks_that_yolean_does_not_run_are_refused(networks: Any, tmp_path: Path) -> None:
    assert "has no end-to-end head" in refused([networks("yolov8n"), "--end2end", "-o", tmp_path / "a.onnx"])


def test_heads_are_named_as_ultralytics_names_them(families: Any) -> None:
    from ultralytics.nn.modules import head

    assert [name for name in pytorch.RUNNABLE_HEADS if not hasattr(head, name)] == []


def test_the_reason_of_a_failed_export_is_told(networks: Any, tmp_path: Path) -> None:
    line = refused([networks("yolov8n"), "-o", tmp_path / "a.onnx", "--imgsz", "64", "--opset", "25"])
    assert "cannot be exported: " in line
    assert "25" in line
    assert list(tmp_path.iterdir()) == []
