"""The parts of a server process, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time

from ..engine.errors import ModelError
from ..engine.runtime.cpu import usable_cores
from ..models import DEMO_MODELS, demo_model
from .auth import read_keys
from .client_limits import Pace, SharedBudget
from .fetch.fetcher import Fetcher
from .metrics import Metrics
from .model_registry import Registry, SameName
from .scheduler import Scheduler
from .settings import ModelSource, Settings
from .shutdown import Drain

log = logging.getLogger("yolean.server")

REFRESH_SECONDS = 2.0
"""Between two checks of the model files. A changed file is loaded if the next check finds it unchanged."""

_FETCHES_A_PLACE = 4
"""Images that may be fetched at the same time for each place in the queue; half of them for one client."""

_SLICED_AT_WORK = 4
"""Images that may be sliced at the same time: each is held decoded until its last slice has run."""


class AppState:
    """The parts of a server, joined.

    Attributes:
        settings, keys, metrics, scheduler, registry, fetcher, drain: see their classes.
        cores: how many it may keep busy.
        started_at: seconds since the epoch.
    """

    def __init__(self, settings: Settings, cores: int | None = None) -> None:
        """Build the parts; `running` starts what needs a loop.

        Args:
            settings: as from the options of `yolean serve`.
            cores: how many it may keep busy; default: its part of those that this process may use.

        Raises:
            InputError: the keys cannot be read.
        """
        self.settings = settings
        self.keys = read_keys(settings.api_keys)
        self.metrics = Metrics()
        self.cores = cores or max(1, usable_cores() // settings.workers)
        self.scheduler = Scheduler(self.cores, settings.max_queue, settings.max_pixels, self.metrics)
        self.registry = Registry(
            settings.models or _demo_models(),
            settings.device,
            self.scheduler.intra_op_choices,
            self._count_load,
            settings.batch_window,
        )
        self.fetcher = Fetcher(
            max_bytes=settings.max_body, timeout=settings.timeout, trusted=settings.trusted_fetch
        )
        self.drain = Drain(settings.drain)
        self.pace = Pace(settings.min_rate, settings.rate_window)
        refused = self.metrics.shed.labels("uploads").inc
        self.uploads = SharedBudget(
            # A single body of the largest size must pass.
            max(settings.max_uploads, settings.max_body),
            max(settings.max_client_uploads, settings.max_body),
            "too much is being uploaded already, send it again",
            refused,
        )
        fetches = _FETCHES_A_PLACE * settings.max_queue
        self.fetches = SharedBudget(
            fetches, max(1, fetches // 2), "too many images are being fetched already, send it again", refused
        )
        self.videos = SharedBudget(
            settings.max_videos,
            settings.max_videos,
            "enough videos are at work already, send it again",
            refused,
        )
        self.sliced_images = SharedBudget(
            _SLICED_AT_WORK,
            _SLICED_AT_WORK,
            "enough images are being sliced already, send it again",
            refused,
        )
        self.started_at = time()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load the models, and then watch their files, while the context lasts."""
        self.scheduler.start()
        self._loading = asyncio.create_task(self._load())
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            for task in (self._loading, watching):
                task.cancel()
            await asyncio.gather(self._loading, watching, return_exceptions=True)
            self.scheduler.close()

    async def loaded(self) -> None:
        """Wait until the models have been loaded for the first time.

        Raises:
            ModelError: a model that was named by its file cannot be loaded.
            SameName: two files have one id.
        """
        await asyncio.shield(self._loading)

    async def reload(self) -> bool:
        """Load what has changed in the model files at once; returns whether anything has.

        Raises:
            SameName: two files have one id.
        """
        changed = await asyncio.to_thread(self.registry.refresh)
        self._count_models()
        return changed

    @property
    def is_ready(self) -> bool:
        """Whether predictions can be answered: models have run once, threads make progress, no drain."""
        return not (self.drain.is_draining or self.scheduler.is_stuck) and bool(
            self.registry.is_ready and self.registry.models
        )

    def count_queue(self) -> None:
        """Bring the gauges of the queue up to date, before the metrics are read."""
        waiting = self.scheduler.waiting
        self.metrics.queued.set(waiting)
        self.metrics.running.set(max(0, self.scheduler.in_flight - waiting))

    def describe(self) -> str:
        """The state in one word: ok, loading, degraded or draining."""
        if self.drain.is_draining:
            return "draining"
        if not self.registry.is_ready:
            return "loading"
        return "ok" if self.is_ready and not self.registry.failures else "degraded"

    async def _load(self) -> None:
        try:
            await self.reload()
        except SameName as exc:
            log.error("%s", exc.detail)
            raise
        failed = self.registry.named_failures()
        if failed:  # the log has them
            raise ModelError("; ".join(failed))
        self._check_default()
        log.info("ready: %s", ", ".join(self.registry.models) or "no model yet")

    def _check_default(self) -> None:
        """Check that the default model is one, unless it may still come into a folder."""
        default, sources = self.settings.default_model, self.settings.models
        is_fixed = not any(source.path.is_dir() for source in sources)
        if default is not None and is_fixed and default not in self.registry.models:
            known = ", ".join(self.registry.models)
            raise ModelError(f"--default-model {default!r}: no model is called so; there are {known}")

    async def _watch(self) -> None:
        await asyncio.wait((self._loading,))
        trouble = ""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
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


def _demo_models() -> tuple[ModelSource, ...]:
    return tuple(ModelSource(demo_model(task)) for task in DEMO_MODELS)
