"""HUB v2, the HUB Inference API from 2024 on: the file is `file`, coordinates are in pixels."""

from __future__ import annotations

from typing import Annotated, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..._version import __version__
from ...engine.results.results import Results
from ..model_registry import LoadedModel
from ..schemas import Pair
from .dialect import Arguments, Dialect, ModelId, RequestFields, SideLength, Url
from .hub_items import HUB_TASKS, HubItem, classes
from .objects import Object, Speed, objects


class HubV2(RequestFields, kw_only=True, frozen=True):
    """HUB v2: the file is `file`; the answer has coordinates in pixels."""

    url: Url | UnsetType = msgspec.field(name="source", default=UNSET)
    size: SideLength | UnsetType = msgspec.field(name="imgsz", default=UNSET)
    model: ModelId | UnsetType = UNSET


class HubV2Image(msgspec.Struct):
    """What was found in an image."""

    results: list[Object]
    shape: Annotated[Pair, Meta(description="Height and width of the upright image, pixels.")]
    speed: Speed


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
    metadata = HubV2Metadata(
        model=model.id,
        task=results.task,
        imgsz=model.engine.size(arguments.size),
        conf=arguments.conf,
        iou=arguments.iou,
        provider=model.engine.session.provider,
        version=__version__,
    )
    image = HubV2Image(items(results, arguments.conf), results.orig_shape, Speed.of(results))
    return HubV2Answer([image], metadata)


def items(results: Results, conf: float) -> list[Object]:
    """The objects of an image; of a classification the classes with a score of `conf` or more."""
    if results.probs is not None:
        # The same fields in another order, which HUB had as well and clients do not see.
        return cast("list[Object]", classes(results, conf, HubItem))
    return objects(results, Object)


HUB_V2 = Dialect("HUB v2", HubV2, "file", HubV2Answer, render, HUB_TASKS)
