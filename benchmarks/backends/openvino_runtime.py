"""OpenVINO's own runtime on the CPU, in 32-bit floats or in bf16."""

from __future__ import annotations

from typing import Any

from .interface import Backend, Workload, installed_versions, run
from .plain_decoding import Array, predictor


def load(work: Workload) -> Backend:
    """Compile the ONNX file for latency, with the number of threads of the others."""
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": work.precision,
        "INFERENCE_NUM_THREADS": work.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(work.model, "CPU", options)
    request = compiled.create_infer_request()
    outputs = list(compiled.outputs)

    def network(blob: Array) -> list[Any]:
        found = request.infer({0: blob}, share_inputs=True)
        return [found[output] for output in outputs]

    opencv = installed_versions("opencv-python-headless", "opencv-python")
    details = {"precision": str(compiled.get_property("INFERENCE_PRECISION_HINT"))}
    # What one writes around it takes OpenCV.
    return Backend(predictor(work, network), dict, ("openvino", *opencv[:1]), details)


if __name__ == "__main__":
    run(load)
