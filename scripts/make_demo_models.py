"""Makes the demo models that ship in `models/`: draws the images, trains, exports, validates.

    python -m scripts.make_demo_models

Run it in a clone whose yolean is installed. One command makes everything again: seven small Ultralytics
models, one a task, trained from nothing on the shapes that `drawn_shapes.py` draws, and the images to try
them on. It needs `ultralytics`, `onnx` and `onnxslim`, no network and no GPU. All seeds are fixed; the number
of threads is too, since sums depend on it.

Training images come from seeds below 100 000, validation images from 100 000 on, demo ones from 200 000.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from yolean.export.optimizer import OptimizeOptions, optimize

from .dense_labels import MILLIMETRES, class_map, draw_depth_pair
from .drawn_shapes import KINDS, TIPS, Scene, Shape, draw

MAX_CHANNELS = 384  # before the width is divided by eight: more would not fit 2 MB
TRAIN_SEED, VAL_SEED, DEMO_SEED = 0, 100_000, 200_000
DESCRIPTION = "yolean demo model, trained with Ultralytics on drawn shapes"


@dataclass(frozen=True)
class Recipe:
    """How one demo model is made. `start` names the recipe whose weights it begins with."""

    task: str
    stem: str
    config: str  # within Ultralytics' own cfg/models
    names: tuple[str, ...]
    trainsz: int
    imgsz: int  # of the export: larger, since more pixels cost little once training is over
    epochs: int
    start: str | None = None
    end2end: bool = False
    images: int = 1600
    freeze: int | None = None  # how many first layers stay as `start` left them
    max_channels: int = MAX_CHANNELS
    zoom: bool = True  # whether training scales and shifts the images; it would change what is far away


_OBB_KINDS = ("disk", "box", "triangle")  # round disks and stars have no one direction
_SORTED_KINDS = ("box", "disk", "star", "triangle")  # by folder name, as Ultralytics numbers them
RECIPES = (
    Recipe("detect", "shapes", "11/yolo11.yaml", KINDS, 256, 320, 24),
    Recipe("segment", "shapes-seg", "11/yolo11-seg.yaml", KINDS, 256, 320, 10, "detect"),
    Recipe("pose", "shapes-pose", "26/yolo26-pose.yaml", ("star",), 256, 320, 12, "detect", True, freeze=5),
    Recipe("obb", "shapes-obb", "26/yolo26-obb.yaml", _OBB_KINDS, 256, 320, 10, "detect", freeze=5),
    Recipe("classify", "shapes-cls", "26/yolo26-cls.yaml", _SORTED_KINDS, 128, 128, 10, "detect"),
    Recipe(
        "semantic", "shapes-sem", "26/yolo26-sem.yaml", (*KINDS, "ground"), 160, 320, 12, "obb", freeze=3,
    ),
    Recipe(
        "depth", "shapes-depth", "26/yolo26-depth.yaml", ("depth",), 192, 192, 9,
        max_channels=192, zoom=False,
    ),
)  # fmt: skip
_DEPTH_CHANNELS = 16  # of the depth head, where Ultralytics has 256
# A quarter of what the others train on, with shapes of as many pixels: convolutions see the same in a quarter
# of the time.
_PART = Scene(160, 160, (1, 3), (0.12, 0.4))

# File -> scene and seed: of the first forty, ones that look well and that the models do well on.
DEMOS: dict[str, tuple[Scene, int]] = {
    "shapes.jpg": (Scene(640, 480, (9, 9), (0.11, 0.17), ground="wood", polished=True), 26),
    "tall.jpg": (Scene(360, 640, (7, 7), (0.13, 0.21), ground="gradient", polished=True), 8),
    "wide.jpg": (Scene(1280, 720, (16, 16), (0.1, 0.15), hidden=0.15, ground="stripes", polished=True), 8),
    "star.jpg": (Scene(300, 400, (1, 1), (0.24, 0.27), ("star",), 0.0, "wood", True, True), 9),
}


def _numbers(*values: Any) -> str:
    return " ".join(f"{v:.6f}".rstrip("0").rstrip(".") for v in np.concatenate([np.ravel(v) for v in values]))


def label(shape: Shape, recipe: Recipe, width: int, height: int) -> str | None:
    """The shape's line in an Ultralytics label file; None where the task does not know such shapes."""
    if shape.kind not in recipe.names or (recipe.task == "obb" and shape.frame is None):
        return None
    size = np.array([width, height], np.float32)
    kind = recipe.names.index(shape.kind)
    x1, y1, x2, y2 = shape.box()
    box = np.array([[(x1 + x2) / 2, (y1 + y2) / 2], [x2 - x1, y2 - y1]]) / size
    if recipe.task == "segment":
        return f"{kind} {_numbers(shape.contour() / size)}"
    if recipe.task == "obb" and shape.frame is not None:
        return f"{kind} {_numbers(np.clip(shape.frame / size, 0, 1))}"
    if recipe.task == "pose" and shape.tips is not None:
        # Visibility: 2 seen, 1 hidden by a shape on top.
        seen = np.where(shape.tip_visible(), 2, 1)[:, None]
        return f"{kind} {_numbers(box, np.hstack([shape.tips / size, seen]))}"
    return f"{kind} {_numbers(box)}"


