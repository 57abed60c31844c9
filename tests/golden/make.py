"""Asks an installed Ultralytics for its answers, which the tests then compare ours with.

    python tests/golden/make.py [models folder] [pictures folder] [output folder]

Writes one JSON file a model: what `YOLO(model).predict` found in every picture of the folder, at the model's
own input size. Coordinates are pixels of the original picture. Without arguments it takes the demo models and
pictures and writes beside itself. Models with fixed axes see square input and those with dynamic axes
rectangular input, which is what Ultralytics does unless told otherwise.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DEMO = HERE.parent.parent / "models"
OPTIONS: dict[str, Any] = {"conf": 0.25, "iou": 0.45, "max_det": 300}


def _rounded(array: Any, digits: int) -> list[Any]:
    # Through float64: a rounded float32 would print with all its digits.
    values: list[Any] = array.astype("float64").round(digits).tolist()
    return values


def answer(result: Any) -> dict[str, Any]:
    """One `ultralytics.engine.results.Results` as plain data."""
    entry: dict[str, Any] = {"shape": list(result.orig_shape)}
    if result.probs is not None:
        probs = result.probs.cpu().numpy()
        return entry | {"top5": [int(i) for i in probs.top5], "top5conf": _rounded(probs.top5conf, 6)}
    boxes = (result.boxes if result.obb is None else result.obb).cpu().numpy()
    entry |= {"cls": boxes.cls.astype(int).tolist(), "conf": _rounded(boxes.conf, 6)}
    if result.obb is not None:
        corners = boxes.xyxyxyxy.reshape(len(boxes), 8)
        return entry | {"xywhr": _rounded(boxes.xywhr, 4), "obb": _rounded(corners, 3)}
    entry["xyxy"] = _rounded(boxes.xyxy, 3)
    if result.masks is not None:
        masks = result.masks.cpu().numpy()
        entry["segments"] = [_rounded(outline.reshape(-1), 2) for outline in masks.xy]
        entry["mask_shape"] = list(masks.data.shape[1:])
        entry["mask_area"] = masks.data.astype(int).sum((1, 2)).tolist()
    if result.keypoints is not None:
        points = result.keypoints.cpu().numpy().data
        entry["keypoints"] = [_rounded(p.reshape(-1), 3) for p in points]
    return entry


def _metadata(model: Path) -> dict[str, str]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    return metadata


def answers(model: Path, pictures: list[Path]) -> dict[str, Any]:
    """Everything that Ultralytics says of the pictures with this model, as the JSON file holds it."""
    import ultralytics
    from ultralytics import YOLO

    metadata = _metadata(model)
    height, width = ast.literal_eval(metadata["imgsz"])
    imgsz = height if height == width else [height, width]
    yolo = YOLO(str(model), task=metadata["task"])
    images: dict[str, Any] = {}
    for picture in pictures:
        # One at a time: pictures of a batch would be given a common shape.
        (found,) = yolo.predict(str(picture), imgsz=imgsz, rect=True, device="cpu", verbose=False, **OPTIONS)
        images[picture.name] = answer(found)
    head = {"model": model.name, "ultralytics": ultralytics.__version__}
    return head | OPTIONS | {"imgsz": imgsz, "images": images}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Record the answers of Ultralytics.")
    parser.add_argument("models", type=Path, nargs="?", default=DEMO)
    parser.add_argument("pictures", type=Path, nargs="?", default=DEMO)
    parser.add_argument("out", type=Path, nargs="?", default=HERE)
    options = parser.parse_args()
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")  # a missing package is an error, not an installation
    pictures = sorted(p for p in options.pictures.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    options.out.mkdir(parents=True, exist_ok=True)
    for model in sorted(options.models.glob("*.onnx")):
        target = options.out / f"{model.stem}.json"
        target.write_text(json.dumps(answers(model, pictures)) + "\n")
        print(target)


if __name__ == "__main__":
    main()
