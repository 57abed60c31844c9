"""Opens whatever describes a dataset for a model: a YAML file, annotations of COCO, a folder of classes."""

from __future__ import annotations

from pathlib import Path

from .._install_advice import install_command
from ..engine.errors import InputError
from ..engine.model.spec import ModelSpec
from .class_folders import read_class_folders
from .coco_annotations import read_coco
from .data_yaml import images_of, read_yaml
from .datasets import Dataset, add_yolo_labels
from .pixel_labels import add_pixel_labels


def open_dataset(
    data: str | Path, spec: ModelSpec, split: str = "val", images: str | Path | None = None
) -> Dataset:
    """Find the images of a split, and read their labels.

    Args:
        data: Ultralytics' dataset YAML, or a folder that holds one; a JSON file of COCO; for classification
            a folder with `val/CLASS/IMAGE.jpg` in it.
        spec: of the model that is validated.
        split: `train`, `val` or `test`.
        images: the folder of the images of a JSON file, where they are not beside it.

    Raises:
        InputError: something is missing or contradicts the model.
    """
    source, folder = Path(data), None if images is None else Path(images)
    if not source.exists():
        raise InputError(f"{source}: expected a dataset, found nothing there; datasets are not downloaded")
    if spec.task == "classify":
        return read_class_folders(source, split, spec.names)
    points = spec.layout.kpt_shape[0] if spec.layout.kpt_shape else None
    dense = spec.layout.is_dense
    if source.suffix.lower() == ".json" and not dense:
        return read_coco(source, folder, spec.task, spec.names, points)
    if source.is_file() and source.suffix.lower() not in (".yaml", ".yml"):
        others = " or a folder with one" if dense else ", a JSON file of COCO or a folder"
        raise InputError(f"{source}: expected a dataset YAML{others}")
    try:
        dataset, entries = read_yaml(source, split)
    except ModuleNotFoundError as exc:
        raise InputError(f"this needs {exc.name}: {install_command('val')}") from exc
    if [entry.suffix.lower() for entry in entries] == [".json"] and not dense:
        found = read_coco(entries[0], folder, spec.task, spec.names, points)
        found.source, found.split, found.sigmas = dataset.source, split, dataset.sigmas
        return found
    if spec.task == "pose":
        _check_keypoints(dataset, spec)
    found_images = images_of(dataset.source, entries, dataset.source.parent)
    (add_pixel_labels if dense else add_yolo_labels)(dataset, found_images, spec.task)
    if not dataset.samples:
        example, reason = next(iter(dataset.findings.skipped.items()))
        raise InputError(
            f"{dataset.source}: no image can be used: {len(dataset.findings.skipped)} are left out, such as "
            f"{example}: {reason}"
        )
    if spec.task != "depth":
        _compare_names(dataset, spec)
    return dataset


def _check_keypoints(dataset: Dataset, spec: ModelSpec) -> None:
    wanted, given = spec.layout.kpt_shape, dataset.kpt_shape
    if given is None:
        raise InputError(f"{dataset.source}: pose needs `kpt_shape:`, such as [17, 3]")
    if wanted is None or wanted[0] != given[0]:
        raise InputError(
            f"{dataset.source}: `kpt_shape: {list(given)}` has other keypoints than the model, "
            f"{list(wanted or ())}"
        )


def _compare_names(dataset: Dataset, spec: ModelSpec) -> None:
    """Note classes that the dataset calls otherwise: ids decide, and other names tell of another order."""
    for index, name in dataset.names.items():
        own = spec.names.get(index)
        if own is not None and own.casefold() != name.casefold():
            dataset.findings.notes.append(
                f"class {index} is {own!r} to the model and {name!r} in the dataset: ids decide"
            )
            return
