"""What the README says in figures: each function makes Markdown of the recorded results.

A number that is not in `benchmarks/results/*.json` cannot get into the README this way, and no other way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from textwrap import fill
from typing import Any

from .contenders import BARE, ULTRALYTICS, YOLEAN
from .entrants import YOLEAN as SERVE

Records = dict[str, Any]
Row = dict[str, Any]

LEAN, INT8 = "yolean, lean", "yolean, INT8"
_UNKNOWN = "-"
_TEXTS = ("answers", "INT8's agreement", "others, times that")
_PARTS = {
    "nms": "NMS",
    "decode": "decoding",
    "rotated": "rotated NMS",
    "masks": "masks",
    "letterbox": "letterbox",
}
_COUNTS = {"nms": (1000, 30000), "decode": (8400, 30000), "rotated": (1000, 8400), "masks": (1, 50, 300)}


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: of numbers, but for the first column and those of `_TEXTS`."""
    lines = [heads, ["---"] + ["---" if head in _TEXTS else "---:" for head in heads[1:]], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def prose(text: str) -> str:
    """A paragraph in lines."""
    return fill(text, 130, break_long_words=False, break_on_hyphens=False)


def intro(records: Records) -> str:
    """What it spares, beside Ultralytics on the same file."""
    own, other = (_side(records, "detect", side) for side in (YOLEAN, ULTRALYTICS))
    sizes = [f"{row['installed_mb']:.0f} MB" for row in (own, other)]
    sizes[1] = f"{other['installed_mb'] / 1000:.1f} GB"
    seconds = [f"{row['cold_s']['median']:.2f} s" for row in (own, other)]
    memory = [f"{row['cold_peak_mb']['median']:.0f} MB" for row in (own, other)]
    return prose(
        "Ultralytics YOLO models without torch. Export a model to ONNX once; from then on **numpy, OpenCV "
        "and "
        f"ONNX Runtime** run it, with the same answers: {sizes[0]} installed instead of {sizes[1]}, "
        f"{seconds[0]} from starting Python to the first answer instead of {seconds[1]}, {memory[0]} of "
        "memory "
        f"instead of {memory[1]}."
    )


def setting(records: Records) -> str:
    """On what machine, and how."""
    record = records["peers"]
    machine, how = record["machine"], record["how"]
    features = ", ".join(machine["features"])
    return prose(
        f"yolov8n with its published weights, {len(how['images'])} photographs, conf {how['conf']}, iou "
        f"{how['iou']}, {how['threads']} threads of an {machine['processor']} ({features}), ONNX Runtime "
        f"{machine['onnxruntime']}. From a BGR array to what a side's users get, outlines of masks included. "
        f"Every side is a process of its own; all take turns, {how['rounds']} times through all images, "
        "ratios "
        "are taken turn by turn, and medians are shown with the middle half."
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
    return _spread(row[f"by {BARE}"])


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
    lines = []
    for name in names:
        found = [(model["task"], _of(model, name).get("not_measured")) for model in models]
        if whys := [f"{task}: {why}" for task, why in found if why]:
            lines.append(f"\nNot measured: {name}; {', '.join(whys)}.\n")
    return "".join(lines)


def cold(records: Records) -> str:
    """What a whole process costs."""
    model = _task(records, "detect")
    rows = []
    for row in model["rows"]:
        if "cold_s" in row and row["side"] != BARE:
            memory = f"{row['cold_peak_mb']['median']:.0f} MB"
            rows.append(
                [row["side"], f"{row['cold_s']['median']:.2f} s", memory, f"{row['installed_mb']:.0f} MB"]
            )
    return table(["", "start of Python to the first answer", "memory by then", "installed"], rows)


def optimized(records: Records) -> str:
    """What lean and INT8 files gain, and what the latter cost."""
    rows = []
    for model in records["peers"]["models"]:
        sides = [_of(model, name) for name in (YOLEAN, LEAN, INT8)]
        agreement = model["reports"].get("int8", {}).get("agreement")
        rows.append(
            [
                model["task"],
                f"{_of(model, BARE)['ms']['median']:.1f} ms",
                *map(_by_bare, sides),
                _kept(agreement),
            ]
        )
    return table(["task", BARE, "the export", "lean", "INT8", "INT8's agreement"], rows)


def _kept(agreement: Row | None) -> str:
    if agreement is None:
        return "not measured"
    if agreement["top1"] is not None:
        return f"same best class {agreement['top1']:.3f} of {agreement['images']} images"
    parts = [f"recall {agreement['recall']:.3f}", f"precision {agreement['precision']:.3f}"]
    parts += [f"IoU {agreement['mean_iou']:.3f}", f"scores {agreement['confidence_change']:+.3f}"]
    return f"{', '.join(parts)} ({agreement['objects']} objects, {agreement['images']} images)"


def parity(records: Records) -> str:
    """How equal the answers are."""
    rows = records["parity"]["rows"]
    worst = {
        name: [row["worst"][name]["value"] for row in rows if name in row["worst"]]
        for name in ("box", "keypoints", "score", "probs", "mask_iou")
    }
    agree, images = (sum(row[key] for row in rows) for key in ("agree", "images"))
    objects = sum(row["objects"] or 0 for row in rows)
    pixels, scores = max(worst["box"] + worst["keypoints"]), max(worst["score"] + worst["probs"])
    apart = f"{pixels:.3f} px" if pixels >= 0.001 else "less than 0.001 px"
    version = rows[0]["version"] or "8.4.190"
    return prose(
        f'"Same answers" is tested, against what Ultralytics {version} answers for the demo models, and for '
        f"{len(rows)} exports of yolov8n (five tasks, all layouts) where those are at hand: {agree} of "
        f"{images} "
        f"images agree, {objects} objects; the largest differences are {apart} of boxes, corners and "
        f"keypoints, {scores:.4f} of scores, and {min(worst['mask_iou']):.3f} IoU of filled outlines "
        "(`benchmarks/results/parity.json`)."
    )


def serve(records: Records) -> str:
    """The servers with eight connections, and what else was seen."""
    record = records["serve"]
    rows = [row for row in record["closed"] if row["concurrency"] == 8]
    own = next(row for row in rows if row["server"] == SERVE)
    cells = []
    for row in rows:
        times = _spread(own["times"][row["server"]]) if row["server"] in own["times"] else ""
        failed = f"{row['refused']} refused" if row["refused"] else "0"
        middle = [f"{row['rate']['median']:.1f}", *(f"{row[key]['median']:.0f} ms" for key in ("p50", "p99"))]
        cells.append([row["server"], *middle, f"{row['memory_mb']['median']:.0f} MB", failed, times])
    heads = [
        "eight connections",
        "requests a second",
        "p50",
        "p99",
        "memory",
        "failed",
        "yolean serve is, times",
    ]
    size = f"a JPEG of {record['image']['bytes'] / 1000:.0f} kB"
    missing = "".join(f"\nNot measured: {row['server']}: {row['why']}.\n" for row in record["not_measured"])
    alone, soak = record["alone"], record["soak"]
    how = record["how"]
    return (
        prose(
            f"The same upload ({size}, {record['model']}) to each server, two threads for everything, in "
            "turn, "
            f"{how['rounds']} rounds of {how['seconds']} s:"
        )
        + f"\n\n{table(heads, cells)}{missing}\n"
        + prose(
            f"One request at a time takes {alone['added_ms']:.1f} ms more than decoding and predicting in "
            "Python. "
            f"Memory was {soak['mb_after_500']:.0f} MB after 500 requests and {soak['mb_at_the_end']:.0f} "
            "MB after "
            f"{soak['requests']:,}."
        )
    )


def reliability(records: Records) -> str:
    """Overload and SIGTERM."""
    record = records["reliability"]
    over, ended = record["overload"], record["terminated"]
    answers = ", ".join(f"{count} were answered {status}" for status, count in over["answers"].items())
    lost = over["lost"] + sum(each["lost"] for each in ended)
    return prose(
        f"At ten times the capacity, of {over['asked']:.0f} requests {answers}; the slowest answer took "
        f"{over['worst_s']:.1f} s. There, and under SIGTERM amid load, {lost or 'none'} "
        f"{'were' if lost else 'was'} lost."
    )


def threads(records: Records) -> str:
    """Why a run takes one core under load."""
    record = records["threads"]
    one, each, both = (record["rows"][name]["images_a_second"] for name in record["rows"])
    return prose(
        "A request alone gets all cores. Under load each run takes one core, and as many runs go side by "
        "side as "
        f"there are cores, each from bytes to JSON in one thread: on {record['cores']} cores that predicts "
        f"{each:.1f} images a second where one run after the other on all gives {one:.1f}, and as many "
        "runs at "
        f"once, each on all, {both:.1f} (`benchmarks/results/threads.json`)."
    )


def micro(records: Records) -> str:
    """Parts alone, beside other ways to do the same, and the targets."""
    record = records["micro"]
    cases: dict[tuple[str, str, int], list[Row]] = {}
    for row in record["rows"]:
        if row["count"] in _COUNTS.get(row["part"], ()) or row["part"] == "letterbox":
            cases.setdefault((row["part"], row["case"], row["count"]), []).append(row)
    rows = []
    for (part, case, count), (own, *others) in cases.items():
        ways = [f"{row['side']} {row['ratio']['median']:.2f}" for row in others if "ms" in row]
        size = "" if part == "letterbox" else f" {count:,}"
        rows.append([f"{_PARTS[part]}{size} {case}", f"{own['ms']['median']:.2f} ms", ", ".join(ways)])
    targets = [
        f"- {row['name']}: {row['measured']['median']:.2f}, at most {row['limit']:g}: "
        + ("kept" if row["kept"] else "missed")
        for row in record["targets"]
    ]
    return (
        "Alone, on one thread, beside OpenCV's functions and plain numpy; how far answers agree is "
        "recorded:\n\n"
        + table(["", YOLEAN, "others, times that"], rows)
        + "\nTargets:\n\n"
        + "\n".join(targets)
    )


def _spread(found: Row, form: str = ".2f") -> str:
    low, high = format(found["quarter"], form), format(found["three_quarters"], form)
    return f"{format(found['median'], form)} ({low}-{high})"


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
    "parity": parity,
    "serve": serve,
    "reliability": reliability,
    "micro": micro,
    "threads": threads,
}
"""By the name that the README's marks use."""
