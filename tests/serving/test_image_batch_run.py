"""Several images in one request: side by side in the queue, and dropped when nobody waits for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from yolean.models import demo_images, demo_model
from yolean.serving.settings import ModelSource, Settings

IMAGE = demo_images()[0].read_bytes()
PATH = "/v2/models/shapes/infer"


def request(images: int, **parameters: Any) -> bytes:
    text = base64.b64encode(IMAGE).decode()
    given = {"name": "encoded_images", "shape": [images], "datatype": "BYTES", "data": [text] * images}
    return json.dumps({"inputs": [given], "outputs": [{"name": "scores"}], "parameters": parameters}).encode()


def test_images_wait_for_room_and_for_nobody_who_has_left(
    start_local: Callable[[Settings], Any], wait_until: Callable[..., Any]
) -> None:
    server = start_local(
        Settings(models=(ModelSource(demo_model()),), max_queue=1, device="cpu", timeout=120)
    )

    def runs() -> float:
        return float(server.metric("yolean_batch_size_count"))

    reply = server.http.post(PATH, data=request(6))  # more than may wait
    assert reply.status_code == 200, reply.text
    assert runs() == 6
    timing = dict(part.split(";dur=") for part in reply.headers["server-timing"].split(", "))
    assert float(timing["inference"]) > 0
    assert server.metric("yolean_objects_total") == json.loads(reply.content)["outputs"][0]["shape"][0]
    assert server.metric("yolean_requests_total", model="shapes", status="200") == 1
    body = request(32, imgsz=1280)
    with server.connect() as connection:
        connection.sendall(
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
        )
        wait_until(lambda: runs() > 6, "the first of many")
    wait_until(lambda: server.http.get("/health").json()["queue"]["inside"] == 0, "nothing is at work")
    assert server.http.post(PATH, data=request(1)).status_code == 200
    assert runs() < 6 + 32
    assert server.metric("yolean_clients_left_total") == 1


def test_one_that_cannot_be_read_ends_the_others(start_local: Callable[[Settings], Any]) -> None:
    server = start_local(Settings(models=(ModelSource(demo_model()),), device="cpu", timeout=120))
    body = json.loads(request(32, imgsz=1280))
    body["inputs"][0]["data"][1] = base64.b64encode(b"no image").decode()
    reply = server.http.post(PATH, json=body)
    assert reply.status_code == 415
    assert "encoded_images[1]: expected an image" in reply.json()["error"]
    assert server.metric("yolean_batch_size_count") < 16
    assert server.http.get("/health").json()["queue"]["inside"] == 0
