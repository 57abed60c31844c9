"""ONNX Runtime alone: `session.run` on a tensor that is ready. No backend on ONNX Runtime can be faster."""

from __future__ import annotations

from typing import Any

import numpy as np

from .interface import Backend, Workload, run


def load(work: Workload) -> Backend:
    """ONNX Runtime with its defaults except for the number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = work.threads
    session = onnxruntime.InferenceSession(work.model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    noise = np.random.default_rng(0)
    tensors = {shape: noise.random((1, 3, *shape), np.float32) for shape in set(work.shapes)}

    def predict(image: Any, shape: tuple[int, int]) -> Any:
        return session.run(None, {name: tensors[shape]})

    return Backend(predict, None, ("onnxruntime",), {"provider": session.get_providers()[0]})


if __name__ == "__main__":
    run(load)
