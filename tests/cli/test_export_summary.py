"""What the shell shows of a report, and while a file is made."""

from __future__ import annotations

import io
import sys
from dataclasses import replace

import pytest
from optimize_runs import FASTER, here, no_model, original, quick  # noqa: F401
from tables import for_each
from yolean.cli.export_summary import counted, lines, speed
from yolean.cli.stages import Stages
from yolean.export.evaluation.agreement import Agreement
from yolean.export.evaluation.average_precision import Quality
from yolean.export.evaluation.differences import Differences
from yolean.export.optimizer import OptimizeReport


def test_lines_for_people() -> None:
    report = OptimizeReport(
        "a/b.onnx", "c/d.onnx", "pose", ("end2end", "lean"), "int8", (12_345_678, 3_400_000), 7,
        agreement=Agreement("pose", 7, 20, 21, 1.0, 0.952, 0.987, -0.0123, 0.02, None, 1.25, 0.01),
        quality=Quality(7, 20, 0.98, (0.9, 1), 0.9, (0.8, 0.95), 25, 0.01, 0.03, (0.02, 0.04)),
        speed=FASTER, details={"in float": "2 of 60"}, notes=["so it is"], problems=["too bad"],
    )  # fmt: skip
    assert list(lines(report)) == [
        "b.onnx -> d.onnx",
        "  made       pose, end2end -> lean layout, int8, 12.3 MB -> 3.4 MB",
        "  in float   2 of 60",
        "  answers    on 7 images: 20 objects, recall 1.000, precision 0.952, IoU 0.987, score -0.012, "
        "keypoints 1.2 px",
        "  precision  average 0.980 (0.900 to 1.000) at IoU 0.5, 0.900 (0.800 to 0.950) at 0.5 to 0.95, of "
        "20 objects",
        "  scores     +0.010 on average, standard deviation 0.030 (0.020 to 0.040), of 25 objects above 0.1",
        "  speed      0.50 of the source's time (0.40 to 0.60): 2.0 -> 1.0 ms, 2 threads, "
        "CPUExecutionProvider",
        "  note       so it is",
        "  PROBLEM    too bad",
        "Nothing was written; --force writes it all the same.",
    ]
    report = replace(report, agreement=None, quality=None)
    report = replace(report, speed=None, details={}, notes=[], problems=[], written=True)
    report.differences = Differences(1, 1, (0.251,), (), 0.0004, 2e-6, mask=0.001)
    assert list(lines(report))[2:] == [
        "  answers    on 7 images: 1 object, box within 0.0004 px, score within 2e-06, mask IoU 0.999 or "
        "more, 1 missing (best score 0.251)"
    ]
    report.differences = Differences(1, probs=1e-7)
    assert list(lines(report))[2:] == ["  answers    on 7 images: probabilities within 1e-07"]


@for_each("number, text", [(0, "no objects"), (1, "1 object"), (2, "2 objects"), (300, "300 objects")])
def test_counted(number: int, text: str) -> None:
    assert counted(number, "object") == text


def test_speed_of_what() -> None:
    assert speed(FASTER, "PyTorch").startswith("0.50 of PyTorch's time")


@pytest.mark.parametrize("terminal", [False, True])
def test_stages(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    if terminal:
        monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE" if terminal else "NO_COLOR", "1")
    with Stages() as tell:
        for done in range(3):
            tell("[bold]calibrating", done, 3)
        tell("writing", 0, 1)
        if terminal:
            tell._bar.refresh()
    assert ("writing" in stream.getvalue()) == terminal
