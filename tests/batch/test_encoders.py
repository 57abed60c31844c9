"""Every format of the output holds every row, and what was found in it."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest
import yolean
from yolean.batch.encoders import ENCODERS
from yolean.batch.rows import Provenance, Row, failed_row, found_row
from yolean.models import DEMO_MODELS, demo_images, demo_model

OPTIONS: dict[str, Any] = {"conf": 0.25, "iou": 0.45, "max_det": 300, "classes": None}


def rows_of(task: str, format: str = "parquet") -> tuple[list[Row], Provenance]:
    """A row with an error, and one with objects."""
    engine = yolean.load(demo_model(task))
    provenance = Provenance.of(engine, demo_model(task), OPTIONS)
    (result,) = engine(demo_images()[0])
    rows = [failed_row("a/broken.jpg", "no image"), found_row("a/shapes.jpg", result, format)]
    return [row | provenance.columns() for row in rows], provenance


TASKS = [task for task in DEMO_MODELS if task != "depth"]


@pytest.mark.parametrize("task", TASKS)
def test_tables_hold_what_was_found(task: str) -> None:
    rows, provenance = rows_of(task)
    ((name, data),) = ENCODERS["parquet"](500, rows, provenance).items()
    assert name == "part-000000000500.parquet"
    assert pq.read_table(io.BytesIO(data)).to_pylist() == rows
    ((_, data),) = ENCODERS["jsonl"](0, rows, provenance).items()
    assert [json.loads(line) for line in data.splitlines()] == rows
    ((_, data),) = ENCODERS["csv"](0, rows, provenance).items()
    cells = list(csv.DictReader(io.StringIO(data.decode())))
    assert [json.loads(row["objects"]) for row in cells] == [row["objects"] for row in rows]
    assert [row["error"] for row in cells] == ["no image", ""]


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_coco_holds_boxes_outlines_and_keypoints(task: str) -> None:
    rows, provenance = rows_of(task, "coco")
    ((_, data),) = ENCODERS["coco"](10, rows, provenance).items()
    found = json.loads(data)
    broken, good = found["images"]
    assert (broken["id"], broken["error"]) == (11, "no image")
    assert (good["id"], good["file_name"]) == (12, "a/shapes.jpg")
    objects = rows[1]["objects"]
    assert len(found["annotations"]) == len(objects) >= 2
    assert len({annotation["id"] for annotation in found["annotations"]}) == len(objects)
    names = {category["id"]: category["name"] for category in found["categories"]}
    for annotation, item in zip(found["annotations"], objects, strict=True):
        assert annotation["image_id"] == 12
        assert names[annotation["category_id"]] == item["name"]
        x, y, width, height = annotation["bbox"]
        xs, ys = ([value for key, value in item["box"].items() if key[0] == axis] for axis in "xy")
        assert (x, y) == pytest.approx((min(xs), min(ys)), abs=0.02)
        assert (x + width, y + height) == pytest.approx((max(xs), max(ys)), abs=0.02)
        assert 0 < annotation["area"] <= width * height * 1.001
        assert ("keypoints" in annotation) == (task == "pose")
        assert bool(annotation.get("segmentation")) == (task in ("segment", "obb"))


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_yolo_holds_a_file_an_image_and_a_table(task: str) -> None:
    rows, provenance = rows_of(task, "yolo")
    files = ENCODERS["yolo"](0, [*rows, rows[1]], provenance)
    table = list(csv.DictReader(io.StringIO(files["part-000000000000.csv"].decode())))
    assert [(row["source"], row["error"]) for row in table] == [
        *(("a/broken.jpg", "no image"), ("a/shapes.jpg", ""), ("a/shapes.jpg", "")),
    ]
    assert [row["labels"] for row in table] == [
        *("", "part-000000000000/shapes.txt", "part-000000000000/shapes-2.txt"),
    ]
    lines = files["part-000000000000/shapes.txt"].decode().splitlines()
    objects = rows[1]["objects"]
    for line, item in zip(lines, objects, strict=True):
        class_id, *values = line.split()
        numbers = [float(value) for value in values]
        assert int(class_id) == item["class"]
        assert numbers[-1] == pytest.approx(item["confidence"], abs=1e-5)
        assert all(-0.1 <= number <= 1.1 for number in numbers)
        if task == "detect":
            box = item["box"]
            assert numbers[0] * rows[1]["width"] == pytest.approx((box["x1"] + box["x2"]) / 2, abs=0.01)
            assert numbers[3] * rows[1]["height"] == pytest.approx(box["y2"] - box["y1"], abs=0.01)
        if task == "obb":
            assert len(numbers) == 9