def _jpeg(image: np.ndarray[Any, Any], quality: int = 92) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def draw_sets(data: Path, recipes: list[Recipe]) -> None:
    """Writes the training and validation images of these recipes with their labels below `data`."""
    drawn = [r for r in recipes if r.task not in ("classify", *_MAPS)]
    for split, first in (("train", TRAIN_SEED), ("val", VAL_SEED)):
        for recipe in drawn:
            (data / recipe.task / "images" / split).mkdir(parents=True, exist_ok=True)
            (data / recipe.task / "labels" / split).mkdir(parents=True, exist_ok=True)
        for index in range(
            max((r.images for r in drawn), default=0) if split == "train" else 200 * bool(drawn)
        ):
            image, shapes = draw(Scene(), first + index)
            height, width = image.shape[:2]
            coded = _jpeg(image)
            for recipe in drawn:
                lines = [line for s in shapes if (line := label(s, recipe, width, height))]
                stem = f"{split}/{index:05d}"
                (data / recipe.task / "images" / f"{stem}.jpg").write_bytes(coded)
                (data / recipe.task / "labels" / f"{stem}.txt").write_text("\n".join(lines))
    for recipe in recipes:
        if recipe.task == "classify":
            _draw_classify_set(data / recipe.task, recipe)
        elif recipe.task in _MAPS:
            _draw_map_set(data / recipe.task, recipe)
        if recipe.task != "classify":
            _write_data_yaml(data / recipe.task, recipe)
        (data / recipe.task / "complete").touch()


_MAPS = {"semantic": "masks", "depth": "depth"}  # task -> where Ultralytics looks for a map of every image


def _draw_map_set(folder: Path, recipe: Recipe) -> None:
    for split, first, count in (("train", TRAIN_SEED, recipe.images), ("val", VAL_SEED, 200)):
        for kind in ("images", _MAPS[recipe.task]):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image: np.ndarray[Any, Any]
            labels: np.ndarray[Any, Any]
            if recipe.task == "depth":
                image, labels = draw_depth_pair(first + index, recipe.trainsz)
            else:
                scene = _PART if split == "train" else Scene()
                image, shapes = draw(scene, first + index)
                labels = class_map(shapes, recipe.names, scene.height, scene.width)
            (folder / "images" / split / f"{index:05d}.jpg").write_bytes(_jpeg(image))
            cv2.imwrite(str(folder / _MAPS[recipe.task] / split / f"{index:05d}.png"), labels)


def _draw_classify_set(folder: Path, recipe: Recipe) -> None:
    for split, first, count in (("train", TRAIN_SEED, recipe.images), ("val", VAL_SEED, 400)):
        for index in range(count):
            kind = recipe.names[index % len(recipe.names)]
            scene = Scene(144, 144, (1, 1), (0.2, 0.45), (kind,), centred=True)
            (folder / split / kind).mkdir(parents=True, exist_ok=True)
            image, _ = draw(scene, first + 50_000 + index)
            (folder / split / kind / f"{index:05d}.jpg").write_bytes(_jpeg(image))


