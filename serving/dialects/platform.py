"""Ultralytics Platform: the file is `file`, `source` may be an address or the image itself in base64.

One image is one `PlatformImage`, whether it was sent alone or is a frame; an answer is a list of them with
metadata. So a task with maps adds them in `image`, which renders the frames of a video one by one.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from time import perf_counter
from typing import Annotated

import cv2
import msgspec
import numpy as np
import onnxruntime
from msgspec import UNSET, Meta, UnsetType

from ..._version import __version__
from ...engine.model.metadata import MAX_SIDE
from ...engine.results.results import Results
from ..model_registry import LoadedModel
from ..schemas import Pair, encode
from .dialect import Arguments, Dialect, Iou, RequestFields, SideLength, VideoAnswer
from .objects import Object, Score, Speed, objects
from .platform_maps import Bits, PlatformDepth, PlatformMask, depth_map, semantic_mask

Source = Annotated[
    str,
    Meta(
        min_length=1,
        description="Address of the image, http or https; or the image itself, in base64 or as a data: URI.",
    ),
]
Decimals = Annotated[int, Meta(ge=0, le=10, description="All numbers of results are rounded to so many.")]
Tile = Annotated[
    int,
    Meta(
        ge=32,
        le=MAX_SIDE,
        description="Cut the image into slices of so many pixels, and run each of them and the whole image, "
        "for small objects. Not part of Ultralytics' API; the server has to allow it.",
    ),
]
Overlap = Annotated[
    float, Meta(ge=0.0, le=0.9, description="Of neighbouring slices, as a share of the tile.")
]
VideoStride = Annotated[int, Meta(ge=1, le=10_000, description="Of a video, every n-th frame.")]

_STARTED_AT = perf_counter()
_VERSIONS = {
    "yolean": __version__,
    "onnxruntime": onnxruntime.__version__,
    "opencv": cv2.__version__,
    "numpy": np.__version__,
    "python": platform.python_version(),
}


class Platform(RequestFields, kw_only=True, frozen=True):
    """Ultralytics Platform: the file is `file`; the answer has pixels, or coordinates from 0 to 1."""

    url: Source | UnsetType = msgspec.field(name="source", default=UNSET)
    size: SideLength | UnsetType = msgspec.field(name="imgsz", default=UNSET)
    iou: Iou = 0.7
    normalize: Annotated[bool, Meta(description="Coordinates from 0 to 1 instead of pixels.")] = False
    decimals: Decimals = 5
    vid_stride: VideoStride = 1
    bits: Annotated[Bits, Meta(description="Of a depth map; other tasks have none.")] = 8
    tile: Tile | UnsetType = UNSET
    overlap: Overlap = 0.2


class PlatformObject(Object, kw_only=True):
    """An object; or a class of a semantic mask, with its share of the pixels."""

    confidence: Score | UnsetType = UNSET  # type: ignore[assignment]
    pixel_ratio: Score | UnsetType = UNSET


class PlatformImage(msgspec.Struct, kw_only=True):
    """What was found in an image."""

    shape: Annotated[Pair, Meta(description="Height and width of the upright image, pixels.")]
    results: list[PlatformObject]
    speed: Speed
    semantic_mask: PlatformMask | UnsetType = UNSET
    depth: PlatformDepth | UnsetType = UNSET


class PlatformMetadata(msgspec.Struct, kw_only=True):
    """The model and the call."""

    image_count: int = msgspec.field(name="imageCount")
    function_time_call: Annotated[float, Meta(description="Seconds that the answer took.")] = msgspec.field(
        name="functionTimeCall"
    )
    function_time_alive: Annotated[float, Meta(description="Seconds since the server began.")] = (
        msgspec.field(name="functionTimeAlive")
    )
    model: str
    task: str
    class_names: Annotated[list[str], Meta(description="By class id.")] = msgspec.field(name="classNames")
    version: Annotated[Mapping[str, str], Meta(description="Of the server and what it runs on.")]


class PlatformAnswer(msgspec.Struct):
    """The answer of Ultralytics Platform."""

    images: list[PlatformImage]
    metadata: PlatformMetadata


def render(results: Results, arguments: Arguments, model: LoadedModel) -> PlatformAnswer:
    """The answer to a request with one image."""
    return PlatformAnswer([image(results, arguments)], metadata(1, arguments, model))


def image(results: Results, arguments: Arguments) -> PlatformImage:
    """The item of one image, or of one frame."""
    item = PlatformImage(
        shape=results.orig_shape,
        results=objects(results, PlatformObject, arguments.normalize, arguments.decimals),
        speed=Speed.of(results),
    )
    if results.semantic_mask is not None:
        item.semantic_mask = semantic_mask(results.semantic_mask)
    if results.depth is not None:
        item.depth = depth_map(results.depth, arguments.bits)
    return item


def metadata(count: int, arguments: Arguments, model: LoadedModel) -> PlatformMetadata:
    """The metadata of an answer with `count` images, which ends now."""
    now = perf_counter()
    return PlatformMetadata(
        image_count=count,
        function_time_call=round(now - arguments.read_at, 6),
        function_time_alive=round(now - _STARTED_AT, 3),
        model=model.id,
        task=model.engine.task,
        class_names=class_names(model.engine.names),
        version=_VERSIONS,
    )


def join_frames(items: list[bytes], arguments: Arguments, model: LoadedModel) -> bytes:
    """The body of the answer to a video, of the encoded items of its frames."""
    end = encode(metadata(len(items), arguments, model))
    return b'{"images":[' + b",".join(items) + b'],"metadata":' + end + b"}"


def class_names(names: Mapping[int, str]) -> list[str]:
    """Names in a list, whose place is the class id; up to the first id that has none."""
    found: list[str] = []
    while len(found) in names:
        found.append(names[len(found)])
    return found


PLATFORM = Dialect(
    "Ultralytics Platform",
    Platform,
    "file",
    PlatformAnswer,
    render,
    takes_encoded=True,
    video=VideoAnswer(image, join_frames),
)
