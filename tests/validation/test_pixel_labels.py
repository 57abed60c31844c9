"""Masks and depths: their files, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
import yolean
from drawn_sets import MODELS
from PIL import Image
from yolean.engine.errors import InputError
from yolean.postprocess.types import Size
from yolean.validation.datasets import Dataset
from yolean.validation.opening import open_dataset
from yolean.validation.pixel_labels import DepthFiles, MaskFiles

IDS = np.array([[0, 1, 2, 3], [255, 1, 1, 0]], np.uint8)
HERE = Size(2, 4)


def dataset(**settings: Any) -> Dataset:
    return Dataset(Path("data.yaml"), "val", dict(enumerate("abcd")), settings=settings)


def write_mask(file: Path, kind: str) -> Path:
    """`IDS` in one of the forms of masks."""
    image = Image.fromarray(IDS)
    if kind == "palette":
        image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    elif kind == "gray palette":  # the gray levels are the ids, and the indices are not
        image = Image.fromarray(255 - IDS)
        image.putpalette([255 - index for index in range(256) for _ in range(3)])
    elif kind == "16 bits":
        image = Image.fromarray(IDS.astype(np.uint16))
    image.save(file)
    return file


@pytest.mark.parametrize("kind", ["gray", "palette", "gray palette", "16 bits"])
def test_forms_of_masks(tmp_path: Path, kind: str) -> None:
    file = write_mask(tmp_path / "a.png", kind)
    np.testing.assert_array_equal(MaskFiles(dataset()).read(file, HERE), IDS)


def test_a_mask_of_one_bit(tmp_path: Path) -> None:
    Image.fromarray(IDS == 1).save(tmp_path / "a.png")
    np.testing.assert_array_equal(MaskFiles(dataset()).read(tmp_path / "a.png", HERE), IDS == 1)


def test_ids_that_stand_for_others(tmp_path: Path) -> None:
    file = write_mask(tmp_path / "a.png", "gray")
    files = MaskFiles(dataset(label_mapping={-1: "ignore_label", 3: "ignore_label", 1: 2, 2: None}))
    np.testing.assert_array_equal(files.read(file, HERE), [[0, 2, 255, 255], [255, 2, 2, 0]])


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (np.full((2, 4), 9, np.uint8), "class ids beyond the names: 9"),
        (np.full((2, 4), 300, np.uint16), "class ids beyond the names: 300"),
        (np.zeros((4, 4), np.uint8), "the mask has 4x4 pixels, its image 4x2 pixels"),
        (None, "expected an image"),
    ],
)
def test_masks_that_cannot_be_used(tmp_path: Path, ids: Any, words: str) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"no mask") if ids is None else cv2.imwrite(str(file), ids)
    with pytest.raises(InputError, match=words):
        MaskFiles(dataset()).read(file, HERE)


def test_forms_of_depth(tmp_path: Path) -> None:
    metres = np.array([[0, 1.5, 2, 3], [4, 5, 6, 65.535]], np.float32)
    cv2.imwrite(str(tmp_path / "a.png"), np.round(metres * 1000).astype(np.uint16))
    np.testing.assert_allclose(DepthFiles(dataset()).read(tmp_path / "a.png", HERE), metres, rtol=1e-6)
    tenths = DepthFiles(dataset(depth_scale=10_000)).read(tmp_path / "a.png", Size(20, 40))
    np.testing.assert_allclose(tenths, metres / 10, rtol=1e-6)
    metres[0, 0] = np.nan
    np.save(tmp_path / "a.npy", metres.astype(np.float64))
    np.testing.assert_array_equal(DepthFiles(dataset()).read(tmp_path / "a.npy", HERE), np.nan_to_num(metres))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((2, 4), np.uint8), "expected depth as a gray PNG file with 16 bits"),
        (np.zeros((4, 4), np.uint16), "another aspect ratio than its image, 4x2 pixels"),
        (np.zeros((2, 4), np.int64), "2D array of floating-point metres"),
        (np.array([{}]), "expected depth"),
    ],
)
def test_depths_that_cannot_be_used(tmp_path: Path, values: Any, words: str) -> None:
    file = tmp_path / ("a.png" if values.dtype in (np.uint8, np.uint16) else "a.npy")
    if file.suffix == ".png":
        cv2.imwrite(str(file), values)
    else:
        np.save(file, values, allow_pickle=True)
    with pytest.raises(InputError, match=words) as caught:
        DepthFiles(dataset()).read(file, HERE)
    assert "\n" not in str(caught.value)


def test_entries_of_the_yaml_that_are_wrong() -> None:
    for scale in (0, True, "x", float("nan")):
        with pytest.raises(InputError, match="`depth_scale:` is a number above 0"):
            DepthFiles(dataset(depth_scale=scale))
    for mapping in ([1], {"a": 1}, {1: 900}):
        with pytest.raises(InputError, match="`label_mapping:` maps ids"):
            MaskFiles(dataset(label_mapping=mapping))


@pytest.mark.parametrize(("task", "folder"), [("semantic", "masks"), ("depth", "depth")])
def test_images_without_a_file(tmp_path: Path, task: str, folder: str) -> None:
    spec = yolean.load(MODELS[task]).spec
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), np.zeros((20, 40, 3), np.uint8))
    data = tmp_path / "data.yaml"
    data.write_text(yaml.safe_dump({"val": "images", "names": list(spec.names.values())}), encoding="utf-8")
    with pytest.raises(InputError, match=f"{task} needs a .* for each image, and there is none"):
        open_dataset(data, spec)
    (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / folder / "b.png"), np.zeros((20, 40), np.uint16))
    found = open_dataset(data, spec)
    assert [sample.image.name for sample in found.samples] == ["b.jpg"]
    assert [Path(path).name for path in found.findings.skipped] == ["a.jpg"]
    (tmp_path / "coco.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="expected a dataset YAML or a folder with one"):
        open_dataset(tmp_path / "coco.json", spec)
