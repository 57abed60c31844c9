"""Predicts the slices of an image, one at a time in the queue, so that no image waits for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..engine.errors import InputError
from ..engine.tiling import Tiling, check_tiling
from .app_state import AppState
from .dialects.dialect import Arguments
from .model_registry import LoadedModel
from .queue_turns import count_turn, take_turn, watched
from .sliced_image import SlicedImage
from .tickets import ClientGone, Ticket, Work


def tiling_of(arguments: Arguments, model: LoadedModel, max_tiles: int) -> Tiling | None:
    """How to slice the image of a request; None where that is not asked for.

    Raises:
        InputError: this server slices no images, the model cannot, or the tile is too small for it.
    """
    if arguments.tile is None:
        return None
    if not max_tiles:
        raise InputError(
            f"tile={arguments.tile}: this server slices no images; send slices of your own, or start the "
            "server with --max-tiles"
        )
    tiling = check_tiling(arguments.tile, arguments.overlap, "nmm", model.engine.spec)
    return None if tiling is None else replace(tiling, limit=max_tiles)


async def run_sliced(
    state: AppState, work: Work, tiling: Tiling, first: Ticket, client_left: Callable[[], Awaitable[None]]
) -> tuple[bytes, Ticket]:
    """Predict every slice, and the whole image.

    The whole image comes first, with which it is decoded. A slice that finds the queue full is tried again,
    for as long as a request may wait.

    Args:
        state: of the server.
        work: with the encoded image; `render` makes the body of the answer.
        tiling: how to slice it.
        first: of the request, with the stages that are over.
        client_left: returns when the client has left.

    Returns:
        the body, and a ticket with the stages and objects of all slices together.

    Raises:
        ServerBusy: as many sliced images as are allowed are at work, or the queue stayed full.
        DeadlineError: a slice waited too long.
        ClientGone: the client left.
        InputError: the image is unreadable, or has too many pixels or slices.
    """
    image, total = SlicedImage(tiling), Ticket(0.0, first.stages)
    work.sliced = image
    body = b""
    left = asyncio.Event()
    with state.sliced_images.request("") as take:
        take(1)
        async with watched(client_left, left):
            while not image.is_complete:
                if left.is_set():
                    raise ClientGone("the client has left")
                ticket = await take_turn(state, work, left)
                body = await ticket.answer
                work.frame = image.frame
                count_turn(state, work, ticket, total)
    return body, total
