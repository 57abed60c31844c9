"""Drawn videos, whose objects the demo models find: shapes with known truth, and an image that is shaken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
WIDTH, HEIGHT = 480, 360
_SHIFT = 4  # OpenCV draws polygons in 1/16 pixel


@dataclass(frozen=True)
class Truth:
    """What is in a frame: ids from 0, and (N, 4) boxes x1, y1, x2, y2."""

    ids: NDArray[np.int64]
    boxes: NDArray[np.float64]


def outline(kind: str) -> NDArray[np.float64]:
    """(N, 2) corners of a shape in the unit circle."""
    if kind == "box":
        return np.array([(-0.9, -0.45), (0.9, -0.45), (0.9, 0.45), (-0.9, 0.45)])
    count = {"disk": 72, "triangle": 3, "star": 10}[kind]
    turn = np.arange(count) * 2 * np.pi / count - np.pi / 2
    radius = np.where(np.arange(count) % 2 == 0, 1.0, 0.47) if kind == "star" else np.ones(count)
    return np.asarray(np.stack((np.cos(turn), np.sin(turn)), 1) * radius[:, None], np.float64)


def ground() -> Frame:
    """A smooth texture, without anything that looks like a shape."""
    noise = np.random.default_rng(4).normal(0, 1, (HEIGHT, WIDTH, 3))
    return np.asarray(np.clip(cv2.GaussianBlur(noise, (0, 0), 6) * 90 + 95, 0, 255), np.uint8)


def moving(frames: int = 60, count: int = 9) -> tuple[list[Frame], list[Truth]]:
    """Shapes that bounce off the edges, and pass before and behind each other; later ones are on top."""
    rng = np.random.default_rng(11)
    kinds = ("disk", "box", "triangle", "star")
    radii = rng.uniform(20, 40, count)
    centres = rng.uniform(50, (WIDTH - 50, HEIGHT - 50), (count, 2))
    steps = rng.uniform(2, 6, (count, 2)) * rng.choice((-1, 1), (count, 2))
    colours = [tuple(map(int, colour)) for colour in rng.permutation(_colours(count))]
    still, images, truths = ground(), [], []
    for _ in range(frames):
        image, boxes = still.copy(), []
        for number in range(count):
            points = outline(kinds[number % len(kinds)]) * radii[number] + centres[number]
            fixed = np.round((points - 0.5) * (1 << _SHIFT)).astype(np.int32)
            cv2.fillPoly(image, [fixed], colours[number], cv2.LINE_AA, _SHIFT)
            boxes.append((*points.min(0), *points.max(0)))
        images.append(image)
        truths.append(Truth(np.arange(count), np.array(boxes)))
        centres = centres + steps
        room = radii[:, None] + 3
        steps = np.where((centres < room) | (centres > np.array((WIDTH, HEIGHT)) - room), -steps, steps)
        centres = np.clip(centres, room, np.array((WIDTH, HEIGHT)) - room)
    return images, truths


def crossing(frames: int = 30) -> list[Frame]:
    """A disk and a box that move to the right, and below them a triangle that moves to the left."""
    colours = {"disk": (60, 200, 250), "box": (250, 120, 40), "triangle": (80, 60, 230)}
    images = []
    for number in range(frames):
        image = ground()
        for row, (kind, colour) in enumerate(colours.items()):
            x = 420 - 12 * number if kind == "triangle" else 60 + 12 * number
            points = outline(kind) * 30 + (x, 80 + 100 * row)
            cv2.fillPoly(image, [np.round(points).astype(np.int32)], colour, cv2.LINE_AA)
        images.append(image)
    return images


def _colours(count: int) -> Any:
    """Bright colours, BGR, of as many hues."""
    hues = np.linspace(0, 179, count, endpoint=False)
    return cv2.cvtColor(np.array([[(hue, 220, 250) for hue in hues]], np.uint8), cv2.COLOR_HSV2BGR)[0]


def shaken(image: Frame, frames: int = 16) -> list[Frame]:
    """A window that moves over an image, and is shaken."""
    rng = np.random.default_rng(2)
    height, width = (side * 3 // 4 for side in image.shape[:2])
    room = np.array((image.shape[1] - width, image.shape[0] - height))
    found = []
    for number in range(frames):
        at = room * number / (frames - 1) + rng.normal(0, 4, 2)
        x, y = np.clip(at, 0, room).astype(int).tolist()
        found.append(np.ascontiguousarray(image[y : y + height, x : x + width]))
    return found


def write(path: Path, frames: list[Frame]) -> Path:
    """The frames as a video of 25 frames a second."""
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path
