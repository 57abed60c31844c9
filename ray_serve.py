"""The server as an application of Ray Serve: each replica is the ASGI application of `yolean.server`.

    YOLEAN_MODELS=yolov8n.onnx serve run yolean.ray_serve:app

Settings come from the YOLEAN_ variables of the process that deploys; those in the `runtime_env` of a config
file replace them. What Ray decides itself, such as the address, the number of replicas and their cores,
stands in its own configuration.
"""

from __future__ import annotations

from typing import Any

import click

from ._install_advice import install_command
from .engine.errors import InputError
from .serving.settings import Settings

NAME = "yolean"
"""The deployment, as a config file calls it."""

_BESIDE_QUEUE = 64
"""Requests that a replica takes beside those that wait in its queue: at work, on their way in, or others."""

_WAITING_AT_PROXY = 256
"""Requests that wait in a proxy while no replica takes any more, such as during a restart."""

_ONE_LOOP = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0"}
"""The server's loop does nothing that takes long, so it needs no thread of its own beside Ray's."""


def application() -> Any:
    """The application that `serve run` deploys, with the settings of this process.

    Raises:
        InputError: a setting is not valid, or Ray Serve is not installed.
    """
    settings = Settings.from_environment(leave_out=("models", "api_keys"))
    try:
        from ray import serve

        from .replicas.replica import Replica
        from .replicas.variables import variables
    except ImportError as exc:
        package = exc.name or "ray"
        extra = "ray" if package.partition(".")[0] == "ray" else "server"
        raise InputError(f"Ray Serve needs {package}: {install_command(extra)}") from exc
    deployment = serve.deployment(
        serve.ingress()(Replica),
        name=NAME,
        ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": _ONE_LOOP}},
        # The queue of the server turns requests away, with its own words; the proxy's is for restarts.
        max_ongoing_requests=settings.max_queue + _BESIDE_QUEUE,
        max_queued_requests=_WAITING_AT_PROXY,
        backpressure_config={"retry_after_s": 1},
        graceful_shutdown_timeout_s=settings.drain,
        graceful_shutdown_wait_loop_s=0.5,
        max_constructor_retry_count=3,
        logging_config={"enable_access_log": False},  # our own says more
    )
    return deployment.bind(variables())


def __getattr__(name: str) -> Any:
    """`app`, made when it is first asked for: importing this module starts nothing."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        globals()["app"] = application()
    except InputError as exc:
        raise click.ClickException(str(exc)) from exc  # the commands of Ray show it as one line
    return globals()["app"]
