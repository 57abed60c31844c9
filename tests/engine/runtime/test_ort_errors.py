from __future__ import annotations

from typing import Any

import pytest
from yolean.engine.errors import DeviceError, ModelError
from yolean.engine.runtime.ort_errors import mapped


def raised(error: Any, *arguments: Any) -> None:
    with mapped(*arguments):
        raise error


def test_errors_of_a_device_and_of_weights_in_a_second_file() -> None:
    memory = RuntimeError("[ONNXRuntimeError] : 1 : FAIL : out of memory")
    with pytest.raises(DeviceError, match="CUDAExecutionProvider failed: out of memory"):
        raised(memory, "CUDAExecutionProvider", (1, 3, 8, 8))
    data = RuntimeError("[ONNXRuntimeError] : 1 : FAIL : External data path does not exist")
    with pytest.raises(ModelError, match="second file"):
        raised(data, "CPUExecutionProvider")
    with pytest.raises(KeyError):
        raised(KeyError("ours"), "CPUExecutionProvider")
