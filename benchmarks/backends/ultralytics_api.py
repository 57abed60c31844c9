"""Ultralytics itself, on an ONNX file through ONNX Runtime or on its own weights through PyTorch."""

from __future__ import annotations

import os
from typing import Any

from .interface import Backend, Workload, run


def load(work: Workload) -> Backend:
    """`YOLO(file)`, called as its documentation does; threads as for the others."""
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_OFFLINE"] = "true"
    on_torch = work.model.endswith(".pt")
    if not on_torch:
        _limit_onnxruntime(work.threads)
    import torch
    from ultralytics import YOLO

    from ..reference_runner import answer

    model = YOLO(work.model, task=work.task)
    torch.set_num_threads(work.threads)
    options: dict[str, Any] = {
        "conf": work.conf,
        "iou": work.iou,
        "max_det": work.max_det,
        "imgsz": list(work.imgsz),
    }
    # Exports of fixed size see square input whatever is said; weights see what the export sees.
    options |= {
        "rect": any(shape != work.imgsz for shape in work.shapes),
        "device": "cpu",
        "verbose": False,
    }

    def predict(image: Any, shape: tuple[int, int]) -> Any:
        result = model.predict(image, **options)[0]
        if result.masks is not None:
            _ = result.masks.xy
        return result

    def predict_folder(folder: str) -> int:
        objects = 0
        for result in model.predict(folder, stream=True, **options):
            objects += len(result)
            if result.masks is not None:
                _ = result.masks.xy
        return objects

    needs = ("ultralytics", "torch") + (() if on_torch else ("onnxruntime",))
    return Backend(predict, answer, needs, predict_folder=predict_folder)


def _limit_onnxruntime(threads: int) -> None:
    """Ultralytics leaves the number of threads to ONNX Runtime, which takes all cores."""
    import onnxruntime

    made = onnxruntime.SessionOptions

    def limited() -> Any:
        options = made()
        options.intra_op_num_threads = threads
        return options

    onnxruntime.SessionOptions = limited


if __name__ == "__main__":
    run(load)
