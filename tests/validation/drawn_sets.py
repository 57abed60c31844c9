"""Labelled datasets of drawn shapes, whose truth is known to the pixel."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import yaml

ROOT = Path(__file__).parents[2]
PLAIN = ROOT / "tests" / "golden" / "plain"
NAMES = {
    "detect": ("disk", "box", "triangle", "star"),
    "segment": ("disk", "box", "triangle", "star"),
    "pose": ("star",),
    "obb": ("disk", "box", "triangle"),
    "classify": ("box", "disk", "star", "triangle"),
    "semantic": ("disk", "box", "triangle", "star", "ground"),
    "depth": ("depth",),
}
MODELS = {
    "detect": PLAIN / "shapes.onnx",
    "segment": PLAIN / "shapes-seg.onnx",
    "pose": PLAIN / "shapes-pose.onnx",
    "obb": PLAIN / "shapes-obb.onnx",
    "classify": PLAIN / "shapes-cls.onnx",
    "semantic": PLAIN / "shapes-sem.onnx",
    "depth": PLAIN / "shapes-depth.onnx",
}
SIZES = ((320, 320), (400, 300), (333, 517), (640, 480), (281, 320), (250, 601))
"""(width, height): rounded up and down, upright and lying."""


def _script(stem: str = "drawn_shapes") -> Any:
    """A module that draws; it is a script, not part of the package."""
    package = "scripts_that_draw"
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(ROOT / "scripts")]
    return importlib.import_module(f"{package}.{stem}")


def write_dataset(folder: Path, task: str, images: int, seed: int = 300_000) -> Path:
    """Draw a dataset for a task; returns what `data` is for it."""
    if task == "classify":
        return _write_classes(folder, images, seed)
    if task in ("semantic", "depth"):
        return _write_maps(folder, task, images, seed)
    drawing = _script()
    for kind in ("images", "labels"):
        (folder / kind / "val").mkdir(parents=True)
    for index in range(images):
        width, height = SIZES[index % len(SIZES)]
        image, shapes = drawing.draw(drawing.Scene(width, height), seed + index)
        cv2.imwrite(str(folder / "images" / "val" / f"{index:04d}.jpg"), image)
        lines = [line for shape in shapes if (line := _line(shape, task, np.array((width, height))))]
        (folder / "labels" / "val" / f"{index:04d}.txt").write_text("\n".join(lines), encoding="utf-8")
    content: dict[str, Any] = {"path": str(folder), "train": "images/val", "val": "images/val"}
    content["names"] = dict(enumerate(NAMES[task]))
    if task == "pose":
        content["kpt_shape"] = [5, 3]
    data = folder / "data.yaml"
    data.write_text(yaml.safe_dump(content), encoding="utf-8")
    return data


def _write_maps(folder: Path, task: str, images: int, seed: int) -> Path:
    """Masks of class ids; depths as PNG, every third one as NPY, and some at half the size of the image."""
    drawing, maps = _script(), _script("dense_labels")
    kind = "masks" if task == "semantic" else "depth"
    for name in ("images", kind):
        (folder / name / "val").mkdir(parents=True)
    for index in range(images):
        width, height = SIZES[index % len(SIZES)]
        image, shapes = drawing.draw(drawing.Scene(width, height), seed + index)
        cv2.imwrite(str(folder / "images" / "val" / f"{index:04d}.jpg"), image)
        target = folder / kind / "val" / f"{index:04d}.png"
        if task == "semantic":
            mask = maps.class_map(shapes, NAMES[task], height, width)
            mask[: index % 5 * 8] = 255
            cv2.imwrite(str(target), mask)
            continue
        depth = maps.depth_map(shapes, height, width)
        depth[: index % 5 * 8] = 0
        if index % 3 == 2:
            np.save(target.with_suffix(".npy"), depth)
            continue
        if index % 4 == 1:
            depth = cv2.resize(depth, (width // 2, height // 2), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(target), np.round(depth * maps.MILLIMETRES).astype(np.uint16))
    content = {"path": str(folder), "train": "images/val", "val": "images/val"}
    data = folder / "data.yaml"
    names = {"names": dict(enumerate(NAMES[task]))}
    data.write_text(yaml.safe_dump(content | names), encoding="utf-8")
    return data


def _write_classes(folder: Path, images: int, seed: int) -> Path:
    drawing = _script()
    names = NAMES["classify"]
    for index in range(images):
        kind = names[index % len(names)]
        scene = drawing.Scene(144 + index % 5 * 11, 144, (1, 1), (0.1, 0.45), (kind,), centred=True)
        for split in ("train", "val"):  # Ultralytics wants both
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
            image = drawing.draw(scene, seed + index)[0]
            cv2.imwrite(str(folder / split / kind / f"{index:04d}.jpg"), image)
    return folder


def _line(shape: Any, task: str, size: Any) -> str | None:
    """The line of a shape in a label file."""
    if shape.kind not in NAMES[task] or (task == "obb" and shape.frame is None):
        return None
    x1, y1, x2, y2 = shape.box()
    box = np.array(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)) / np.tile(size, 2)
    values = box
    if task == "segment":
        values = (shape.contour() / size).ravel()
    elif task == "obb":
        values = np.clip(shape.frame / size, 0, 1).ravel()
    elif task == "pose":
        seen = np.where(shape.tip_visible(), 2, 1)[:, None]
        values = np.concatenate((box, np.hstack((shape.tips / size, seen)).ravel()))
    return " ".join((str(NAMES[task].index(shape.kind)), *(f"{value:.6f}" for value in values)))
