"""COCO's own figures, by `faster-coco-eval`: labels and predictions in pixels of the images.

They differ from Ultralytics': precisions are not interpolated, at most 100 predictions of an image count,
masks are compared at the size of the image, and there are figures for small, medium and large objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .._install_advice import install_command
from ..engine.errors import InputError
from ..engine.model.spec import ModelSpec
from ..postprocess.boxes import xywh_to_xyxy
from ..postprocess.detections import Candidates
from ..postprocess.masks import decode_masks
from ..postprocess.types import Float, Mask, Size
from .datasets import Dataset, Sample
from .labels import Labels
from .model_runs import Output
from .overlaps import AREA_OF_BOX

IOU_TYPES = {"box": "bbox", "mask": "segm", "keypoints": "keypoints"}
"""COCO's words for the kinds of overlap."""

_MOST = 100  # predictions of an image that COCO counts, by score


@dataclass(frozen=True, slots=True, eq=False)
class CocoImage:
    """One image in COCO's format; ids of images and annotations are given when all are known.

    Attributes:
        sample: the image.
        size: of it.
        labels: annotations without ids.
        found: predictions without ids.
    """

    sample: Sample
    size: Size
    labels: list[dict[str, Any]]
    found: list[dict[str, Any]]


def coco_image(output: Output, found: Candidates, spec: ModelSpec) -> CocoImage:
    """Labels and predictions of one image.

    Args:
        output: of the model.
        found: predictions in tensor pixels, by descending score.
        spec: of the model.
    """
    found = found[np.arange(min(_MOST, len(found.scores)))]
    placement, size = output.placement, output.original
    boxes = placement.inverse(found.boxes.reshape(-1, 2, 2), size).reshape(-1, 4)
    rows = [
        {"category_id": int(c), "bbox": _xywh(box), "score": float(score)}
        for c, box, score in zip(found.classes, boxes, found.scores, strict=True)
    ]
    if spec.task == "segment":
        prototypes = output.arrays[spec.layout.prototypes]
        for row, rle in zip(rows, _encoded(found, prototypes, output), strict=True):
            row["segmentation"] = rle
    if spec.layout.kpt_shape is not None:
        points = found.extra.reshape(-1, *spec.layout.kpt_shape)
        places = placement.inverse(points[..., :2], size)
        for row, place in zip(rows, places, strict=True):
            row["keypoints"] = np.pad(place, ((0, 0), (0, 1)), constant_values=1).ravel().tolist()
    labels = output.sample.labels
    return CocoImage(output.sample, size, [] if labels is None else _annotations(labels, size), rows)


def coco_figures(
    images: Sequence[CocoImage], dataset: Dataset, kinds: Sequence[str], sigmas: Float | None
) -> dict[str, dict[str, float]]:
    """COCO's figures by kind of overlap: `AP_all`, `AP_50`, `AP_75`, `AP_small`, ..., `AR_all`, ...

    Labels that came from a JSON file of COCO are evaluated as they are there, crowds included.

    Raises:
        InputError: `faster-coco-eval` is missing.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster
    except ModuleNotFoundError as exc:
        raise InputError(f"COCO's figures need {exc.name}: {install_command('val')}") from exc
    if dataset.annotations is not None:
        truth = COCO(str(dataset.annotations), print_function=_quiet)
        ids = [image.sample.image_id for image in images]
        categories = {index: category for category, index in dataset.categories.items()}
    else:
        ids = list(range(1, len(images) + 1))
        categories = {index: index for index in dataset.names}
        truth = COCO(_ground_truth(images, dataset), print_function=_quiet)
    found = [
        row | {"image_id": image_id, "category_id": categories[row["category_id"]]}
        for image_id, image in zip(ids, images, strict=True)
        for row in image.found
        if row["category_id"] in categories
    ]
    if not found:
        return {}
    results = truth.loadRes(found)
    figures = {}
    for kind in kinds:
        work = COCOeval_faster(truth, results, IOU_TYPES[kind], print_function=_quiet)
        work.params.imgIds = ids
        if kind == "keypoints" and sigmas is not None:
            work.params.kpt_oks_sigmas = sigmas.astype(np.float64)
        work.evaluate()
        work.accumulate()
        work.summarize()
        figures[kind] = {name: round(float(value), 5) for name, value in work.stats_as_dict.items()}
    return figures


def _quiet(*_words: object) -> None:
    """Prints nothing."""


def _ground_truth(images: Sequence[CocoImage], dataset: Dataset) -> dict[str, Any]:
    every = [(number, row) for number, image in enumerate(images, 1) for row in image.labels]
    return {
        "images": [
            {"id": number, "height": image.size.height, "width": image.size.width}
            for number, image in enumerate(images, 1)
        ],
        "categories": [{"id": index, "name": name} for index, name in dataset.names.items()],
        "annotations": [
            row | {"id": number, "image_id": image_id} for number, (image_id, row) in enumerate(every, 1)
        ],
    }


def _annotations(labels: Labels, size: Size) -> list[dict[str, Any]]:
    """Labels as COCO's annotations, in pixels."""
    sides = np.array((size.width, size.height), np.float32)
    boxes = (xywh_to_xyxy(labels.boxes).reshape(-1, 2, 2) * sides).reshape(-1, 4)
    rows = []
    for row, (class_id, box) in enumerate(zip(labels.classes, boxes, strict=True)):
        x, y, width, height = _xywh(box)
        found: dict[str, Any] = {
            "category_id": int(class_id),
            "bbox": [x, y, width, height],
            "area": width * height,
            "iscrowd": 0,
        }
        if labels.outlines:
            outline = labels.outlines[row] * sides
            found["segmentation"] = [outline.ravel().tolist()]
            found["area"] = float(cv2.contourArea(outline.astype(np.float32)))
        if labels.keypoints is not None:
            points = labels.keypoints[row] * np.array((*sides, 1), np.float32)
            found["keypoints"] = points.ravel().tolist()
            found["num_keypoints"] = int((points[:, 2] > 0).sum())
            found["area"] *= float(AREA_OF_BOX)
        rows.append(found)
    return rows


def _xywh(box: Float) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def _encoded(found: Candidates, prototypes: Float, output: Output) -> list[dict[str, Any]]:
    """Masks at the size of the image, in COCO's run-length encoding."""
    from faster_coco_eval import mask

    masks, filled = decode_masks(found.extra, prototypes, found.boxes, output.placement.geometry)
    dense = iter(masks.dense())
    empty = np.zeros(output.placement.geometry.tensor, np.uint8)
    rows = []
    for is_filled in filled:
        pixels = _in_image(next(dense) if is_filled else empty, output)
        rows.append(mask.encode(np.asfortranarray(pixels)))
    return rows


def _in_image(pixels: Mask, output: Output) -> Mask:
    """A mask of the tensor at the size of the image."""
    geometry = output.placement.geometry
    left, top = geometry.pad
    inside = pixels[top : top + geometry.resized.height, left : left + geometry.resized.width]
    size = output.original.width, output.original.height
    enlarged = cv2.resize(inside * np.uint8(255), size, interpolation=cv2.INTER_LINEAR)
    return (enlarged > 127).astype(np.uint8)
