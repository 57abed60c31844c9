"""What nothing that runs the plain export can do without.

    python floor.py MODEL PORT PATH TASK HEIGHT WIDTH

Starlette, decoding, one resize, `session.run` on all cores, and an answer that holds nothing: no
letterbox, no NMS, no JSON of objects.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import onnxruntime
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
height, width = map(int, sys.argv[5:7])
pool = ThreadPoolExecutor(2)


def predict(data: bytes) -> float:
    """Decode and run."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    tensor = cv2.resize(image, (width, height)).transpose(2, 0, 1)[None].astype(np.float32) / 255
    return float(session.run(None, {name: tensor})[0][0, 4:].max())


async def endpoint(request: Request) -> JSONResponse:
    """The uploaded image in, one number out."""
    async with request.form() as form:
        data = await form["image"].read()  # type: ignore[union-attr]
    return JSONResponse({"best": await asyncio.get_running_loop().run_in_executor(pool, predict, data)})


if __name__ == "__main__":
    app = Starlette(routes=[Route(sys.argv[3], endpoint, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
