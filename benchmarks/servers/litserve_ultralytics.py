"""LitServe in front of Ultralytics' own ONNX predictor.

    python litserve_ultralytics.py MODEL PORT PATH TASK HEIGHT WIDTH

Run by an environment that has both; yolean is not needed there.
"""

import sys
from typing import Any

import cv2
import litserve
import numpy as np
from ultralytics import YOLO

SIZE = [int(side) for side in sys.argv[5:7]]


class Predict(litserve.LitAPI):  # type: ignore[misc]
    """One model, one request a time, as LitServe's examples have it."""

    def setup(self, device: str) -> None:
        """Load and warm."""
        self.model = YOLO(sys.argv[1], task=sys.argv[4])
        self.model(np.zeros((*SIZE, 3), np.uint8), imgsz=SIZE, verbose=False)

    def decode_request(self, request):  # type: ignore[no-untyped-def] # LitServe acts on annotations
        """The uploaded image."""
        return cv2.imdecode(np.frombuffer(request["image"].file.read(), np.uint8), cv2.IMREAD_COLOR)

    def predict(self, image: Any) -> Any:
        """The thresholds of the HUB API."""
        return self.model(image, imgsz=SIZE, conf=0.25, iou=0.45, verbose=False)[0]

    def encode_response(self, result: Any) -> dict[str, Any]:
        """As JSON."""
        return {"data": result.summary()}


if __name__ == "__main__":
    api = Predict(api_path=sys.argv[3])
    server = litserve.LitServer(api, accelerator="cpu", timeout=120)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
