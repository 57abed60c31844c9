"""`yolean info`: what a model is and where it runs."""

from __future__ import annotations

import json
from pathlib import Path

import yolean
from invocation import SHAPES, error_of, run
from yolean.models import demo_model


def test_info_prints_the_spec() -> None:
    result = run("info", "shapes")
    assert result.exit_code == 0
    for words in (
        "detect",
        "4: disk, box, triangle, star",
        "320x320",
        "CPUExecutionProvider",
        "free in steps of 32",
    ):
        assert words in result.stdout


def test_info_as_json() -> None:
    engine = yolean.load(SHAPES, threads=1)
    facts = json.loads(run("info", SHAPES, "--json", "--threads", 1).stdout)
    assert facts["names"] == list(engine.names.values())
    assert facts["imgsz"] == list(engine.spec.imgsz)
    assert facts["bytes"] == demo_model().stat().st_size
    assert (facts["task"], facts["layout"], facts["stride"]) == ("detect", "lean", 32)
    assert (facts["provider"], facts["device"], facts["threads"]) == ("CPUExecutionProvider", "cpu", 1)
    assert facts["versions"]["yolean"] == yolean.__version__
    assert {"dynamic", "batch", "dtype", "channels", "kpt_shape", "family", "outputs"} <= set(facts)


def test_info_refuses_what_is_no_model(image: Path) -> None:
    assert "ONNX" in error_of(run("info", image))
    assert "missing.onnx does not exist" in error_of(run("info", "missing.onnx", "--json"))
