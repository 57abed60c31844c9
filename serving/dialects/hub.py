"""Answers in the wire format of the HUB API, both forms."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from ..._version import __version__
from ...engine.results.results import Results
from ...postprocess.types import Float
from ..model_registry import LoadedModel
from .arguments import Arguments

encode = msgspec.json.Encoder().encode

_DECIMALS = 6
"""Of normalised coordinates: a millionth of an image's side is below any box's precision."""


def answer(results: Results, arguments: Arguments, served: LoadedModel) -> bytes:
    """The body that answers a request, in the form that it used."""
    if arguments.form == "first":
        items = first_items(results, arguments.conf)
        return encode({"success": True, "message": "Inference complete.", "data": items})
    image = {
        "results": second_items(results, arguments.conf),
        "shape": list(results.orig_shape),
        "speed": {s: round(results.speed[s], 3) for s in ("preprocess", "inference", "postprocess")},
    }
    metadata = {
        "model": served.id,
        "task": results.task,
        "imgsz": list(served.engine.size(arguments.size)),
        "conf": arguments.conf,
        "iou": arguments.iou,
        "provider": served.engine.session.provider,
        "version": __version__,
    }
    return encode({"images": [image], "metadata": metadata})


def first_items(results: Results, conf: float) -> list[dict[str, Any]]:
    """The objects with coordinates from 0 to 1; a classification's classes from `conf` on."""
    if results.probs is not None:
        return _classes(results, conf)
    objects = results.obb if results.boxes is None else results.boxes
    if objects is None:
        return []
    items = [
        _head(results, int(class_id), float(score))
        for class_id, score in zip(objects.cls, objects.conf, strict=True)
    ]
    if results.obb is not None:
        for item, corners in zip(items, results.obb.xyxyxyxyn, strict=True):
            item["obb"] = _flat(corners)
    elif results.masks is not None:
        for item, outline in zip(items, results.masks.xyn, strict=True):
            item["segment"] = _flat(outline)
    elif results.keypoints is not None:
        for item, points in zip(items, _points(results), strict=True):
            item["keypoints"] = _flat(points)
    elif results.boxes is not None:
        for item, (x, y, width, height) in zip(items, _round(results.boxes.xywhn), strict=True):
            item |= {"width": width, "height": height, "xcenter": x, "ycenter": y}
    return items


def second_items(results: Results, conf: float) -> list[dict[str, Any]]:
    """The objects with coordinates in pixels; a classification's classes from `conf` on."""
    return _classes(results, conf) if results.probs is not None else results.summary()


def _classes(results: Results, conf: float) -> list[dict[str, Any]]:
    probs = results.probs
    if probs is None:
        return []
    pairs = zip(probs.top5, probs.top5conf, strict=True)
    return [_head(results, i, float(score)) for i, score in pairs if score >= conf]


def _head(results: Results, class_id: int, score: float) -> dict[str, Any]:
    return {"class": class_id, "name": results.class_name(class_id), "confidence": round(score, 5)}


def _points(results: Results) -> Float:
    """(N, K, 3) x, y from 0 to 1 and visibility, which is 1 where the model predicts none."""
    assert results.keypoints is not None
    points, visible = results.keypoints.xyn, results.keypoints.conf
    if visible is None:
        visible = np.ones(points.shape[:2], points.dtype)
    return np.concatenate((points, visible[..., None]), axis=-1)


def _flat(values: Float) -> list[float]:
    found: list[float] = _round(values.ravel())
    return found


def _round(values: Float) -> Any:
    return np.round(values.astype(np.float64), _DECIMALS).tolist()
