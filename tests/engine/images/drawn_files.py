"""Small image and video files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

IMAGE = np.full((24, 32, 3), (10, 120, 240), np.uint8)


def png() -> bytes:
    return cv2.imencode(".png", IMAGE)[1].tobytes()


def write_video(path: Path, frames: int = 5, fourcc: str = "MJPG", fps: float = 10.0) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), fps, (64, 48))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.full((48, 64, 3), 40 * number, np.uint8))
    writer.release()
    return path
