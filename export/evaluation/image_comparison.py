"""Compares two predictions for one image: pairs their objects and measures every pair."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.errors import InputError
from ...postprocess.layout import Task
from .map_comparison import as_same_shape, overlaps_of_classes, values_of_classes, values_of_depth
from .matching import Float64, as_float64, mask_ious, match, pairwise_iou
from .predictions import Result

NO_VALUES: Float64 = np.zeros(0)
_CORNER_ORDERS = np.array([np.roll(order, n) for order in ((0, 1, 2, 3), (3, 2, 1, 0)) for n in range(4)])
_VISIBLE = 0.5  # visibility from which keypoints are drawn; the positions of others are noise
_INPUT_SIDE = 640  # pixels of the network's input along the longer side of an image, roughly

Floors = tuple[float, float]
"""Scores up to which a prediction, that of the reference and that of the candidate, may lack objects."""

COMPLETE: Floors = (-math.inf, -math.inf)


@dataclass(frozen=True, slots=True, eq=False)
class ImageComparison:
    """Measurements of one image.

    Attributes:
        tasks: that both predictions can be of.
        values: by name of a field of `Agreement` or `Differences`, a value or more for every pair.
        missing, extra: scores of the objects of the reference and of the candidate without a partner.
        overlaps: of semantic masks, by class: (2,) numbers of pixels that both and that either give to it.
    """

    tasks: frozenset[Task]
    values: dict[str, Float64]
    missing: tuple[float, ...] = ()
    extra: tuple[float, ...] = ()
    overlaps: dict[int, Float64] = field(default_factory=dict)


@np.errstate(invalid="ignore")  # a broken model's infinite coordinates: they have no IoU, so no partner
def compare_image(reference: Result, candidate: Result, floors: Floors = COMPLETE) -> ImageComparison:
    """Pair the objects of two predictions and measure the pairs.

    Args:
        floors: an object is neither missing nor extra where its partner may have been left out of the other
            prediction, and two such objects are paired only if their boxes coincide within a pixel.

    Raises:
        InputError: the predictions are of different tasks, images or classes.
    """
    tasks = common_tasks(_possible_tasks(reference), _possible_tasks(candidate))
    sizes = [tuple(map(int, result.orig_shape)) for result in (reference, candidate)]
    if sizes[0] != sizes[1]:
        raise InputError(f"answers to different images: (height, width) {sizes[0]} and {sizes[1]}")
    if "classify" in tasks:
        return ImageComparison(tasks, _of_probs(reference, candidate))
    if "semantic" in tasks:
        maps = as_same_shape(reference.semantic_mask.data, candidate.semantic_mask.data)
        return ImageComparison(tasks, values_of_classes(*maps), overlaps=overlaps_of_classes(*maps))
    if "depth" in tasks:
        return ImageComparison(
            tasks, values_of_depth(*as_same_shape(reference.depth.data, candidate.depth.data))
        )
    views = [result.boxes if result.obb is None else result.obb for result in (reference, candidate)]
    name, corners = ("xyxyxyxy", 4) if "obb" in tasks else ("xyxy", 2)
    one, other = (as_float64(getattr(view, name)).reshape(-1, corners, 2) for view in views)
    scores = [as_float64(view.conf) for view in views]
    comparable = np.equal.outer(*(as_float64(view.cls) for view in views))
    pixel = max(1.0, max(sizes[0]) / _INPUT_SIDE)
    iou = pairwise_iou(one, other, comparable, pixel)
    rows, columns = match(iou, scores)
    optional = _optional((one, other), scores, floors)
    apart = np.abs(one[rows] - other[columns]).max(axis=(1, 2), initial=0) > pixel
    certain = ~(apart & optional[0][rows] & optional[1][columns])
    rows, columns = rows[certain], columns[certain]
    one, other, change = one[rows], other[columns], scores[1][columns] - scores[0][rows]
    values = {"mean_iou": iou[rows, columns], "confidence_change": change, "box": np.abs(other - one)}
    values["confidence_error"] = values["score"] = np.abs(change)
    if "obb" in tasks:
        offsets = np.abs(other[:, None] - one[:, _CORNER_ORDERS])
        values["corner_distance"] = np.linalg.norm(offsets, axis=3).mean(axis=2).min(axis=1)
        values["box"] = offsets.max(axis=(2, 3)).min(axis=1)
    elif "segment" in tasks and len(rows):
        values["mask_iou"] = mask_ious((reference.masks, candidate.masks), rows, columns)
        values["mask"] = 1 - values["mask_iou"]
    elif "pose" in tasks and len(rows):
        points = (
            as_float64(reference.keypoints.data)[rows],
            as_float64(candidate.keypoints.data)[columns],
        )
        values |= _of_points(*points, np.linalg.norm(one[:, 1] - one[:, 0], axis=1))
    unmatched = []
    for found, paired, may_be_alone in zip(scores, (rows, columns), optional, strict=True):
        alone = ~may_be_alone
        alone[paired] = False
        unmatched.append(tuple(found[alone].tolist()))
    return ImageComparison(tasks, values, missing=unmatched[0], extra=unmatched[1])


def _optional(
    corners: tuple[Float64, Float64], scores: list[Float64], floors: Floors
) -> list[NDArray[np.bool_]]:
    """Which objects, (N,) and (M,), may lack a partner."""
    if floors == COMPLETE:
        return [np.full(len(found), False) for found in scores]
    optional = [found <= floor for found, floor in zip(scores, reversed(floors), strict=True)]
    if corners[0].shape[1] == 2:
        # YOLO26 can give boxes with negative sides, of which nothing may be left after clipping: whether
        # suppression drops them depends on their order.
        for may, boxes in zip(optional, corners, strict=True):
            may |= (boxes[:, 1] <= boxes[:, 0]).any(axis=1)
    return optional


def common_tasks(one: frozenset[Task], other: frozenset[Task]) -> frozenset[Task]:
    """The tasks that both can be of.

    Raises:
        InputError: there is none.
    """
    if not one & other:
        texts = [" or ".join(sorted(tasks)) or "none known" for tasks in (one, other)]
        raise InputError(f"answers of different tasks: {texts[0]}, and {texts[1]}")
    return one & other


def json_ready(values: dict[str, Any]) -> dict[str, Any]:
    """The same values with floats rounded to five decimals, None in place of what is not finite."""
    floats = {key: value for key, value in values.items() if isinstance(value, float)}
    return values | {
        key: round(value, 5) + 0.0 if math.isfinite(value) else None for key, value in floats.items()
    }


def _of_probs(reference: Result, candidate: Result) -> dict[str, Float64]:
    one, other = as_float64(reference.probs.data), as_float64(candidate.probs.data)
    if one.shape != other.shape:
        raise InputError(f"answers of different models: {len(one)} and {len(other)} classes")
    best = one.argmax()
    change = (other - one)[[best]]
    values = {"confidence_change": change, "confidence_error": np.abs(change), "probs": np.abs(other - one)}
    return values | {"top1": as_float64([other.argmax() == best])}


def _of_points(one: Float64, other: Float64, diagonals: Float64) -> dict[str, Float64]:
    """Of (pairs, K, 2 or 3) keypoints, with (pairs,) diagonals of the reference's boxes in pixels."""
    if one.shape != other.shape:
        raise InputError(f"answers of different models: keypoints {one.shape[1:]} and {other.shape[1:]}")
    offsets = np.abs(other - one)
    visible = one[..., 2] >= _VISIBLE if one.shape[2] == 3 else np.full(one.shape[:2], True)
    distances = np.linalg.norm(offsets[..., :2], axis=2)
    # At least a pixel: a box that the image's border cuts off may have no size.
    relative = distances / np.maximum(diagonals, 1)[:, None]
    values = {"keypoints": offsets[..., :2], "visibility": offsets[..., 2:]}
    return values | {"keypoint_distance": distances[visible], "keypoint_relative": relative[visible]}


def _possible_tasks(result: Result) -> frozenset[Task]:
    """The tasks that a prediction can be of: Ultralytics gives no masks where it found no object."""
    views: dict[Task, Any] = {"classify": result.probs, "obb": result.obb}
    views |= {"pose": result.keypoints, "segment": result.masks}
    # Results of Ultralytics have maps since 8.4.190.
    views |= {"semantic": getattr(result, "semantic_mask", None), "depth": getattr(result, "depth", None)}
    known = frozenset(task for task, view in views.items() if view is not None)
    if not known and result.boxes is not None:
        return frozenset(("detect",) if len(result.boxes) else ("detect", "segment", "pose"))
    return known
