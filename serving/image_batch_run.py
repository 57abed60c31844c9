"""Predicts the images of a request that has several, a few at a time in the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter

from .app_state import AppState
from .model_registry import LoadedModel
from .queue_turns import count_turn, take_turn
from .tickets import ClientGone, Ticket, Work


async def run_images(
    state: AppState,
    model: LoadedModel,
    works: Sequence[Work],
    seconds: float,
    client_left: Callable[[], Awaitable[None]],
) -> Ticket:
    """Predict every image.

    One image is a request as any other. Of several, as many are in the queue as keep the cores busy, or as a
    run of the model takes, so that others wait for no more; an image that finds the queue full is tried
    again, for as long as it may wait.

    Args:
        state: of the server.
        model: of all of them.
        works: one for each image, from one on; `render` keeps what is found, and gives no body.
        seconds: that each image may wait.
        client_left: returns when the client has left.

    Returns:
        a ticket with the stages and objects of all images together.

    Raises:
        ServerBusy: the queue is full, or stayed full.
        DeadlineError: an image waited too long.
        ClientGone: the client left.
        InputError: an image is unreadable, or has too many pixels.
    """
    if len(works) == 1:
        ticket = Ticket(perf_counter() + seconds)
        await state.scheduler.run(works[0], ticket, client_left)
        state.metrics.observe(model.id, ticket.stages)
        return ticket
    total, upcoming = Ticket(0.0), iter(works)
    never = asyncio.Event()  # who leaves ends all turns below, and is counted once

    async def take_turns() -> None:
        for work in upcoming:
            ticket = await take_turn(state, work, never, seconds)
            count_turn(state, work, ticket, total)

    width = state.cores if model.batcher is None else model.batcher.max_batch
    running = [asyncio.create_task(take_turns()) for _ in range(min(width, len(works)))]
    turns, gone = asyncio.gather(*running), asyncio.ensure_future(client_left())
    try:
        await asyncio.wait((turns, gone), return_when=asyncio.FIRST_COMPLETED)
        if not turns.done():
            state.metrics.left.inc()
            raise ClientGone("the client has left")
        turns.result()
    finally:
        for task in (*running, gone):
            task.cancel()
        await asyncio.gather(turns, *running, return_exceptions=True)
    return total
