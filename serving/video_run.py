"""Predicts the frames of a video, one at a time in the queue, so that no image waits for a whole video."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from ..engine.errors import ServerBusy
from ..engine.images.frames import Frame
from .app_state import AppState
from .tickets import ClientGone, Ticket, Work
from .video_upload import VideoLimits, every_frame

_PATIENCE = 0.05  # seconds until a frame that found the queue full is tried again


async def run_video(
    state: AppState, work: Work, stride: int, client_left: Callable[[], Awaitable[None]]
) -> tuple[list[bytes], Ticket]:
    """Predict every `stride`-th frame.

    The next frame is decoded while one is at work; no more are held. A frame that finds the queue full is
    tried again, for as long as a request may wait.

    Args:
        state: of the server.
        work: with the encoded video, which is emptied; `render` makes the item of a frame.
        stride: from 1.
        client_left: returns when the client has left.

    Returns:
        the items, and a ticket with the stages and objects of all frames together.

    Raises:
        ServerBusy: as many videos as are allowed are at work.
        DeadlineError: a frame waited too long.
        ClientGone: the client left.
        InputError: the video cannot be decoded, is cut off, or exceeds a limit.
    """
    settings = state.settings
    limits = VideoLimits(settings.max_video_frames, settings.max_video_seconds, settings.max_pixels)
    items: list[bytes] = []
    total = Ticket(0.0, {"decode": 0.0})
    with state.videos.request("") as take, tempfile.TemporaryDirectory(prefix="yolean-video-") as folder:
        take(1)
        path = Path(folder, "video")  # OpenCV reads videos from files only
        await asyncio.to_thread(path.write_bytes, work.data)
        work.data = b""
        left = asyncio.Event()
        async with _watched(client_left, left):
            frames = every_frame(
                path, work.field, work.model.engine.spec.channels, stride, limits, lambda: not left.is_set()
            )
            async for frame in _decoded_ahead(frames):
                if left.is_set():
                    break
                ticket = await _run_frame(state, replace(work, frame=frame), left)
                items.append(await ticket.answer)
                state.metrics.observe(work.model.id, ticket.stages)
                total.objects += ticket.objects
                for stage, milliseconds in ticket.stages.items():
                    total.stages[stage] = total.stages.get(stage, 0.0) + milliseconds
                total.stages["decode"] += frame.decode_ms
        if left.is_set():
            raise ClientGone("the client has left")
    return items, total


async def _run_frame(state: AppState, work: Work, left: asyncio.Event) -> Ticket:
    """Predict one frame; returns its ticket, which has the item."""
    deadline = perf_counter() + state.settings.timeout
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
async def _watched(client_left: Callable[[], Awaitable[None]], left: asyncio.Event) -> AsyncIterator[None]:
    """Set the event when the client leaves, while the context lasts."""

    async def watch() -> None:
        await client_left()
        left.set()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


async def _decoded_ahead(frames: Generator[Frame, None, None]) -> AsyncIterator[Frame]:
    """The frames, of which the next is decoded in a thread while the last one is used."""
    upcoming = asyncio.ensure_future(asyncio.to_thread(next, frames, None))
    try:
        while (frame := await upcoming) is not None:
            upcoming = asyncio.ensure_future(asyncio.to_thread(next, frames, None))
            yield frame
    finally:
        # A thread cannot be interrupted: the file is closed after the frame that it decodes.
        await asyncio.gather(upcoming, return_exceptions=True)
        frames.close()
