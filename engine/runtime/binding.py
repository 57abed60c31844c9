"""Buffers on a device that stay bound to a session's input and outputs (ONNX Runtime's I/O binding)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Binding:
    """The buffers of one input shape on a device, used by every run of that shape.

    This saves allocations, and CUDA graphs need it, because they replay fixed addresses.
    """

    def __init__(self, ort: Any, session: Any, tensor: Array, kind: str, unit: int) -> None:
        """Allocate for the shape and dtype of a tensor.

        Args:
            ort: the module `onnxruntime`.
            session: its InferenceSession.
            tensor: an input of the model.
            kind: of device: `cuda`, `dml` or `cpu`.
            unit: number of the device.
        """
        self._session = session
        self._input = ort.OrtValue.ortvalue_from_numpy(tensor, kind, unit)
        self._binding = session.io_binding()
        image, *thresholds = session.get_inputs()
        self._binding.bind_ortvalue_input(image.name, self._input)
        for floor in thresholds:  # of a sparse head: devices gain nothing from few survivors
            self._binding.bind_cpu_input(floor.name, np.array(-math.inf, np.float32))
        self._fresh = [output.name for output in session.get_outputs()]
        for name in self._fresh:
            self._binding.bind_output(name, kind, unit)

    def run(self, tensor: Array) -> list[Array]:
        """Copy a tensor to the device, run, and copy the outputs back."""
        self._input.update_inplace(tensor)
        self._session.run_with_iobinding(self._binding)
        outputs: list[Array] = self._binding.copy_outputs_to_cpu()
        # The first run determines the shapes of the outputs; its buffers stay bound from then on.
        for name, value in zip(self._fresh, self._binding.get_outputs(), strict=False):
            self._binding.bind_ortvalue_output(name, value)
        self._fresh = []
        return outputs
