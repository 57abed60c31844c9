"""`yolean serve`: the web server's process, or several."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from time import monotonic, sleep
from types import FrameType
from weakref import WeakSet

import click
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Process

from .._version import __version__
from ..engine.errors import DeviceError, InputError
from .auth import VARIABLE, is_loopback, read_keys
from .logs import log_to_stderr
from .metrics import SHARED_FOLDER
from .settings import Settings
from .shutdown import CUT_SECONDS

log = logging.getLogger("yolean.server")

_HEALTHY_SECONDS = 30.0
"""A process that does not answer its parent for so long is replaced."""

_LOOK_SECONDS = 0.1


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
        if hasattr(signal, "SIGHUP"):  # until there is somebody who looks for new models then
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
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
    return _Workers(config, listener).run()


class _Workers:
    """Processes that serve one socket; one that dies or hangs is replaced.

    uvicorn's own supervisor waits for each answer of each process, and meanwhile sees neither a signal nor
    the death of the process that it asks. Its `Process` is used: it starts a server and answers pings.
    """

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        self._config, self._listener = config, listener
        self._processes: list[Process] = []
        self._asked_at: dict[Process, float] = {}
        self._serving: WeakSet[Process] = WeakSet()
        self._is_ending = False

    def run(self) -> int:
        """Serve until a signal says otherwise; returns the exit status."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._tell(signal.SIGHUP, self._has_started))
        self._processes = [self._start() for _ in range(self._config.workers)]
        failed = False
        while not self._is_ending:
            for index, process in enumerate(self._processes):
                if self._is_well(process):
                    continue
                process.kill()  # if it hangs
                process.join()
                failed = process.exitcode == STARTUP_FAILURE  # and would each time
                if failed or self._is_ending:
                    self._is_ending = True
                    break
                log.error("process %d has died, another takes its place", process.pid)
                self._processes[index] = self._start()
            sleep(_LOOK_SECONDS)
        # Ours goes before theirs: who connected after the last of them has closed would wait for nobody.
        self._listener.close()
        self._tell(signal.SIGTERM)
        for process in self._processes:
            process.join()
        return 2 if failed else 0

    def _start(self) -> Process:
        process = Process(self._config, [self._listener])
        process.start()
        return process

    def _is_well(self, process: Process) -> bool:
        """Whether a process lives, and has answered when it was asked; asks again."""
        if not process.process.is_alive():
            return False
        now, asked_at = monotonic(), self._asked_at.get(process)
        try:
            if asked_at is None:
                process.parent_conn.send(b"ping")
                self._asked_at[process] = now
            elif process.parent_conn.poll(0):
                if process.parent_conn.recv():
                    self._serving.add(process)
                del self._asked_at[process]
        except (OSError, EOFError):
            return False
        return asked_at is None or now - asked_at < _HEALTHY_SECONDS

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._is_ending = True
        self._tell(signal.SIGTERM)

    def _has_started(self, process: Process) -> bool:
        """Whether a process serves; one that starts looks at all files anyway, and SIGHUP would end it."""
        return process in self._serving

    def _tell(self, number: int, whom: Callable[[Process], bool] = lambda process: True) -> None:
        for process in self._processes:
            if process.pid is not None and process.exitcode is None and whom(process):
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
