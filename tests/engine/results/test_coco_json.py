from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yolean
from yolean.engine.results.coco_json import CocoFile, coco_annotations
from yolean.models import demo_images, demo_model


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_a_file_holds_what_the_results_hold(task: str, tmp_path: Path) -> None:
    results = yolean.load(demo_model(task), device="cpu")(list(demo_images()[:2]))
    target = tmp_path / "annotations.json"
    with CocoFile(target) as file:
        for result in results:
            file.write(result, Path(result.path).name)
    data = json.loads(target.read_text(encoding="utf-8"))
    assert [image["file_name"] for image in data["images"]] == [path.name for path in demo_images()[:2]]
    assert [(i["height"], i["width"]) for i in data["images"]] == [r.orig_shape for r in results]
    assert [c["name"] for c in data["categories"]] == list(results[0].names.values())
    items = data["annotations"]
    assert [item["id"] for item in items] == list(range(1, len(results[0]) + len(results[1]) + 1))
    first = [item for item in items if item["image_id"] == 1]
    objects = results[0].boxes if results[0].obb is None else results[0].obb
    assert objects is not None
    assert [item["category_id"] - 1 for item in first] == objects.cls.tolist()
    boxes = np.array([item["bbox"] for item in first])
    np.testing.assert_allclose(boxes[:, 2:] + boxes[:, :2], objects.xyxy[:, 2:], atol=0.02)
    for item in first:
        if task in ("segment", "obb"):
            assert 0 < item["area"] <= item["bbox"][2] * item["bbox"][3] * 1.01
            assert all(len(polygon) >= 6 for polygon in item["segmentation"])
        if task == "pose":
            assert len(item["keypoints"]) == 3 * len(data["categories"][0]["keypoints"])
            assert set(item["keypoints"][2::3]) <= {1, 2}


def test_nothing_found_is_a_complete_file(tmp_path: Path) -> None:
    with CocoFile(tmp_path / "none.json"):
        pass
    data = json.loads((tmp_path / "none.json").read_text(encoding="utf-8"))
    assert data == {"annotations": [], "images": [], "categories": []}
    star = yolean.load(demo_model("classify"), device="cpu")(demo_images()[0])[0]
    assert coco_annotations(star, 1) == []


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    for name in ("labels.txt", "missing/a.json"):
        with pytest.raises(yolean.InputError, match="cannot write"):
            CocoFile(tmp_path / name)
