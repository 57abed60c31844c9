"""HUB v2, the HUB Inference API from 2024 on: the file is `file`, coordinates are in pixels."""

from __future__ import annotations

from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..._version import __version__
from ...engine.results.results import Results
from ..model_registry import LoadedModel
from ..schemas import Pair
from .dialect import Arguments, Dialect, ModelId, RequestFields, SideLength, Url
from .hub_items import HUB_TASKS, HubItem, Score, classes


class HubV2(RequestFields, kw_only=True, frozen=True):
    """HUB v2: the file is `file`; the answer has coordinates in pixels."""

    url: Url | UnsetType = msgspec.field(name="source", default=UNSET)
    size: SideLength | UnsetType = msgspec.field(name="imgsz", default=UNSET)
    model: ModelId | UnsetType = UNSET


class HubV2Box(msgspec.Struct):
    """Two corners of an upright box, or the four corners of a rotated one, in order; pixels."""

    x1: float
    y1: float
    x2: float
    y2: float
    x3: float | UnsetType = UNSET
    y3: float | UnsetType = UNSET
    x4: float | UnsetType = UNSET
    y4: float | UnsetType = UNSET


class HubV2Points(msgspec.Struct):
    """Points of an outline, or keypoints, pixels; keypoints may have a visibility from 0 to 1."""

    x: list[float]
    y: list[float]
    visible: list[float] | UnsetType = UNSET


class HubV2Item(msgspec.Struct, kw_only=True):
    """An object: box, outline or keypoints by task, in pixels of the upright image."""

    name: str
    class_: int = msgspec.field(name="class")
    confidence: Score
    box: HubV2Box | UnsetType = UNSET
    segments: HubV2Points | UnsetType = UNSET
    keypoints: HubV2Points | UnsetType = UNSET


class HubV2Speed(msgspec.Struct):
    """Milliseconds by stage."""

    preprocess: float
    inference: float
    postprocess: float


class HubV2Image(msgspec.Struct):
    """What was found in an image."""

    results: list[HubV2Item]
    shape: Annotated[Pair, Meta(description="Height and width of the upright image, pixels.")]
    speed: HubV2Speed


class HubV2Metadata(msgspec.Struct):
    """What was in effect."""

    model: str
    task: str
    imgsz: Annotated[Pair, Meta(description="Height and width of the input, pixels.")]
    conf: float
    iou: float
    provider: str
    version: str


class HubV2Answer(msgspec.Struct):
    """The answer of HUB v2."""

    images: list[HubV2Image]
    metadata: HubV2Metadata


def render(results: Results, arguments: Arguments, model: LoadedModel) -> HubV2Answer:
    """The answer to a request in HUB v2."""
    speed = HubV2Speed(*(round(results.speed[s], 3) for s in HubV2Speed.__struct_fields__))
    metadata = HubV2Metadata(
        model=model.id,
        task=results.task,
        imgsz=model.engine.size(arguments.size),
        conf=arguments.conf,
        iou=arguments.iou,
        provider=model.engine.session.provider,
        version=__version__,
    )
    return HubV2Answer([HubV2Image(items(results, arguments.conf), results.orig_shape, speed)], metadata)


def items(results: Results, conf: float) -> list[HubV2Item]:
    """The objects of an image; of a classification the classes with a score of `conf` or more."""
    if results.probs is not None:
        # The same fields in another order, which HUB had as well and clients do not see.
        return cast("list[HubV2Item]", classes(results, conf, HubItem))
    return [_item(each) for each in results.summary()]


HUB_V2 = Dialect("HUB v2", HubV2, "file", HubV2Answer, render, HUB_TASKS)


def _item(found: dict[str, Any]) -> HubV2Item:
    """An object out of `Results.summary`, whose numbers are rounded already."""
    item = HubV2Item(name=found["name"], class_=found["class"], confidence=found["confidence"])
    item.box = HubV2Box(**found["box"])
    if "segments" in found:
        item.segments = HubV2Points(**found["segments"])
    if "keypoints" in found:
        item.keypoints = HubV2Points(**found["keypoints"])
    return item
