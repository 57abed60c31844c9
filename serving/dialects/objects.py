"""Objects as HUB v2 and Ultralytics Platform answer them: the items of `Results.summary`, as structs."""

from __future__ import annotations

from typing import Annotated, Any, Self

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


class Speed(msgspec.Struct):
    """Milliseconds by stage."""

    preprocess: float
    inference: float
    postprocess: float

    @classmethod
    def of(cls, results: Results) -> Self:
        """The speed of one image."""
        return cls(*(round(results.speed[stage], 3) for stage in cls.__struct_fields__))


def objects(results: Results, normalize: bool = False, decimals: int = 5) -> list[Object]:
    """The objects of an image, or the five most probable classes.

    Args:
        results: of the image.
        normalize: coordinates from 0 to 1 instead of pixels of the upright image.
        decimals: all numbers are rounded to so many.
    """
    return [_object(found) for found in results.summary(normalize, decimals)]


def _object(found: dict[str, Any]) -> Object:
    item = Object(name=found["name"], class_=found["class"], confidence=found["confidence"])
    if "box" in found:
        item.box = Box(**found["box"])
    if "segments" in found:
        item.segments = Points(**found["segments"])
    if "keypoints" in found:
        item.keypoints = Points(**found["keypoints"])
    return item
