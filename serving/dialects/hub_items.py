"""What the answers of HUB v1 and HUB v2 share: the class of an object, and a classification."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ...engine.results.results import Results
from ...postprocess.layout import Task
from .objects import Score

HUB_TASKS: tuple[Task, ...] = ("detect", "segment", "pose", "obb", "classify")
"""What HUB had models for."""


class HubItem(msgspec.Struct, kw_only=True):
    """An object's class, and all that a classification says."""

    class_: int = msgspec.field(name="class")
    name: str
    confidence: Score


Item = TypeVar("Item", bound=HubItem)


def classes(results: Results, conf: float, kind: type[Item]) -> list[Item]:
    """The classes of a classification with a score of `conf` or more, best first, at most five."""
    if results.probs is None:
        return []
    pairs = zip(results.probs.top5, results.probs.top5conf, strict=True)
    return [
        kind(class_=i, name=results.class_name(i), confidence=round(float(score), 5))
        for i, score in pairs
        if score >= conf
    ]
