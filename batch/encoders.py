"""Formats of the output: the rows of a part as the files that are written for it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from .rows import Provenance, Row

Encoder = Callable[[int, Sequence[Row], Provenance], Mapping[str, bytes]]

_COLUMNS = (
    *("source", "width", "height", "task", "objects", "error"),
    *("conf", "iou", "max_det", "model", "yolean"),
)
_MOST_OBJECTS = 100_000  # of an image: ids of COCO annotations are image * this + n


def part_name(start: int, suffix: str) -> str:
    """`part-000000000500.parquet`: names sort as the parts do."""
    return f"part-{start:012d}{suffix}"


def encode_parquet(start: int, rows: Sequence[Row], provenance: Provenance) -> dict[str, bytes]:
    """Objects as a list of structs, with the keys of `Results.summary`; zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist(
        [{name: row[name] for name in _COLUMNS} for row in rows], _schema(provenance)
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return {part_name(start, ".parquet"): sink.getvalue()}


def encode_jsonl(start: int, rows: Sequence[Row], provenance: Provenance) -> dict[str, bytes]:
    """A JSON object a line."""
    lines = [json.dumps(_ordered(row), ensure_ascii=False) for row in rows]
    return {part_name(start, ".jsonl"): _text("".join(f"{line}\n" for line in lines))}


def encode_csv(start: int, rows: Sequence[Row], provenance: Provenance) -> dict[str, bytes]:
    """A line an image; its objects are JSON in one cell."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in rows:
        cells = row | {"objects": json.dumps(row["objects"], ensure_ascii=False)}
        writer.writerow([cells[name] for name in _COLUMNS])
    return {part_name(start, ".csv"): _text(sink.getvalue())}


def encode_coco(start: int, rows: Sequence[Row], provenance: Provenance) -> dict[str, bytes]:
    """A COCO file a part: `images`, `annotations` with `score`, `categories`; ids are unique in the job."""
    images, annotations = [], []
    for position, row in enumerate(rows, start + 1):
        image = {"id": position, "file_name": row["source"], "width": row["width"], "height": row["height"]}
        images.append(image | ({} if row["error"] is None else {"error": row["error"]}))
        for number, item in enumerate(row["objects"]):
            annotation = {"id": position * _MOST_OBJECTS + number, "image_id": position}
            annotations.append(annotation | _coco_object(item))
    categories = [{"id": class_id, "name": name} for class_id, name in provenance.names.items()]
    info = {"description": "yolean predictions", "model": provenance.model, "version": provenance.yolean}
    content = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    return {part_name(start, ".json"): _text(json.dumps(content, ensure_ascii=False))}


def encode_yolo(start: int, rows: Sequence[Row], provenance: Provenance) -> dict[str, bytes]:
    """A text file an image, with normalised coordinates and the score last, and a table of these files."""
    folder = part_name(start, "")
    files: dict[str, bytes] = {}
    table = []
    for row in rows:
        label = ""
        if row["error"] is None:
            label = _free(f"{folder}/{PurePosixPath(row['source'].replace(chr(92), '/')).stem}", files)
            files[label] = _text("".join(f"{_yolo_line(item, row)}\n" for item in row["objects"]))
        table.append({"source": row["source"], "labels": label, "error": row["error"]})
    sink = io.StringIO()
    writer = csv.DictWriter(sink, ("source", "labels", "error"), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return files | {f"{folder}.csv": _text(sink.getvalue())}


ENCODERS: dict[str, Encoder] = {
    "parquet": encode_parquet,
    "jsonl": encode_jsonl,
    "csv": encode_csv,
    "coco": encode_coco,
    "yolo": encode_yolo,
}
FOR_OBJECTS = ("coco", "yolo")
"""Formats that have no place for a classification."""


def _ordered(row: Row) -> Row:
    return {name: row[name] for name in _COLUMNS}


def _text(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # names of files may be no UTF-8


def _free(stem: str, taken: Mapping[str, bytes]) -> str:
    name, number = f"{stem}.txt", 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}.txt"
    return name


def _schema(provenance: Provenance) -> Any:
    import pyarrow as pa

    number = pa.float64()
    numbers = pa.list_(number)
    fields = {"name": pa.string(), "class": pa.int32(), "confidence": number}
    if provenance.task != "classify":
        corners = 4 if provenance.task == "obb" else 2
        fields["box"] = pa.struct([(f"{axis}{n + 1}", number) for n in range(corners) for axis in "xy"])
    if provenance.task == "segment":
        fields["segments"] = pa.struct([("x", numbers), ("y", numbers)])
    if provenance.task == "pose":
        fields["keypoints"] = pa.struct([("x", numbers), ("y", numbers), ("visible", numbers)])
    text, whole = pa.string(), pa.int32()
    kinds = {
        **{"source": text, "width": whole, "height": whole, "task": text},
        "objects": pa.list_(pa.struct(list(fields.items()))),
        **{"error": text, "conf": number, "iou": number, "max_det": whole, "model": text, "yolean": text},
    }
    return pa.schema([(name, kinds[name]) for name in _COLUMNS])


def _outline(item: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Points (n, 2) of a mask's outline or of an oriented box, None for an upright box."""
    if "segments" in item:
        return np.array([item["segments"]["x"], item["segments"]["y"]]).T
    box = item["box"]
    return np.array(list(box.values())).reshape(-1, 2) if "x4" in box else None


def _coco_object(item: Mapping[str, Any]) -> dict[str, Any]:
    outline = _outline(item)
    if "x4" in item["box"] and outline is not None:
        (left, top), (right, bottom) = outline.min(axis=0).tolist(), outline.max(axis=0).tolist()
    else:
        left, top, right, bottom = item["box"].values()
    found = {
        "category_id": item["class"],
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top) if outline is None else _area(outline),
        "iscrowd": 0,
        "score": item["confidence"],
    }
    if outline is not None:
        found["segmentation"] = [outline.ravel().tolist()] if len(outline) > 2 else []
    if "keypoints" in item:
        points = item["keypoints"]
        seen = [2 if v > 0.5 else 0 for v in points.get("visible", [1.0] * len(points["x"]))]
        triples = zip(points["x"], points["y"], seen, strict=True)
        found |= {
            "keypoints": [value for triple in triples for value in triple],
            "num_keypoints": seen.count(2),
        }
    return found


def _area(outline: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Of a polygon, by the shoelace formula, in square pixels."""
    if len(outline) < 3:
        return 0.0
    x, y = outline.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _yolo_line(item: Mapping[str, Any], row: Row) -> str:
    """`class`, then centre, width and height, or the outline; keypoints; the score."""
    scale = np.array([row["width"], row["height"]], np.float64)
    outline = _outline(item)
    if outline is None or len(outline) < 3:
        corners = np.array(list(item["box"].values())).reshape(-1, 2) / scale
        low, high = corners.min(axis=0), corners.max(axis=0)
        values = [*((low + high) / 2), *(high - low)]
    else:
        values = list((outline / scale).ravel())
    if "keypoints" in item:
        points = item["keypoints"]
        columns = [np.array(points["x"]) / scale[0], np.array(points["y"]) / scale[1]]
        if "visible" in points:
            columns.append(np.array(points["visible"]))
        values += list(np.stack(columns, axis=1).ravel())
    return " ".join([str(item["class"]), *(f"{value:.6g}" for value in (*values, item["confidence"]))])
