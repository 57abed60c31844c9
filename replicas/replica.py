"""One replica of Ray Serve: a server with its share of the cores of a node."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
from prometheus_client.metrics_core import Metric
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..engine.errors import InputError, ModelError
from ..server import create_app, wait_until_loaded
from ..serving.app_state import AppState
from ..serving.auth import read_keys
from ..serving.logs import log_to_stderr
from ..serving.metrics import CONTENT_TYPE, ReplicaMetrics
from ..serving.settings import PREFIX, Settings
from .replica_app import ReplicaApp
from .stored_models import MODELS, fetch_models

log = logging.getLogger("yolean.server")

_METRICS_SECONDS = 5.0
"""How long `/metrics` waits for the other replicas."""


class Replica:
    """One server with its share of the cores of a node."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Remember the settings; Ray then asks for the application.

        Args:
            variables: of the process that has deployed.
        """
        self._variables = variables
        self._ends = AsyncExitStack()
        self._state: AppState | None = None
        self._replicas: Any = None

    async def __serve_build_asgi_app__(self) -> ReplicaApp:
        """Start the server; its application.

        Raises:
            InputError: a setting is not valid, or models cannot be fetched.
            ModelError: a model cannot be loaded, or there is none.
        """
        import ray

        context = ray.get_runtime_context()
        own = (context.runtime_env or {}).get("env_vars") or {}
        os.environ.update({**self._variables, **{n: v for n, v in own.items() if n.startswith(PREFIX)}})
        try:
            folder = self._ends.enter_context(TemporaryDirectory(prefix="yolean-"))
            models = os.environ.get(MODELS, "")
            os.environ[MODELS] = await asyncio.to_thread(fetch_models, models, Path(folder))
            settings = Settings.from_environment()
            _check_keys(settings)
            cores = max(1, int(context.get_assigned_resources().get("CPU", 1)))
            return await self._start(settings, cores)
        except BaseException:
            await self._ends.aclose()
            raise

    async def _start(self, settings: Settings, cores: int) -> ReplicaApp:
        cv2.setNumThreads(1)  # images are decoded on as many threads as there are cores already
        log_to_stderr(settings.log_format)
        app = create_app(settings, self._lifespan, cores)
        app.router.routes.insert(0, Route("/metrics", self._metrics))
        await self._ends.enter_async_context(app.router.lifespan_context(app))
        return ReplicaApp(app, settings.trusted_proxy, self._ends.aclose)

    @asynccontextmanager
    async def _lifespan(self, state: AppState) -> AsyncIterator[None]:
        self._state = state
        async with wait_until_loaded(state):
            await self.check_health()
            yield

    async def check_health(self) -> None:
        """Let Ray send requests here, or have this replica replaced.

        Raises:
            ModelError: there is no model, or the worker threads make no progress.
        """
        if self._state is None or not self._state.is_ready:
            found = "no server" if self._state is None else self._state.describe()
            raise ModelError(f"this replica cannot predict ({found}): there is no model, or it is stuck")

    async def metric_families(self) -> tuple[str, list[Metric]]:
        """The name of this replica, and its metrics."""
        from ray import serve

        assert self._state is not None
        self._state.count_queue()
        return serve.get_replica_context().replica_tag, self._state.metrics.families()

    async def _metrics(self, request: Request) -> Response:
        """`GET /metrics`, whichever replica it has reached: the series of all of them."""
        from ray.exceptions import RayError
        from ray.serve.exceptions import RayServeException

        found = dict([await self.metric_families()])
        try:
            answers = (await self._others()).broadcast("metric_families")
            results = await answers.results_async(timeout_s=_METRICS_SECONDS, return_exceptions=True)
            found |= dict(result for result in results if not isinstance(result, BaseException))
        except (RayError, RayServeException, TimeoutError) as exc:  # `yolean_replicas` shows it
            log.warning("/metrics lacks other replicas: %s", type(exc).__name__)
        return Response(ReplicaMetrics(found).text(), headers={"content-type": CONTENT_TYPE})

    async def _others(self) -> Any:
        from ray import serve

        if self._replicas is None:
            context = serve.get_replica_context()
            self._replicas = await asyncio.to_thread(
                serve.get_deployment_handle, context.deployment, context.app_name
            )
        return self._replicas


def _check_keys(settings: Settings) -> None:
    """Refuse to serve others without keys where a replica cannot see whether its clients are on this machine.

    Raises:
        InputError: HAProxy hands over its own address in place of the client's, and there are no keys.
    """
    behind_haproxy = os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1"
    if behind_haproxy and not settings.no_auth and not read_keys(settings.api_keys):
        raise InputError(
            "there are no keys, and HAProxy hides whether clients are on this machine: give "
            f"{PREFIX}_API_KEYS, or {PREFIX}_NO_AUTH=1 to let everyone in"
        )
