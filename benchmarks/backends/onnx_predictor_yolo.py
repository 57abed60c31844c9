"""onnx-predictor-yolo: detect, segment and obb. Its masks are whole images, not outlines."""

from __future__ import annotations

from typing import Any

import numpy as np

from .interface import Backend, Workload, run
from .plain_decoding import outline


def load(work: Workload) -> Backend:
    """As its README does, with the number of threads of the others."""
    import onnxruntime
    from onnx_predictor_yolo import YoloPredictor

    if work.task not in ("detect", "segment", "obb"):
        raise SystemExit(f"it has no {work.task}")
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = work.threads
    model = YoloPredictor(work.model, task=work.task, output_format="raw", session_options=session_options)

    def predict(image: Any, shape: tuple[int, int]) -> Any:
        return model(image, conf=work.conf, iou=work.iou, max_det=work.max_det)

    return Backend(predict, _answer, ("onnx-predictor-yolo", "onnxruntime"))


def _answer(result: Any) -> dict[str, Any]:
    entry = {
        "shape": list(result.image_shape),
        "cls": result.class_ids.tolist(),
        "conf": np.float64(result.scores).tolist(),
    }
    if result.obb is not None:
        return entry | {"obb": np.float64(result.polygons).reshape(-1, 8).tolist()}
    entry["xyxy"] = np.float64(result.boxes).tolist()
    if result.masks is not None:
        entry["segments"] = [outline(mask.astype(np.uint8)).reshape(-1).tolist() for mask in result.masks]
    return entry


if __name__ == "__main__":
    run(load)
