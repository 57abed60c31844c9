"""Ultralytics' dataset YAML: where the images of each split are, and what the classes are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..engine.errors import InputError
from .datasets import Dataset, images_below, images_listed

_SPLITS = ("train", "val", "test")


def read_yaml(file: Path, split: str) -> tuple[Dataset, list[Path]]:
    """Read a dataset YAML.

    Args:
        file: the YAML file, or a folder that holds one.
        split: `train`, `val` or `test`.

    Returns:
        the dataset without samples, and the existing files and folders of the split: folders of images, text
        files with one path a line, or JSON files of COCO.

    Raises:
        InputError: the file is not there or no such description, or what it names is not there.
    """
    file = _one_yaml(file) if file.is_dir() else file
    content = _load(file)
    if split not in _SPLITS:
        raise InputError(f"split={split!r}: expected one of {', '.join(_SPLITS)}")
    named = content.get(split) or (content.get("validation") if split == "val" else None)
    if not named:
        others = [name for name in _SPLITS if content.get(name)]
        hint = f"; it names {' and '.join(others)}: give one of these as split" if others else ""
        raise InputError(f"{file}: expected `{split}:` with the folder of the images{hint}")
    entries = named if isinstance(named, list) else [named]
    if not all(isinstance(entry, str) for entry in entries):
        raise InputError(f"{file}: `{split}:` is a path or a list of paths, found {str(named)[:60]!r}")
    root = _root(file, content)
    shape = _kpt_shape(file, content)
    dataset = Dataset(
        source=file,
        split=split,
        names=_names(file, content),
        kpt_shape=shape,
        sigmas=_sigmas(file, content, shape),
        settings=content,
    )
    return dataset, [_existing(file, root, entry, content) for entry in entries]


def images_of(file: Path, entries: list[Path], root: Path) -> list[Path]:
    """The images of the entries of a split, sorted.

    Raises:
        InputError: there is none.
    """
    found: list[Path] = []
    for entry in entries:
        found += images_below(entry) if entry.is_dir() else images_listed(entry, root)
    if not found:
        raise InputError(f"{file}: no images in {', '.join(map(str, entries))}")
    return sorted(dict.fromkeys(found))


def _one_yaml(folder: Path) -> Path:
    found = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    if len(found) != 1:
        raise InputError(f"{folder}: expected one dataset YAML in this folder, found {len(found)}: name it")
    return found[0]


def _load(file: Path) -> Mapping[str, Any]:
    import yaml

    if not file.is_file():
        raise InputError(f"{file}: expected a dataset YAML, found nothing there; datasets are not downloaded")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as exc:
        reason = " ".join(str(exc).split())[:200]
        raise InputError(f"{file}: expected a dataset YAML ({reason})") from exc
    if not isinstance(content, dict):
        raise InputError(
            f"{file}: expected a dataset YAML with `val:` and `names:`, found {type(content).__name__}"
        )
    return content


def _root(file: Path, content: Mapping[str, Any]) -> Path:
    """The folder that paths are relative to: `path:`, looked for beside the file and the working folder."""
    given = content.get("path")
    if given is None:
        return file.parent
    if not isinstance(given, str):
        raise InputError(f"{file}: `path:` is a folder, found {given!r}")
    here = Path.cwd()
    places = [base / given for base in (file.parent, here, here / "datasets", here.parent / "datasets")]
    return next((place for place in places if place.is_dir()), places[0])


def _existing(file: Path, root: Path, entry: str, content: Mapping[str, Any]) -> Path:
    places = [root / entry]
    if entry.startswith("../"):
        places.append(root / entry[3:])
    for place in places:
        if place.exists():
            return place.resolve()
    download = "; yolean does not download datasets" if content.get("download") else ""
    raise InputError(f"{file}: {entry!r} is not in {root}{download}: correct `path:`")


def _names(file: Path, content: Mapping[str, Any]) -> dict[int, str]:
    names, number = content.get("names"), content.get("nc")
    if names is None:
        if not isinstance(number, int) or number < 1:
            raise InputError(f"{file}: expected `names:`, the classes by id")
        return {index: f"class_{index}" for index in range(number)}
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or set(names) != set(range(len(names))):
        raise InputError(f"{file}: `names:` is a list, or numbers from 0 without a gap and their names")
    if isinstance(number, int) and number != len(names):
        raise InputError(f"{file}: `nc: {number}` and {len(names)} names contradict each other")
    return {index: str(names[index]) for index in range(len(names))}


def _kpt_shape(file: Path, content: Mapping[str, Any]) -> tuple[int, int] | None:
    shape = content.get("kpt_shape")
    if shape is None:
        return None
    whole = isinstance(shape, list) and len(shape) == 2 and all(type(number) is int for number in shape)
    if not whole or shape[0] < 1 or shape[1] not in (2, 3):
        raise InputError(f"{file}: `kpt_shape:` is [number of keypoints, 2 or 3], found {shape!r}")
    return shape[0], shape[1]


def _sigmas(
    file: Path, content: Mapping[str, Any], shape: tuple[int, int] | None
) -> tuple[float, ...] | None:
    given = content.get("kpt_oks_sigmas")
    if not given:
        return None
    fits = isinstance(given, list) and shape is not None and len(given) == shape[0]
    if not fits or not all(isinstance(value, (int, float)) and value > 0 for value in given):
        raise InputError(
            f"{file}: `kpt_oks_sigmas:` is one number above 0 for each keypoint, found {given!r}"
        )
    return tuple(float(value) for value in given)
