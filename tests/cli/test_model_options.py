"""Options of loading and calling a model reach the engine, or are refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from invocation import SHAPES, run

TAKEN: tuple[tuple[list[object], dict[str, Any]], ...] = (
    ([], {"conf": 0.25, "iou": 0.45, "imgsz": None, "max_det": 300, "classes": None, "batch": None}),
    (
        ["--conf", 0.5, "--iou", 0.6, "--max-det", 7, "--imgsz", 160, "--agnostic-nms", "--batch", 2],
        {"conf": 0.5, "iou": 0.6, "max_det": 7, "imgsz": 160, "agnostic_nms": True, "batch": 2},
    ),
    ([], {"tile": None, "overlap": 0.2, "merge": "nmm", "retina_masks": False}),
    (
        ["--tile", "320,480", "--overlap", 0.1, "--merge", "nms", "--retina-masks"],
        {"tile": (320, 480), "overlap": 0.1, "merge": "nms", "retina_masks": True},
    ),
    (["--imgsz", "96,160", "--classes", "0,2"], {"imgsz": (96, 160), "classes": [0, 2]}),  # height, width
    (["--classes", "star,DISK", "--classes", "1"], {"classes": [3, 0, 1]}),
    (
        ["--device", "cpu", "--threads", 1, "--task", "detect", "--names", "a, b"],
        {"device": "cpu", "threads": 1, "task": "detect", "names": ["a", "b"]},
    ),
    (
        ["--names", "names.txt", "--kpt-shape", "17,3", "--precision", "fp32"],
        {"names": ["one", "two words"], "kpt_shape": (17, 3), "precision": "fp32"},
    ),
)
REFUSED = {
    "--imgsz 640x480": "480,640",
    "--imgsz 1,2,3": "480,640",
    "--kpt-shape 17": "two whole numbers",
    "--tile 16": "at least the stride of the model, 32 pixels",
    "--tile 640x640": "480,640",
    "--tile 64 --overlap 1": "from 0 to below 1",
    "--tile 64 --merge best": "'nmm', 'nms'",
    "--tile 32 --overlap 0.97": "slices of an image",
    "--conf 1.5": "0<=x<=1",
    "--names missing.txt": "one name a line",
    "--classes disc": "disk",  # the nearest name
    "--classes 9": "0 to 3",
    "--device abacus": "abacus",
    "--task dance": "detect",
    "--threads 0": "x>=1",
    "conf=0.5": "--conf 0.5",  # as Ultralytics' command writes them
    "max_det=3": "--max-det 3",
    "source=bus.jpg": "--source bus.jpg",
}


def test_options_reach_the_engine(image: Path, calls: dict[str, Any]) -> None:
    Path("names.txt").write_text("one\n\ntwo words\n")
    for arguments, expected in TAKEN:
        calls.clear()
        assert run("predict", image, "-m", SHAPES, *arguments).exit_code == 0, arguments
        assert calls | expected == calls, arguments


def test_wrong_options_are_refused(image: Path) -> None:
    for arguments, expected in REFUSED.items():
        result = run("predict", image, "-m", SHAPES, *arguments.split())
        assert result.exit_code == 2, arguments
        assert expected in result.stderr.splitlines()[-1], arguments
        assert result.stdout == "", arguments
