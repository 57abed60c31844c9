"""OpenVINO's own runtime on the CPU, in 32-bit floats or in bf16."""

from __future__ import annotations

from typing import Any

from .plain import Array, predictor
from .side import Job, Side, installed_versions, main


def start(job: Job) -> Side:
    """Compile the ONNX file for latency, with the number of threads of the others."""
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": job.precision,
        "INFERENCE_NUM_THREADS": job.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(job.model, "CPU", options)
    request = compiled.create_infer_request()
    outputs = list(compiled.outputs)

    def network(blob: Array) -> list[Any]:
        found = request.infer({0: blob}, share_inputs=True)
        return [found[output] for output in outputs]

    opencv = installed_versions("opencv-python-headless", "opencv-python")
    about = {"precision": str(compiled.get_property("INFERENCE_PRECISION_HINT"))}
    # What one writes around it takes OpenCV.
    return Side(predictor(job, network), dict, ("openvino", *opencv[:1]), about)


if __name__ == "__main__":
    main(start)
