"""Seeded inputs for `micro`: the same on every machine, with the statistics of what real models give."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engine.images.decoding import Image
from ...postprocess.boxes import xyxy_to_xywh
from ...postprocess.types import Float, Int

SIZE = 640
"""Side of the square input tensor, pixels."""

CLASSES = 80
CONF = 0.001
"""The threshold that all candidates pass: what validation uses, and the most that NMS is ever given."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """N candidates for NMS.

    Attributes:
        boxes: (N, 4) float32 x1, y1, x2, y2, or (N, 5) cx, cy, w, h, angle.
        scores: (N,) float32 above `CONF`.
        classes: (N,) int64.
    """

    boxes: Float
    scores: Float
    classes: Int


def crowded(count: int) -> Candidates:
    """Clusters of near-duplicates, as raw heads give them: about sqrt(N) objects for N candidates.

    The farther a candidate is from its object, the lower its score, and a tenth have another class. Of the
    objects, half are of one class, a quarter of the next, and so on. Scores, classes and the share of boxes
    that NMS keeps, an eighth to a quarter, are much like those of yolov8n on photographs.
    """
    rotated = crowded_rotated(count)
    return Candidates(_upright(rotated.boxes), rotated.scores, rotated.classes)


def crowded_rotated(count: int) -> Candidates:
    """As `crowded`, rotated: each object has an angle, and its candidates deviate from it a little."""
    rng = np.random.default_rng(count)
    objects = max(round(count**0.5), 1)
    owner = rng.integers(0, objects, count)
    centre = rng.uniform(0, SIZE, (objects, 2))
    size = _sides(rng, objects, 16, 200)
    angle = rng.uniform(-np.pi / 4, 3 * np.pi / 4, objects)
    off = rng.gamma(2, 0.08, (count, 1))  # how far from its object, in sides of it
    centre = centre[owner] + size[owner] * off * rng.normal(size=(count, 2))
    size = size[owner] * np.exp(off * rng.normal(size=(count, 2)))
    angle = angle[owner] + off[:, 0] * rng.normal(0, 0.5, count)
    scores = CONF * 1.01 + 0.95 * np.exp(-45 * off[:, 0])
    classes = np.minimum(rng.geometric(0.5, objects) - 1, CLASSES - 1)[owner]
    other = rng.random(count) < 0.1
    classes[other] = rng.integers(0, CLASSES, int(other.sum()))
    boxes = np.column_stack((centre, size, angle)).astype(np.float32)
    return Candidates(boxes, scores.astype(np.float32), classes)


def sparse(count: int) -> Candidates:
    """Boxes of which few overlap: one in each cell of a grid over the tensor, at a random offset."""
    rotated = sparse_rotated(count)
    return Candidates(_upright(rotated.boxes), rotated.scores, rotated.classes)


def sparse_rotated(count: int) -> Candidates:
    """As `sparse`, each box at a random angle."""
    rng = np.random.default_rng(count)
    columns = int(np.ceil(count**0.5))
    cell = SIZE / columns
    place = np.column_stack(np.divmod(rng.permutation(columns**2)[:count], columns))
    centre = (place + rng.uniform(0.3, 0.7, (count, 2))) * cell
    size = cell * rng.uniform(0.4, 1, (count, 2))
    angle = rng.uniform(-np.pi / 4, 3 * np.pi / 4, count)
    scores = rng.uniform(CONF * 1.01, 0.95, count).astype(np.float32)
    boxes = np.column_stack((centre, size, angle)).astype(np.float32)
    return Candidates(boxes, scores, rng.integers(0, CLASSES, count))


def head(candidates: Candidates) -> Float:
    """The raw output (4 + classes, N) that decodes to these upright candidates: all pass the threshold."""
    rng = np.random.default_rng(0)
    count = len(candidates.scores)
    output = np.empty((4 + CLASSES, count), np.float32)
    output[:4] = xyxy_to_xywh(candidates.boxes).T
    output[4:] = rng.uniform(0, CONF / 2, (CLASSES, count))
    output[4 + candidates.classes, np.arange(count)] = candidates.scores
    return output


def mask_inputs(count: int) -> tuple[Float, Float, Float]:
    """Coefficients (N, 32), prototypes (32, 160, 160) and boxes (N, 4) of objects with masks.

    The sides of the boxes are spread evenly over the logarithm from 12 to 320 pixels. Prototypes are smooth,
    and each object is there at the centre of its box: one large part, often with a few small ones beside it.
    """
    rng = np.random.default_rng(count)
    noise = rng.normal(size=(SIZE // 4, SIZE // 4, 32)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6).transpose(2, 0, 1)
    prototypes = np.ascontiguousarray(smooth / smooth.std(), np.float32)
    half = _sides(rng, count, 12, 320) / 2
    centre = rng.uniform(half, SIZE - half)
    boxes = np.hstack((centre - half, centre + half)).astype(np.float32)
    coefficients = rng.normal(size=(count, 32)).astype(np.float32)
    column, row = (centre / 4).astype(int).T
    there = prototypes[:, row, column].T  # (N, 32): most positive at the centre when added to it
    return coefficients + there, prototypes, boxes


def image(width: int, height: int) -> Image:
    """An image of smooth colours (height, width, 3) with a little noise."""
    rng = np.random.default_rng(width)
    coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.resize(rng.integers(0, 8, 65537, np.uint8), smooth.shape)
    noisy: Image = cv2.add(smooth, grain).astype(np.uint8, copy=False)
    return noisy


def _sides(rng: np.random.Generator, count: int, low: float, high: float) -> NDArray[np.float64]:
    """(N, 2) widths and heights: their mean log-uniform, one up to three times the other."""
    side = np.exp(rng.uniform(np.log(low), np.log(high), count))
    stretch = np.sqrt(3 ** rng.uniform(-1, 1, count))
    return np.column_stack((side * stretch, side / stretch))


def _upright(boxes: Float) -> Float:
    """(N, 5) without their angle, as x1, y1, x2, y2."""
    half = boxes[:, 2:4] / 2
    return np.hstack((boxes[:, :2] - half, boxes[:, :2] + half))
