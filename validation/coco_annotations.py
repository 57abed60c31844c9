"""Labels from a JSON file of annotations in COCO's format."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.errors import InputError
from ..postprocess.layout import Task
from ..postprocess.masks import joined
from ..postprocess.types import Float
from .datasets import Dataset, Sample
from .labels import Labels, no_labels


def read_coco(
    file: Path, images: Path | None, task: Task, names: Mapping[int, str], points: int | None
) -> Dataset:
    """Read annotations of COCO's format: `images`, `categories` and `annotations`.

    Categories are matched with the classes of the model by name; where none has such a name, by the order of
    their ids. Annotations with `iscrowd` are no objects to be found.

    Args:
        file: the JSON file.
        images: the folder of the images; None looks beside the file, in `images` and in the folder that the
            end of its name tells, such as `val2017`.
        task: what the labels are used for.
        names: class names of the model by id.
        points: number of keypoints of the model, for pose.

    Raises:
        InputError: it is no such file, its images are not found, or it lacks what the task needs.
    """
    content = _load(file)
    folder = images or _folder(file, content["images"])
    ids = _class_ids(content["categories"], names)
    dataset = Dataset(file, file.stem, dict(names), kpt_shape=None if points is None else (points, 3))
    if task == "obb":
        raise InputError(f"{file}: COCO's format has no oriented boxes: give a dataset YAML with YOLO labels")
    unknown = sum(annotation.get("category_id") not in ids for annotation in content["annotations"])
    if unknown:
        dataset.findings.notes.append(f"{unknown} annotations are of categories that the model lacks")
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        if annotation.get("category_id") in ids:
            by_image[annotation.get("image_id")].append(annotation)
    for image in content["images"]:
        path = folder / str(image["file_name"])
        own = by_image.get(image["id"], [])
        try:
            size = float(image["width"]), float(image["height"])
            labels = _labels(own, ids, size, task, points)
        except (KeyError, TypeError, ValueError) as exc:
            dataset.findings.skipped[str(path)] = f"an annotation of it cannot be used: {exc}"
            continue
        dataset.findings.empty += not len(labels)
        dataset.samples.append(Sample(path, labels, image_id=image["id"]))
    if not dataset.samples:
        raise InputError(f"{file}: no image in it can be used")
    dataset.annotations, dataset.categories = file, ids
    return dataset


def _load(file: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        parts = {name: content[name] for name in ("images", "categories", "annotations")}
        if not all(isinstance(part, list) for part in parts.values()) or not parts["images"]:
            raise ValueError("its parts are lists, and it names images")
        for image in parts["images"]:
            image["id"], image["file_name"]
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{file}: expected annotations in COCO's format ({exc})") from exc
    return parts


def _folder(file: Path, images: Sequence[Mapping[str, Any]]) -> Path:
    """The folder in which the first images are."""
    word = file.stem.rpartition("_")[2]
    bases = [base / name for base in (file.parent, file.parent.parent) for name in (".", "images")]
    places = [*bases, *(base / word for base in bases)]
    some = [str(image["file_name"]) for image in images[:20]]
    for place in places:
        if any((place / name).is_file() for name in some):
            return place
    raise InputError(f"{file}: its images, such as {some[0]}, are not beside it: give their folder as images")


def _class_ids(categories: Sequence[Mapping[str, Any]], names: Mapping[int, str]) -> dict[Any, int]:
    """Class ids of the model by category id."""
    by_name = {name.casefold(): index for index, name in names.items()}
    found = {c.get("id"): by_name.get(str(c.get("name")).casefold()) for c in categories}
    if any(index is not None for index in found.values()):
        return {category: index for category, index in found.items() if index is not None}
    ordered = sorted((c.get("id") for c in categories), key=lambda key: (str(type(key)), key))
    return {category: index for index, category in enumerate(ordered) if index < len(names)}


def _labels(
    annotations: Sequence[Mapping[str, Any]],
    ids: Mapping[Any, int],
    size: tuple[float, float],
    task: Task,
    points: int | None,
) -> Labels:
    """The objects of one image of size (width, height)."""
    sides = np.array(size, np.float32)
    single = [a for a in annotations if not a.get("iscrowd") and min(a["bbox"][2:]) > 0]
    if not single:
        return no_labels(points)
    return Labels(
        np.array([ids[a["category_id"]] for a in single], np.int64),
        _boxes(single, sides),
        tuple(_outline(a, sides) for a in single) if task == "segment" else (),
        np.stack([_points(a, sides, points) for a in single]) if points is not None else None,
    )


def _boxes(annotations: Sequence[Mapping[str, Any]], sides: Float) -> Float:
    """(N, 4) cx, cy, w, h as shares, from COCO's x, y, w, h in pixels."""
    boxes = np.array([a["bbox"] for a in annotations], np.float32).reshape(-1, 2, 2)
    boxes[:, 0] += boxes[:, 1] / 2
    result: Float = (boxes / sides).reshape(-1, 4)
    return result


def _outline(annotation: Mapping[str, Any], sides: Float) -> Float:
    """One outline (P, 2) of all parts of an object."""
    parts = annotation.get("segmentation")
    if not isinstance(parts, list) or not parts:
        raise ValueError("segment needs outlines, and its segmentation has none")
    points = [np.array(part, np.float32).reshape(-1, 2) for part in parts]
    return np.asarray(joined(points) / sides, np.float32)


def _points(annotation: Mapping[str, Any], sides: Float, number: int | None) -> Float:
    """(K, 3) keypoints."""
    points = np.array(annotation.get("keypoints", []), np.float32).reshape(-1, 3)
    if len(points) != number:
        raise ValueError(f"the model has {number} keypoints, it has {len(points)}")
    points[:, :2] /= sides
    return points
