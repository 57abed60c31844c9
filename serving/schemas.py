"""All answers but predictions, as structs: they are encoded, and `/openapi.json` is made from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from .model_registry import LoadedModel

encode = msgspec.json.Encoder().encode
"""Compact UTF-8 JSON of a struct or of plain values."""

# Not `tuple[int, int]`: its schema has `prefixItems`, which many readers of OpenAPI do not know.
Pair = Annotated[Sequence[int], Meta(min_length=2, max_length=2)]
"""Two integers, such as height and width."""

# Literal[True] is not among the types that msgspec knows.
AlwaysTrue = Annotated[bool, Meta(extra_json_schema={"const": True})]
AlwaysFalse = Annotated[bool, Meta(extra_json_schema={"const": False})]


class Error(msgspec.Struct, kw_only=True):
    """Every answer with a status from 400 on, of every route and dialect."""

    success: AlwaysFalse = False
    message: Annotated[str, Meta(description="One line.")]


class PlatformError(Error, kw_only=True):
    """The same for the routes of Ultralytics Platform, whose clients show `error`."""

    error: Annotated[str, Meta(description="The message again.")]


class Status(msgspec.Struct):
    """`GET /livez` and `GET /readyz`."""

    status: Annotated[str, Meta(description="ok, loading, degraded or draining.")]


class ModelInfo(msgspec.Struct):
    """A model that is served."""

    id: str
    task: str
    names: Annotated[Mapping[str, str], Meta(description="Names of the classes by their numbers.")]
    imgsz: Annotated[Pair, Meta(description="Its own height and width.")]
    dynamic: Annotated[bool, Meta(description="Whether it runs at other sizes too.")]
    stride: int
    batch: Annotated[int | None, Meta(description="Fixed number of images a run.")]
    kpt_shape: Annotated[Pair | None, Meta(description="Keypoints, and values of each.")]
    device: str
    provider: Annotated[str, Meta(description="ONNX Runtime's execution provider.")]


class PlatformModel(msgspec.Struct, kw_only=True):
    """`GET /api/models/{owner}/{project}/{model}`: that there is such a model, for Platform's `ul`."""

    owner: str
    project: str
    model: Annotated[str, Meta(description="Its id here.")]
    task: str


class ModelHealth(ModelInfo):
    """A model with what tells its versions apart."""

    sha256: str
    loaded_at: Annotated[float, Meta(description="Seconds since the epoch.")]


class ModelList(msgspec.Struct):
    """`GET /v1/models`."""

    models: list[ModelInfo]
    key_required: bool
    demo: Annotated[bool, Meta(description="Whether these are the demo models.")]


class Reload(msgspec.Struct):
    """`POST /v1/models/reload`."""

    changed: bool
    models: list[str]
    failures: Mapping[str, str]


class Queue(msgspec.Struct):
    """Requests in the server."""

    waiting: int
    inside: Annotated[int, Meta(description="Waiting or worked on.")]
    max: int


class Health(msgspec.Struct):
    """`GET /health`."""

    status: str
    uptime: Annotated[float, Meta(description="Seconds.")]
    cores: int
    queue: Queue
    versions: Mapping[str, str]
    models: Mapping[str, ModelHealth]
    failures: Annotated[Mapping[str, str], Meta(description="Models that could not be loaded, and why.")]


def model_info(model: LoadedModel) -> ModelInfo:
    """Describe a model."""
    spec, session = model.engine.spec, model.engine.session
    return ModelInfo(
        id=model.id,
        task=spec.task,
        names={str(number): name for number, name in spec.names.items()},
        imgsz=spec.imgsz,
        dynamic=spec.dynamic,
        stride=spec.stride,
        batch=spec.batch,
        kpt_shape=spec.layout.kpt_shape,
        device=str(session.device),
        provider=session.provider,
    )


def model_health(model: LoadedModel) -> ModelHealth:
    """Describe a model, with the digest of its file and when it was loaded."""
    info = msgspec.structs.asdict(model_info(model))
    return ModelHealth(**info, sha256=model.digest, loaded_at=model.loaded_at)
