"""Outputs of the Open Inference Protocol: the tensors that a model has, made of results, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from ...engine.errors import InputError
from ...engine.model.spec import ModelSpec
from ...engine.results.results import Results
from ...engine.results.views import OBB, Boxes
from ...postprocess.layout import Task
from ..schemas import encode
from .open_inference import VERSION, BinarySize, InferenceResponse, ResponseOutput, TensorMetadata
from .tensor_data import Datatype, as_bytes, datatype_of, to_binary, to_json

Values = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor of the answers of a model.

    Attributes:
        name, datatype: of the tensor.
        shape: -1 where the length depends on the image, or on the number of images.
        of: makes the tensor of one image: the rows that it adds, or its one element.
        joins: how those of several images become one: `rows` behind one another, `images` stacked, `owners`
            as rows which count what they belong to (images, or objects) on.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    of: Callable[[Results], Values]
    joins: Literal["rows", "images", "owners"] = "rows"

    @property
    def metadata(self) -> TensorMetadata:
        """How the metadata of a model lists it."""
        return TensorMetadata(self.name, self.datatype, list(self.shape))


def outputs_of(spec: ModelSpec) -> list[Output]:
    """The outputs of a model, by its task."""
    return [*_OF_TASK[spec.task](spec), *_OF_ALL]


# ---- made of results --------------------------------------------------------------------------------------


def _objects(results: Results) -> Boxes | OBB:
    found = results.obb if results.boxes is None else results.boxes
    assert found is not None
    return found


def _class_ids(results: Results) -> list[int]:
    """Of objects, of the five best classes, or of the classes in a semantic mask."""
    if results.depth is not None:
        return []
    if results.semantic_mask is not None:
        return [item["class"] for item in results.summary()]
    if results.probs is not None:
        return results.probs.top5
    found: list[int] = _objects(results).cls.numpy().astype(np.int64).tolist()
    return found


def _scores(results: Results) -> Values:
    found = _objects(results).conf if results.probs is None else results.probs.top5conf
    return found.numpy()


def _names(results: Results) -> Values:
    return as_bytes([results.class_name(i).encode() for i in _class_ids(results)])


def _outlines(results: Results) -> list[Values]:
    assert results.masks is not None
    return [np.asarray(outline) for outline in results.masks.xy]


def _mask_points(results: Results) -> Values:
    return np.concatenate([np.zeros((0, 2), np.float32), *_outlines(results)])


def _mask_owners(results: Results) -> Values:
    lengths = [len(outline) for outline in _outlines(results)]
    return np.repeat(np.arange(len(lengths)), lengths)


def _keypoints(results: Results) -> Values:
    assert results.keypoints is not None
    return results.keypoints.data.numpy()


def _corners(results: Results) -> Values:
    assert results.obb is not None
    return results.obb.xyxyxyxy.numpy()


def _probabilities(results: Results) -> Values:
    assert results.probs is not None
    return results.probs.data.numpy()


def _semantic_mask(results: Results) -> Values:
    assert results.semantic_mask is not None
    return results.semantic_mask.data.numpy()


def _shares(results: Results) -> Values:
    return np.array([item["pixel_ratio"] for item in results.summary(decimals=9)], np.float32)


def _depth(results: Results) -> Values:
    assert results.depth is not None
    return results.depth.at_input.numpy()


_CLASSES = [
    Output("classes", "INT64", (-1,), lambda results: np.array(_class_ids(results), np.int64)),
    Output("class_names", "BYTES", (-1,), _names),
]
_IMAGE_INDEX = Output(
    "image_index", "INT64", (-1,), lambda r: np.zeros(len(_class_ids(r)), np.int64), "owners"
)
_SCORES = Output("scores", "FP32", (-1,), _scores)
_BOXES = [
    Output("boxes", "FP32", (-1, 4), lambda results: _objects(results).xyxy.numpy()),
    _SCORES,
    *_CLASSES,
]
_OF_ALL = [
    Output("image_sizes", "INT64", (-1, 2), lambda r: np.array(r.orig_shape, np.int64), "images"),
]


def _of_pose(spec: ModelSpec) -> list[Output]:
    points = Output("keypoints", "FP32", (-1, *(spec.layout.kpt_shape or (-1, 3))), _keypoints)
    return [*_BOXES, points, _IMAGE_INDEX]


def _of_classify(spec: ModelSpec) -> list[Output]:
    every = Output("probabilities", "FP32", (-1, spec.layout.nc), _probabilities, "images")
    return [every, _SCORES, *_CLASSES, _IMAGE_INDEX]


def _of_semantic(spec: ModelSpec) -> list[Output]:
    nc = spec.layout.nc
    datatype: Datatype = "UINT8" if nc <= 256 else "INT16" if nc <= 1 << 15 else "INT32"
    mask = Output("semantic_mask", datatype, (-1, -1, -1), _semantic_mask, "images")
    return [mask, Output("pixel_ratios", "FP32", (-1,), _shares), *_CLASSES, _IMAGE_INDEX]


_OF_TASK: dict[Task, Callable[[ModelSpec], list[Output]]] = {
    "detect": lambda spec: [*_BOXES, _IMAGE_INDEX],
    "segment": lambda spec: [
        *_BOXES,
        Output("mask_points", "FP32", (-1, 2), _mask_points),
        Output("mask_index", "INT64", (-1,), _mask_owners, "owners"),
        _IMAGE_INDEX,
    ],
    "pose": _of_pose,
    "obb": lambda spec: [
        Output("corners", "FP32", (-1, 4, 2), _corners), _SCORES, *_CLASSES, _IMAGE_INDEX
    ],
    "classify": _of_classify,
    "semantic": _of_semantic,
    "depth": lambda spec: [Output("depth", "FP32", (-1, -1, -1), _depth, "images")],
}  # fmt: skip


# ---- the answer -------------------------------------------------------------------------------------------


class OutputCollector:
    """The outputs of the images of a request, which may be added by several threads in any order."""

    def __init__(self, outputs: Sequence[Output], images: int, max_pixels: int) -> None:
        """Collect `outputs` of so many images, of whose maps together there may be `max_pixels` pixels."""
        self._outputs, self._max_pixels = outputs, max_pixels
        self._found: list[list[Values]] = [[]] * images
        self._objects = [0] * images
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._adding = Lock()

    def add(self, index: int, results: Results) -> None:
        """Add the results of an image.

        Raises:
            InputError: a map has another size than that of another image, or all are too large together.
        """
        values = [output.of(results) for output in self._outputs]
        with self._adding:
            for output, each in zip(self._outputs, values, strict=True):
                if output.joins == "images":
                    self._check_map(output.name, each.shape)
            self._found[index], self._objects[index] = values, len(_class_ids(results))

    def tensors(self) -> list[Values]:
        """The outputs of all images, once all are there."""
        found = []
        for output, parts in zip(self._outputs, zip(*self._found, strict=True), strict=True):
            if output.joins == "images":
                found.append(np.stack(parts))
                continue
            if output.joins == "owners":
                step = [1] * len(parts) if output.name == _IMAGE_INDEX.name else self._objects
                before = np.cumsum([0, *step[:-1]])
                parts = tuple(part + first for part, first in zip(parts, before, strict=True))
            found.append(np.concatenate(parts))
        return found

    def _check_map(self, name: str, shape: tuple[int, ...]) -> None:
        first = self._shapes.setdefault(name, shape)
        if shape != first:
            raise InputError(
                f"{name}: the images are of different sizes, so that one tensor cannot hold their maps: send "
                "them one by one, or ask for other outputs"
            )
        if (
            len(shape) == 2
            and len(self._found) > 1
            and len(self._found) * shape[0] * shape[1] > self._max_pixels
        ):
            raise InputError(
                f"{name}: {len(self._found)} maps of {shape[1]}x{shape[0]} pixels are too large for one "
                f"answer, which takes {self._max_pixels:,}: send fewer images"
            )


def encode_response(
    model_id: str, request_id: str | None, outputs: Sequence[tuple[str, bool, Values]]
) -> tuple[bytes, int | None]:
    """The body of an answer.

    Args:
        model_id: of the model.
        request_id: of the request, or None.
        outputs: name, whether it is binary, and values of each.

    Returns:
        the body, and how many bytes of it are JSON; None where no binary data follows.

    Raises:
        InputError: an output is too large for JSON.
    """
    described, behind = [], []
    for name, is_binary, values in outputs:
        output = ResponseOutput(name=name, datatype=datatype_of(values), shape=list(values.shape))
        if is_binary:
            behind.append(to_binary(values))
            output.parameters = BinarySize(len(behind[-1]))
        else:
            output.data = to_json(values, name)
        described.append(output)
    head = encode(
        InferenceResponse(
            model_name=model_id,
            model_version=VERSION,
            id=UNSET if request_id is None else request_id,
            outputs=described,
        )
    )
    return b"".join([head, *behind]), len(head) if behind else None
