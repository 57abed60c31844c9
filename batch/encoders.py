"""Formats of the output: the rows of a part as the files that are written for it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

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
        for number, item in enumerate(row.get("annotations", ())):
            annotations.append(item | {"id": position * _MOST_OBJECTS + number, "image_id": position})
    categories = [{"id": class_id + 1, "name": name} for class_id, name in provenance.names.items()]
    info = {"description": "yolean predictions", "model": provenance.model, "version": provenance.yolean}
    content = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    return {part_name(start, ".json"): _text(json.dumps(content, ensure_ascii=False))}


def encode_yolo(start: int, rows: Sequence[Row], provenance: Provenance) -> dict[str, bytes]:
    """A label file an image, with the score last, and a table of images and label files."""
    folder = part_name(start, "")
    files: dict[str, bytes] = {}
    table = []
    for row in rows:
        label = ""
        if row["error"] is None:
            label = _free(f"{folder}/{PurePosixPath(row['source'].replace(chr(92), '/')).stem}", files)
            files[label] = _text("".join(f"{line}\n" for line in row["labels"]))
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
"""Formats that have no place for what is no object."""


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
    fields = {"name": pa.string(), "class": pa.int32()}
    fields["pixel_ratio" if provenance.task == "semantic" else "confidence"] = number
    if provenance.task in ("detect", "segment", "pose", "obb"):
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
