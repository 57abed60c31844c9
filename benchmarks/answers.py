"""Answers as plain data, which a JSON file holds, and how far two of them differ.

An answer to one image is a dict: `shape` [height, width] of the image; then the objects, best first, as
`cls`, `conf` and `xyxy`, or for oriented ones `cls`, `conf`, `xywhr` and `obb`, eight coordinates of
corners each; with `segments`, an outline [x, y, x, y, ...] each, or `keypoints`, [x, y, visibility, ...]
each, by task. A classification has `top5` and `top5conf` instead. Coordinates are pixels of the image.
`peers/reference.py` writes what Ultralytics answers in the same form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.errors import InputError
from ..engine.results.results import Results
from ..export.evaluation.differences import Differences, differences
from ..export.evaluation.predictions import Boxes, Keypoints, Outlines, Prediction, Probs

Plain = dict[str, Any]
"""An answer to one image."""

_DIGITS = {"conf": 6, "xyxy": 3, "obb": 3, "xywhr": 4, "segments": 2, "keypoints": 3, "top5conf": 6}


def as_answer(result: Results) -> Plain:
    """What yolean found in one image.

    `kpt_shape`, [number of keypoints, values of each], is there besides: a flat list does not tell.
    """
    entry: Plain = {"shape": list(map(int, result.orig_shape))}
    if result.probs is not None:
        top5conf = _rounded("top5conf", result.probs.top5conf)
        return entry | {"top5": list(map(int, result.probs.top5)), "top5conf": top5conf}
    objects = result.boxes if result.obb is None else result.obb
    assert objects is not None
    entry |= {"cls": objects.cls.astype(int).tolist(), "conf": _rounded("conf", objects.conf)}
    if result.obb is not None:
        corners = result.obb.xyxyxyxy.reshape(-1, 8)
        return entry | {"xywhr": _rounded("xywhr", result.obb.xywhr), "obb": _rounded("obb", corners)}
    entry["xyxy"] = _rounded("xyxy", objects.xyxy)
    if result.masks is not None:
        entry["segments"] = [_rounded("segments", outline.reshape(-1)) for outline in result.masks.xy]
    if result.keypoints is not None:
        points = result.keypoints.data
        flat = points.reshape(len(points), points.shape[1] * points.shape[2])
        entry |= {"keypoints": _rounded("keypoints", flat), "kpt_shape": list(points.shape[1:])}
    return entry


def compare(reference: Plain, answer: Plain) -> Differences:
    """The largest differences between two answers to one image; `differences` tells which they are.

    Masks are compared as filled outlines. Of a classification only five classes are known: `probs` is the
    largest difference of those that the reference lists, and one that the answer lacks counts as 0 there.

    Raises:
        InputError: one of them is no such answer, or they are of different tasks, images or classes.
    """
    sides = (reference, answer)
    try:
        if all("top5" in side for side in sides):
            classes = list(map(int, reference["top5"]))
            views = [Prediction(_shape(side), probs=_probs(side, classes)) for side in sides]
        else:
            views = [_view(side, _values_of_a_keypoint(sides)) for side in sides]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        what = f"no {exc}" if isinstance(exc, KeyError) else str(exc)
        raise InputError(f"not an answer to an image: {what}") from exc
    return differences(*views)


def _view(answer: Plain, values: int) -> Prediction:
    """The objects of an answer as `differences` reads them; a keypoint has so many values."""
    shape = _shape(answer)
    if "top5" in answer:
        return Prediction(shape, probs=_probs(answer, []))
    conf, cls = (_array(answer, name, len(answer["cls"])) for name in ("conf", "cls"))
    count = len(cls)
    if "obb" in answer:
        return Prediction(shape, obb=Boxes(conf, cls, xyxyxyxy=_array(answer, "obb", count, 4, 2)))
    boxes, masks, points = Boxes(conf, cls, xyxy=_array(answer, "xyxy", count, 4)), None, None
    if "segments" in answer:
        outlines = [np.asarray(outline, np.float64).reshape(-1, 2) for outline in answer["segments"]]
        if len(outlines) != count:
            raise ValueError(f"{count} objects and {len(outlines)} segments")
        masks = Outlines(outlines)
    if "keypoints" in answer:
        length = len(answer["keypoints"][0]) // values if count else 0
        points = Keypoints(_array(answer, "keypoints", count, length, values))
    return Prediction(shape, boxes, masks=masks, keypoints=points)


def _shape(answer: Plain) -> tuple[int, int]:
    height, width = map(int, answer["shape"])
    return height, width


def _array(answer: Plain, name: str, *shape: int) -> NDArray[np.float64]:
    values = np.asarray(answer[name], np.float64)
    if values.size != np.prod(shape, dtype=int):
        raise ValueError(f"{name} has {values.size} numbers where {shape[0]} objects need {np.prod(shape)}")
    return values.reshape(shape)


def _probs(answer: Plain, classes: list[int]) -> Probs:
    """Probabilities of the classes named, 0 for those that the answer does not list."""
    listed = dict(zip(map(int, answer["top5"]), map(float, answer["top5conf"]), strict=True))
    return Probs(np.array([listed.get(number, 0.0) for number in classes], np.float64))


def _values_of_a_keypoint(sides: tuple[Plain, Plain]) -> int:
    """2 or 3, from whichever side tells; else 3 where that is possible, for most models tell visibility."""
    for side in sides:
        if "kpt_shape" in side:
            return int(side["kpt_shape"][1])
    lengths = [len(points) for side in sides for points in side.get("keypoints", ())]
    return 3 if all(length % 3 == 0 for length in lengths) else 2


def _rounded(name: str, array: Any) -> list[Any]:
    # Through float64: a rounded float32 would print with all its digits.
    values: list[Any] = np.asarray(array, np.float64).round(_DIGITS[name]).tolist()
    return values
