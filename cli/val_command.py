"""`yolean val`: score a model on a labelled dataset. What it needs is imported when it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from ..models import model_file
from .model_options import load_with, options_of_load, size
from .shell import Refusal


@click.command()
@click.option("--data", metavar="DATA", help="A dataset YAML, a JSON file of COCO, or a folder of classes.")
@click.option("--model", "-m", metavar="FILE", help="An .onnx file, or a demo model's word as for predict.")
@click.option("--split", default="val", show_default=True, metavar="NAME", help="train, val or test.")
@click.option("--save", metavar="DIR", help="Write plots and report.json into this folder.")
@click.option("--json", "json_to", metavar="FILE|-", help="Write the report as JSON; - is standard output.")
@click.option("--coco", is_flag=True, help="COCO's own figures as well, by faster-coco-eval.")
@click.option("--images", metavar="DIR", help="The images of a JSON file, where they are not beside it.")
@click.option(
    "--conf",
    type=click.FloatRange(0, 1),
    metavar="0-1",
    help="Least score of a prediction.  [default: 0.001, obb 0.01]",
)
@click.option("--iou", type=click.FloatRange(0, 1), metavar="0-1", default=0.7, show_default=True,
              help="Overlap threshold of NMS.")  # fmt: skip
@click.option("--imgsz", callback=size, metavar="N", help="Size, for models with free height and width.")
@click.option(
    "--max-det",
    type=click.IntRange(1),
    metavar="N",
    help="Most predictions an image.  [default: 300, or as many as labels]",
)
@click.option("--agnostic-nms", is_flag=True, help="Boxes of different classes suppress each other.")
@click.option("--batch", type=click.IntRange(1), metavar="N", default=16, show_default=True,
              help="Images that share a rectangle, for models with free height and width.")  # fmt: skip
@click.option("--rect/--no-rect", default=True, show_default=True, help="Rectangles, or squares.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only.")
@options_of_load
def val(data: str | None, model: str | None, json_to: str | None, quiet: bool, **options: Any) -> None:
    """Score a model on a labelled dataset: mAP, top-1, and what belongs to them, as `yolo val` does.

    What is wrong with images or labels is counted and shown at the end; such images are left out. The exit
    status is 0 when the figures are there, 1 when images were left out, 2 when nothing could be done.
    """
    if data is None or model is None:
        raise Refusal(
            f"--{'data' if data is None else 'model'} is needed: yolean val --data DATA --model FILE"
        )
    from ..validation.validator import val as validate
    from .stages import Stages
    from .validation_lines import lines

    # Not only the words that `predict` shows: a model without metadata is scored as well.
    engine = load_with(model_file(model), options)
    with Stages() as on_progress:
        report = validate(engine, data, name=model, on_progress=on_progress, **options)
    if json_to is not None:
        text = json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n"
        if json_to in ("-", "/dev/stdout", "/dev/fd/1"):
            click.echo(text, nl=False)
        else:
            Path(json_to).write_text(text, encoding="utf-8")
    if not quiet:
        for line in lines(report):
            click.echo(line, err=json_to == "-")
    if report.findings.skipped:
        sys.exit(1)
