"""Servers for the tests, each on a port of its own.

`server` and `start_local` run in a thread of this process: they start fast, and their code counts in the
coverage. `start_server` and `start_module_server` run `yolean serve`, or what else, in a process: their tests
are marked slow. With the option `--on-ray`, `server` and `start_local` deploy on a Ray cluster instead.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import uvicorn
import yolean
from prometheus_client.parser import text_string_to_metric_families
from yolean.engine.pipeline import Engine
from yolean.models import DEMO_MODELS, demo_model
from yolean.server import create_app
from yolean.serving.http_protocol import HttpProtocol
from yolean.serving.settings import Settings

if TYPE_CHECKING:
    from ray_cluster import ServeCluster

SECONDS = 30.0
"""Longest that anything here may take before a test fails instead of hanging."""

# What the machine of the tests has set must not configure their servers.
_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("YOLEAN_", "PROMETHEUS_", "UVICORN_")) and name.lower() != "forwarded_allow_ips"
} | {
    "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
    "PYTHONUNBUFFERED": "1",
}

# Runs the rest of its command line on the first N of the cores that it may use.
_ON_CORES = (
    "import os, sys; n = int(sys.argv[1]); os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n]); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def until(condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = SECONDS) -> Any:
    """The first true value of a condition; asks it over and over."""
    limit = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < limit, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.01)
    return value


class Client(requests.Session):
    """A session of one server: addresses are paths, and nothing waits for ever."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.trust_env = False  # no proxy between us and 127.0.0.1
        self.url = url

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        kwargs.setdefault("timeout", SECONDS)
        kwargs.setdefault("allow_redirects", False)
        return super().request(str(method), self.url + str(url), *args, **kwargs)


class Listening:
    """What answers on a port.

    Attributes:
        port, url: where it listens.
        lines: what it has logged so far.
        http: a client.
    """

    def __init__(self, port: int = 0) -> None:
        self.lines: list[str] = []
        self.listen_on(port)

    def listen_on(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.http = Client(self.url)

    @property
    def log(self) -> str:
        """Everything that it has written so far."""
        return "".join(self.lines)

    def client(self) -> Client:
        """A client with connections of its own; to be closed."""
        return Client(self.url)

    def connect(self) -> socket.socket:
        """A connection, for what no client would send."""
        connection = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def wait_for_line(self, pattern: str) -> str:
        """The first line of the log in which the pattern is found."""
        found: str = until(
            lambda: next((line for line in list(self.lines) if re.search(pattern, line)), None),
            lambda: f"{pattern!r} in\n{self.log}",
        )
        return found

    @staticmethod
    def check_refusal(reply: requests.Response, status: int, *words: str) -> None:
        """Check that an answer has this status, and a line of JSON with these words."""
        assert reply.status_code == status, reply.text
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["x-request-id"]
        answer = reply.json()
        assert answer.keys() == {"success", "message"}
        assert answer["success"] is False
        message = answer["message"]
        assert [word for word in words if word not in message] == [], message
        assert message.isprintable()
        assert len(message) < 400
        if status == 405:
            allowed = set(re.split(r",\s*", reply.headers["allow"]))
            assert set(words) <= allowed <= {"GET", "HEAD", "POST"}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that carry these labels."""
        text = self.http.get("/metrics").text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


class LocalServer(Listening):
    """An application under uvicorn, in a thread of this process."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        handler = _Lines(self.lines)
        logging.getLogger("yolean").addHandler(handler)
        logging.getLogger("yolean").setLevel(logging.INFO)
        listener = socket.create_server(("127.0.0.1", 0))
        self.listen_on(listener.getsockname()[1])
        config = uvicorn.Config(
            create_app(settings), lifespan="on", http=HttpProtocol, ws="none", log_config=None,
            access_log=False, server_header=False,
        )  # fmt: skip
        self._server, self._handler = uvicorn.Server(config), handler
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        until(lambda: self._server.started or not self._thread.is_alive(), "started")
        assert self._server.started, self.log

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def end(self) -> None:
        """Stop it and look back: it must have run without an accident."""
        self.http.close()
        self._server.should_exit = True
        self._thread.join(SECONDS)
        logging.getLogger("yolean").removeHandler(self._handler)
        assert not self.is_running
        assert "Traceback" not in self.log


class RayServer(Listening):
    """An application on a cluster of Ray, behind its proxy."""

    def __init__(self, cluster: ServeCluster, settings: Settings, prefix: str) -> None:
        self._cluster = cluster
        super().__init__(cluster.port)
        self.url = cluster.run(settings.to_environment(), prefix.strip("/") or "default", prefix)
        self.http = Client(self.url)

    @property
    def lines(self) -> list[str]:
        """What all replicas of the cluster have logged."""
        return self._cluster.log_lines()

    @lines.setter
    def lines(self, lines: list[str]) -> None:
        pass

    def end(self) -> None:
        """The cluster ends it."""
        self.http.close()


class _Lines(logging.Handler):
    """Appends records to a list, a line each, with what they say of a request."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        request = getattr(record, "request", {})
        words = [f"{name}={value!r}" for name, value in request.items()]
        self._lines.append(f"{self.format(record)} {' '.join(words)}\n")


class Server(Listening):
    """One `yolean serve`, or what else was started in its place.

    Attributes:
        process: the process.
        lines: what it has written on standard error so far.
        expected: its exit status after SIGTERM.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str], folder: Path, port: int) -> None:
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, env=dict(environment), cwd=folder, text=True, errors="replace"
        )
        super().__init__(port)
        self.expected = 0
        self._forgiven = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._find_port(port)

    def _find_port(self, port: int) -> None:
        """Read the port from its first line, if it was to choose one."""
        if not port:
            until(lambda: self.lines or self.process.poll() is not None, "its first line")
            self._reader.join(0 if self.process.poll() is None else SECONDS)
            found = re.fullmatch(
                r"yolean \S+ serves on http://(\S+):(\d+) \(Ctrl-C stops it\)\n", "".join(self.lines[:1])
            )
            self.listen_on(int(found[2]) if found else 0)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            for line in pipe:
                self.lines.append(line)

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def is_ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except requests.ConnectionError:
            return False

    def wait_until_ready(self) -> Server:
        until(lambda: self.is_ready() or not self.is_running, "ready")
        assert self.is_running, f"it ended with {self.process.returncode}:\n{self.log}"
        return self

    def forgive(self) -> None:
        """Have no complaint about what the log holds by now."""
        self._forgiven = len(self.log)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = SECONDS) -> int:
        """Its exit status; the log is complete then."""
        status = self.process.wait(seconds)
        self._reader.join(seconds)
        return status

    def end(self) -> None:
        """Stop it and look back: it must have run without an accident, and end when it is told."""
        self.http.close()
        was_running = self.is_running
        if was_running:
            self.signal(signal.SIGTERM)
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.wait()
            pytest.fail(f"SIGTERM did not end it:\n{self.log[-5000:]}")
        self._check_log()
        assert not was_running or status == self.expected, f"exit status {status}:\n{self.log[-5000:]}"

    def kill(self) -> None:
        """As `end`, without the second that a good end takes."""
        self.http.close()
        self.process.kill()
        self.wait()
        self._check_log()

    def _check_log(self) -> None:
        log = self.log[self._forgiven :]
        if "Traceback" in log:
            pytest.fail(f"an accident in the log:\n{log[max(0, log.index('Traceback') - 300) :][:5000]}")


