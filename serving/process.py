"""What only the processes of `yolean serve` do: take signals, and end with a status or with their parent."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from multiprocessing import parent_process
from types import FrameType
from typing import Any

import cv2
from uvicorn.config import STARTUP_FAILURE

from ..engine.errors import YoleanError
from .app_state import AppState
from .model_registry import SameName
from .shutdown import CANNOT_START

log = logging.getLogger("yolean.server")


@asynccontextmanager
async def process_lifespan(state: AppState) -> AsyncIterator[None]:
    """Let this process serve an application, for as long as the context lasts.

    It listens while its models are loaded: it is alive, but not ready. SIGTERM and SIGINT drain it before
    they reach uvicorn, SIGHUP reloads its models, and a failed start ends it.

    Args:
        state: the application's, running.
    """
    cv2.setNumThreads(1)  # images are decoded on as many threads as there are cores already
    tasks = _Tasks()
    end = signal.getsignal(signal.SIGTERM)  # uvicorn's, which closes the sockets and waits for connections
    loop = asyncio.get_running_loop()

    async def drain(number: int, cause: str) -> None:
        await state.drain.run(cause)
        if callable(end):
            end(number, None)

    def handle(number: int, frame: FrameType | None) -> None:
        if not state.drain.is_draining:
            state.drain.is_draining = True
            loop.call_soon_threadsafe(tasks.start, drain(number, signal.Signals(number).name))
        elif number == signal.SIGINT and callable(end):  # Ctrl-C again: at once
            end(number, frame)

    def follow_parent() -> None:
        loop.remove_reader(parent.sentinel)  # type: ignore[union-attr]
        log.error("the parent of process %d is gone, it ends too", os.getpid())
        handle(signal.SIGTERM, None)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    with suppress(NotImplementedError, AttributeError):  # Windows
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.start(_reload(state)))
        if (parent := parent_process()) is not None:
            loop.add_reader(parent.sentinel, follow_parent)
    tasks.start(_end_if_not_loaded(state))
    try:
        yield
    finally:
        await tasks.cancel()


class _Tasks:
    """Tasks that run beside the server and end with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _reload(state: AppState) -> None:
    try:
        await state.reload()
    except SameName as exc:
        log.error("%s", exc.detail)


async def _end_if_not_loaded(state: AppState) -> None:
    """End this process when its named models cannot be loaded: it would only seem to serve them.

    At once, because uvicorn knows no end with a status after it has begun to listen. Nothing is lost: no
    request has been answered yet.
    """
    try:
        await state.loaded()
    except YoleanError:  # is in the log
        logging.shutdown()
        os._exit(STARTUP_FAILURE if parent_process() is not None else CANNOT_START)
