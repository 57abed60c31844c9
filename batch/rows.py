"""The row of one image in the output: what was found in it, or why it could not be read."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..engine.errors import ModelError
from ..engine.results.coco_json import coco_annotations
from ..engine.results.yolo_text import yolo_lines

if TYPE_CHECKING:
    from ..engine.pipeline import Engine
    from ..engine.results.results import Results

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What all rows of a job have in common.

    Attributes:
        task: of the model.
        names: its class names by id.
        model: SHA-256 of the model file, in hexadecimal digits.
        options: the arguments of the call: `conf`, `iou`, `imgsz`, `max_det`, `classes`, `agnostic_nms`.
        yolean: version.
    """

    task: str
    names: dict[int, str]
    model: str
    options: dict[str, Any]
    yolean: str = __version__

    @classmethod
    def of(cls, engine: Engine, model: str | Path, options: dict[str, Any]) -> Provenance:
        """Read the file once more for its digest."""
        with open(model, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(engine.task, dict(engine.names), digest, options)

    def columns(self) -> Row:
        """The columns that every row repeats."""
        thresholds = {name: self.options[name] for name in ("conf", "iou", "max_det")}
        return {"task": self.task, **thresholds, "model": self.model, "yolean": self.yolean}


def found_row(address: str, result: Results, format: str) -> Row:
    """The row of an image: `source`, `width`, `height` (pixels), `objects` as `Results.summary` has them.

    Args:
        address: of the image.
        result: of the image.
        format: of the output: `coco` needs `annotations` beside these, `yolo` the lines of `labels`.

    Raises:
        ModelError: a number is NaN or infinite.
    """
    objects = result.summary()
    scores = sum(item.get("confidence", 0.0) + sum(item.get("box", {}).values()) for item in objects)
    if not math.isfinite(scores):
        raise ModelError(
            f"{address}: expected finite numbers from the model, found NaN or infinity; "
            "try an export without half"
        )
    height, width = result.orig_shape
    row: Row = {"source": address, "width": width, "height": height, "objects": objects, "error": None}
    if format == "coco":
        row["annotations"] = coco_annotations(result, 0)
    if format == "yolo":
        row["labels"] = yolo_lines(result, save_conf=True)
    return row


def failed_row(address: str, error: str) -> Row:
    """The row of an image that could not be read."""
    return {"source": address, "width": None, "height": None, "objects": [], "error": error}