Start = Callable[..., Server]


@contextmanager
def _starter(folder: Path, *, at_once: bool = False) -> Iterator[Start]:
    """Gives a function that starts servers; at last ends them all, or kills them, which is quicker.

    Its arguments:
        options: words behind `yolean serve --port 0`.
        env: variables beside the inherited ones.
        cores: how many of the cores it may use.
        command: what runs in place of `yolean serve --port 0`, with the port where it will listen.
        ready: whether to wait until it is ready.
    """

    def start(
        *options: object,
        env: Mapping[str, str] | None = None,
        cores: int | None = None,
        command: Sequence[object] = ("-m", "yolean", "serve", "--port", "0"),
        port: int = 0,
        ready: bool = True,
    ) -> Server:
        words = [sys.executable, *map(str, command), *map(str, options)]
        if cores is not None:
            words = [sys.executable, "-c", _ON_CORES, str(cores), *words]
        server = Server(words, {**_ENVIRONMENT, **(env or {})}, folder, port)
        # uvicorn by itself passes on the signal that ended it.
        server.expected = -signal.SIGTERM if "uvicorn" in command else 0
        # A parent that is killed leaves its processes behind.
        servers.callback(server.kill if at_once and "--workers" not in words else server.end)
        return server.wait_until_ready() if ready else server

    with ExitStack() as servers:
        yield start


@pytest.fixture(scope="session")
def make_server(request: pytest.FixtureRequest) -> Iterator[Callable[[Settings], LocalServer | RayServer]]:
    """Starts a server in this process, or on a cluster where the option says so; the first at its root."""
    if not request.config.getoption("--on-ray"):
        yield LocalServer
        return
    from ray_cluster import ServeCluster

    cluster = ServeCluster([32])
    numbers = count()
    yield lambda settings: RayServer(cluster, settings, f"/{next(numbers) or ''}")
    cluster.stop()


@pytest.fixture(scope="session")
def server(
    make_server: Callable[[Settings], LocalServer | RayServer],
) -> Iterator[LocalServer | RayServer]:
    """A server as it is without options: the demo models, no keys. Shared: leave it as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("YOLEAN_API_KEY", raising=False)
        found = make_server(Settings())
    yield found
    found.end()


@pytest.fixture(scope="module")
def start_local(
    make_server: Callable[[Settings], LocalServer | RayServer],
) -> Iterator[Callable[[Settings], LocalServer | RayServer]]:
    """Start servers in this process, which end with the module."""
    with ExitStack() as servers:

        def start(settings: Settings) -> LocalServer | RayServer:
            found = make_server(settings)
            servers.callback(found.end)
            return found

        yield start


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Start]:
    """Start servers with options of their own; they end with the test. See `_starter`."""
    with _starter(tmp_path, at_once=True) as start:
        yield start


@pytest.fixture(scope="module")
def start_module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """As `start_server`, for servers that several tests of a module share."""
    with _starter(tmp_path_factory.mktemp("server"), at_once=True) as start:
        yield start


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., Any]:
    """`until`, for tests: a module cannot import from here."""
    return until


@pytest.fixture(scope="session")
def engines() -> Mapping[str, Engine]:
    """The demo models in this process, by task: what the servers' answers must equal."""
    return {task: yolean.load(demo_model(task)) for task in DEMO_MODELS}
