"""Records the answers of an installed Ultralytics, which those of yolean are then compared with.

    python benchmarks/reference_runner.py MODELS IMAGES OUT [--model NAME]...

Writes OUT/<name>.json for every MODELS/<name>.onnx: what `YOLO(model).predict` found in every image of a
folder, at the model's own input size. Coordinates are pixels of the image. Models with fixed axes see
square input and those with dynamic axes rectangular input, which is what Ultralytics does unless told
otherwise.

It runs under an interpreter that has ultralytics and onnxruntime; yolean is not needed there. It reports in
lines of JSON: `{"model", "image"}` after every answer, and `{"model", "left_out"}` with the reason for a
model without answers. The files of `tests/golden` are what it wrote of the plain exports there:

    python benchmarks/reference_runner.py tests/golden/plain models tests/golden
"""

from __future__ import annotations

import argparse
import ast
import base64
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

OPTIONS: dict[str, Any] = {"conf": 0.25, "iou": 0.45, "max_det": 300}
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
DEPTH_STEP = 8
"""Pixels between those whose depth is recorded."""

NOT_INSTALLED = 3
"""Exit status where ultralytics or onnxruntime is not installed; the last line names it."""

_reports: Any = sys.stdout


def answer(result: Any) -> dict[str, Any]:
    """The answer to one image as plain data: a result of Ultralytics or of yolean, which share their names.

    `shape` is [height, width] of the image; then the objects, best first, as `cls`, `conf` and `xyxy`, or
    for oriented ones `cls`, `conf`, `xywhr` and `obb`, eight coordinates of corners each; with `segments`, an
    outline [x, y, x, y, ...] each, or `keypoints`, [x, y, visibility, ...] each and `kpt_shape`, by task. A
    classification has `top5` and `top5conf` instead. Coordinates are pixels of the image.

    A semantic mask has `semantic_mask` instead, the class ids of all pixels as PNG in base64; depth has
    `depth_map`: of every eighth pixel in every eighth row, 16 bits that stand for 0 to `depth_max` metres.
    """
    entry: dict[str, Any] = {"shape": [int(side) for side in result.orig_shape]}
    if result.probs is not None:
        probs = result.probs.cpu().numpy()
        return entry | {"top5": [int(i) for i in probs.top5], "top5conf": _rounded(probs.top5conf, 6)}
    if getattr(result, "semantic_mask", None) is not None:
        return entry | {"semantic_mask": _png(result.semantic_mask.cpu().numpy().data)}
    if getattr(result, "depth", None) is not None:
        metres = result.depth.cpu().numpy().data[::DEPTH_STEP, ::DEPTH_STEP]
        most = float(metres.max()) or 1.0
        steps = (metres.astype("float64") / most * 65535).round().astype("uint16")
        return entry | {"depth_map": _png(steps), "depth_max": most}
    boxes = (result.boxes if result.obb is None else result.obb).cpu().numpy()
    entry |= {"cls": boxes.cls.astype(int).tolist(), "conf": _rounded(boxes.conf, 6)}
    if result.obb is not None:
        corners = boxes.xyxyxyxy.reshape(len(boxes), 8)
        return entry | {"xywhr": _rounded(boxes.xywhr, 4), "obb": _rounded(corners, 3)}
    entry["xyxy"] = _rounded(boxes.xyxy, 3)
    if result.masks is not None:
        outlines = result.masks.cpu().numpy().xy
        entry["segments"] = [_rounded(outline.reshape(-1), 2) for outline in outlines]
    if result.keypoints is not None:
        points = result.keypoints.cpu().numpy().data
        entry["keypoints"] = [_rounded(each.reshape(-1), 3) for each in points]
        entry["kpt_shape"] = list(points.shape[1:])
    return entry


def predict(model: Path, image_paths: list[Path]) -> dict[str, Any]:
    """The content of a reference file: what Ultralytics finds in the images with this model.

    Raises:
        ValueError: a file that Ultralytics does not run.
    """
    metadata, batch = _header(model)
    if "strides" in metadata.get("yolean", ""):
        raise ValueError("a lean file: name the export that it was made of")
    if not {"imgsz", "task"} <= set(metadata):
        raise ValueError("it has no metadata of Ultralytics")
    import ultralytics

    height, width = ast.literal_eval(metadata["imgsz"])
    imgsz = height if height == width else [height, width]
    yolo = ultralytics.YOLO(str(model), task=metadata["task"])
    options = OPTIONS | {"imgsz": imgsz, "rect": True, "device": "cpu", "verbose": False}
    images: dict[str, Any] = {}
    for image in image_paths:
        # One at a time: images of a batch would be given a common shape. Copies where a batch must be full.
        source = str(image) if batch == 1 else [str(image)] * batch
        images[image.name] = answer(yolo.predict(source, **options, batch=batch)[0])
        _report({"model": model.stem, "image": image.name})
    head = {"model": model.name, "ultralytics": ultralytics.__version__}
    return head | OPTIONS | {"imgsz": imgsz, "images": images}


def _header(model: Path) -> tuple[dict[str, str], int]:
    """The metadata, and how many images a run takes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    batch = session.get_inputs()[0].shape[0]
    return session.get_modelmeta().custom_metadata_map, batch if isinstance(batch, int) else 1


def _png(values: Any) -> str:
    """A map of uint8 or uint16 as PNG in base64."""
    import cv2

    wide = values if values.itemsize == 1 else values.astype("uint16")
    return base64.b64encode(cv2.imencode(".png", wide)[1].tobytes()).decode("ascii")


def _rounded(array: Any, digits: int) -> list[Any]:
    # Through float64: a rounded float32 would print with all its digits.
    values: list[Any] = array.astype("float64").round(digits).tolist()
    return values


def _report(what: dict[str, str]) -> None:
    _reports.write(json.dumps(what) + "\n")
    _reports.flush()


def _check_installed() -> None:
    for name in ("ultralytics", "onnxruntime"):
        try:
            __import__(name)
        except ModuleNotFoundError as exc:
            print(exc.name, file=sys.stderr)
            sys.exit(NOT_INSTALLED)


def _predict_all(models: list[Path], image_paths: list[Path], out: Path) -> None:
    _check_installed()
    for model in models:
        try:
            content = predict(model, image_paths)
        except Exception as exc:  # whatever Ultralytics makes of a file: the next one may be fine
            reason = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
            _report({"model": model.stem, "left_out": reason})
        else:
            (out / f"{model.stem}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


def main() -> None:
    """The command line."""
    global _reports
    parser = argparse.ArgumentParser(description="Record the answers of Ultralytics.")
    for name, text in (("models", "folder of .onnx files"), ("images", "folder"), ("out", "folder")):
        parser.add_argument(name, type=Path, help=text)
    parser.add_argument("--model", action="append", help="name of one of the models; may be repeated")
    given = parser.parse_args()
    image_paths = sorted(path for path in given.images.iterdir() if path.suffix.lower() in SUFFIXES)
    models = sorted(path for path in given.models.glob("*.onnx") if path.stem in (given.model or [path.stem]))
    given.out.mkdir(parents=True, exist_ok=True)
    # What Ultralytics prints goes to the standard error, and its settings into a folder that is then removed.
    # A package that it lacks is an error, not an installation.
    _reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true"}
        os.environ |= {"YOLO_CONFIG_DIR": folder, "MPLCONFIGDIR": folder}
        _predict_all(models, image_paths, given.out)


if __name__ == "__main__":
    main()
