from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from yolean.engine.runtime.binding import Binding
from yolean.models import demo_model

MODEL = demo_model("detect")


@pytest.fixture(scope="module")
def image() -> Any:
    return np.random.default_rng(0).random((1, 3, 96, 128), np.float32)


def test_bound_buffers_give_the_same_and_are_not_shared_with_results(image: Any) -> None:
    """The GPU's path through reused buffers, on the CPU's memory."""
    inner = onnxruntime.InferenceSession(str(MODEL), providers=["CPUExecutionProvider"])
    binding = Binding(onnxruntime, inner, image, "cpu", 0)
    for shift in range(3):
        tensor = np.roll(image, shift, axis=2)
        np.testing.assert_array_equal(binding.run(tensor)[0], inner.run(None, {"images": tensor})[0])
    first = binding.run(image)
    kept = first[0].copy()
    binding.run(np.zeros_like(image))
    np.testing.assert_array_equal(first[0], kept)
