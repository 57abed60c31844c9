"""What describes a dataset, and what is said where it does not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
import yolean
from drawn_sets import MODELS
from yolean.engine.errors import InputError
from yolean.validation.opening import open_dataset

SPEC = yolean.load(MODELS["detect"]).spec


def rewrite(folder: Path, **changes: object) -> Path:
    """The YAML with other entries; None takes one away."""
    file = folder / "data.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in content.items() if value is not None}
    file.write_text(yaml.safe_dump(kept), encoding="utf-8")
    return file


@pytest.mark.parametrize("names", [["disk", "box", "triangle", "star"], {0: "a", 1: "b", 2: "c", 3: "d"}])
def test_forms_of_names_and_of_a_split(drawn: Path, names: object) -> None:
    listed = drawn / "some.txt"
    listed.write_text("./images/val/0000.jpg\n" + f"{drawn}/images/val/0001.jpg\n", encoding="utf-8")
    data = rewrite(drawn, names=names, val=["images/val", "some.txt"])
    assert len(open_dataset(data, SPEC).samples) == 6  # each once
    assert len(open_dataset(rewrite(drawn, val="some.txt"), SPEC).samples) == 2
    assert len(open_dataset(rewrite(drawn, val=None, validation="images/val").parent, SPEC).samples) == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"val": None}, "expected `val:` .*; it names train: give one of these as split"),
        ({"val": "elsewhere"}, "'elsewhere' is not in .*: correct `path:`"),
        ({"val": "elsewhere", "download": "https://x/y.zip"}, "does not download"),
        ({"path": "nowhere"}, "is not in .*nowhere"),
        ({"val": 3}, "path or a list of paths, found '3'"),
        ({"names": None}, "expected `names:`"),
        ({"names": {1: "a"}}, "numbers from 0 without a gap"),
        ({"nc": 7}, "`nc: 7` and 4 names contradict"),
        ({"kpt_shape": [5]}, "`kpt_shape:` is"),
        ({"names": ["one"]}, "no image can be used: 6 are left out, .*beyond the names"),
    ],
)
def test_refused(drawn: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        open_dataset(rewrite(drawn, **changes), SPEC)
    assert "\n" not in str(caught.value)


def test_no_dataset(drawn: Path, tmp_path: Path) -> None:
    for content, words in (("[1]", "found list"), ("a: [", "expected a dataset YAML")):
        (tmp_path / "other.yaml").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            open_dataset(tmp_path / "other.yaml", SPEC)
    with pytest.raises(InputError, match="found nothing there; datasets are not downloaded"):
        open_dataset("coco8.yaml", SPEC)
    (drawn / "empty").mkdir()
    with pytest.raises(InputError, match="no images in"):
        open_dataset(rewrite(drawn, val="empty"), SPEC)


def test_what_is_wrong_with_labels_is_counted(drawn: Path) -> None:
    labels = drawn / "labels" / "val"
    (labels / "0000.txt").unlink()
    (labels / "0001.txt").write_text("", encoding="utf-8")
    (labels / "0002.txt").write_text("9 0.5 0.5 0.1 0.1", encoding="utf-8")
    (drawn / "images" / "val" / "0009.heic").write_bytes(b"")
    dataset = open_dataset(drawn / "data.yaml", SPEC)
    found = dataset.findings
    assert (len(dataset.samples), found.unlabelled, found.empty) == (5, 1, 1)
    assert [Path(path).name for path in found.skipped] == ["0002.jpg", "0009.heic"]


def test_a_task_that_needs_outlines(drawn: Path) -> None:
    spec = yolean.load(MODELS["segment"]).spec
    with pytest.raises(InputError, match=r"segment needs labels with the outlines .* 6 files have boxes"):
        open_dataset(drawn / "data.yaml", spec)


def coco(folder: Path) -> Path:
    """Annotations of two images, and the images."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    for number in (1, 2):
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), np.zeros((100, 200, 3), np.uint8))
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 200, "height": 100} for n in (1, 2)],
        "categories": [{"id": 7, "name": "Star"}, {"id": 3, "name": "disk"}, {"id": 9, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [20, 10, 40, 20], "area": 800, "iscrowd": 0},
            {"id": 2, "image_id": 1, "category_id": 3, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 1},
            {"id": 3, "image_id": 2, "category_id": 9, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0},
        ],
    }
    file = folder / "annotations" / "instances_val.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def test_annotations_of_coco(tmp_path: Path) -> None:
    file = coco(tmp_path / "set")
    dataset = open_dataset(file, SPEC)
    labels = dataset.samples[0].labels
    assert labels is not None
    assert labels.classes.tolist() == [3]  # by name, whatever its case
    np.testing.assert_allclose(labels.boxes, [[0.2, 0.2, 0.2, 0.2]], atol=1e-6)
    assert dataset.findings.empty == 1
    assert "1 annotations are of categories that the model lacks" in dataset.findings.notes
    (tmp_path / "set" / "data.yaml").write_text(
        "val: annotations/instances_val.json\nnames: [a]\n", encoding="utf-8"
    )
    assert len(open_dataset(tmp_path / "set" / "data.yaml", SPEC).samples) == 2
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="expected annotations in COCO's format"):
        open_dataset(file, SPEC)
