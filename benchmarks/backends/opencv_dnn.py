"""OpenCV's own network runtime, `cv2.dnn`."""

from __future__ import annotations

from typing import Any

import cv2

from .interface import Backend, Workload, installed_versions, run
from .plain_decoding import Array, predictor


def load(work: Workload) -> Backend:
    """Read the ONNX file and run it on the CPU."""
    cv2.setNumThreads(work.threads)
    net = cv2.dnn.readNetFromONNX(work.model)
    names = net.getUnconnectedOutLayersNames()

    def network(blob: Array) -> list[Any]:
        net.setInput(blob)
        return list(net.forward(names))

    installed = installed_versions("opencv-python-headless", "opencv-python")
    return Backend(predictor(work, network), dict, installed[:1])


if __name__ == "__main__":
    run(load)
