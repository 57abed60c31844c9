"""What `micro` compares: for each case several implementations, and how far their answers agree.

An implementation of NMS gets the arrays that a decoder has, boxes in the form that it takes (cv2's as x, y,
width and height), and returns the indices of what it keeps, best first, at most 300. Everything in between is
timed: sorting, lists for cv2 (which is slower with arrays), class offsets for a function without classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engine.images.decoding import Image
from ...engine.images.preprocessing import InputTensor, place
from ...engine.model.spec import ModelSpec
from ...postprocess import detect
from ...postprocess.boxes import gaussian, probiou
from ...postprocess.detections import Options
from ...postprocess.geometry import Geometry
from ...postprocess.layout import Layout
from ...postprocess.masks import decode_masks
from ...postprocess.nms import nms
from ...postprocess.types import Float, Size
from . import micro_inputs as inputs
from .micro_inputs import CLASSES, CONF, SIZE, Candidates

Index = NDArray[np.intp]

YOLEAN = "yolean"
OPTIONS = Options(conf=CONF, iou=0.45, max_det=300)
LAYOUT = Layout("detect", "raw", CLASSES)
COUNTS = (100, 1000, 8400, 30000)
OBJECTS = (1, 50, 300)
IMAGES = ((640, 480), (1080, 810), (1920, 1080), (4000, 3000))

_DENSE = 2000  # candidates: of more, the matrices of all pairs take gigabytes
_APART = np.float32(8192)  # between the classes, for functions that know none; no box is as large

Implementation = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One input and the implementations that are compared on it.

    Attributes:
        part: `nms`, `decode`, `rotated`, `masks` or `letterbox`.
        case: kind of input.
        count: its size: candidates, objects, or pixels of the image.
        implementations: by name, yolean's first; a text instead of a function says why it is not measured.
        agreement: name of what `agree` returns.
        agree: takes yolean's answer and another's.
        grows: power of the count with which the cost of the slowest grows at most.
        pause: seconds to wait before each repetition, where one leaves threads behind that spin.
    """

    part: str
    case: str
    count: int
    implementations: dict[str, Implementation | str]
    agreement: str
    agree: Callable[[Any, Any], float] = field(repr=False)
    grows: int = 2
    pause: float = 0.0


def nms_cases() -> Iterator[Case]:
    """Suppression within each class, of upright boxes."""
    for name, make in (("crowded", inputs.crowded), ("sparse", inputs.sparse)):
        for count in COUNTS:
            found = make(count)
            xywh = np.hstack((found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]))
            implementations: dict[str, Implementation | str] = {
                YOLEAN: partial(nms, found.boxes, found.scores, found.classes, OPTIONS),
                "cv2 NMSBoxes": partial(_nms_boxes, xywh, found),
                "cv2 NMSBoxesBatched": partial(_nms_batched, xywh, found.scores, found.classes),
                "numpy loop": partial(_loop, found),
            }
            yield Case("nms", name, count, implementations, "boxes in common", _in_common)


def _nms_boxes(xywh: Float, found: Candidates) -> Index:
    """It knows no classes: each is moved to a place of its own."""
    apart = xywh.copy()
    apart[:, 0] += _APART * found.classes
    kept = cv2.dnn.NMSBoxes(apart.tolist(), found.scores.tolist(), OPTIONS.conf, OPTIONS.iou)
    return np.asarray(kept, np.intp)[: OPTIONS.max_det]


def _nms_batched(xywh: Float, scores: Float, classes: NDArray[np.int64]) -> Index:
    kept = cv2.dnn.NMSBoxesBatched(
        xywh.tolist(), scores.tolist(), classes.tolist(), OPTIONS.conf, OPTIONS.iou
    )
    return np.asarray(kept, np.intp)[: OPTIONS.max_det]


