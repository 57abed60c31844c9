"""Servers under test, each a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import IO
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import click

from .load_generators import CONTENT_TYPE, form

NAME = "measured"
"""What the model is called, whatever its file."""
PATH = f"/v1/predict/{NAME}"
START_SECONDS = 120

# No proxy between us and 127.0.0.1.
_open = build_opener(ProxyHandler({})).open


class ServerError(click.ClickException):
    """A server did not come up, or stopped answering; the message holds the last line of its output."""


class Server:
    """A running server.

    Attributes:
        port: on this machine.
        url: where it predicts.
        process: the process that was started; it may have children.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}{PATH}"

    def answers(self, image: bytes) -> bool:
        """Send one request; whether it was answered with 200.

        It waits behind what a load has left: some servers run requests whose client is gone.
        """
        request = Request(self.url, form(image), {"Content-Type": CONTENT_TYPE}, method="POST")
        try:
            with _open(request, timeout=START_SECONDS) as answer:
                return bool(answer.status == 200)
        except HTTPError as exc:
            exc.close()
            return False
        except (OSError, HTTPException):
            return False

    def wait_until_idle(self, image: bytes) -> None:
        """Wait until it is through with what a load has left.

        Raises:
            ServerError: it does not answer any more.
        """
        deadline = monotonic() + START_SECONDS
        while not self.answers(image):
            if monotonic() > deadline or self.process.poll() is not None:
                raise ServerError("stopped answering under load")
            sleep(0.2)

    def memory_mb(self) -> float:
        """Resident memory of the process and everything below it, MiB; shared pages count each time."""
        return sum(_resident_mb(pid) for pid in process_tree(self.process.pid))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str], image: bytes, port: int, env: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server that has answered once; it is ended with the context, children too.

    Args:
        command: what starts it at the port.
        image: encoded.
        port: on this machine.
        env: variables besides ours; what configures our own servers is left out.

    Raises:
        ServerError: it did not come up.
    """
    with tempfile.TemporaryFile() as log:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("YOLEAN_")}
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env=kept | (env or {})
        )
        server = Server(process, port)
        try:
            _wait(server, image, log)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what its parent left behind
            process.wait()


def _wait(server: Server, image: bytes, log: IO[bytes]) -> None:
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline and server.process.poll() is None:
        if server.answers(image):
            return
        sleep(0.2)
    log.seek(0)
    lines = log.read()[-2000:].decode(errors="replace").strip().splitlines()
    raise ServerError(f"did not come up: {lines[-1] if lines else 'it wrote nothing'}")


def yolean_command(model: Path, port: int) -> list[str]:
    """`yolean serve` by this interpreter."""
    return [sys.executable, "-m", "yolean", "serve", "--port", str(port), "--models", f"{NAME}={model}"]


def process_tree(pid: int) -> list[int]:
    """A process and everything that it started, itself first."""
    found = [pid]
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = tasks.read_text().split()
        except OSError:
            continue
        for child in children:
            found += process_tree(int(child))
    return found


def _resident_mb(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
