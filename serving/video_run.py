"""Predicts the frames of a video, one at a time in the queue, so that no image waits for a whole video."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import replace
from pathlib import Path

from ..engine.images.frames import Frame
from .app_state import AppState
from .queue_turns import count_turn, take_turn, watched
from .tickets import ClientGone, Ticket, Work
from .video_upload import VideoLimits, every_frame


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
    total = Ticket(0.0)
    with state.videos.request("") as take, tempfile.TemporaryDirectory(prefix="yolean-video-") as folder:
        take(1)
        path = Path(folder, "video")  # OpenCV reads videos from files only
        await asyncio.to_thread(path.write_bytes, work.data)
        work.data = b""
        left = asyncio.Event()
        async with watched(client_left, left):
            frames = every_frame(
                path, work.field, work.model.engine.spec.channels, stride, limits, lambda: not left.is_set()
            )
            async for frame in _decoded_ahead(frames):
                if left.is_set():
                    break
                ticket = await take_turn(state, replace(work, frame=frame), left)
                items.append(await ticket.answer)
                count_turn(state, work, ticket, total)
        if left.is_set():
            raise ClientGone("the client has left")
    return items, total


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
