"""Servers under measurement, each a process of its own, and the load that `wrk` puts on them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import IO
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import click

from .load import CONTENT_TYPE, form

NAME = "measured"
"""What the model is called, whatever its file."""
PATH = f"/v1/predict/{NAME}"
START_SECONDS = 120

LUA = """
local file = io.open(os.getenv("YOLEAN_BENCH_BODY"), "rb")
wrk.body = file:read("*a")
file:close()
wrk.method = "POST"
wrk.headers["Content-Type"] = "%s"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("YOLEAN %%d %%d %%f %%f %%f %%f %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.timeout, e.status))
end
"""

# No proxy between us and 127.0.0.1.
_open = build_opener(ProxyHandler({})).open


class ServerError(click.ClickException):
    """A server did not come up, or stopped answering; the message holds its last word."""


@dataclass(frozen=True)
class Load:
    """What a load gave.

    Attributes:
        requests: answered, with 200.
        rate: of these, a second.
        p50: median latency in milliseconds; None, like the others, when requests were refused: wrk does not
            tell their latencies from those of the answered ones.
        p90: of ten requests nine took no longer.
        p99: of a hundred 99.
        worst: latency.
        broken: connections that failed, broke off, or gave nothing in time.
        refused: answers with an error status, such as the 503 of a full queue.
    """

    requests: int
    rate: float
    p50: float | None
    p90: float | None
    p99: float | None
    worst: float | None
    broken: int
    refused: int


class Server:
    """A running server.

    Attributes:
        port: on this machine.
        url: where it predicts.
        process: the process that was started; it may have children.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, query: str = "") -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}{PATH}{query}"

    def ask(self, image: bytes) -> bool:
        """One request; whether it was answered with 200.

        It waits behind what a load has left: some servers run requests whose client is long gone.
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

    def memory(self) -> float:
        """Resident megabytes of the process and everything below it; shared pages count each time."""
        return sum(_resident(pid) for pid in process_tree(self.process.pid))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(
    command: list[str], image: bytes, port: int, *, query: str = "", env: dict[str, str] | None = None
) -> Iterator[Server]:
    """A server that has answered once; it is ended with the context, children too.

    Args:
        command: what starts it at the port.
        image: encoded.
        port: on this machine.
        query: of the address that is asked, `?size=1280`.
        env: variables besides ours; what configures our own servers is left out.

    Raises:
        ServerError: it did not come up.
    """
    with tempfile.TemporaryFile() as log:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("YOLEAN_")}
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, env=kept | (env or {})
        )
        server = Server(process, port, query)
        try:
            _wait(server, image, log)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a peer's parent left behind
            process.wait()


def _wait(server: Server, image: bytes, log: IO[bytes]) -> None:
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline and server.process.poll() is None:
        if server.ask(image):
            return
        sleep(0.2)
    log.seek(0)
    words = log.read()[-2000:].decode(errors="replace").strip().splitlines()
    raise ServerError(f"did not come up: {words[-1] if words else 'it said nothing'}")


def settled(server: Server, image: bytes) -> None:
    """Wait until a server is through with what a load has left.

    Raises:
        ServerError: it does not answer any more.
    """
    deadline = monotonic() + START_SECONDS
    while not server.ask(image):
        if monotonic() > deadline or server.process.poll() is not None:
            raise ServerError("stopped answering under load")
        sleep(0.2)


def wrk(server: Server, image: bytes, concurrency: int, seconds: int) -> Load:
    """A closed loop: `concurrency` connections, each with the next request as soon as it has its answer.

    Raises:
        click.ClickException: wrk is not installed, or failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder, "body"), Path(folder, "post.lua")
        body.write_bytes(form(image))
        script.write_text(LUA % CONTENT_TYPE)
        command = [wrk_program(), "-t1", f"-c{concurrency}", f"-d{seconds}s", "--timeout", "60s"]
        done = subprocess.run(
            [*command, "-s", str(script), server.url],
            env={**os.environ, "YOLEAN_BENCH_BODY": str(body)},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"YOLEAN (.*)", done.stdout)
    if found is None:
        raise click.ClickException(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    count, micros, *latencies, broken, refused = map(float, found[1].split())
    answered = int(count - refused)
    known = answered > 0 and not refused
    p50, p90, p99, worst = (value / 1e3 if known else None for value in latencies)
    return Load(answered, answered / micros * 1e6, p50, p90, p99, worst, int(broken), int(refused))


def wrk_program() -> str:
    """Where wrk is.

    Raises:
        click.ClickException: nowhere.
    """
    program = shutil.which("wrk")
    if program is None:
        raise click.ClickException("wrk is not installed: apt-get install wrk, or brew install wrk")
    return program


def yolean_command(model: Path, port: int, *options: str) -> list[str]:
    """`yolean serve` by this interpreter."""
    named = ["--models", f"{NAME}={model}"]
    return [sys.executable, "-m", "yolean", "serve", "--port", str(port), *named, *options]


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


def _resident(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
