"""HUB v1, the first HUB Inference API: the file is `image`, coordinates are normalised to 0 to 1."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from ...engine.results.results import Results
from ...postprocess.types import Float
from ..model_registry import LoadedModel
from ..schemas import AlwaysTrue
from .dialect import Arguments, Confidence, Dialect, RequestFields
from .hub_items import HUB_TASKS, HubItem, classes

_DECIMALS = 6
"""Of coordinates: a millionth of an image's side is below any box's precision."""

Flat = Annotated[list[float], Meta(description="x y x y ..., from 0 to 1.")]


class HubV1(RequestFields, kw_only=True, frozen=True):
    """HUB v1: the file is `image`; the answer has coordinates from 0 to 1."""

    conf: Confidence = msgspec.field(name="confidence", default=0.25)


class HubV1Item(HubItem, kw_only=True):
    """An object: box, corners, outline or keypoints by task, normalised by the upright image's size."""

    width: float | UnsetType = UNSET
    height: float | UnsetType = UNSET
    xcenter: float | UnsetType = UNSET
    ycenter: float | UnsetType = UNSET
    obb: Annotated[list[float], Meta(min_length=8, max_length=8)] | UnsetType = UNSET
    segment: Flat | UnsetType = UNSET
    keypoints: Annotated[list[float], Meta(description="x y visibility ...")] | UnsetType = UNSET


class HubV1Answer(msgspec.Struct):
    """The answer of HUB v1."""

    success: AlwaysTrue
    message: str
    data: list[HubV1Item]


def render(results: Results, arguments: Arguments, model: LoadedModel) -> HubV1Answer:
    """The answer to a request in HUB v1."""
    return HubV1Answer(True, "Inference complete.", items(results, arguments.conf))


def items(results: Results, conf: float) -> list[HubV1Item]:
    """The objects of an image; of a classification the classes with a score of `conf` or more."""
    if results.probs is not None:
        return classes(results, conf, HubV1Item)
    objects = results.obb if results.boxes is None else results.boxes
    if objects is None:
        return []
    found = [
        HubV1Item(
            class_=int(class_id),
            name=results.class_name(int(class_id)),
            confidence=round(float(score), 5),
        )
        for class_id, score in zip(objects.cls, objects.conf, strict=True)
    ]
    if results.obb is not None:
        for item, corners in zip(found, results.obb.xyxyxyxyn, strict=True):
            item.obb = _flat(corners)
    elif results.masks is not None:
        for item, outline in zip(found, results.masks.xyn, strict=True):
            item.segment = _flat(outline)
    elif results.keypoints is not None:
        for item, points in zip(found, _points(results), strict=True):
            item.keypoints = _flat(points)
    elif results.boxes is not None:
        for item, box in zip(found, _round(results.boxes.xywhn), strict=True):
            item.xcenter, item.ycenter, item.width, item.height = box
    return found


HUB_V1 = Dialect("HUB v1", HubV1, "image", HubV1Answer, render, HUB_TASKS)


def _points(results: Results) -> Float:
    """(N, K, 3) x, y from 0 to 1 and visibility, which is 1 where the model predicts none."""
    assert results.keypoints is not None
    points: Float = results.keypoints.xyn
    visible: Float | None = results.keypoints.conf
    if visible is None:
        visible = np.ones(points.shape[:2], points.dtype)
    return np.concatenate((points, visible[..., None]), axis=-1)


def _flat(values: Float) -> list[float]:
    found: list[float] = _round(values.ravel())
    return found


def _round(values: Float) -> Any:
    return np.round(values.astype(np.float64), _DECIMALS).tolist()
