"""`yolean serve`: a web server with given settings, in this process or in several."""

from __future__ import annotations

import logging
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

from .._version import __version__
from ..engine.errors import DeviceError, InputError
from .auth import VARIABLE, is_loopback, read_keys
from .logs import log_to_stderr
from .metrics import SHARED_FOLDER
from .settings import Settings
from .shutdown import CANNOT_START, CLOSE_SECONDS

log = logging.getLogger("yolean.server")

_OPEN_FILES = 65_536


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit status.

    Raises:
        InputError: a setting is not allowed.
        DeviceError: the address cannot be listened on.
    """
    keys = read_keys(settings.api_keys)
    if not keys and not settings.no_auth and not is_loopback(settings.host):
        raise InputError(
            f"--host {settings.host} lets other machines in, and there are no keys: give --api-keys FILE or "
            f"{VARIABLE}, or say --no-auth if everyone who reaches it may use it"
        )
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings.host, settings.port))
        # The processes read their settings from the environment, whether there is one or many.
        os.environ.update(settings.to_environment())
        # A second limit behind our own reading of image headers. OpenCV reads it when it is imported.
        os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings.max_pixels))
        if settings.workers > 1 and SHARED_FOLDER not in os.environ:
            os.environ[SHARED_FOLDER] = stack.enter_context(tempfile.TemporaryDirectory(prefix="yolean-"))
        _allow_many_connections()
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"yolean {__version__} serves on http://{shown}:{port} (Ctrl-C stops it)", err=True)
        log_to_stderr(settings.log_format)
        if hasattr(signal, "SIGHUP"):  # until there are models to reload
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        config = uvicorn.Config(
            "yolean.server:serve_app",
            factory=True,
            workers=settings.workers,
            lifespan="on",
            http="yolean.serving.http_protocol:HttpProtocol",
            ws="none",
            timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]  # seconds of the loop's timer
            proxy_headers=bool(settings.trusted_proxy),
            forwarded_allow_ips=[str(network) for network in settings.trusted_proxy],
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(CLOSE_SECONDS),
        )
        if settings.workers == 1:
            return _serve_alone(config, listener)
        return Workers(config, [listener]).serve()


def _serve_alone(config: uvicorn.Config, listener: socket.socket) -> int:
    server = uvicorn.Server(config)

    def handle(number: int, frame: FrameType | None) -> None:
        """Take a signal before uvicorn does, and the one that ended it, which it raises once more."""
        if not server.started:
            sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    try:
        server.run([listener])
    except SystemExit as exc:
        return CANNOT_START if exc.code == STARTUP_FAILURE else 0
    return 0 if server.started else CANNOT_START


class Workers(Multiprocess):
    """uvicorn's supervisor: processes that serve one socket; one that dies or hangs is replaced."""

    def serve(self) -> int:
        """Serve until a signal says otherwise; returns the exit status."""
        self.run()
        return CANNOT_START if any(process.exitcode == STARTUP_FAILURE for process in self.processes) else 0

    def keep_subprocess_alive(self) -> None:
        """Replace processes that have died, and log it."""
        before = [process.pid for process in self.processes]
        super().keep_subprocess_alive()
        for pid, process in zip(before, self.processes, strict=True):
            if process.pid != pid:
                log.error("process %d has died, another takes its place", pid)

    def handle_hup(self) -> None:
        """Have the models reloaded, where uvicorn would start all processes again."""
        for process in self.processes:
            # One that starts reads all files anyway, and the signal would end it.
            if process.pid is not None and process.exitcode is None and process.is_ready():
                os.kill(process.pid, signal.SIGHUP)

    def terminate_all(self) -> None:
        """Close our copy of the socket first, on which no process would accept connections, and end them."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def _allow_many_connections() -> None:
    """Raise the soft limit on open files, each of which is a connection; it is often 1024."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise DeviceError(f"cannot listen on {host} port {port}: {reason}; try another --port") from exc
    listener.set_inheritable(True)
    return listener
