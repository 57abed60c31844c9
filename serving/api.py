"""The endpoints."""

from __future__ import annotations

import platform
import re
from time import time

import cv2
import msgspec
import numpy as np
import onnxruntime
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from .._version import __version__
from . import openapi
from .app_state import AppState
from .authorization import check_key
from .dialects.accepted import PLATFORM_ENDPOINT, PREDICT, PREDICT_BY_FIELD, ROUTES
from .error_responses import NotAllowed
from .metrics import CONTENT_TYPE
from .model_lookup import by_default, by_id, by_name
from .page.assets import demo_image, read_page
from .predict_endpoint import PredictEndpoint
from .schemas import (
    Health,
    ModelList,
    PlatformModel,
    Queue,
    Reload,
    Status,
    encode,
    model_health,
    model_info,
)


class Api:
    """The endpoints of one server; each takes a request and gives a response, or raises."""

    def __init__(self, state: AppState) -> None:
        """Serve what `state` has."""
        self._state = state
        self._predict = PredictEndpoint(state)
        self._page = read_page()
        self._openapi = encode(openapi.document())

    async def predict(self, request: Request) -> Response:
        """`POST /v1/predict/{model_id}`."""
        registry, model_id = self._state.registry, request.path_params["model_id"]
        return await self._predict.answer(request, lambda: by_id(registry, model_id), ROUTES[PREDICT])

    async def platform_predict(self, request: Request) -> Response:
        """The routes of Ultralytics Platform whose path names a model or a deployment."""
        registry, name = self._state.registry, "/".join(request.path_params.values())
        return await self._predict.answer(request, lambda: by_name(registry, name), ROUTES[PLATFORM_ENDPOINT])

    async def platform_endpoint(self, request: Request) -> Response:
        """`POST /predict`, as at the address of a dedicated endpoint of Ultralytics Platform."""
        registry, default = self._state.registry, self._state.settings.default_model
        return await self._predict.answer(
            request, lambda: by_default(registry, default), ROUTES[PLATFORM_ENDPOINT]
        )

    async def platform_model(self, request: Request) -> Response:
        """`GET /api/models/{owner}/{project}/{model}`: whether a model is served."""
        parts = request.path_params
        model = by_name(self._state.registry, "/".join(parts.values()))
        return _json(
            PlatformModel(
                owner=parts["owner"], project=parts["project"], model=model.id, task=model.engine.task
            )
        )

    async def root(self, request: Request) -> Response:
        """`GET /`, the page, and `POST /`, where a field names the model."""
        if request.method == "POST":
            return await self._predict.answer(request, None, ROUTES[PREDICT_BY_FIELD])
        headers = self._page.headers
        known = re.split(r"\s*,\s*", request.headers.get("if-none-match", ""))
        if {"*", headers["etag"], "W/" + headers["etag"]} & set(known):
            return Response(status_code=304, headers=headers)
        return Response(self._page.html, media_type="text/html", headers=headers)

    async def demo(self, request: Request) -> Response:
        """`GET /demo.jpg`: an image for the page to begin with."""
        return FileResponse(demo_image(request.query_params.get("model", "")))

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        state = self._state
        models = [model_info(model) for model in state.registry.models.values()]
        return _json(ModelList(models, key_required=bool(state.keys), demo=not state.settings.models))

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/{model_id}`."""
        return _json(model_info(by_id(self._state.registry, request.path_params["model_id"])))

    async def reload(self, request: Request) -> Response:
        """`POST /v1/models/reload`."""
        state = self._state
        if not state.keys:
            raise NotAllowed("this server has no keys, so nobody may do this from afar: send it SIGHUP")
        check_key(request, state.keys, state.settings.no_auth)
        changed = await state.reload()
        return _json(Reload(changed, list(state.registry.models), state.registry.failures))

    async def livez(self, request: Request) -> Response:
        """`GET /livez`: 200 as long as the process answers at all."""
        return _json(Status("ok"))

    async def readyz(self, request: Request) -> Response:
        """`GET /readyz`: 200 when predictions can be answered, else 503."""
        ready = self._state.is_ready
        return _json(Status("ok" if ready else self._state.describe()), 200 if ready else 503)

    async def health(self, request: Request) -> Response:
        """`GET /health`."""
        state, scheduler = self._state, self._state.scheduler
        return _json(
            Health(
                status=state.describe(),
                uptime=round(time() - state.started_at, 1),
                cores=state.cores,
                queue=Queue(scheduler.waiting, scheduler.in_flight, state.settings.max_queue),
                versions={
                    "yolean": __version__,
                    "onnxruntime": onnxruntime.__version__,
                    "opencv": cv2.__version__,
                    "numpy": np.__version__,
                    "python": platform.python_version(),
                },
                models={model.id: model_health(model) for model in state.registry.models.values()},
                failures=state.registry.failures,
            )
        )

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`."""
        self._state.count_queue()
        return Response(self._state.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`."""
        return Response(self._openapi, media_type="application/json")


def _json(answer: msgspec.Struct, status: int = 200) -> Response:
    return Response(encode(answer), status, media_type="application/json")
