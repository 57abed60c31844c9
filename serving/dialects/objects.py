"""Objects as HUB v2 and Ultralytics Platform answer them: the items of `Results.summary`, as structs."""

from __future__ import annotations

from typing import Annotated, Any, Self, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...engine.results.results import Results

Score = Annotated[float, Meta(ge=0, le=1)]


class Box(msgspec.Struct):
    """Two corners of an upright box, or the four corners of a rotated one, in order."""

    x1: float
    y1: float
    x2: float
    y2: float
    x3: float | UnsetType = UNSET
    y3: float | UnsetType = UNSET
    x4: float | UnsetType = UNSET
    y4: float | UnsetType = UNSET


class Points(msgspec.Struct):
    """Points of an outline, or keypoints, which may have a visibility from 0 to 1."""

    x: list[float]
    y: list[float]
    visible: list[float] | UnsetType = UNSET


class Object(msgspec.Struct, kw_only=True):
    """An object: box, outline or keypoints by task."""

    name: str
    class_: int = msgspec.field(name="class")
    confidence: Score
    box: Box | UnsetType = UNSET
    segments: Points | UnsetType = UNSET
    keypoints: Points | UnsetType = UNSET


Item = TypeVar("Item", bound=Object)


class Speed(msgspec.Struct):
    """Milliseconds by stage."""

    preprocess: float
    inference: float
    postprocess: float

    @classmethod
    def of(cls, results: Results) -> Self:
        """The speed of one image."""
        return cls(*(round(results.speed[stage], 3) for stage in cls.__struct_fields__))


def objects(results: Results, kind: type[Item], normalize: bool = False, decimals: int = 5) -> list[Item]:
    """The objects of an image, or what else `Results.summary` lists.

    Args:
        results: of the image.
        kind: of the items, which has the fields of the summary.
        normalize: coordinates from 0 to 1 instead of pixels of the upright image.
        decimals: all numbers are rounded to so many.
    """
    return [_item(found, kind) for found in results.summary(normalize, decimals)]


def _item(found: dict[str, Any], kind: type[Item]) -> Item:
    fields: dict[str, Any] = {}
    for name, value in found.items():
        fields[name] = _PARTS[name](**value) if name in _PARTS else value
    return kind(class_=fields.pop("class"), **fields)


_PARTS: dict[str, type[Box | Points]] = {"box": Box, "segments": Points, "keypoints": Points}
