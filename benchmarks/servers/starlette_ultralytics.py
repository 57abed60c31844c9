"""Starlette in front of Ultralytics' own ONNX predictor.

    python starlette_ultralytics.py MODEL PORT PATH TASK HEIGHT WIDTH

Run by an environment that has both; yolean is not needed there. One thread predicts, because the predictor
keeps state between calls.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from ultralytics import YOLO

SIZE = [int(side) for side in sys.argv[5:7]]
model = YOLO(sys.argv[1], task=sys.argv[4])
one = ThreadPoolExecutor(1)


def predict(data: bytes) -> list[dict[str, object]]:
    """Decode and predict with the thresholds of the HUB API."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    found: list[dict[str, object]] = model(image, imgsz=SIZE, conf=0.25, iou=0.45, verbose=False)[0].summary()
    return found


async def endpoint(request: Request) -> JSONResponse:
    """The uploaded image in, JSON out."""
    async with request.form() as form:
        data = await form["image"].read()  # type: ignore[union-attr]
    return JSONResponse({"data": await asyncio.get_running_loop().run_in_executor(one, predict, data)})


if __name__ == "__main__":
    model(np.zeros((*SIZE, 3), np.uint8), imgsz=SIZE, verbose=False)
    app = Starlette(routes=[Route(sys.argv[3], endpoint, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
