"""The endpoints of the Open Inference Protocol: health, metadata and inference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from .._version import __version__
from ..engine.errors import InputError
from ..engine.images.frames import Frame
from ..engine.results.results import Results
from ..postprocess.types import Size
from .app_state import AppState
from .bodies import UnknownBody, read_body
from .dialects.inference_outputs import OutputCollector, Values, encode_response, outputs_of
from .dialects.inference_request import Inference, read_inference
from .dialects.open_inference import (
    ENCODED_IMAGES,
    EXTENSIONS,
    HEADER_LENGTH,
    IMAGES,
    NAME,
    PLATFORM_NAME,
    VERSION,
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from .error_responses import NotFound
from .image_batch_run import run_images
from .model_lookup import by_id
from .model_registry import LoadedModel
from .prediction_steps import account_for, address_of, admit, counted, disconnected
from .schemas import encode
from .tickets import Work

_LARGE = 64 * 1024
"""Bytes of a body, or of an answer, that are translated beside the event loop."""

_LEAST_SIDE, _MOST_SIDE = 32, 1280
"""Pixels of a side of the input tensor, as of `imgsz`."""


class InferEndpoint:
    """Answers requests of the Open Inference Protocol."""

    def __init__(self, state: AppState) -> None:
        """Use the models, the scheduler and the limits of `state`."""
        self._state = state

    async def server(self, request: Request) -> Response:
        """`GET /v2`."""
        return _json(ServerMetadata(NAME, __version__, EXTENSIONS))

    async def live(self, request: Request) -> Response:
        """`GET /v2/health/live`: 200 as long as the process answers at all."""
        return _json(ServerLive(True))

    async def ready(self, request: Request) -> Response:
        """`GET /v2/health/ready`: 200 when predictions can be answered, else 503."""
        ready = self._state.is_ready
        return _json(ServerReady(ready), 200 if ready else 503)

    async def model(self, request: Request) -> Response:
        """`GET /v2/models/{model_id}`, with or without a version: what goes in and out."""
        model = self._model(request)
        spec = model.engine.spec
        sides = (-1, -1) if spec.dynamic else tuple(spec.imgsz)
        inputs = [
            TensorMetadata(ENCODED_IMAGES, "BYTES", [-1]),
            TensorMetadata(IMAGES, "FP32", [-1, spec.channels, *sides]),
        ]
        outputs = [output.metadata for output in outputs_of(spec)]
        return _json(ModelMetadata(model.id, [VERSION], PLATFORM_NAME, inputs, outputs))

    async def model_ready(self, request: Request) -> Response:
        """`GET /v2/models/{model_id}/ready`: 200 when this model can be asked, else 503."""
        model, ready = self._model(request), self._state.is_ready
        return _json(ModelReady(model.id, ready), 200 if ready else 503)

    async def infer(self, request: Request) -> Response:
        """`POST /v2/models/{model_id}/infer`."""
        return await counted(self._state, request, lambda: self._infer(request))

    def _model(self, request: Request) -> LoadedModel:
        """The model that the path names.

        Raises:
            NotFound: there is no such model, or no such version of it.
            ServerBusy: the models are being loaded.
        """
        model = by_id(self._state.registry, request.path_params["model_id"])
        version = request.path_params.get("version", VERSION)
        if version != VERSION:
            raise NotFound(f"{model.id!r} has version {VERSION} alone, found {version[:100]!r}")
        return model

    async def _infer(self, request: Request) -> Response:
        state = self._state
        admit(state, request)
        model = self._model(request)
        request.state.notes["model"] = model.id
        state.scheduler.check_room()  # before the body, which costs the client nothing yet
        inference = await self._read(request, model)
        collector = OutputCollector(
            [wanted.output for wanted in inference.wanted], _count(inference), state.settings.max_pixels
        )
        works = _works(model, inference, collector)
        ticket = await run_images(
            state, model, works, self._patience(inference), lambda: disconnected(request)
        )
        body, length = await _encoded(model, inference, collector.tensors())
        headers = account_for(state, request, ticket)
        if length is not None:
            headers[HEADER_LENGTH] = str(length)
        kind = "application/json" if length is None else "application/octet-stream"
        return Response(body, media_type=kind, headers=headers)

    async def _read(self, request: Request, model: LoadedModel) -> Inference:
        """Read the body, and what it asks for.

        Whatever type the body is said to have: these clients name none, or another one.
        """
        state = self._state
        coding = request.headers.get("content-encoding", "identity")
        if coding.lower() != "identity":
            raise UnknownBody(f"expected a body without compression, found Content-Encoding {coding[:60]!r}")
        with state.uploads.request(address_of(request)) as take:
            body = await read_body(request, state.settings.max_body, state.pace, take)
        read = partial(read_inference, body, request.headers.get(HEADER_LENGTH), model.engine.spec)
        return await asyncio.to_thread(read) if len(body) > _LARGE else read()

    def _patience(self, inference: Inference) -> float:
        """Seconds that an image may wait."""
        seconds, asked = self._state.settings.timeout, inference.parameters.timeout
        return min(seconds, asked / 1e6) if isinstance(asked, int) else seconds


def _count(inference: Inference) -> int:
    """Images of a request."""
    given = inference.tensor if inference.encoded is None else inference.encoded
    assert given is not None
    return len(given)


def _works(model: LoadedModel, inference: Inference, collector: OutputCollector) -> list[Work]:
    """What to run, an image each.

    Raises:
        InputError: the model does not run at this size, or has no such classes.
    """
    parameters = inference.parameters
    options = model.engine.options(parameters.conf, parameters.iou, parameters.max_det, inference.classes)
    size, frames = _input(model, inference)
    encoded = inference.encoded or [b""] * len(frames)

    def work(index: int) -> Work:
        def render(results: Results) -> bytes:
            collector.add(index, results)
            return b""

        field = f"{ENCODED_IMAGES}[{index}]" if len(encoded) > 1 else ENCODED_IMAGES
        frame = frames[index] if frames else None
        return Work(model, encoded[index], field, size, options, render, frame)

    return [work(index) for index in range(len(encoded))]


def _input(model: LoadedModel, inference: Inference) -> tuple[Size, list[Frame]]:
    """The size to run at, and the frames where the request has tensors instead of images.

    Raises:
        InputError: the model does not run at this size.
    """
    engine, asked = model.engine, inference.parameters.imgsz
    if inference.tensor is None:
        return engine.size(asked if isinstance(asked, int) else None), []
    if isinstance(asked, int):
        raise InputError(f"imgsz={asked}: {IMAGES!r} is the input tensor, and has its size")
    height, width = inference.tensor.shape[2:]
    if not engine.spec.dynamic and (height, width) != engine.spec.imgsz:
        wanted = f"{engine.spec.imgsz.height}x{engine.spec.imgsz.width}"
        raise InputError(
            f"{IMAGES}: this model runs at {wanted} (height x width) only, found {height}x{width}"
        )
    if engine.spec.dynamic and not all(_is_side(side, engine.spec.stride) for side in (height, width)):
        raise InputError(
            f"{IMAGES}: expected height and width from {_LEAST_SIDE} to {_MOST_SIDE}, multiples of "
            f"{engine.spec.stride}, found {height}x{width}"
        )
    frames = [Frame.of_tensor(tensor, IMAGES) for tensor in inference.tensor]
    return Size(height, width), frames


def _is_side(length: int, stride: int) -> bool:
    return _LEAST_SIDE <= length <= _MOST_SIDE and length % stride == 0


async def _encoded(
    model: LoadedModel, inference: Inference, tensors: list[Values]
) -> tuple[bytes, int | None]:
    """The body of the answer, and how many bytes of it are JSON where binary data follows."""
    outputs = [
        (wanted.output.name, wanted.is_binary, values)
        for wanted, values in zip(inference.wanted, tensors, strict=True)
    ]
    make: Callable[[], tuple[bytes, int | None]] = partial(encode_response, model.id, inference.id, outputs)
    is_large = sum(values.nbytes for values in tensors) > _LARGE
    return await asyncio.to_thread(make) if is_large else make()


def _json(answer: msgspec.Struct, status: int = 200) -> Response:
    return Response(encode(answer), status, media_type="application/json")
