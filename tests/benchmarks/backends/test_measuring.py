"""Systems in processes of their own, postprocessing of other runtimes, reasons for what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import yolean
from tables import slow
from yolean.benchmarks.answers import compare
from yolean.benchmarks.backends.interface import Workload
from yolean.benchmarks.backends.measuring import Schedule, describe, measure
from yolean.benchmarks.backends.plain_decoding import predictor
from yolean.benchmarks.backends.systems import SYSTEMS, System, command, other_yolean
from yolean.benchmarks.reference_runner import answer
from yolean.models import demo_images

PLAIN = Path(__file__).parents[2] / "golden" / "plain"


def plain(stem: str) -> tuple[Workload, Callable[..., dict[str, Any]]]:
    """A work, and plain decoding around a bare session."""
    work, layout = describe(PLAIN / f"{stem}.onnx", demo_images(), threads=1)
    assert layout == "raw"
    session = onnxruntime.InferenceSession(work.model, providers=["CPUExecutionProvider"])
    return work, predictor(work, lambda blob: session.run(None, {session.get_inputs()[0].name: blob}))


@pytest.mark.slow
@pytest.mark.parametrize("stem", ["shapes-obb", *slow("shapes", "shapes-seg")])
def test_plain_decoding_finds_what_yolean_finds(stem: str) -> None:
    model = yolean.load(PLAIN / f"{stem}.onnx", device="cpu")
    work, predict = plain(stem)
    found = 0
    for path, shape in list(zip(work.images, work.shapes, strict=True))[:2]:
        apart = compare(answer(model(path)[0]), predict(cv2.imread(path), shape))
        assert (apart.missing, apart.extra) == ((), ())
        found += apart.matched
        if apart.matched:
            assert (apart.box or 0) < 1
            assert (apart.score or 0) < 2e-3
    assert found > 5


def test_plain_decoding_classifies() -> None:
    work, predict = plain("shapes-cls")
    star = next(path for path in work.images if path.endswith("star.jpg"))
    probs = yolean.load(work.model, device="cpu")(star)[0].probs
    assert probs is not None
    assert predict(cv2.imread(star), work.shapes[0])["top5"][0] == probs.top1


def test_no_object_is_an_answer_for_every_task() -> None:
    blank = np.full((48, 64, 3), 114, np.uint8)
    prototypes = np.zeros((1, 32, 16, 16), np.float32)
    for task, rows in (("detect", 84), ("pose", 56), ("obb", 20), ("segment", 116)):
        work = Workload("m.onnx", task, (64, 64), [], [], 1)
        outputs: list[Any] = [np.zeros((1, rows, 84), np.float32), prototypes]

        def network(blob: Any, outputs: list[Any] = outputs) -> list[Any]:
            return outputs

        found = predictor(work, network)(blank, (64, 64))
        assert found["conf"] == []
        assert compare(found, found).matched == 0


@pytest.mark.slow
def test_systems_that_cannot_be_measured_have_a_reason() -> None:
    work, _ = describe(PLAIN / "shapes.onnx", demo_images(), threads=1)
    unknown = System("unknown", "no_such_module", ("surely-not-installed",))
    broken = replace(unknown, name="broken", needs=())
    no_file = replace(unknown, name="no file", file="lean")
    files: dict[str, Path | str] = {"plain": PLAIN / "shapes.onnx", "lean": "no onnx"}
    found, missing = measure(work, files, Schedule(1, 0, systems=(broken, no_file, unknown)), print)
    assert found == []
    reasons = {each.system: each.reason for each in missing}
    assert "No module named" in reasons["broken"]
    assert reasons["no file"] == "no onnx"
    assert "pip install surely-not-installed" in reasons["unknown"]


def test_another_yolean_is_run_by_its_own_interpreter() -> None:
    systems = other_yolean("base", "/opt/base/bin/python")
    assert [each.name for each in systems] == ["base", "base, lean", "base, INT8"]
    assert [each.counterpart for each in systems] == ["yolean", "yolean, lean", "yolean, INT8"]
    words = command(systems[0], Workload("m.onnx", "detect", (64, 64), [], [], 1), ())
    assert words[0] == "/opt/base/bin/python"


@pytest.mark.slow
def test_systems_are_measured_in_processes_of_their_own() -> None:
    chosen = tuple(each for each in SYSTEMS if each.name in ("session.run", "yolean", "OpenCV dnn"))
    work, _ = describe(PLAIN / "shapes.onnx", demo_images(), threads=1)
    found, missing = measure(work, {"plain": PLAIN / "shapes.onnx"}, Schedule(2, 1, systems=chosen), print)
    assert missing == []
    results = {each.system: each for each in found}
    assert list(results) == ["session.run", "yolean", "OpenCV dnn"]
    for each in found:
        assert len(each.repetitions) == 2
        assert each.milliseconds.q1 > 0
        assert len(each.cold_seconds) == len(each.cold_peak_mb) == 1
        assert each.versions
        assert each.installed_mb > 1
    assert results["session.run"].differences is None
    apart = results["OpenCV dnn"].differences
    assert apart is not None
    assert (apart.reference, apart.missing, apart.extra) == ("yolean", 0, 0)
    assert apart.matched == apart.objects > 10
