"""The HTTP server, as an ASGI application: routes and nothing else.

`yolean serve` runs it. Under another ASGI server, `yolean.server:app` reads its settings from the
environment: `YOLEAN_MODELS=yolov8n.onnx uvicorn yolean.server:app`. Neither `create_app` nor `app` takes
signals, ends the process or changes what is set for all of it (the log, OpenCV's threads): a server with a
broken model raises when it starts. `yolean serve` does these things, in `serving.process`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .serving.api import Api
from .serving.app_state import AppState
from .serving.client_limits import HEAD_LIMITS, HeadLimits
from .serving.dialects.accepted import PLATFORM_DEPLOYMENT, PLATFORM_ENDPOINT, PLATFORM_MODEL
from .serving.dialects.open_inference import HEADER_LENGTH
from .serving.infer_endpoint import InferEndpoint
from .serving.middleware import Access
from .serving.settings import MODEL_ID_PARTS, Settings


class _ModelId(Convertor[str]):
    """A parameter of a path that may have slashes in it, as ids may: their parts are the path's."""

    regex = rf"[^/]+(?:/[^/]+){{0,{MODEL_ID_PARTS - 1}}}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("yolean_id", _ModelId())


@asynccontextmanager
async def wait_until_loaded(state: AppState) -> AsyncIterator[None]:
    """Let an application start once its models are loaded.

    Raises:
        ModelError: a model that was named by its file cannot be loaded.
        SameName: two files have one id.
    """
    await state.loaded()
    yield


def create_app(
    settings: Settings,
    lifespan: Callable[[AppState], AbstractAsyncContextManager[None]] = wait_until_loaded,
    cores: int | None = None,
) -> Starlette:
    """Make a server with these settings; it loads its models when it starts.

    Args:
        settings: as from the options of `yolean serve`.
        lifespan: entered while the application starts, left when it ends.
        cores: how many it may keep busy; default: its part of those that this process may use.

    Raises:
        InputError: the keys cannot be read.
    """
    state = AppState(settings, cores)
    api = Api(state)

    @asynccontextmanager
    async def whole_lifespan(app: Starlette) -> AsyncIterator[dict[str, HeadLimits]]:
        async with state.running(), lifespan(state):
            yield {HEAD_LIMITS: HeadLimits(settings.head_timeout, settings.max_head)}

    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors,
        allow_methods=["GET", "POST"],
        allow_headers=["x-api-key", "authorization", "x-request-id", "content-type", HEADER_LENGTH],
        expose_headers=["x-request-id", "server-timing", "retry-after", HEADER_LENGTH],
    )
    return Starlette(
        routes=[
            Route("/v1/predict/{model_id:yolean_id}", api.predict, methods=["POST"]),
            Route("/", api.root, methods=["GET", "POST"]),
            Route("/demo.jpg", api.demo),
            Route("/v1/models", api.models),
            Route("/v1/models/reload", api.reload, methods=["POST"]),
            Route("/v1/models/{model_id:yolean_id}", api.model),
            Route(PLATFORM_MODEL, api.platform_predict, methods=["POST"]),
            Route("/api/models/{model_id:yolean_id}/predict", api.platform_predict, methods=["POST"]),
            Route(PLATFORM_DEPLOYMENT, api.platform_predict, methods=["POST"]),
            Route(PLATFORM_ENDPOINT, api.platform_endpoint, methods=["POST"]),
            Route("/api/models/{owner}/{project}/{model}", api.platform_model),
            *_open_inference(InferEndpoint(state)),
            Route("/livez", api.livez),
            Route("/readyz", api.readyz),
            Route("/health", api.health),
            Route("/metrics", api.metrics),
            Route("/openapi.json", api.openapi),
        ],
        middleware=[
            *([cors] if settings.cors else []),
            Middleware(Access, state.drain),
        ],
        exception_handlers={HTTPException: _pass_on},
        lifespan=whole_lifespan,
    )


def _open_inference(endpoint: InferEndpoint) -> list[Route]:
    """The routes of the Open Inference Protocol; what follows an id comes first, as ids have slashes."""
    routes = [
        Route("/v2", endpoint.server),
        Route("/v2/health/live", endpoint.live),
        Route("/v2/health/ready", endpoint.ready),
    ]
    model, version = "/v2/models/{model_id:yolean_id}", "/versions/{version}"
    for path in (f"{model}{version}", model):
        routes += [
            Route(f"{path}/infer", endpoint.infer, methods=["POST"]),
            Route(f"{path}/ready", endpoint.model_ready),
        ]
    return [*routes, Route(f"{model}{version}", endpoint.model), Route(model, endpoint.model)]


def _pass_on(request: Request, error: Exception) -> Response:
    """Let `Access` answer what Starlette refuses by itself, as it answers all other errors."""
    raise error


def serve_app() -> Starlette:
    """Make the application of one process of `yolean serve`, from the environment."""
    from .serving.logs import log_to_stderr
    from .serving.process import process_lifespan

    settings = Settings.from_environment()
    log_to_stderr(settings.log_format)
    return create_app(settings, process_lifespan)


def __getattr__(name: str) -> Any:
    """`app`, made when it is first asked for: importing this module starts nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = create_app(Settings.from_environment())
    return globals()["app"]
