"""What every prediction request goes through, whichever endpoint answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter

from starlette.requests import Request
from starlette.responses import Response

from ..engine.errors import ServerBusy
from .app_state import AppState
from .authorization import check_key
from .error_responses import status_of
from .tickets import ClientGone, Ticket


async def counted(state: AppState, request: Request, predict: Callable[[], Awaitable[Response]]) -> Response:
    """Predict, and count the outcome.

    Args:
        state: of the server.
        request: with `notes` for the log in its state, in which `predict` names the model.
        predict: answers the request.

    Raises:
        Exception: what `error_responses` answers.
    """
    started, metrics = perf_counter(), state.metrics
    notes = request.state.notes
    try:
        response = await predict()
    except ClientGone:
        raise
    except Exception as exc:
        metrics.requests.labels(notes.get("model", "unknown"), status_of(exc)).inc()
        raise
    metrics.requests.labels(notes["model"], response.status_code).inc()
    metrics.seconds.labels(notes["model"]).observe(perf_counter() - started)
    return response


def admit(state: AppState, request: Request) -> None:
    """Check that a request may predict, before its body is read.

    Raises:
        InputError, NotAllowed: see `check_key`.
        ServerBusy: the server is shutting down.
    """
    check_key(request, state.keys, state.settings.no_auth)
    if state.drain.is_draining:
        state.metrics.shed.labels("drain").inc()
        raise ServerBusy("this server is shutting down, send it again", 1)


def account_for(state: AppState, request: Request, ticket: Ticket) -> dict[str, str]:
    """Count the objects, note what goes into the log, and return the headers that tell the stages."""
    notes = request.state.notes
    state.metrics.objects.labels(notes["model"]).inc(ticket.objects)
    notes |= {"objects": ticket.objects} | {s: round(ms, 1) for s, ms in ticket.stages.items()}
    return {"server-timing": ", ".join(f"{s};dur={value:.2f}" for s, value in ticket.stages.items())}


def address_of(request: Request) -> str:
    """The address of the client, or of whom a trusted proxy names; empty on a socket file."""
    return request.client.host if request.client else ""


async def disconnected(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