def _write_data_yaml(folder: Path, recipe: Recipe) -> None:
    content: dict[str, Any] = {
        "path": str(folder.resolve()),
        "train": "images/train",
        "val": "images/val",
        "names": dict(enumerate(recipe.names)),
    }
    if recipe.task == "pose":
        # Mirroring an image swaps left and right tips.
        content |= {"kpt_shape": [len(TIPS), 3], "flip_idx": [0, 4, 3, 2, 1], "kpt_names": {0: list(TIPS)}}
    elif recipe.task == "semantic":
        content["masks_dir"] = _MAPS["semantic"]
    elif recipe.task == "depth":
        content["depth_scale"] = MILLIMETRES
    # Python's plain literals are YAML as well, and unlike JSON's they keep whole numbers as keys.
    (folder / "data.yaml").write_text("".join(f"{key}: {value!r}\n" for key, value in content.items()))


def _data(recipe: Recipe, work: Path) -> Path:
    folder = work / "data" / recipe.task
    return folder if recipe.task == "classify" else folder / "data.yaml"


def _model_yaml(recipe: Recipe, work: Path) -> Path:
    """Ultralytics' own architecture at an eighth of its width."""
    import ultralytics
    from ultralytics.utils import YAML

    content: dict[str, Any] = YAML.load(Path(ultralytics.__file__).parent / "cfg" / "models" / recipe.config)
    content["nc"] = len(recipe.names)
    content["scales"] = {"n": [0.5, 0.125, recipe.max_channels]}
    if recipe.task == "pose":
        content["kpt_shape"] = [len(TIPS), 3]
    if recipe.task == "depth":
        content["head"][-1][-1] = [_DEPTH_CHANNELS]
    if "end2end" in content:
        content["end2end"] = recipe.end2end
    target = work / f"{recipe.stem}.yaml"
    target.write_text(json.dumps(content))
    return target


def _settings(recipe: Recipe, work: Path) -> dict[str, Any]:
    """Arguments of Ultralytics' `train`."""
    return {
        "data": str(_data(recipe, work)), "epochs": recipe.epochs, "imgsz": recipe.trainsz,
        "batch": 16, "nbs": 16, "optimizer": "AdamW", "lr0": 0.003, "lrf": 0.02, "cos_lr": True,
        "warmup_epochs": 1.0, "warmup_bias_lr": 0.0,
        # The drawing varies nearly everything already, so little is left for augmentation to do.
        "mosaic": 0.0, "close_mosaic": 0, "scale": 0.3 * recipe.zoom, "translate": 0.05 * recipe.zoom,
        "erasing": 0.0, "hsv_h": 0.05, "auto_augment": None, "seed": 0, "deterministic": True,
        "device": "cpu", "workers": 0, "cache": "ram", "amp": False, "plots": False, "val": False,
        "project": str(work / "runs"), "name": recipe.task,
        "exist_ok": True, "pretrained": recipe.start is not None, "freeze": recipe.freeze,
    }  # fmt: skip


def train(recipe: Recipe, work: Path) -> Path:
    """Trains one model and returns its weights; keeps finished ones and takes up interrupted training."""
    import torch
    from ultralytics import YOLO

    weights = work / "runs" / recipe.task / "weights" / "last.pt"
    done = work / f"{recipe.stem}.pt"
    if done.is_file():
        return done
    resume = weights.is_file()
    model = YOLO(str(weights if resume else _model_yaml(recipe, work)), task=recipe.task)
    if recipe.start is not None and not resume:
        model.load(str(work / f"{next(r.stem for r in RECIPES if r.task == recipe.start)}.pt"))

    def prepare(trainer: Any) -> None:
        # Ultralytics leaves one core free, which on two is half of them. Channels last is a quarter faster.
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        trainer.model.to(memory_format=torch.channels_last)

    model.add_callback("on_train_start", prepare)
    model.train(**({"resume": True} if resume else _settings(recipe, work)))
    shutil.copy(weights, done)
    return done


def export(recipe: Recipe, weights: Path, plain: Path) -> Path:
    """Writes Ultralytics' ONNX file, with a description that names no path of this machine."""
    import onnx
    from ultralytics import YOLO

    written = YOLO(str(weights)).export(
        format="onnx", imgsz=recipe.imgsz, dynamic=True, simplify=True, nms=False if recipe.end2end else None
    )
    graph = onnx.load(written)
    for entry in graph.metadata_props:
        if entry.key == "description":
            entry.value = DESCRIPTION
    # Noted shapes are a third of the file, and onnx.shape_inference finds them again.
    del graph.graph.value_info[:]
    Path(written).unlink()
    target = plain / f"{recipe.stem}.onnx"
    onnx.save(graph, target)
    return target


