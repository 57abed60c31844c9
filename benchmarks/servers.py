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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO
from urllib.error import URLError
from urllib.request import Request, urlopen

import click

PEERS = Path(__file__).parent / "peers"
BOUNDARY = "yolean-benchmark"
START_SECONDS = 120

LUA = """
local file = io.open(os.getenv("YOLEAN_BENCH_BODY"), "rb")
wrk.body = file:read("*a")
file:close()
wrk.method = "POST"
wrk.headers["Content-Type"] = "multipart/form-data; boundary=%s"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("YOLEAN %%d %%d %%f %%f %%f %%f %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.timeout, e.status))
end
"""


@dataclass(frozen=True)
class Load:
    """What a load gave: requests a second, latencies in milliseconds, failures."""

    requests: int
    rate: float
    p50: float
    p90: float
    p99: float
    worst: float
    broken: int
    refused: int


class Server:
    """A running server.

    Attributes:
        url: where it predicts.
        process: the process that was started; it may have children.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int, model: str) -> None:
        self.process, self.port = process, port
        self.url = f"http://127.0.0.1:{port}/v1/predict/{model}"

    def memory(self) -> float:
        """Resident megabytes of the process and everything below it; shared pages count each time."""
        return sum(_resident(pid) for pid in process_tree(self.process.pid))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def form(picture: bytes) -> bytes:
    """A multipart body with the picture in the field `image`."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="p.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    return head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


@contextmanager
def running(command: list[str], model: str, picture: bytes, port: int) -> Iterator[Server]:
    """A server that has answered once; it is ended with the context, children too.

    Raises:
        click.ClickException: it did not come up; its last words are in the message.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        server = Server(process, port, model)
        try:
            _wait(server, form(picture), log)
            yield server
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a peer's parent left behind
            process.wait()


def _wait(server: Server, body: bytes, log: IO[bytes]) -> None:
    request = Request(
        server.url, body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, method="POST"
    )
    deadline = monotonic() + START_SECONDS
    while monotonic() < deadline and server.process.poll() is None:
        try:
            with urlopen(request, timeout=START_SECONDS):
                return
        except (URLError, OSError):
            sleep(0.2)
    log.seek(0)
    words = log.read()[-2000:].decode(errors="replace")
    raise click.ClickException(f"{' '.join(server.process.args)} did not come up:\n{words}")  # type: ignore[arg-type]


def wrk(server: Server, picture: bytes, concurrency: int, seconds: float) -> Load:
    """A closed loop: `concurrency` connections, each with the next request as soon as it has its answer."""
    program = shutil.which("wrk")
    if program is None:
        raise click.ClickException("wrk is not installed: apt-get install wrk, or brew install wrk")
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder, "body"), Path(folder, "post.lua")
        body.write_bytes(form(picture))
        script.write_text(LUA % BOUNDARY)
        command = [program, "-t1", f"-c{concurrency}", f"-d{seconds:g}s", "--timeout", "60s"]
        done = subprocess.run(
            [*command, "-s", str(script), server.url],
            env={**os.environ, "YOLEAN_BENCH_BODY": str(body)},
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"YOLEAN (.*)", done.stdout)
    if found is None:
        raise click.ClickException(f"wrk failed: {done.stdout}{done.stderr}")
    count, micros, *latencies, broken, refused = map(float, found[1].split())
    p50, p90, p99, worst = (value / 1e3 for value in latencies)
    return Load(int(count), count / micros * 1e6, p50, p90, p99, worst, int(broken), int(refused))


def yolean_command(models: Sequence[Path | str], port: int, *options: str) -> list[str]:
    """`yolean serve` by this interpreter."""
    named = [part for model in models for part in ("--models", str(model))]
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
