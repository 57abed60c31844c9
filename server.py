"""The HTTP server, as an ASGI application: routes and nothing else.

`yolean serve` runs it. Under another ASGI server, `yolean.server:app` reads its settings from the
environment: `YOLEAN_MODELS=yolov8n.onnx uvicorn yolean.server:app`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .serving.settings import Settings


def create_app(settings: Settings) -> Starlette:
    """A server with these settings; it loads its models when it starts.

    Raises:
        InputError: the keys cannot be read.
    """
    # A second fence behind our own look at the header of an image. OpenCV reads it when it is imported,
    # which the modules below do.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings.max_pixels))
    from .serving.api import Api
    from .serving.app_state import Service
    from .serving.middleware import Access
    from .serving.shutdown import Traffic

    service = Service(settings)
    api = Api(service)
    traffic = Traffic()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with service.running(traffic):
            yield

    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.cors,
        allow_methods=["GET", "POST"],
        allow_headers=["x-api-key", "x-request-id", "content-type"],
        expose_headers=["x-request-id", "server-timing", "retry-after"],
    )
    return Starlette(
        routes=[
            Route("/v1/predict/{model_id}", api.predict, methods=["POST"]),
            Route("/", api.root, methods=["GET", "POST"]),
            Route("/demo.jpg", api.demo),
            Route("/v1/models", api.models),
            Route("/v1/models/reload", api.reload, methods=["POST"]),
            Route("/v1/models/{model_id}", api.model),
            Route("/livez", api.livez),
            Route("/readyz", api.readyz),
            Route("/health", api.health),
            Route("/metrics", api.metrics),
            Route("/openapi.json", api.openapi),
        ],
        middleware=[
            *([cors] if settings.cors else []),
            Middleware(Access, traffic, lambda: service.drain.is_draining),
        ],
        exception_handlers={HTTPException: _pass_on},
        lifespan=lifespan,
    )


def _pass_on(request: Request, error: Exception) -> Response:
    """Let `Access` answer what Starlette refuses by itself, as it answers all other errors."""
    raise error


def __getattr__(name: str) -> Any:
    """`app`, made when it is first asked for: importing this module starts nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .serving.logs import log_to_stderr

    settings = Settings.from_environment()
    log_to_stderr(settings.log_format)
    globals()["app"] = create_app(settings)
    return globals()["app"]