def _loop(found: Candidates) -> list[int]:
    """The best box, then what it does not overlap, and so on."""
    x1, y1, x2, y2 = found.boxes.T
    areas = (x2 - x1) * (y2 - y1)
    order = np.argsort(-found.scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < OPTIONS.max_det:
        best, order = order[0], order[1:]
        kept.append(int(best))
        width = np.minimum(x2[best], x2[order]) - np.maximum(x1[best], x1[order])
        height = np.minimum(y2[best], y2[order]) - np.maximum(y1[best], y1[order])
        both = np.maximum(width, 0) * np.maximum(height, 0)
        iou = both / (areas[best] + areas[order] - both)
        order = order[(iou <= np.float32(OPTIONS.iou)) | (found.classes[order] != found.classes[best])]
    return kept


def _in_common(one: Any, other: Any) -> float:
    """Share of the kept boxes that both keep."""
    first, second = set(map(int, one)), set(map(int, other))
    return len(first & second) / max(len(first), len(second), 1)


def decode_cases() -> Iterator[Case]:
    """A raw head of which every anchor passes the threshold, to boxes in the image."""
    geometry = Geometry.letterbox(Size(1080, 810), Size(SIZE, SIZE))
    for count in (8400, 30000):
        output = inputs.head(inputs.crowded(count))
        implementations: dict[str, Implementation | str] = {
            YOLEAN: partial(_decode, output, geometry),
            "argmax, cv2 NMSBoxesBatched": partial(_decode_plainly, output, geometry),
        }
        yield Case("decode", "crowded", count, implementations, "boxes in common", _boxes_in_common)


def _decode(output: Float, geometry: Geometry) -> Float:
    return detect.decode([output], LAYOUT, geometry, OPTIONS).boxes


def _decode_plainly(output: Float, geometry: Geometry) -> Float:
    """Rows of anchors, the best class of each, those above the threshold, NMS."""
    rows = output.T
    classes = rows[:, 4:].argmax(axis=1)
    scores = rows[:, 4:].max(axis=1)
    passing = scores > OPTIONS.conf
    boxes, scores, classes = rows[passing, :4], scores[passing], classes[passing]
    boxes[:, :2] -= boxes[:, 2:] / 2
    kept = _nms_batched(boxes, scores, classes)
    found = boxes[kept]
    found[:, 2:] += found[:, :2]
    return geometry.inverse_boxes(found)


def _boxes_in_common(one: Float, other: Float) -> float:
    """Share of the boxes that both keep, to a tenth of a pixel and in the same order."""
    if len(one) != len(other):
        return 0.0
    return float((np.abs(one - other) < 0.1).all(axis=1).mean()) if len(one) else 1.0


def rotated_cases() -> Iterator[Case]:
    """Suppression of rotated boxes.

    yolean's is Ultralytics' Fast-NMS on probIoU, and so is that with all pairs in one matrix. cv2's is greedy
    on the IoU of the polygons, another criterion: it keeps other boxes where they are crowded.
    """
    for name, make in (("crowded", inputs.crowded_rotated), ("sparse", inputs.sparse_rotated)):
        for count in COUNTS:
            found = make(count)
            pairs = f"matrices of {count**2 / 1e6:.0f} million pairs, {count**2 * 4 / 1e9:.1f} GB each"
            implementations: dict[str, Implementation | str] = {
                YOLEAN: partial(nms, found.boxes, found.scores, found.classes, OPTIONS),
                "cv2 NMSBoxesRotated": partial(_nms_rotated, found),
                "numpy, all pairs": pairs if count > _DENSE else partial(_all_pairs, found),
            }
            yield Case("rotated", name, count, implementations, "boxes in common", _in_common)


def _nms_rotated(found: Candidates) -> Index:
    """Classes apart, as for `cv2.dnn.NMSBoxes`; angles in degrees."""
    boxes = found.boxes.copy()
    boxes[:, 0] += _APART * found.classes
    boxes[:, 4] = np.degrees(boxes[:, 4])
    rectangles = [((x, y), (w, h), angle) for x, y, w, h, angle in boxes.tolist()]
    kept = cv2.dnn.NMSBoxesRotated(rectangles, found.scores.tolist(), OPTIONS.conf, OPTIONS.iou)
    return np.asarray(kept, np.intp)[: OPTIONS.max_det]


def _all_pairs(found: Candidates) -> Index:
    """The definition: a box falls to any better one of its class that it overlaps."""
    order = np.argsort(-found.scores, kind="stable")
    shapes, classes = gaussian(found.boxes[order]), found.classes[order]
    falls = probiou(shapes[:, None], shapes) > np.float32(OPTIONS.iou)
    falls &= classes[:, None] == classes
    return order[~np.triu(falls, 1).any(axis=0)][: OPTIONS.max_det]


def mask_cases() -> Iterator[Case]:
    """Coefficients and prototypes to masks and outlines, at 640."""
    geometry = Geometry.letterbox(Size(1080, 810), Size(SIZE, SIZE))
    for count in OBJECTS:
        given = inputs.mask_inputs(count)
        implementations: dict[str, Implementation | str] = {
            YOLEAN: partial(_masks, *given, geometry),
            "whole frames": partial(_whole_frames, *given, geometry),
        }
        # The product of the whole frames runs on OpenBLAS's threads, which spin for a while.
        yield Case("masks", "mixed", count, implementations, "lowest IoU", _lowest_iou, grows=1, pause=0.05)


def _masks(coefficients: Float, prototypes: Float, boxes: Float, geometry: Geometry) -> Any:
    masks, filled = decode_masks(coefficients, prototypes, boxes, geometry)
    return masks, filled, masks.outlines()


def _whole_frames(coefficients: Float, prototypes: Float, boxes: Float, geometry: Geometry) -> Any:
    """Every mask enlarged to the tensor, then thresholded, cut to its box and traced."""
    logits = (coefficients @ prototypes.reshape(len(prototypes), -1)).reshape(-1, *prototypes.shape[1:])
    masks, outlines = [], []
    for logit, (x1, y1, x2, y2) in zip(logits, np.ceil(boxes).astype(int).tolist(), strict=True):
        mask = np.zeros(geometry.tensor, np.uint8)
        enlarged = cv2.resize(logit, geometry.tensor[::-1], interpolation=cv2.INTER_LINEAR)
        mask[y1:y2, x1:x2] = enlarged[y1:y2, x1:x2] > 0
        masks.append(mask)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        points = np.concatenate([c.reshape(-1, 2) for c in contours] or [np.zeros((0, 2), np.int32)])
        outlines.append(geometry.inverse(points.astype(np.float32)))
    return masks, outlines


def _lowest_iou(own: Any, other: Any) -> float:
    """Least IoU of the masks of two implementations, object by object; 0 where only one of them has any."""
    masks, filled, _ = own
    pieces = iter(zip(masks.crops, masks.corners, strict=True))
    return min((_iou(frame, *next(pieces)) if full else 1.0 - bool(frame.any()))
               for frame, full in zip(other[0], filled, strict=True))  # fmt: skip


def _iou(frame: NDArray[np.uint8], crop: NDArray[np.uint8], corner: NDArray[np.intp]) -> float:
    x, y = corner
    inside = frame[y : y + crop.shape[0], x : x + crop.shape[1]]
    both = np.count_nonzero(inside & crop)
    return both / (np.count_nonzero(frame) + np.count_nonzero(crop) - both)


def letterbox_cases() -> Iterator[Case]:
    """An image to the model's input at 640."""
    size = Size(SIZE, SIZE)
    spec = ModelSpec(LAYOUT, {}, size, stride=32, channels=3, batch=1, dynamic=False, dtype="float32")
    for width, height in IMAGES:
        image = inputs.image(width, height)
        tensor = InputTensor((1, 3, SIZE, SIZE), spec.dtype)  # used again and again, as the engine does it
        implementations: dict[str, Implementation | str] = {
            YOLEAN: partial(_letterbox, image, tensor, spec),
            "cv2 blobFromImage": partial(_blob, image),
            "transpose, astype": partial(_chain, image),
        }
        kind, pixels = f"{width}x{height}", width * height
        yield Case("letterbox", kind, pixels, implementations, "largest difference", _difference)


def _letterbox(image: Image, tensor: InputTensor, spec: ModelSpec) -> Float:
    tensor.write([(image, place(Size.of(image), spec.imgsz, spec))], spec)
    return tensor.array


def _bordered(image: Image) -> Image:
    """The image in grey borders, as large as the tensor."""
    where = Geometry.letterbox(Size.of(image), Size(SIZE, SIZE))
    (height, width), (left, top) = where.resized, where.pad
    if image.shape[:2] != where.resized:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    right, bottom = SIZE - left - width, SIZE - top - height
    grey = (114, 114, 114)
    return cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey)  # type: ignore[return-value]


def _blob(image: Image) -> Float:
    return cv2.dnn.blobFromImage(_bordered(image), 1 / 255, swapRB=True)  # type: ignore[return-value]


def _chain(image: Image) -> Float:
    planes = _bordered(image)[..., ::-1].transpose(2, 0, 1)[None]
    return np.ascontiguousarray(planes).astype(np.float32) / np.float32(255)


def _difference(one: Float, other: Float) -> float:
    return float(np.abs(one - other).max())


PARTS: dict[str, Callable[[], Iterator[Case]]] = {
    "nms": nms_cases,
    "decode": decode_cases,
    "rotated": rotated_cases,
    "masks": mask_cases,
    "letterbox": letterbox_cases,
}
"""What can be measured, in this order."""
