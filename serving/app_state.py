"""Everything that one server process has, and its life from start to end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from multiprocessing import parent_process
from time import time

from ..engine.runtime.cpu import usable_cores
from ..models import DEMO_MODELS, demo_model
from .auth import read_keys
from .fetch.fetcher import Fetcher
from .metrics import Metrics
from .model_registry import Registry, SameName
from .scheduler import Scheduler
from .settings import Place, Settings
from .shutdown import Drain, Traffic

log = logging.getLogger("yolean.server")

LOOK_SECONDS = 2.0
"""Between two looks at the files of the models. A change is loaded at the look after the one that saw it."""

CANNOT_START = 3
"""Exit status by which a process tells uvicorn's supervisor not to start it again."""


class Service:
    """The parts of a server, joined.

    Attributes:
        settings, keys, metrics, scheduler, registry, fetcher, drain: see their classes.
        started_at: seconds since the epoch.
    """

    def __init__(self, settings: Settings) -> None:
        """Build the parts; `running` starts what needs a loop.

        Raises:
            InputError: the keys cannot be read.
        """
        self.settings = settings
        self.keys = read_keys(settings.api_keys)
        self.metrics = Metrics()
        self.cores = max(1, usable_cores() // settings.workers)
        self.scheduler = Scheduler(self.cores, settings.max_queue, settings.max_pixels, self.metrics)
        self.registry = Registry(
            settings.models or _demo_places(),
            settings.device,
            self.scheduler.intra_op_choices,
            self._count_load,
            settings.batch_window,
        )
        self.fetcher = Fetcher(
            max_bytes=settings.max_body, timeout=settings.timeout, trusted=settings.trusted_fetch
        )
        self.drain = Drain(settings.drain)
        self.started_at = time()

    @asynccontextmanager
    async def running(self, traffic: Traffic) -> AsyncIterator[None]:
        """Load the models and watch their files while the context lasts.

        The server listens meanwhile: it is alive, but not ready.

        Args:
            traffic: what has to be over before the server ends.
        """
        self.drain.install(traffic)
        self.scheduler.start()
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, RuntimeError, AttributeError):  # Windows; not the main thread
            loop.add_signal_handler(signal.SIGHUP, lambda: reloads.append(loop.create_task(self._hang_up())))
        reloads: list[asyncio.Task[None]] = []
        life = asyncio.create_task(self._load_and_watch())
        try:
            yield
        finally:
            for task in (life, *reloads):
                task.cancel()
            await asyncio.gather(life, *reloads, return_exceptions=True)
            self.scheduler.close()

    async def reload(self) -> bool:
        """Look at the files of the models at once; returns whether anything changed.

        Raises:
            SameName: two files have one id.
        """
        changed = await asyncio.to_thread(self.registry.refresh)
        self._count_models()
        return changed

    async def _hang_up(self) -> None:
        """What SIGHUP asks for."""
        try:
            await self.reload()
        except SameName as exc:
            log.error("%s", exc.detail)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be answered: models have run once, lanes take jobs, no end is near."""
        return not (self.drain.is_draining or self.scheduler.is_stuck) and bool(
            self.registry.is_ready and self.registry.models
        )

    def describe(self) -> str:
        """One word for what the server is doing."""
        if self.drain.is_draining:
            return "draining"
        if not self.registry.is_ready:
            return "loading"
        return "ok" if self.is_ready and not self.registry.failures else "degraded"

    async def _load_and_watch(self) -> None:
        try:
            await self.reload()
            failed = self.registry.named_failures()
        except SameName as exc:
            failed = [str(exc)]
            log.error("%s", exc.detail)
        if failed:  # they were named for this server: it would only seem to serve them
            _give_up()
        log.info("ready: %s", ", ".join(self.registry.models) or "no model yet")
        trouble = ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if (parent := parent_process()) is not None and os.getppid() != parent.pid:
                log.error("the parent of process %d is gone, it ends too", os.getpid())
                os.kill(os.getpid(), signal.SIGTERM)
            try:
                await asyncio.to_thread(self.registry.refresh, False)
                trouble = ""
            except (SameName, OSError) as exc:
                found = getattr(exc, "detail", str(exc))
                if found != trouble:  # once, not at every look
                    trouble = found
                    log.error("%s", trouble)
            self._count_models()

    def _count_load(self, loaded: bool) -> None:
        self.metrics.loads.labels("loaded" if loaded else "failed").inc()

    def _count_models(self) -> None:
        self.metrics.models.set(len(self.registry.models))
        self.metrics.failed_models.set(len(self.registry.failures))


def _demo_places() -> tuple[Place, ...]:
    return tuple(Place(demo_model(task)) for task in DEMO_MODELS)


def _give_up() -> None:
    """End this process, whose start has failed, with what its parent or shell should know.

    At once, because the web server knows no end with a status after it has begun to listen. Nothing is lost:
    no request has been answered yet.
    """
    logging.shutdown()
    os._exit(2 if parent_process() is None else CANNOT_START)
