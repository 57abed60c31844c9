"""Labelled datasets: images and labels of one split, from the descriptions that Ultralytics' users have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.errors import InputError
from ..engine.images.decoding import IMAGE_SUFFIXES
from ..postprocess.layout import Task
from .labels import LabelError, Labels, no_labels, read_labels

UNREAD_SUFFIXES = (".heic", ".heif", ".dng", ".pfm")
"""Images that Ultralytics reads and OpenCV does not."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image and its labels.

    Attributes:
        image: its file.
        labels: of its objects; None for classification.
        class_id: of the image, for classification.
        target: file of the class or depth of each pixel, where the task has one.
        image_id: of the image in a JSON file of COCO.
    """

    image: Path
    labels: Labels | None = None
    class_id: int = -1
    target: Path | None = None
    image_id: Any = None


@dataclass(eq=False)
class Findings:
    """What was found wrong with a dataset while it was read and used.

    Attributes:
        unlabelled: number of images without a label file: nothing is expected in them.
        empty: number of images whose label file is empty: likewise.
        duplicates: number of labels that were there twice and counted once.
        skipped: images that are left out, with the reason of each.
        notes: what else a reader of the figures should know.
    """

    unlabelled: int = 0
    empty: int = 0
    duplicates: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Dataset:
    """One split of a labelled dataset.

    Attributes:
        source: the file or folder that describes it.
        split: its name, such as `val`.
        names: class names by id.
        samples: the images that can be used.
        kpt_shape: number of keypoints, and of values of each in label files (2 or 3); None without any.
        sigmas: constants of the keypoints for OKS, where the dataset tells them.
        findings: what was left out and why.
        settings: what else the description says.
        annotations: the JSON file of COCO that the labels are from, None for others.
        categories: in that file: class ids of the model by category id.
    """

    source: Path
    split: str
    names: dict[int, str]
    samples: list[Sample] = field(default_factory=list)
    kpt_shape: tuple[int, int] | None = None
    sigmas: tuple[float, ...] | None = None
    findings: Findings = field(default_factory=Findings)
    settings: Mapping[str, Any] = field(default_factory=dict)
    annotations: Path | None = None
    categories: Mapping[Any, int] = field(default_factory=dict)

    @property
    def most_objects(self) -> int:
        """The number of objects in the image that has most."""
        return max((len(s.labels) for s in self.samples if s.labels is not None), default=0)


def add_yolo_labels(dataset: Dataset, images: list[Path], task: Task) -> None:
    """Read the label file of each image, and add those that can be used to the samples.

    The file is found as Ultralytics finds it: the last folder `images` of the path becomes `labels`, and the
    suffix `.txt`. What is wrong with an image or its labels leaves that image out, as in Ultralytics.

    Raises:
        InputError: the labels are boxes, and the task needs outlines.
    """
    findings, boxes_only = dataset.findings, []
    for image in images:
        if image.suffix.lower() in UNREAD_SUFFIXES:
            findings.skipped[str(image)] = f"{image.suffix} is not read: convert it to JPEG or PNG"
            continue
        file = label_file(image)
        try:
            if file.is_file():
                labels = read_labels(file, task, len(dataset.names), dataset.kpt_shape)
                findings.empty += not len(labels)
            else:
                labels = no_labels(dataset.kpt_shape[0] if task == "pose" and dataset.kpt_shape else None)
                findings.unlabelled += 1
        except LabelError as exc:
            findings.skipped[str(image)] = f"its labels are left out with it: {exc}"
            continue
        findings.duplicates += labels.duplicates
        if len(labels) and not labels.outlines:
            boxes_only.append(file)
        dataset.samples.append(Sample(image, labels))
    if task in ("segment", "obb") and boxes_only:
        what = "the outlines of objects" if task == "segment" else "four corners of each object"
        raise InputError(
            f"{dataset.source}: {task} needs labels with {what}, and {len(boxes_only)} files have boxes, "
            f"such as {boxes_only[0]}"
        )


def label_file(image: Path, folder: str = "labels", suffix: str = ".txt") -> Path:
    """The file that belongs to an image: its last folder `images` is replaced by `folder`."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = folder
            break
    return Path(*parts).with_suffix(suffix)


def images_below(folder: Path) -> list[Path]:
    """The images in a folder and below it, by path."""
    found = (Path(root, name) for root, _, files in os.walk(folder, followlinks=True) for name in files)
    wanted = IMAGE_SUFFIXES + UNREAD_SUFFIXES
    return sorted(file for file in found if file.name[0] != "." and file.suffix.lower() in wanted)


def images_listed(file: Path, root: Path) -> list[Path]:
    """The images of a text file with one path a line, `./` being its own folder.

    Raises:
        InputError: it cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as exc:
        raise InputError(f"{file}: expected a path a line ({getattr(exc, 'strerror', None) or exc})") from exc
    found = []
    for line in filter(None, map(str.strip, lines)):
        if line.startswith("./"):
            found.append(file.parent / line[2:])
            continue
        places = (Path(line), root / line, file.parent / line)
        found.append(next((place for place in places if place.is_file()), places[0]))
    return sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES + UNREAD_SUFFIXES)
