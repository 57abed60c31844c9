"""Differences between two answers as plain data, which `reference_runner.answer` makes and files hold."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engine.errors import InputError
from ..export.evaluation.differences import Differences, differences
from ..export.evaluation.predictions import Boxes, Keypoints, Map, Outlines, Prediction, Probs

PlainAnswer = dict[str, Any]
"""The answer to one image."""


def compare(reference: PlainAnswer, answer: PlainAnswer) -> Differences:
    """The largest differences between two answers to one image; see `export.evaluation.differences`.

    Masks are compared as filled outlines. Of a classification only five classes are known: `probs` is the
    largest difference of those that the reference lists, and one that the answer lacks counts as 0 there.

    Raises:
        InputError: one of them is no such answer, or they are of different tasks, images or classes.
    """
    both = (reference, answer)
    try:
        if all("top5" in each for each in both):
            classes = list(map(int, reference["top5"]))
            found = [Prediction(_shape(each), probs=_probs(each, classes)) for each in both]
        else:
            found = [_prediction(each, _keypoint_values(both)) for each in both]
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        what = f"no {exc}" if isinstance(exc, KeyError) else str(exc)
        raise InputError(f"not an answer to an image: {what}") from exc
    return differences(*found)


def _prediction(answer: PlainAnswer, keypoint_values: int) -> Prediction:
    """The arrays of an answer."""
    shape = _shape(answer)
    if "top5" in answer:
        return Prediction(shape, probs=_probs(answer, []))
    if "semantic_mask" in answer:
        return Prediction(shape, semantic_mask=Map(_map(answer["semantic_mask"])))
    if "depth_map" in answer:
        return Prediction(shape, depth=Map(_map(answer["depth_map"]) * (float(answer["depth_max"]) / 65535)))
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
        length = len(answer["keypoints"][0]) // keypoint_values if count else 0
        points = Keypoints(_array(answer, "keypoints", count, length, keypoint_values))
    return Prediction(shape, boxes, masks=masks, keypoints=points)


def _map(png: str) -> NDArray[Any]:
    """The values of a map that `reference_runner` wrote."""
    found = cv2.imdecode(np.frombuffer(base64.b64decode(png), np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise ValueError("its map is no PNG")
    return found


def _shape(answer: PlainAnswer) -> tuple[int, int]:
    height, width = map(int, answer["shape"])
    return height, width


def _array(answer: PlainAnswer, name: str, *shape: int) -> NDArray[np.float64]:
    values = np.asarray(answer[name], np.float64)
    if values.size != np.prod(shape, dtype=int):
        raise ValueError(f"{name} has {values.size} numbers where {shape[0]} objects need {np.prod(shape)}")
    return values.reshape(shape)


def _probs(answer: PlainAnswer, classes: list[int]) -> Probs:
    """Probabilities of the classes named, 0 for those that the answer does not list."""
    listed = dict(zip(map(int, answer["top5"]), map(float, answer["top5conf"]), strict=True))
    return Probs(np.array([listed.get(number, 0.0) for number in classes], np.float64))


def _keypoint_values(both: tuple[PlainAnswer, PlainAnswer]) -> int:
    """2 or 3, from the answer that has `kpt_shape`; else 3 where possible: most models have visibility."""
    for each in both:
        if "kpt_shape" in each:
            return int(each["kpt_shape"][1])
    lengths = [len(points) for each in both for points in each.get("keypoints", ())]
    return 3 if all(length % 3 == 0 for length in lengths) else 2