def shorten(recipe: Recipe, plain: Path, out: Path) -> Path:
    """Writes the file that ships: lean, where there is a head to cut off."""
    target = out / f"{recipe.stem}.onnx"
    if recipe.task in ("classify", *_MAPS):
        shutil.copy(plain, target)
    else:
        optimize(OptimizeOptions(plain, target, overwrite=True))
    return target


def validate(recipe: Recipe, model: Path, work: Path) -> dict[str, float]:
    """What Ultralytics measures for the exported file on the validation images."""
    from ultralytics import YOLO

    found = YOLO(str(model), task=recipe.task).val(
        data=str(_data(recipe, work)),
        imgsz=recipe.imgsz, batch=1, workers=0, device="cpu", plots=False, verbose=False,
        project=str(work / "runs"), name=f"{recipe.task}-val", exist_ok=True,
    )  # fmt: skip
    if recipe.task == "classify":
        return {"top-1": float(found.top1)}
    if recipe.task in _MAPS:
        named = {"semantic": ("mIoU", "pixel_acc"), "depth": ("delta1", "abs_rel")}[recipe.task]
        return {key: float(found.results_dict[f"metrics/{key}"]) for key in named}
    result = {"box mAP50": float(found.box.map50), "box mAP50-95": float(found.box.map)}
    part = {"segment": "seg", "pose": "pose"}.get(recipe.task)
    if part is not None:
        result |= {f"{part} mAP50": float(getattr(found, part).map50)}
        result |= {f"{part} mAP50-95": float(getattr(found, part).map)}
    return result


def draw_demos(out: Path) -> None:
    """Writes the demo images."""
    for name, (scene, seed) in DEMOS.items():
        (out / name).write_bytes(_jpeg(draw(scene, DEMO_SEED + seed)[0], 90))


def _parameters(model: Path) -> int:
    import onnx

    return sum(int(np.prod(t.dims)) for t in onnx.load(model).graph.initializer)


def make(out: Path, work: Path, tasks: list[str]) -> Iterator[str]:
    """Makes everything and yields the table's lines; Ultralytics' own exports go to `work/plain`."""
    plain = work / "plain"
    plain.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    draw_demos(out)
    recipes = [r for r in RECIPES if r.task in tasks]
    draw_sets(work / "data", [r for r in recipes if not (work / "data" / r.task / "complete").is_file()])
    for recipe in recipes:
        began = time.monotonic()
        exported = export(recipe, train(recipe, work), plain)
        model = shorten(recipe, exported, out)
        spent = time.monotonic() - began
        metrics = ", ".join(f"{k} {v:.3f}" for k, v in validate(recipe, exported, work).items())
        yield (
            f"| {recipe.task} | {model.name} | {Path(recipe.config).stem} | {_parameters(model):,} "
            f"| {model.stat().st_size / 1e6:.2f} MB | {recipe.imgsz} | {metrics} | {spent / 60:.1f} min |"
        )


def main() -> None:
    """The command line."""
    home = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Make the demo models and images again.")
    parser.add_argument("--out", type=Path, default=home / "models", help="where the models and images go")
    parser.add_argument("--work", type=Path, default=Path("demo-work"), help="data sets, runs and weights")
    parser.add_argument("--tasks", nargs="+", default=[r.task for r in RECIPES], help="which models to make")
    parser.add_argument("--threads", type=int, default=2, help="of training; sums depend on it")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    work = options.work.resolve()
    # Read on import by PyTorch and Ultralytics. Threads that spin while they wait suffer beside other work.
    os.environ |= {"OMP_NUM_THREADS": str(options.threads), "OMP_WAIT_POLICY": "PASSIVE"}
    os.environ |= {"YOLO_CONFIG_DIR": str(work), "YOLO_AUTOINSTALL": "false"}
    rows = list(make(options.out.resolve(), work, options.tasks))
    print("\n| task | file | architecture | parameters | size | input | validation | time |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
