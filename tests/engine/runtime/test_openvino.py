"""OpenVINO for real; needs the runtime of the extra openvino, which excludes others: `pytest -m openvino`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yolean
from yolean.engine.runtime.cpu import has_cpu_flag
from yolean.export.evaluation.differences import differences
from yolean.models import DEMO_MODELS, demo_images, demo_model

pytestmark = pytest.mark.openvino


@pytest.mark.parametrize("task", DEMO_MODELS)
def test_fp32_answers_as_the_cpu_does(task: str) -> None:
    ours, theirs = (
        yolean.load(demo_model(task), device=device, precision=precision)(demo_images()[0])[0]
        for device, precision in (("openvino", "fp32"), ("cpu", None))
    )
    assert len(ours) == len(theirs) > 0
    most = differences(theirs, ours)
    assert (most.other_class or 0.0) <= 2e-3
    assert (most.depth or 0.0) <= 1e-2
    if ours.semantic_mask is not None:
        return
    for one, other in zip(ours.summary(), theirs.summary(), strict=True):
        assert one["class"] == other["class"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=2e-3)
        for key, value in one.get("box", {}).items():
            assert value == pytest.approx(other["box"][key], abs=1)


def test_bf16_is_the_default_where_the_cpu_has_it() -> None:
    image = demo_images()[0]
    results = [
        yolean.load(demo_model(), device="openvino", precision=precision)(image)[0].boxes
        for precision in (None, "bf16", "fp32")
    ]
    default, bf16, fp32 = (boxes.conf for boxes in results if boxes is not None)
    expected = bf16 if has_cpu_flag("avx512_bf16", "amx_bf16", "bf16") else fp32
    np.testing.assert_array_equal(default, expected)
    np.testing.assert_allclose(default, fp32, atol=0.03)


def test_auto_takes_what_was_installed_on_purpose() -> None:
    model = yolean.load(demo_model())
    assert (str(model.session.device), model.session.provider) == ("openvino", "OpenVINOExecutionProvider")
    assert str(yolean.load(demo_model(), device="cpu").session.device) == "cpu"


def test_a_graph_that_openvino_cannot_compile_is_refused_and_left_by_auto(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # It wants data and indices of GatherElements to agree where ONNX does not: end-to-end pose, as exported.
    plain = Path(__file__).parents[2] / "golden" / "plain" / "shapes-pose.onnx"
    with pytest.raises(yolean.DeviceError, match=r"OpenVINOExecutionProvider failed: .*not consistent"):
        yolean.load(plain, device="openvino")
    model = yolean.load(plain)
    assert str(model.session.device) == "cpu"
    assert "openvino is not usable, falling back to cpu" in caplog.text
    assert len(model(demo_images()[0])[0]) > 0


def test_a_unit_that_is_not_there_is_refused() -> None:
    with pytest.raises(yolean.DeviceError):
        yolean.load(demo_model(), device="openvino:NPU")
