"""Mean agreement of a candidate model with a reference model: what INT8 or half precision costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from ...engine.errors import InputError
from ...postprocess.layout import TASKS, Task
from .image_comparison import NO_VALUES, common_tasks, compare_image, json_ready
from .map_comparison import mean_iou_of_classes
from .matching import Float64
from .predictions import Result


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a candidate agrees with a reference; None for what the task lacks, and for a mean of nothing.

    Attributes:
        task: of both; `detect` where Ultralytics found no object in any image, which leaves it open.
        images: number of images, at least 1.
        objects: number of the reference's objects.
        found: number of the candidate's objects.
        recall: share of the reference's objects that have a partner, 0 to 1. Where it has no object: 1 if the
            candidate found none either, else 0.
        precision: likewise, of the candidate's objects.
        mean_iou: of the paired boxes (obb: the rotated ones), `MATCH_IOU` to 1.
        confidence_change: mean of the candidate's minus the reference's score of paired objects, -1 to 1. For
            classify: of the probability of the reference's best class.
        confidence_error: mean absolute change of these scores, 0 to 1.
        mask_iou: mean over the paired objects, 0 to 1.
        keypoint_distance: mean distance in pixels of paired keypoints that the reference calls visible (0.5
            or more), or of all where it gives no visibility.
        keypoint_relative: the same in diagonals of the reference's box.
        corner_distance: mean distance in pixels of the corners of paired oriented boxes, whichever corner
            comes first.
        top1: share of the images with the same best class, 0 to 1.
        equal_pixels: mean share of an image's pixels that have the same class, 0 to 1.
        depth_error: mean over images of the mean difference of depth, relative to the reference's.
        mean_class_iou: of semantic masks, mIoU: the mean over classes of the IoU of their pixels in all
            images, 0 to 1.
    """

    task: Task
    images: int
    objects: int | None = None
    found: int | None = None
    recall: float | None = None
    precision: float | None = None
    mean_iou: float | None = None
    confidence_change: float | None = None
    confidence_error: float | None = None
    mask_iou: float | None = None
    keypoint_distance: float | None = None
    keypoint_relative: float | None = None
    corner_distance: float | None = None
    top1: float | None = None
    equal_pixels: float | None = None
    depth_error: float | None = None
    mean_class_iou: float | None = None

    @property
    def score(self) -> float:
        """One number from 0 to 1: the smaller of recall and precision; for classify `top1`, for semantic
        `mean_class_iou`, and for depth 1 - `depth_error`.
        """
        shares = [self.recall, self.precision, self.top1, self.mean_class_iou]
        shares += [None if self.depth_error is None else max(0.0, 1 - self.depth_error)]
        return min(share for share in shares if share is not None)

    @property
    def empty(self) -> bool:
        """Whether neither found an object: the score is 1 and means nothing."""
        return self.objects == self.found == 0

    def as_dict(self) -> dict[str, Any]:
        """All fields, `score` and `empty`, ready for JSON: five decimals, None for what is not finite."""
        return json_ready(asdict(self) | {"score": self.score, "empty": self.empty})


_MEANS = tuple(field.name for field in fields(Agreement))[6:-1]


def agreement(pairs: Iterable[tuple[Result, Result]]) -> Agreement:
    """How far a candidate agrees with a reference over all images.

    Args:
        pairs: predictions of reference and candidate, image by image; none is kept.

    Raises:
        InputError: there is no image, or two predictions are of different tasks, images or classes.
    """
    tasks, images, missing, extra = frozenset(TASKS), 0, 0, 0
    columns: dict[str, list[Float64]] = defaultdict(list)
    overlaps: dict[int, Float64] = defaultdict(lambda: np.zeros(2))
    for reference, candidate in pairs:
        found = compare_image(reference, candidate)
        tasks = common_tasks(tasks, found.tasks)
        images, missing, extra = images + 1, missing + len(found.missing), extra + len(found.extra)
        for name in _MEANS:
            columns[name].append(found.values.get(name, NO_VALUES))
        for class_id, numbers in found.overlaps.items():
            overlaps[class_id] = overlaps[class_id] + numbers
    if not images:
        raise InputError("no images to compare: expected at least one pair of answers")
    joined = (np.concatenate(columns[name]) for name in _MEANS)
    means = (float(values.mean()) if values.size else None for values in joined)
    task = next(task for task in TASKS if task in tasks)
    if task in ("classify", "semantic", "depth"):
        made = Agreement(task, images, None, None, None, None, *means)
        return replace(made, mean_class_iou=mean_iou_of_classes(overlaps))
    matched = sum(map(len, columns["mean_iou"]))
    recall, precision = _share(matched, missing, extra), _share(matched, extra, missing)
    return Agreement(task, images, matched + missing, matched + extra, recall, precision, *means)


def _share(matched: int, unmatched: int, other_unmatched: int) -> float:
    """Share of one model's objects that are matched; without objects, whether the other has none either."""
    return matched / (matched + unmatched) if matched + unmatched else float(not other_unmatched)
