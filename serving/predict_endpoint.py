"""A prediction request, from its head to its answer: key, body, arguments, image, run, response."""

from __future__ import annotations

import re
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..engine.errors import InputError, ServerBusy
from ..engine.results.results import Results
from .app_state import AppState
from .authorization import check_key
from .bodies import read_submission
from .dialects.accepted import read_arguments
from .dialects.dialect import Arguments, Dialect
from .error_responses import NotFound, status_of
from .fetch.fetcher import FetchError
from .forms import Submission
from .model_registry import LoadedModel, Registry
from .schemas import encode
from .tickets import ClientGone, Ticket, Work


class PredictEndpoint:
    """Answers prediction requests in every dialect."""

    def __init__(self, state: AppState) -> None:
        """Use the models, the scheduler and the limits of `state`."""
        self._state = state

    async def answer(self, request: Request, model_id: str | None, accepted: Sequence[Dialect]) -> Response:
        """Predict, and count the outcome.

        Args:
            request: with `notes` for the log in its state.
            model_id: from the path; None where a field names the model.
            accepted: the dialects of the route.

        Raises:
            Exception: what `error_responses` answers.
        """
        started, metrics = perf_counter(), self._state.metrics
        notes = request.state.notes
        try:
            response = await self._predict(request, model_id, accepted)
        except ClientGone:
            raise
        except Exception as exc:
            metrics.requests.labels(notes.get("model", "unknown"), status_of(exc)).inc()
            raise
        metrics.requests.labels(notes["model"], response.status_code).inc()
        metrics.seconds.labels(notes["model"]).observe(perf_counter() - started)
        return response

    async def _predict(self, request: Request, model_id: str | None, accepted: Sequence[Dialect]) -> Response:
        state, notes = self._state, request.state.notes
        check_key(request, state.keys, state.settings.no_auth)
        if state.drain.is_draining:
            state.metrics.shed.labels("drain").inc()
            raise ServerBusy("this server is shutting down, send it again", 1)
        model = None if model_id is None else find_model(state.registry, model_id, notes)
        state.scheduler.check_room()  # before the body, which costs the client nothing yet
        with state.uploads.request(_address(request)) as take:
            submission = await read_submission(request, state.settings.max_body, state.pace, take)
        arguments = read_arguments(submission.fields, submission.files, accepted)
        if model is None:
            model = find_model(state.registry, _last_segment(arguments.model), notes)
        elif arguments.model is not None and _last_segment(arguments.model) != model.id:
            raise InputError(f"model={arguments.model[:60]!r}: the path names {model.id!r}")
        arguments.dialect.check_task(model)
        work = _work(model, arguments)
        ticket = Ticket(perf_counter() + state.settings.timeout)
        work.field, work.data = await self._image(submission, arguments, ticket, _address(request))
        body = await state.scheduler.run(work, ticket, lambda: _disconnected(request))
        state.metrics.observe(model.id, ticket.stages)
        state.metrics.objects.labels(model.id).inc(ticket.objects)
        notes |= {"objects": ticket.objects} | {s: round(ms, 1) for s, ms in ticket.stages.items()}
        timing = ", ".join(f"{stage};dur={value:.2f}" for stage, value in ticket.stages.items())
        return Response(body, media_type="application/json", headers={"server-timing": timing})

    async def _image(
        self, submission: Submission, arguments: Arguments, ticket: Ticket, address: str
    ) -> tuple[str, bytes]:
        """The field that an image came in, and the encoded image.

        Raises:
            InputError: there is no image, more than one, or an empty one.
            FetchError: its address cannot be fetched.
        """
        file, url = arguments.dialect.file, arguments.dialect.wire_name("url")
        places = {file: submission.files.get(file), url: arguments.url, "the body": submission.raw}
        given = [name for name, content in places.items() if content is not None]
        if len(given) != 1:
            found = " and ".join(given) or "neither"
            raise InputError(f"expected one image, as file {file!r} or address {url!r}, found {found}")
        if arguments.url is None:
            data = submission.files[file] if submission.raw is None else submission.raw
            if not data:
                raise InputError(f"{given[0]}: expected an image, found 0 bytes")
            return given[0], data
        if not self._state.settings.url_fetch:
            raise FetchError(
                f"{url}: this server fetches no addresses; send the image itself, or start the server with "
                "--url-fetch"
            )
        started = perf_counter()
        try:
            with self._state.fetches.request(address) as take:
                take(1)
                data = await self._state.fetcher.fetch(arguments.url)
        except FetchError as exc:
            raise FetchError(f"{url}: {exc}") from exc
        ticket.stages["fetch"] = (perf_counter() - started) * 1e3
        return url, data


def find_model(registry: Registry, model_id: str | None, notes: dict[str, Any]) -> LoadedModel:
    """The model of an id; notes it for the log.

    Raises:
        InputError: there is no id.
        NotFound: no model has it.
        ServerBusy: no model has it yet, as they are being loaded.
    """
    if model_id is None:
        raise InputError(f"model is needed: one of {', '.join(registry.models)}")
    model = registry.models.get(model_id)
    if model is None:
        if not registry.is_ready:
            raise ServerBusy("the models are being loaded, send it again", 1)
        known = ", ".join(list(registry.models)[:20]) or "none at all"
        raise NotFound(f"no model is called {model_id[:100]!r}; there are {known}")
    notes["model"] = model.id
    return model


def _work(model: LoadedModel, arguments: Arguments) -> Work:
    """Check the arguments that depend on the model. The work has no image yet.

    Raises:
        InputError: the model does not run at this size.
    """
    try:
        size = model.engine.size(arguments.size)
        options = model.engine.options(arguments.conf, arguments.iou)
    except InputError as exc:  # it speaks of imgsz and conf
        dialect = arguments.dialect
        message = str(exc).replace("imgsz", dialect.wire_name("size"))
        raise InputError(re.sub(r"^conf\b", dialect.wire_name("conf"), message)) from exc

    def render(results: Results) -> bytes:
        return encode(arguments.dialect.render(results, arguments, model))

    return Work(model, b"", "image", size, options, render)


def _last_segment(model: str | None) -> str | None:
    """The id in a model field: the field itself, or the last segment of an address."""
    if model is None or "/" not in model:
        return model
    return re.split(r"[?#]", model)[0].rstrip("/").rpartition("/")[2]


def _address(request: Request) -> str:
    """The address of the client, or of whom a trusted proxy names; empty on a socket file."""
    return request.client.host if request.client else ""


async def _disconnected(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
