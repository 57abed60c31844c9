"""Labels of every pixel: masks of class ids and maps of depth, in the files that Ultralytics reads."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .._install_advice import install_command
from ..engine.errors import InputError
from ..engine.images.decoding import IMAGE_SUFFIXES
from ..postprocess.layout import Task
from ..postprocess.types import Float, Size
from .datasets import UNREAD_SUFFIXES, Dataset, Sample, label_file

IGNORED = 255
"""The class id of pixels that do not count."""

_PNG = b"\x89PNG\r\n\x1a\n"
_MILLIMETRES = 1000  # a metre in a depth PNG, where `depth_scale:` says nothing else
_OTHER_ASPECT = 0.02  # largest difference of the logarithms of the aspect ratios of an image and its depth


def add_pixel_labels(dataset: Dataset, images: list[Path], task: Task) -> None:
    """Find the mask or the depth of each image, and add those that have one to the samples.

    The last folder `images` of the path becomes `masks`, or what `masks_dir:` says, and the suffix `.png` or
    that of another image; for depth it becomes `depth`, and the suffix `.png` or `.npy`.

    Raises:
        InputError: `masks_dir:` is no text, or no image has a mask or a depth.
    """
    folder: Any = "depth"
    suffixes: tuple[str, ...] = (".png", ".npy")
    if task == "semantic":
        folder, suffixes = dataset.settings.get("masks_dir") or "masks", (".png", *IMAGE_SUFFIXES)
        if not isinstance(folder, str):
            raise InputError(f"{dataset.source}: `masks_dir:` is the name of a folder, found {folder!r}")
    what = "mask" if task == "semantic" else "depth"
    for image in images:
        if image.suffix.lower() in UNREAD_SUFFIXES:
            dataset.findings.skipped[str(image)] = f"{image.suffix} is not read: convert it to JPEG or PNG"
            continue
        expected = label_file(image, folder, ".png")
        target = next(filter(Path.is_file, map(expected.with_suffix, suffixes)), None)
        if target is None:
            dataset.findings.skipped[str(image)] = f"it has no {what}: expected {expected}"
            continue
        dataset.samples.append(Sample(image, target=target))
    if not dataset.samples:
        hint = "; outlines in text files are not drawn into masks" if task == "semantic" else ""
        raise InputError(
            f"{dataset.source}: {task} needs a {what} for each image, and there is none, such as "
            f"{label_file(images[0], folder, '.png')}{hint}"
        )


class MaskFiles:
    """Reads masks: class ids by pixel, as gray levels or as indices of a palette."""

    def __init__(self, dataset: Dataset) -> None:
        """Prepare.

        Raises:
            InputError: `label_mapping:` is wrong.
        """
        self._table = _table(dataset.source, dataset.settings.get("label_mapping"))
        self._most = max(len(dataset.names) - 1, 1)  # one class: 1 where it is, 0 elsewhere

    def read(self, file: Path, image: Size) -> NDArray[np.uint8]:
        """Read the mask of an image of this size.

        Returns:
            (H, W) class ids, `IGNORED` where nothing counts.

        Raises:
            InputError: it cannot be read, has another size, or ids beyond the names.
        """
        ids = _ids(file)
        if Size.of(ids) != image:
            raise InputError(f"{file}: the mask has {_pixels(Size.of(ids))}, its image {_pixels(image)}")
        beyond = ids > IGNORED
        if not beyond.any():
            mapped = cv2.LUT(ids.astype(np.uint8), self._table)
            beyond = (mapped > self._most) & (mapped != IGNORED)
        if beyond.any():
            found = np.unique(ids[beyond])
            shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
            raise InputError(f"{file}: class ids beyond the names: {shown}")
        return mapped  # type: ignore[return-value]


class DepthFiles:
    """Reads maps of depth: PNG files with 16 bits a pixel, in millimetres, or NPY files in metres."""

    def __init__(self, dataset: Dataset) -> None:
        """Prepare.

        Raises:
            InputError: `depth_scale:` is no number above 0.
        """
        self._scale = positive(dataset, "depth_scale", _MILLIMETRES)

    def read(self, file: Path, image: Size) -> Float:
        """Read the depth of an image of this size; its own may be another of the same aspect ratio.

        Returns:
            (H, W) float32 metres, 0 where it is not known.

        Raises:
            InputError: it cannot be read, or has another aspect ratio.
        """
        depth = _metres(file) if file.suffix.lower() == ".npy" else _depth_png(file) / np.float32(self._scale)
        size = Size.of(depth)
        if abs(math.log(size.width * image.height / (size.height * image.width))) > _OTHER_ASPECT:
            raise InputError(
                f"{file}: the depth has {_pixels(size)}, another aspect ratio than its image, "
                f"{_pixels(image)}"
            )
        return depth


def positive(dataset: Dataset, key: str, default: float) -> float:
    """A number above 0 from a dataset YAML.

    Raises:
        InputError: it is something else.
    """
    value = dataset.settings.get(key)
    if value is None:
        return default
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise InputError(f"{dataset.source}: `{key}:` is a number above 0, found {str(value)[:60]!r}")
    return float(value)


def _table(source: Path, mapping: Any) -> NDArray[np.uint8]:
    """(256,) the class id that each id of a mask stands for."""
    table = np.arange(256, dtype=np.uint8)
    if mapping is None:
        return table
    try:
        if not isinstance(mapping, Mapping):
            raise TypeError
        for given, meant in mapping.items():
            ignored = meant is None or str(meant).strip() == "ignore_label"
            class_id = IGNORED if ignored else int(meant)
            if not 0 <= class_id <= IGNORED:
                raise ValueError
            if 0 <= int(given) <= IGNORED:
                table[int(given)] = class_id
    except (TypeError, ValueError) as exc:
        raise InputError(
            f"{source}: `label_mapping:` maps ids of masks to class ids or ignore_label, "
            f"found {str(mapping)[:60]!r}"
        ) from exc
    return table


def _ids(file: Path) -> NDArray[Any]:
    """(H, W) uint8 or uint16 as the file holds them."""
    data = _bytes(file)
    # In the header of a PNG file: bits of a value, then its kind, 0 for gray and 3 for a palette.
    bits, kind = tuple(data[24:26]) if data.startswith(_PNG) and len(data) > 25 else (8, 0)
    if kind == 3:
        return _indices(file, data)
    ids = _decoded(file, data, cv2.IMREAD_ANYDEPTH)
    if ids.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{file}: expected a mask of whole numbers, found {ids.dtype}")
    return ids // 255 if (bits, kind) == (1, 0) else ids


def _indices(file: Path, data: bytes) -> NDArray[Any]:
    """The indices of a palette, or the gray levels of one that has nothing but gray."""
    try:
        from PIL import Image
    except ModuleNotFoundError as exc:
        raise InputError(f"{file}: masks with a palette need {exc.name}: {install_command('val')}") from exc
    try:
        with Image.open(io.BytesIO(data)) as image:
            palette = np.array(image.getpalette()).reshape(-1, 3)
            gray = bool((palette == palette[:, :1]).all())
            return np.array(image.convert("L") if gray else image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as exc:
        raise InputError(f"{file}: expected a mask ({' '.join(str(exc).split())[:100]})") from exc


def _depth_png(file: Path) -> Float:
    data = _bytes(file)
    depth = _decoded(file, data, cv2.IMREAD_UNCHANGED)
    if not data.startswith(_PNG) or depth.ndim != 2 or depth.dtype != np.uint16:
        raise InputError(f"{file}: expected depth as a gray PNG file with 16 bits a pixel")
    return depth.astype(np.float32)


def _metres(file: Path) -> Float:
    try:
        depth = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as exc:
        raise InputError(f"{file}: expected depth ({' '.join(str(exc).split())[:100]})") from exc
    if not isinstance(depth, np.ndarray) or depth.ndim != 2 or depth.dtype.kind != "f" or not depth.size:
        raise InputError(f"{file}: expected depth as a 2D array of floating-point metres")
    return np.nan_to_num(depth.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise InputError(f"{file}: cannot be read ({exc.strerror or exc})") from exc


def _decoded(file: Path, data: bytes, flags: int) -> NDArray[Any]:
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:
        found = None
    if found is None:
        raise InputError(f"{file}: expected an image, found nothing that can be decoded")
    return found


def _pixels(size: Size) -> str:
    return f"{size.width}x{size.height} pixels"
