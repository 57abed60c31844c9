"""Pre- and postprocessing for runtimes that only run networks: letterbox, decoding, NMS by OpenCV.

Straightforward and complete: five tasks, whole answers. With it, runtimes without postprocessing of their own
are compared from image to answer too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .interface import Workload

Array = NDArray[Any]


Shape = tuple[int, int]
Network = Callable[[Array], list[Array]]


def predictor(work: Workload, network: Network) -> Callable[[Array, Shape], dict[str, Any]]:
    """From a BGR image to an answer in the format of the reference files, by way of `network`."""
    if work.task in ("semantic", "depth"):
        raise SystemExit(f"it has no {work.task}")
    decode = classify if work.task == "classify" else objects

    def predict(image: Array, size: Shape) -> dict[str, Any]:
        return {"shape": list(image.shape[:2])} | decode(image, size, work, network)

    return predict


def classify(image: Array, size: Shape, work: Workload, network: Network) -> dict[str, Any]:
    """The five best classes; OpenCV's area resampling stands in for Pillow's."""
    height, width = size
    scale = max(height / image.shape[0], width / image.shape[1])
    covering = round(image.shape[1] * scale), round(image.shape[0] * scale)
    resized = cv2.resize(image, covering, interpolation=cv2.INTER_AREA)
    top, left = (resized.shape[0] - height) // 2, (resized.shape[1] - width) // 2
    cropped = resized[top : top + height, left : left + width]
    probs = network(cv2.dnn.blobFromImage(cropped, 1 / 255, swapRB=True))[0].reshape(-1)
    best = np.argsort(-probs)[:5]
    return {"top5": best.tolist(), "top5conf": probs[best].astype(float).tolist()}


def objects(image: Array, size: Shape, work: Workload, network: Network) -> dict[str, Any]:
    """Boxes and what belongs to them, from a raw export."""
    blob, scale, left, top = letterboxed(image, size)
    head, *more = network(blob)
    rows = head[0].T
    extra = {"detect": 0, "segment": 32, "obb": 1}.get(work.task, rows.shape[1] - 5)
    scores = rows[:, 4 : rows.shape[1] - extra]
    rows = rows[scores.max(1) > work.conf]
    scores = rows[:, 4 : rows.shape[1] - extra]
    classes, best = scores.argmax(1), scores.max(1)
    kept = _suppressed(rows, best, classes, work)
    rows, best, classes = rows[kept], best[kept], classes[kept]
    entry: dict[str, Any] = {"cls": classes.tolist(), "conf": best.astype(float).tolist()}
    centre = (rows[:, :2] - (left, top)) / scale
    extent = rows[:, 2:4] / scale
    if work.task == "obb":
        return entry | {"obb": _corners(centre, extent, rows[:, -1])}
    boxes = np.concatenate((centre - extent / 2, centre + extent / 2), axis=1)
    limits = np.array(image.shape[1::-1] * 2)
    entry["xyxy"] = boxes.clip(0, limits).astype(float).tolist()
    if work.task == "segment":
        masks = _masks(rows, more[0][0], size)
        entry["segments"] = [
            ((outline(mask) - (left, top)) / scale).clip(0, limits[:2]).reshape(-1).tolist() for mask in masks
        ]
    elif work.task == "pose":
        points = rows[:, 5:].reshape(len(rows), (rows.shape[1] - 5) // 3, 3).astype(float)
        points[..., :2] = ((points[..., :2] - (left, top)) / scale).clip(0, limits[:2])
        entry["keypoints"] = points.reshape(len(rows), rows.shape[1] - 5).tolist()
    return entry


def letterboxed(image: Array, imgsz: Shape) -> tuple[Array, float, int, int]:
    """The image in grey borders as a tensor (1, 3, H, W); its scale, and the borders left and above, px."""
    scale = min(imgsz[0] / image.shape[0], imgsz[1] / image.shape[1])
    width, height = round(image.shape[1] * scale), round(image.shape[0] * scale)
    left, top = (imgsz[1] - width) // 2, (imgsz[0] - height) // 2
    resized = cv2.resize(image, (width, height))
    borders = (top, imgsz[0] - height - top, left, imgsz[1] - width - left)
    padded = cv2.copyMakeBorder(resized, *borders, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    return cv2.dnn.blobFromImage(padded, 1 / 255, swapRB=True), scale, left, top


def outline(mask: Array) -> Array:
    """The largest outline (P, 2) of a mask of 0 and 1."""
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(found, key=cv2.contourArea, default=np.zeros((0, 1, 2)))
    return np.asarray(largest, np.float32).reshape(-1, 2)


def _suppressed(rows: Array, scores: Array, classes: Array, work: Workload) -> list[int]:
    if not len(rows):
        return []
    confidences = scores.astype(float).tolist()
    if work.task == "obb":  # of one class at a time: there is no rotated form that knows of classes
        kept: list[int] = []
        for cls in np.unique(classes):
            own = np.flatnonzero(classes == cls)
            rotated = [
                ((float(x), float(y)), (float(w), float(h)), float(np.degrees(a)))
                for x, y, w, h, a in rows[own][:, [0, 1, 2, 3, -1]]
            ]
            found = cv2.dnn.NMSBoxesRotated(rotated, [confidences[i] for i in own], work.conf, work.iou)
            kept += own[np.asarray(found, int).reshape(-1)].tolist()
    else:
        corners = (
            np.concatenate((rows[:, :2] - rows[:, 2:4] / 2, rows[:, 2:4]), axis=1).astype(float).tolist()
        )
        found = cv2.dnn.NMSBoxesBatched(corners, confidences, classes.tolist(), work.conf, work.iou)
        kept = np.asarray(found, int).reshape(-1).tolist()
    return sorted(kept, key=lambda i: -confidences[i])[: work.max_det]


def _corners(centre: Array, size: Array, angle: Array) -> list[list[float]]:
    along = np.stack((np.cos(angle), np.sin(angle)), 1) * size[:, :1] / 2
    across = np.stack((-np.sin(angle), np.cos(angle)), 1) * size[:, 1:] / 2
    four = (
        centre + along + across,
        centre + along - across,
        centre - along - across,
        centre - along + across,
    )
    corners: list[list[float]] = np.stack(four, 1).reshape(-1, 8).astype(float).tolist()
    return corners


def _masks(rows: Array, prototypes: Array, imgsz: Shape) -> list[Array]:
    """A mask of 0 and 1 at the size of the input for each row, cut to its box."""
    logits = (rows[:, -32:] @ prototypes.reshape(32, -1)).reshape(-1, *prototypes.shape[1:])
    masks = []
    for row, small in zip(rows, logits, strict=True):
        mask = (cv2.resize(small, (imgsz[1], imgsz[0])) > 0).astype(np.uint8)
        x1, y1, x2, y2 = np.rint(np.concatenate((row[:2] - row[2:4] / 2, row[:2] + row[2:4] / 2))).astype(int)
        cut = np.zeros_like(mask)
        window = slice(max(y1, 0), max(y2, 0)), slice(max(x1, 0), max(x2, 0))
        cut[window] = mask[window]
        masks.append(cut)
    return masks
