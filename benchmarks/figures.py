"""What the README says in figures: each function makes Markdown of the recorded results.

A number that is not in `benchmarks/results/*.json` cannot get into the README this way, and no other way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .contenders import BARE, ULTRALYTICS, YOLEAN

Records = dict[str, Any]
Row = dict[str, Any]

LEAN, INT8 = "yolean, lean", "yolean, INT8"
_UNKNOWN = "-"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are numbers."""
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def intro(records: Records) -> str:
    """What it spares, beside Ultralytics on the same file."""
    own, other = (_side(records, "detect", side) for side in (YOLEAN, ULTRALYTICS))
    sizes = [f"{row['installed_mb']:.0f} MB" for row in (own, other)]
    sizes[1] = f"{other['installed_mb'] / 1000:.1f} GB"
    seconds = [f"{row['cold_s']['median']:.2f} s" for row in (own, other)]
    memory = [f"{row['cold_peak_mb']['median']:.0f} MB" for row in (own, other)]
    return (
        "Ultralytics YOLO models without torch. Export a model to ONNX once; from then on **numpy, OpenCV and ONNX "
        f"Runtime**\nrun it, with the same answers: {sizes[0]} installed instead of {sizes[1]}, {seconds[0]} from "
        f"starting Python to the first answer instead\nof {seconds[1]}, {memory[0]} of memory instead of {memory[1]}."
    )


def setting(records: Records) -> str:
    """On what machine, and how."""
    record = records["peers"]
    machine, how = record["machine"], record["how"]
    features = ", ".join(machine["features"])
    return (
        f"yolov8n with its published weights, {len(how['pictures'])} photographs, conf {how['conf']}, iou {how['iou']}, "
        f"{how['threads']} threads of an {machine['processor']} ({features}),\nONNX Runtime {machine['onnxruntime']}. From "
        "a BGR array to what a side's users get, outlines of masks included. Every side is a process of its own; all take\n"
        f"turns, {how['rounds']} times through all pictures, ratios are taken turn by turn, and the medians are shown."
    )


def peers(records: Records) -> str:
    """Every side on every task."""
    models = records["peers"]["models"]
    names = [row["side"] for row in models[0]["rows"]]
    rows = []
    for name in names:
        cells = [_by_bare(_of(model, name)) for model in models]
        rows.append([f"**{name}**" if name in (YOLEAN, LEAN, INT8) else name, *cells, _answers(models, name)])
    floor = [f"{_of(model, BARE)['ms']['median']:.1f} ms" for model in models]
    heads = ["", *(model["task"] for model in models), "answers"]
    why = _why_not(models, names)
    return table(heads, [[f"{BARE} of the export", *floor, ""], *rows[1:]]) + why


def _by_bare(row: Row) -> str:
    if "not_measured" in row:
        return _UNKNOWN
    found = row[f"by {BARE}"]
    return f"{found['median']:.2f} ({found['quarter']:.2f}-{found['three_quarters']:.2f})"


def _answers(models: list[Row], name: str) -> str:
    """Objects found of all tasks, and the largest difference of a box."""
    found = [row["agreement"] for row in (_of(model, name) for model in models) if "agreement" in row]
    boxes = [entry for entry in found if entry["box"] is not None]
    if not boxes:
        return _UNKNOWN
    matched, objects, extra = (sum(entry[key] for entry in boxes) for key in ("matched", "objects", "extra"))
    more = f" and {extra} more" if extra else ""
    return f"{matched} of {objects}{more}, {max(entry['box'] for entry in boxes):.2f} px"


def _why_not(models: list[Row], names: list[str]) -> str:
    reasons: dict[str, list[str]] = {}
    for name in names:
        for model in models:
            why = _of(model, name).get("not_measured")
            if why:
                reasons.setdefault(f"{name}: {why}", []).append(model["task"])
    return "".join(f"\nNot measured: {why} ({', '.join(tasks)}).  " for why, tasks in reasons.items()) + "\n"


def cold(records: Records) -> str:
    """What a whole process costs."""
    model = _task(records, "detect")
    rows = []
    for row in model["rows"]:
        if "cold_s" in row and row["side"] != BARE:
            memory = f"{row['cold_peak_mb']['median']:.0f} MB"
            rows.append([row["side"], f"{row['cold_s']['median']:.2f} s", memory, f"{row['installed_mb']:.0f} MB"])
    return table(["", "start of Python to the first answer", "memory by then", "installed"], rows)


def optimized(records: Records) -> str:
    """What lean and INT8 files gain, and what the latter cost."""
    rows = []
    for model in records["peers"]["models"]:
        sides = [_of(model, name) for name in (YOLEAN, LEAN, INT8)]
        agreement = model["reports"].get("int8", {}).get("agreement")
        rows.append([model["task"], f"{_of(model, BARE)['ms']['median']:.1f} ms", *map(_by_bare, sides), _kept(agreement)])
    return table(["task", BARE, "the export", "lean", "INT8", "INT8's agreement"], rows)


def _kept(agreement: Row | None) -> str:
    if agreement is None:
        return "not measured"
    if agreement["top1"] is not None:
        return f"same best class {agreement['top1']:.3f} of {agreement['pictures']} pictures"
    parts = [f"recall {agreement['recall']:.3f}", f"precision {agreement['precision']:.3f}"]
    parts += [f"IoU {agreement['mean_iou']:.3f}", f"scores {agreement['confidence_change']:+.3f}"]
    return f"{', '.join(parts)} ({agreement['objects']} objects, {agreement['pictures']} pictures)"


def _task(records: Records, task: str) -> Row:
    return next(model for model in records["peers"]["models"] if model["task"] == task)


def _of(model: Row, side: str) -> Row:
    return next(row for row in model["rows"] if row["side"] == side)


def _side(records: Records, task: str, side: str) -> Row:
    return _of(_task(records, task), side)


PARTS: dict[str, Callable[[Records], str]] = {
    "intro": intro,
    "setting": setting,
    "peers": peers,
    "cold": cold,
    "optimized": optimized,
}
"""By the name that the README's marks use."""
