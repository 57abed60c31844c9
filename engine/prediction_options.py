"""Checks of the arguments that a prediction takes beside its source and size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..postprocess.detections import Options
from .errors import InputError, is_whole
from .model.spec import ModelSpec

BAKED_CONF = 0.25
"""Confidence that Ultralytics writes into the graph of exports with nms=True; the file does not record it."""


def check_options(
    spec: ModelSpec,
    conf: float,
    iou: float,
    max_det: int,
    classes: int | Sequence[int] | None,
    agnostic_nms: bool,
    retina_masks: bool = False,
) -> Options:
    """Check the thresholds and filters of one call, and put them into one object.

    Args:
        spec: of the model that is called.
        conf: confidence threshold, 0 to 1.
        iou: overlap threshold of NMS, 0 to 1.
        max_det: most objects for each image, from 1.
        classes: class ids to keep, one or several; None keeps all, [] none.
        agnostic_nms: let boxes of different classes suppress each other.
        retina_masks: masks at the size of the image.

    Raises:
        InputError: an argument is out of range, or `conf` is below the one inside the graph.
    """
    for name, value in (("conf", conf), ("iou", iou)):
        if not isinstance(value, (int, float, np.integer, np.floating)) or not 0 <= value <= 1:
            raise InputError(f"{name}={value!r}: expected a number from 0 to 1")
    if not is_whole(max_det) or max_det < 1:
        raise InputError(f"max_det={max_det!r}: expected a whole number from 1")
    if spec.layout.kind == "nms" and conf < BAKED_CONF:
        raise InputError(
            f"conf={conf}: this model was exported with nms=True, which bakes a confidence "
            f"of {BAKED_CONF} into the graph; ask for that or more, or export without nms"
        )
    ids = _class_ids(classes, spec)
    return Options(float(conf), float(iou), int(max_det), ids, bool(agnostic_nms), bool(retina_masks))


def _class_ids(classes: int | Sequence[int] | None, spec: ModelSpec) -> tuple[int, ...] | None:
    if classes is None:
        return None
    several = isinstance(classes, Iterable) and not isinstance(classes, str)
    wanted: list[Any] = list(classes) if several else [classes]  # type: ignore[arg-type]
    unknown = [c for c in wanted if not is_whole(c) or int(c) not in spec.names]
    if unknown:
        raise InputError(f"classes={unknown}: this model has the ids 0 to {len(spec.names) - 1}")
    return tuple(int(c) for c in wanted)
