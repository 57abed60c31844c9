"""`yolean serve`: the web server's process, or several."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from contextlib import ExitStack
from types import FrameType

import click
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from .. import __version__
from ..engine.errors import DeviceError, InputError
from .auth import VARIABLE, is_loopback, read_keys
from .draining import CUT_SECONDS
from .logs import log_to_stderr
from .metrics import SHARED_FOLDER
from .settings import Settings

_HEALTHY_SECONDS = 10
"""A process that does not answer its parent for so long is replaced."""


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit status.

    Raises:
        InputError: a setting cannot be.
        DeviceError: the address cannot be listened on.
    """
    keys = read_keys(settings.api_keys)
    if not keys and not settings.no_auth and not is_loopback(settings.host):
        raise InputError(
            f"--host {settings.host} lets other machines in, and there are no keys: give --api-keys FILE or "
            f"{VARIABLE}, or say --no-auth if everyone who reaches it may use it"
        )
    # The processes read their settings from the environment, whether there is one or many.
    os.environ.update(settings.to_environment())
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        if settings.workers > 1 and SHARED_FOLDER not in os.environ:
            os.environ[SHARED_FOLDER] = stack.enter_context(tempfile.TemporaryDirectory(prefix="yolean-"))
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"yolean {__version__} serves on http://{shown}:{port} (Ctrl-C stops it)", err=True)
        log_to_stderr(settings.log_format)
        return _run(_config(settings), listener)


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "yolean.server:app",
        workers=settings.workers,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(CUT_SECONDS),
        timeout_worker_healthcheck=_HEALTHY_SECONDS,
    )


def _run(config: uvicorn.Config, listener: socket.socket) -> int:
    if config.workers == 1:
        server = uvicorn.Server(config)

        def told_to_stop(number: int, frame: FrameType | None) -> None:
            """Before uvicorn listens to signals, and after: it raises the one that ended it once more."""
            if not server.started:
                sys.exit(0)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, told_to_stop)
        server.run([listener])
        return 0 if server.started else 2
    workers = _Workers(config, [listener])
    workers.run()
    return 2 if any(process.exitcode == STARTUP_FAILURE for process in workers.processes) else 0


class _Workers(Multiprocess):
    """uvicorn's supervisor, which starts a process again that died, with our signals."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        """Tell the processes at once; the supervisor looks at its signals twice a second.

        Our copy of their socket is closed first: who connected after the last of them has closed its own
        would wait for nobody.
        """
        for listener in self.sockets:
            listener.close()
        self._tell(signal.SIGTERM)
        self.signal_queue.append(number)

    def handle_hup(self) -> None:
        """Let the processes look for new models; uvicorn would start them again."""
        self._tell(signal.SIGHUP)

    def _tell(self, number: int) -> None:
        for process in self.processes:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, number)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise DeviceError(f"cannot listen on {host} port {port}: {reason}; try another --port") from exc
    listener.set_inheritable(True)
    return listener
