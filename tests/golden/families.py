"""Builds small models of every family and export variant, with Ultralytics' answers beside them.

    python tests/golden/families.py FOLDER IMAGES [--only PATTERN]

The models come from the configurations that ship with Ultralytics, in their smallest scale, and have
random weights. Such a network finds nothing: its scores hardly vary. So its normalisation layers are
settled on the images, and the last convolutions of the head are rescaled until a few hundred anchors pass
the usual confidence, with boxes, masks, keypoints and angles of all sorts. That asks more of the decoders
than trained weights do. Writes FOLDER/<name>.onnx and FOLDER/<name>.json, the latter in the format of
`benchmarks/reference_runner.py`, and leaves alone what is there already.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("YOLO_AUTOINSTALL", "false")  # a missing package is an error, not an installation
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import cv2
import numpy as np
import torch
from prompted import (
    fix_classes,
    free_of_prompts,
    is_similarity,
    rescale_linear,
    rescale_similarity,
    standard_similarity,
    vary_boxes,
)
from reference_runner import OPTIONS, answer
from torch import nn
from ultralytics import RTDETR, YOLO, __version__
from ultralytics.nn.tasks import yaml_model_load
from ultralytics.utils import YAML

SIDE = 320
PASSING = 0.1  # of all anchors have a class above the confidence threshold
LOGIT_DEVIATION = 1.0  # deviation of the classes' logits

VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "rect": {"imgsz": [256, SIDE]},
    "dyn": {"dynamic": True},
    "half": {"quantize": 16},
    "batch2": {"batch": 2},
    "nms": {"nms": True, "iou": OPTIONS["iou"]},
    "nms-rect": {"nms": True, "iou": OPTIONS["iou"], "imgsz": [256, SIDE]},
    "nms-dyn": {"nms": True, "iou": OPTIONS["iou"], "dynamic": True},
    "nms-agnostic": {"nms": True, "iou": OPTIONS["iou"], "agnostic_nms": True},
    "e2e": {"nms": False},
    "e2e-rect": {"nms": False, "imgsz": [256, SIDE]},
    "e2e-dyn": {"nms": False, "dynamic": True},
    "e2e-half": {"nms": False, "quantize": 16},
    "e2e-few": {"nms": False, "max_det": 20},
}
BASIC = ("", "rect", "dyn", "nms")
FULL = (*BASIC, "half", "batch2", "nms-rect", "nms-dyn")
END2END = (*BASIC, "e2e", "e2e-rect", "e2e-dyn")


@dataclass(frozen=True)
class Recipe:
    """A network and the ways to export it.

    Attributes:
        config: one of Ultralytics' configurations, with the letter of the scale.
        variants: keys of `VARIANTS`.
        name: of the files; default: the configuration's.
        changes: entries of the configuration that are replaced.
    """

    config: str
    variants: tuple[str, ...] = BASIC
    name: str = ""
    changes: dict[str, Any] = field(default_factory=dict)


RECIPES = (
    Recipe("yolov8n", (*FULL, "nms-agnostic")),
    Recipe("yolov8n-seg", FULL),
    Recipe("yolov8n-pose", FULL),
    Recipe("yolov8n-obb", (*FULL, "nms-agnostic")),
    Recipe("yolov8n-cls", ("", "rect", "dyn", "half", "batch2")),
    Recipe("yolo26n", (*END2END, "half", "e2e-half", "e2e-few")),
    Recipe("yolo26n-seg", END2END),
    Recipe("yolo26n-pose", END2END),
    Recipe("yolo26n-obb", END2END),
    Recipe("yolo26n-cls", ("", "rect", "dyn")),
    Recipe("yolov10n", END2END),
    Recipe("yolo11n"),
    Recipe("yolo11n-seg"),
    Recipe("yolo11n-pose"),
    Recipe("yolo11n-obb"),
    Recipe("yolo11n-cls", ("", "dyn")),
    Recipe("yolo12n"),
    Recipe("yolo12n-seg", ("", "dyn")),
    Recipe("yolo12n-pose", ("", "dyn")),
    Recipe("yolo12n-obb", ("", "dyn")),
    Recipe("yolo12n-cls", ("",)),
    Recipe("yolov9t"),
    Recipe("yolov6n", ("", "dyn")),
    Recipe("yolov5n"),
    Recipe("yolov3-tiny", ("", "dyn")),
    Recipe("yolov8n-p2", ("", "dyn")),
    Recipe("yolov8n-p6", ("", "dyn", "nms")),
    Recipe("yolov8n", ("", "dyn", "nms"), "yolov8n-one", {"nc": 1}),
    Recipe("yolov8n", ("", "dyn", "nms"), "yolov8n-two", {"nc": 2}),
    Recipe("yolov8n", ("",), "yolov8n-many", {"nc": 1200}),
    Recipe("yolov8n", ("", "dyn"), "yolov8n-grey", {"channels": 1}),
    Recipe("yolov8n", (), "yolov8n-four", {"channels": 4}),  # image files have no four channels
    Recipe("yolov8n-obb", ("", "nms"), "yolov8n-obb-one", {"nc": 1}),
    Recipe("yolov8n-cls", ("",), "yolov8n-cls-three", {"nc": 3}),
    Recipe("yolov8n-pose", ("", "dyn", "nms"), "yolov8n-pose-pairs", {"nc": 3, "kpt_shape": [5, 2]}),
    Recipe("yolo26n-pose", ("", "e2e"), "yolo26n-pose-pairs", {"nc": 3, "kpt_shape": [4, 2]}),
    Recipe("yolo26n-pose", (), "yolo26n-pose-two", {"nc": 1, "kpt_shape": [2, 3]}),
    Recipe("yolo26n-sem", ("", "rect", "dyn", "half", "batch2")),
    Recipe("yolo26n-sem", ("", "dyn"), "yolo26n-sem-one", {"nc": 1}),
    Recipe("yolo26n-sem", ("",), "yolo26n-sem-many", {"nc": 300}),
    Recipe("yolo26n-depth", ("", "rect", "dyn", "half", "batch2")),
    Recipe("yolov8n-world", ("",)),
    Recipe("yolov8n-worldv2", ("", "dyn", "nms")),
    Recipe("yoloe-v8n-seg", ("", "dyn")),
    Recipe("yoloe-11n-seg", ("", "dyn"), "yoloe-11n-seg-pf"),
    Recipe("yoloe-26n-seg", END2END),
    Recipe("rtdetr-l", ("", "dyn")),
)


def read(image_paths: list[Path], channels: int) -> torch.Tensor:
    """(N, channels, SIDE, SIDE) float32 from 0 to 1, squeezed: good enough to get the statistics."""
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    found = [image for path in image_paths if (image := cv2.imread(str(path), flag)) is not None]
    planes = [cv2.resize(image, (SIDE, SIDE)).reshape(SIDE, SIDE, -1) for image in found]
    if channels > 3:
        planes = [np.take(np.dstack((p, p.mean(axis=2))), range(channels), axis=2) for p in planes]
    return torch.from_numpy(
        np.stack(planes)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255
    ).contiguous()


def build(recipe: Recipe, folder: Path, image_paths: list[Path]) -> YOLO:
    """The network of a recipe, with lively weights that are the same every time."""
    torch.manual_seed(0)
    config = yaml_model_load(f"{recipe.config}.yaml") | recipe.changes
    path = folder / f"{recipe.name or recipe.config}.yaml"
    YAML.save(path, config)
    yolo = (RTDETR if recipe.config.startswith("rtdetr") else YOLO)(str(path))
    network, channels = yolo.model, config.get("channels", 3)
    if channels != 3:  # YOLO() does not pass it on
        yolo.model = type(network)(str(path), ch=channels, verbose=False)
        yolo.model.task, yolo.model.args, network = network.task, network.args, yolo.model
    images = read(image_paths, channels)
    fix_classes(yolo)
    with torch.no_grad():
        settle(network, images)
        enliven(network, images)
    if path.stem.endswith("-pf"):
        free_of_prompts(yolo)
    return yolo


def settle(network: nn.Module, images: torch.Tensor) -> None:
    """Give the normalisation layers the statistics of these images."""
    layers = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain average of all that is seen
    network.train()
    network(images)
    network.eval()


def enliven(network: Any, images: torch.Tensor) -> None:
    """Rescale the last layers of the head, so that all they say varies over the images."""
    head = network.model[-1]
    if hasattr(head, "linear"):
        (out,) = outputs(network, images, [head.linear])
        factor = 2 / out.std(dim=1).mean()
        head.linear.weight *= factor
        head.linear.bias *= factor
        return
    if hasattr(head, "classifier") or hasattr(head, "refine"):  # of a semantic mask, or of depth
        last = head.classifier[-1] if hasattr(head, "classifier") else head.head[-1]
        (value,) = outputs(network, images, [last])
        rescale(last, value, 0.5, torch.zeros(last.out_channels))
        return
    if hasattr(head, "dec_score_head"):
        vary_boxes(head)
        (scores,) = outputs(network, images, [head.dec_score_head[-1]])
        best = (scores - scores.mean((0, 1))) / scores.std((0, 1)) * LOGIT_DEVIATION
        shift = shift_of_scores([best.amax(dim=2)])
        rescale_linear(head.dec_score_head[-1], scores, LOGIT_DEVIATION, shift)
        return
    for prefix in ("", "one2one_"):
        for part in ("cv2", "cv3", "cv4", "cv4_kpts", "cv5"):
            branches = getattr(head, prefix + part, None) or ()
            if any(map(is_similarity, branches)):
                values = outputs(network, images, list(branches))
                best = [standard_similarity(value, LOGIT_DEVIATION).amax(dim=1) for value in values]
                for layer, value in zip(branches, values, strict=True):
                    rescale_similarity(layer, value, LOGIT_DEVIATION, shift_of_scores(best))
                continue
            layers = [b if isinstance(b, nn.Conv2d) else b[-1] for b in branches]
            if not layers or not isinstance(layers[0], nn.Conv2d):
                continue
            if part == "cv3" and any(map(is_similarity, getattr(head, prefix + "cv4", ()))):
                continue  # features, which cv4 compares with those of the texts
            values = outputs(network, images, layers)
            scale, shift = 1.5, torch.zeros(layers[0].out_channels)
            if part == "cv2":  # distances in strides: as they are, or as the mean of 16 bins
                bins = torch.arange(head.reg_max).repeat(4)
                scale, shift = (1.2, shift + 3) if head.reg_max == 1 else (2.0, -0.4 * bins)
            elif part == "cv3":
                scale = LOGIT_DEVIATION
                shift = shift + shift_of_scores([standard(v, scale).amax(dim=1) for v in values])
            for layer, value in zip(layers, values, strict=True):
                rescale(layer, value, scale, shift)


def shift_of_scores(best: list[torch.Tensor]) -> float:
    """What to add to the best logit of every anchor, so that the wanted part of them passes."""
    wanted = math.log(OPTIONS["conf"] / (1 - OPTIONS["conf"]))
    values = torch.cat([one.flatten() for one in best]).numpy()
    return float(wanted - np.quantile(values, 1 - PASSING).item())


def outputs(network: nn.Module, images: torch.Tensor, layers: list[Any]) -> list[torch.Tensor]:
    """What these layers give for the images."""
    found: dict[nn.Module, torch.Tensor] = {}
    hooks = [layer.register_forward_hook(lambda own, _, out: found.update({own: out})) for layer in layers]
    network(images)
    for hook in hooks:
        hook.remove()
    return [found[layer] for layer in layers]


def standard(value: torch.Tensor, scale: float) -> torch.Tensor:
    """(N, channels, h, w) with mean 0 and deviation `scale` in every channel."""
    mean, deviation = value.mean((0, 2, 3), keepdim=True), value.std((0, 2, 3), keepdim=True)
    return (value - mean) / (deviation + 1e-6) * scale


def rescale(layer: nn.Conv2d, value: torch.Tensor, scale: float, shift: torch.Tensor) -> None:
    """Make a convolution that gives `value` give `standard(value, scale) + shift`."""
    mean, factor = value.mean((0, 2, 3)), scale / (value.std((0, 2, 3)) + 1e-6)
    layer.weight *= factor[:, None, None, None]
    layer.bias.copy_((layer.bias - mean) * factor + shift)


def answers(model: Path, task: str, imgsz: Any, batch: int, image_paths: list[Path]) -> dict[str, Any]:
    """What Ultralytics says of the images, as the JSON file holds it."""
    yolo = YOLO(str(model), task=task)
    paths = [str(p) for p in image_paths]
    paths += paths[: -len(paths) % batch]  # a fixed batch must be full
    groups = [paths[i : i + batch] for i in range(0, len(paths), batch)]
    options = OPTIONS | {"imgsz": imgsz, "batch": batch, "device": "cpu", "verbose": False}
    # A list goes through PIL, which decodes grey images otherwise than the loader of files.
    found = [r for group in groups for r in yolo.predict(group if batch > 1 else group[0], **options)]
    images = {Path(result.path).name: answer(result) for result in found}
    return {"model": model.name, "ultralytics": __version__, **OPTIONS, "imgsz": imgsz, "images": images}


def exports(recipe: Recipe, folder: Path, only: re.Pattern[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The files that are wanted of a recipe and not there yet, with their export arguments."""
    for variant in recipe.variants:
        name = "-".join(filter(None, (recipe.name or recipe.config, variant)))
        target = folder / f"{name}.onnx"
        if only.search(name) and not target.with_suffix(".json").exists():
            yield target, {"imgsz": SIDE, "batch": 1} | VARIANTS[variant]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build models of every family, with Ultralytics' answers.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="names that match")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    image_paths = sorted(p for p in options.images.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
    for recipe in RECIPES:
        wanted = list(exports(recipe, options.folder, options.only))
        if not wanted:
            continue
        yolo = build(recipe, options.folder, image_paths)
        for target, arguments in wanted:
            yolo.model.pt_path = str(target.with_suffix(".pt"))  # the exporter names its file after it
            yolo.export(format="onnx", device="cpu", verbose=False, **arguments)
            reference = answers(target, yolo.task, arguments["imgsz"], arguments["batch"], image_paths)
            target.with_suffix(".json").write_text(json.dumps(reference) + "\n")
            print(
                target,
                {name: len(one.get("cls", ())) for name, one in reference["images"].items()},
                flush=True,
            )


if __name__ == "__main__":
    main()
