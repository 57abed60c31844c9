"""Datasets for classification: a folder for each split, in it a folder for each class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..engine.errors import InputError
from .datasets import UNREAD_SUFFIXES, Dataset, Sample, images_below

_FOLDERS = {"train": ("train",), "val": ("val", "validation", "valid", "test"), "test": ("test", "val")}


def read_class_folders(folder: Path, split: str, names: Mapping[int, str]) -> Dataset:
    """The images of a split; folders are matched with the names of the model, whatever their order.

    Where no folder has the name of a class, their alphabetical order counts, as in Ultralytics.

    Args:
        folder: the dataset, or the split itself.
        split: `train`, `val` or `test`; `test` serves where `val` is missing, and the other way round.
        names: class names of the model by id.

    Raises:
        InputError: there is no such folder, or no image of a class of the model.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: classification needs a folder, with val/CLASS/IMAGE.jpg in it")
    if split not in _FOLDERS:
        raise InputError(f"split={split!r}: expected one of {', '.join(_FOLDERS)}")
    inside = next((folder / name for name in _FOLDERS[split] if (folder / name).is_dir()), None)
    root = folder if inside is None else inside
    classes = sorted(path.name for path in root.iterdir() if path.is_dir())
    if not classes:
        raise InputError(f"{folder}: expected {split}/CLASS/IMAGE.jpg, found no folder of a class in {root}")
    dataset = Dataset(folder, split, dict(names))
    if inside is not None and inside.name not in (split, "validation", "valid"):
        dataset.findings.notes.append(f"there is no {split}, {inside.name} serves instead")
    by_name = {name: index for index, name in names.items()}
    known = not set(classes).isdisjoint(by_name)
    ids = by_name if known else {name: index for index, name in enumerate(classes)}
    if not known:
        dataset.findings.notes.append("no folder has the name of a class: they count by their order")
    for name in classes:
        images = images_below(root / name)
        if ids.get(name, len(names)) >= len(names):
            for image in images:
                dataset.findings.skipped[str(image)] = f"the model has no class {name!r}"
            continue
        for image in images:
            if image.suffix.lower() in UNREAD_SUFFIXES:
                dataset.findings.skipped[str(image)] = (
                    f"{image.suffix} is not read: convert it to JPEG or PNG"
                )
            else:
                dataset.samples.append(Sample(image, class_id=ids[name]))
    if not dataset.samples:
        raise InputError(f"{folder}: no images of the model's classes in {root}")
    return dataset
