"""The endpoints."""

from __future__ import annotations

import platform
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter, time
from typing import Any

import cv2
import numpy as np
import onnxruntime
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from .._version import __version__
from ..engine.errors import InputError, ServerBusy
from ..engine.results.results import Results
from . import openapi
from .app_state import Service
from .auth import is_loopback
from .bodies import Submission, read_submission
from .dialects.arguments import FILES, Arguments, Form, read_arguments
from .dialects.hub import answer, encode
from .error_responses import NotAllowed, NotFound, status_of
from .fetch.fetcher import FetchError
from .metrics import CONTENT_TYPE
from .model_registry import LoadedModel
from .page.assets import demo_image, read_page
from .tickets import ClientGone, Ticket, Work

_UPLOADS_A_PLACE = 4
"""Bodies that may be on their way for each place in the queue: uploads are slow, and cost only memory."""


class Api:
    """The endpoints of one server; each takes a request and gives a response, or raises."""

    def __init__(self, state: Service) -> None:
        """Serve what `state` has."""
        self._state = state
        self._page = read_page()
        self._openapi = encode(openapi.document())
        self._uploads = 0

    # ---- predicting ---------------------------------------------------------------------------------------

    async def predict(self, request: Request) -> Response:
        """`POST /v1/predict/{model_id}`."""
        return await self._counted(request, request.path_params["model_id"], "first")

    async def root(self, request: Request) -> Response:
        """`GET /`, the page, and `POST /`, where a field names the model."""
        if request.method == "POST":
            return await self._counted(request, None, "second")
        return self._page_for(request)

    async def _counted(self, request: Request, model_id: str | None, form: Form) -> Response:
        """Predict, and count the outcome."""
        started, metrics = perf_counter(), self._state.metrics
        notes = request.state.notes
        try:
            response = await self._predict(request, model_id, form)
        except ClientGone:
            raise
        except Exception as exc:
            metrics.requests.labels(notes.get("model", "unknown"), status_of(exc)).inc()
            raise
        metrics.requests.labels(notes["model"], response.status_code).inc()
        metrics.seconds.labels(notes["model"]).observe(perf_counter() - started)
        return response

    async def _predict(self, request: Request, model_id: str | None, form: Form) -> Response:
        state, notes = self._state, request.state.notes
        self._check_key(request)
        if state.drain.is_draining:
            state.metrics.shed.labels("drain").inc()
            raise ServerBusy("this server is shutting down, send it again", 1)
        served = None if model_id is None else self._find(model_id, notes)
        state.scheduler.check_room()  # before the body: it costs the client nothing yet
        async with self._one_upload():
            submission = await read_submission(request, state.settings.max_body)
        files = submission.files
        arguments = read_arguments(submission.fields, files, form)
        if model_id is None and arguments.form == "first":
            raise InputError("POST / takes file, source, imgsz, conf, iou and model; image, url, size and "
                             "confidence go to /v1/predict/MODEL_ID")  # fmt: skip
        if served is None:
            served = self._find(_last_part(arguments.model), notes)
        elif arguments.model is not None and _last_part(arguments.model) != served.id:
            raise InputError(f"model={arguments.model[:60]!r}: the path names {served.id!r}")
        work = self._work(served, arguments)
        ticket = Ticket(perf_counter() + state.settings.timeout)
        async with self._one_upload():
            work.field, work.data = await self._image(submission, arguments, ticket)
        body = await state.scheduler.run(work, ticket, lambda: _left(request))
        state.metrics.observe(served.id, ticket.stages)
        state.metrics.objects.labels(served.id).inc(ticket.objects)
        notes |= {"objects": ticket.objects} | {s: round(ms, 1) for s, ms in ticket.stages.items()}
        timing = ", ".join(f"{stage};dur={value:.2f}" for stage, value in ticket.stages.items())
        return Response(body, media_type="application/json", headers={"server-timing": timing})

    @asynccontextmanager
    async def _one_upload(self) -> AsyncIterator[None]:
        """A body or an image on its way here; only so many at a time, as each is held in memory."""
        if self._uploads >= _UPLOADS_A_PLACE * self._state.settings.max_queue:
            self._state.metrics.shed.labels("uploads").inc()
            raise ServerBusy(f"{self._uploads} uploads are on their way already, send it again", 1)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    def _work(self, served: LoadedModel, arguments: Arguments) -> Work:
        """Check what depends on the model, and put the work together; it has no image yet."""
        engine = served.engine
        try:
            size = engine.size(arguments.size)
            options = engine.options(arguments.conf, arguments.iou)
        except InputError as exc:  # speaks of imgsz and conf, whatever the client called them
            message = str(exc).replace("imgsz", arguments.size_field)
            if arguments.form == "first":
                message = re.sub(r"^conf\b", "confidence", message)
            raise InputError(message) from exc

        def render(results: Results) -> bytes:
            return answer(results, arguments, served)

        return Work(served, b"", "image", size, options, render)

    async def _image(self, submission: Submission, arguments: Arguments, ticket: Ticket) -> tuple[str, bytes]:
        """The encoded image of a request, and the field that it came in."""
        name = FILES[arguments.form]
        given = [n for n, there in ((name, name in submission.files), (arguments.url_field, arguments.url),
                                    ("the body", submission.raw is not None)) if there]  # fmt: skip
        if len(given) != 1:
            found = " and ".join(given) or "neither"
            raise InputError(
                f"expected one image, as file {name!r} or address {arguments.url_field!r}, found {found}"
            )
        if arguments.url is None:
            data = submission.files[name] if submission.raw is None else submission.raw
            if not data:
                raise InputError(f"{given[0]}: expected an image, found 0 bytes")
            return given[0], data
        if not self._state.settings.url_fetch:
            raise FetchError(
                f"{arguments.url_field}: this server fetches no addresses; send the image itself, or start "
                "the server with --url-fetch"
            )
        started = perf_counter()
        try:
            data = await self._state.fetcher.fetch(arguments.url)
        except FetchError as exc:
            raise FetchError(f"{arguments.url_field}: {exc}") from exc
        ticket.stages["fetch"] = (perf_counter() - started) * 1e3
        return arguments.url_field, data

    def _find(self, model_id: str | None, notes: dict[str, Any]) -> LoadedModel:
        models = self._state.registry.models
        if model_id is None:
            raise InputError(f"model is needed: one of {', '.join(models)}")
        served = models.get(model_id)
        if served is None:
            if not self._state.registry.is_ready:
                raise ServerBusy("the models are being loaded, send it again", 1)
            known = ", ".join(list(models)[:20]) or "none at all"
            raise NotFound(f"no model is called {model_id[:100]!r}; there are {known}")
        notes["model"] = served.id
        return served

    def _check_key(self, request: Request) -> None:
        keys = self._state.keys
        if keys:
            given = request.headers.get("x-api-key")
            if not keys.accept(given):
                raise NotAllowed(
                    f"the header x-api-key is {'missing' if given is None else 'not a key of this server'}"
                )
        elif not self._state.settings.no_auth:
            # `yolean serve` does not start like this; another ASGI server cannot know.
            server = request.scope.get("server")
            if server and server[1] is not None and not is_loopback(server[0]):
                raise NotAllowed(
                    "this server has no keys and answers its own machine only: give it YOLEAN_API_KEYS, or "
                    "YOLEAN_NO_AUTH=1 to let everyone in"
                )

    # ---- telling ------------------------------------------------------------------------------------------

    async def models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        state = self._state
        found = [_model(served) for served in state.registry.models.values()]
        demo = not state.settings.models
        return _json({"models": found, "key_required": bool(state.keys), "demo": demo})

    async def model(self, request: Request) -> Response:
        """`GET /v1/models/{model_id}`."""
        return _json(_model(self._find(request.path_params["model_id"], {})))

    async def reload(self, request: Request) -> Response:
        """`POST /v1/models/reload`."""
        if not self._state.keys:
            raise NotAllowed("this server has no keys, so nobody may do this from afar: send it SIGHUP")
        self._check_key(request)
        changed = await self._state.reload()
        registry = self._state.registry
        return _json({"changed": changed, "models": list(registry.models), "failures": registry.failures})

    async def livez(self, request: Request) -> Response:
        """`GET /livez`: that this answers is all that it tells."""
        return _json({"status": "ok"})

    async def readyz(self, request: Request) -> Response:
        """`GET /readyz`: 200 when requests can be answered, else 503."""
        ready = self._state.is_ready
        return _json({"status": "ok" if ready else self._state.describe()}, 200 if ready else 503)

    async def health(self, request: Request) -> Response:
        """`GET /health`."""
        state, scheduler = self._state, self._state.scheduler
        models = {
            served.id: _model(served) | {"sha256": served.digest, "loaded_at": served.loaded_at}
            for served in state.registry.models.values()
        }
        return _json({
            "status": state.describe(),
            "uptime": round(time() - state.started_at, 1),
            "cores": state.cores,
            "queue": {"waiting": scheduler.waiting, "inside": scheduler.in_flight,
                      "max": state.settings.max_queue},
            "versions": {"yolean": __version__, "onnxruntime": onnxruntime.__version__,
                         "opencv": cv2.__version__, "numpy": np.__version__,
                         "python": platform.python_version()},
            "models": models,
            "failures": state.registry.failures,
        })  # fmt: skip

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`."""
        state = self._state
        state.metrics.queued.set(state.scheduler.waiting)
        state.metrics.running.set(max(0, state.scheduler.in_flight - state.scheduler.waiting))
        return Response(state.metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def openapi(self, request: Request) -> Response:
        """`GET /openapi.json`."""
        return Response(self._openapi, media_type="application/json")

    def _page_for(self, request: Request) -> Response:
        headers = self._page.headers
        known = re.split(r"\s*,\s*", request.headers.get("if-none-match", ""))
        if {"*", headers["etag"], "W/" + headers["etag"]} & set(known):
            return Response(status_code=304, headers=headers)
        return Response(self._page.html, media_type="text/html", headers=headers)

    async def demo(self, request: Request) -> Response:
        """`GET /demo.jpg`: an image for the page to begin with."""
        return FileResponse(demo_image(request.query_params.get("model", "")))


def _model(served: LoadedModel) -> dict[str, Any]:
    spec, session = served.engine.spec, served.engine.session
    return {
        "id": served.id,
        "task": spec.task,
        "names": {str(i): name for i, name in spec.names.items()},
        "imgsz": list(spec.imgsz),
        "dynamic": spec.dynamic,
        "stride": spec.stride,
        "batch": spec.batch,
        "kpt_shape": spec.layout.kpt_shape,
        "device": str(session.device),
        "provider": session.provider,
    }


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


def _last_part(model: str | None) -> str | None:
    """The id in a model field: itself, or the last part of an address."""
    if model is None or "/" not in model:
        return model
    return re.split(r"[?#]", model)[0].rstrip("/").rpartition("/")[2]


async def _left(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
