"""Turns in the queue of those who need many: frames of a video, slices of an image, images of a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter

from ..engine.errors import ServerBusy
from .app_state import AppState
from .tickets import Ticket, Work

_PATIENCE = 0.05  # seconds until what found the queue full is tried again


async def take_turn(state: AppState, work: Work, left: asyncio.Event, seconds: float | None = None) -> Ticket:
    """Run one frame or slice, and try again while the queue is full, for as long as a request may wait.

    Args:
        state: of the server.
        work: what to run.
        left: set when the client has left.
        seconds: that it may wait; default: as long as a request.

    Returns:
        its ticket, which has the answer.

    Raises:
        ServerBusy: the queue stayed full.
        DeadlineError: it waited too long.
        ClientGone: the client left.
        InputError: the image or the model is at fault.
    """
    deadline = perf_counter() + (state.settings.timeout if seconds is None else seconds)
    while True:
        ticket = Ticket(deadline)
        try:
            await state.scheduler.run(work, ticket, left.wait)
        except ServerBusy:
            if perf_counter() + _PATIENCE > deadline:
                raise
            await asyncio.sleep(_PATIENCE)
        else:
            return ticket


@asynccontextmanager
async def watched(client_left: Callable[[], Awaitable[None]], left: asyncio.Event) -> AsyncIterator[None]:
    """Set the event when the client leaves, while the context lasts."""

    async def watch() -> None:
        await client_left()
        left.set()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


def count_turn(state: AppState, work: Work, ticket: Ticket, total: Ticket) -> None:
    """Add the stages and objects of a turn to those of its request, and to the metrics."""
    state.metrics.observe(work.model.id, ticket.stages)
    total.objects += ticket.objects
    for stage, milliseconds in ticket.stages.items():
        total.stages[stage] = total.stages.get(stage, 0.0) + milliseconds
