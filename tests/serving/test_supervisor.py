"""`yolean serve` as a process, or several: its start, models that come and go, overload, and the end."""

from __future__ import annotations

import http.client
import logging
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import requests
import uvicorn
from click.testing import CliRunner
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess, multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS
from yolean.cli.main import cli
from yolean.models import demo_images, demo_model
from yolean.serving import logs, supervisor
from yolean.serving.http_protocol import HttpProtocol
from yolean.serving.settings import Settings
from yolean.serving.supervisor import Workers, serve

slow = pytest.mark.slow  # servers that start and end
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

Start = Callable[..., Any]  # fixtures of conftest
Until = Callable[..., Any]

SHAPES = demo_images()[0].read_bytes()
PREDICT = "/v1/predict/shapes"
JPEG = {"content-type": "image/jpeg"}
KEY = "a-key-of-the-tests"
SECONDS = 30.0

# A tenth to half a second of one core.
SLOW = f"{PREDICT}?size=1280"
LARGE = cv2.imencode(".jpg", cv2.resize(np.asarray(cv2.imread(str(demo_images()[0]))), (1280, 1280)))[
    1
].tobytes()

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, or chooses cores")


# ---- load -------------------------------------------------------------------------------------------------


class Load:
    """Clients that ask one after the other until they are stopped or nobody listens any more.

    They do what a good client does: keep their connections (half of them), and wait for as long as
    Retry-After says.

    Attributes:
        statuses: how often each was answered.
        lost: what became of requests that were sent and not answered.
        refused: connections that nobody took.
    """

    def __init__(self, port: int, clients: int, path: str = PREDICT, body: bytes = SHAPES) -> None:
        self.statuses: Counter[int] = Counter()
        self.lost: list[str] = []
        self.refused = 0
        self.shapes: set[str] = set()
        self._port, self._path, self._body = port, path, body
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n % 2 == 0,)) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait until all clients have found the server gone, or were stopped."""
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive()

    @property
    def answered(self) -> int:
        return sum(self.statuses.values())

    def _ask(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        try:
            while not self._stop.is_set() and self._one(connection):
                if not keep:
                    connection.close()
        finally:
            connection.close()

    def _one(self, connection: http.client.HTTPConnection) -> bool:
        if connection.sock is None:
            try:
                connection.connect()
            except ConnectionRefusedError:
                self.refused += 1
                return False
        try:
            connection.request("POST", self._path, self._body, JPEG)
            reply = connection.getresponse()
            answer = reply.read()
        except (OSError, http.client.HTTPException) as exc:
            self.lost.append(repr(exc))
            return False
        self.statuses[reply.status] += 1
        if reply.status == 200:
            self.shapes |= set(re.findall(r'"(\w+)":', answer.decode())) - {"class", "name", "confidence"}
        elif reply.status == 503:
            self._stop.wait(int(reply.headers["retry-after"]))
        return True


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests at the same time."""
    with ThreadPoolExecutor(32) as pool:
        yield pool


def ask(server: Any, path: str = SLOW, body: bytes = LARGE) -> requests.Response:
    """One request on a connection of its own."""
    with server.client() as http_:
        reply: requests.Response = http_.post(path, data=body, headers=JPEG)
        return reply


def head_of(path: str, length: int) -> bytes:
    """The head of a request that sends an image."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: image/jpeg", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def inside(server: Any) -> int:
    number: int = server.http.get("/health").json()["queue"]["inside"]
    return number


def children(pid: int) -> list[int]:
    """The server processes that a process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and b"resource_tracker" not in command:
            found.append(int(folder.name))
    return sorted(found)


# ---- the start --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "variables", "words"),
    [
        (["--host", "0.0.0.0"], {}, ["0.0.0.0", "--api-keys", "--no-auth"]),
        (["--host", "nothing.invalid", "--no-auth"], {}, ["nothing.invalid", "--port"]),
        (["--port", "TAKEN"], {}, ["TAKEN", "--port"]),
        ([], {"YOLEAN_API_KEY": "a key"}, ["key 1", "YOLEAN_API_KEY"]),
        (["--api-keys", "s3cr3t"], {}, ["--api-keys", "YOLEAN_API_KEY"]),  # a key instead of a file
        (["--api-keys", "empty"], {}, ["--api-keys", "no key"]),
        (["--api-keys", "bad"], {}, ["key 2"]),
        (["--models", "a=nothing.onnx"], {}, ["'nothing.onnx'", "does not exist"]),
        (["--max-body", "lots"], {}, ["--max-body", "'lots'", "32M"]),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    variables: dict[str, str],
    words: list[str],
) -> None:
    for name, content in (("empty", "# nothing\n"), ("bad", "good\nnot good\n")):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = [port if option == "TAKEN" else option for option in options]
        result = CliRunner().invoke(cli, ["serve", *options], env=variables, catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    line = result.stderr.partition("Error: ")[2]
    assert line.count("\n") == 1
    assert [word for word in words if word.replace("TAKEN", port) not in line] == [], line
    assert "s3cr3t" not in result.stderr
    assert dict(os.environ) == before


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `serve` sets for its whole process is as before after the test."""
    numbers = sorted(set(SIGNALS))
    handlers = [signal.getsignal(number) for number in numbers]
    for module in (logs, supervisor):
        monkeypatch.setattr(module, "log_to_stderr", lambda log_format: None)
    with patch.dict(os.environ):
        yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(("outcome", "status"), [(None, 0), (SystemExit(3), 2), (SystemExit(0), 0)], ids=repr)
def test_what_uvicorn_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, outcome: SystemExit | None, status: int
) -> None:
    def run(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        (listener,) = sockets
        config = server.config
        assert listener.getsockname()[0] == "127.0.0.1"
        assert (config.ws, config.lifespan, config.factory) == ("none", "on", True)
        assert (config.proxy_headers, config.forwarded_allow_ips) == (True, ["10.0.0.0/8"])
        assert config.timeout_keep_alive == 2.5
        config.load()
        assert config.http_protocol_class is HttpProtocol
        assert Settings.from_environment() == settings
        if outcome is not None:
            raise outcome
        server.started = True

    monkeypatch.setattr(uvicorn.Server, "run", run)
    settings = Settings(port=0, keep_alive=2.5, trusted_proxy=(ip_network("10.0.0.0/8"),))
    assert serve(settings) == status


class FakeProcess:
    """A process of uvicorn's supervisor, and what was done with it."""

    def __init__(self, *config: object, pid: int = 999, lives: bool = True, ready: bool = True) -> None:
        self.pid, self.exitcode = pid, None if lives else 1
        self._ready = ready
        self.events: list[str] = []

    def is_alive(self, timeout: float) -> bool:
        return self.exitcode is None

    def is_ready(self) -> bool:
        return self._ready

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.events.append(name)


@pytest.mark.usefixtures("in_process")
def test_workers(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(multiprocess, "Process", FakeProcess)
    monkeypatch.setattr(logging.getLogger("yolean"), "propagate", True)
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *args: signals.append(args))
    config = uvicorn.Config("yolean.server:serve_app", workers=3, log_config=None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = Workers(config, [listener])
        dead, busy = FakeProcess(pid=1, lives=False), FakeProcess(pid=2, ready=False)
        workers.processes = [cast(multiprocess.Process, each) for each in (dead, busy, FakeProcess(pid=3))]
        workers.handle_hup()
        assert signals == [(3, signal.SIGHUP)]  # who starts would end, and reads all files anyway
        workers.keep_subprocess_alive()
        assert [process.pid for process in workers.processes] == [999, 2, 3]
        assert (dead.events, busy.events) == (["kill", "join"], [])
        assert caplog.messages == ["process 1 has died, another takes its place"]
        monkeypatch.setattr(FakeProcess, "terminate", lambda _: signals.append((listener.fileno(), 0)), False)
        workers.terminate_all()
        assert signals[1:] == [(-1, 0)] * 3  # the socket was closed before


@slow
@pytest.mark.parametrize("workers", [1, 2])
def test_models_that_cannot_be_served_end_it_with_one_line(
    start_server: Start, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"# nothing\n")
    (tmp_path / "corrupt.onnx").write_bytes(demo_model().read_bytes()[:50_000])
    cases: dict[str, list[object]] = {
        "empty.onnx": [tmp_path / "empty.onnx"],
        "corrupt.onnx": [tmp_path / "corrupt.onnx"],
        "'a'": [f"a={demo_model()}", "--models", f"a={tmp_path / 'corrupt.onnx'}"],
    }
    # All at once. They have no port to tell: whatever ends here does not wait for it.
    servers = [
        start_server("--workers", workers, "--models", *models, ready=False, port=1)
        for models in cases.values()
    ]
    for word, server in zip(cases, servers, strict=True):
        assert server.wait() == 2, server.log
        line, *more = [line for line in server.lines if not re.match(r"yolean \S+ serves on ", line)]
        assert word in line
        assert line.rstrip("\n").isprintable()
        assert not more or workers == 2  # each may say it


@slow
def test_without_authentication_it_may_listen_everywhere(start_server: Start) -> None:
    server = start_server("--host", "0.0.0.0", "--no-auth", "--models", demo_model())
    assert "serves on http://0.0.0.0:" in server.lines[0]
    assert ask(server, PREDICT, SHAPES).status_code == 200


@slow
@pytest.mark.parametrize("options", [[], ["--trusted-proxy", "127.0.0.0/8"]], ids=["nobody", "this machine"])
def test_a_proxy_is_believed_only_where_it_is_trusted(start_server: Start, options: list[str]) -> None:
    server = start_server("--models", demo_model(), *options)
    server.http.get("/livez", headers={"x-forwarded-for": "192.0.2.9"})
    line = server.wait_for_line("path=/livez")
    assert f"client={'192.0.2.9' if options else '127.0.0.1'} " in line


def test_what_is_overridden_of_uvicorn_is_there() -> None:
    """Names that uvicorn calls: one that it gave up would be overridden in vain."""
    overridden = {
        Multiprocess: (Workers, ["keep_subprocess_alive", "handle_hup", "terminate_all"]),
        HttpToolsProtocol: (HttpProtocol, [
            "connection_made", "data_received", "connection_lost", "on_message_begin", "on_headers_complete",
            "on_response_complete", "timeout_keep_alive_handler", "shutdown",
        ]),
    }  # fmt: skip
    for base, (ours, names) in overridden.items():
        assert [name for name in vars(ours) if name in vars(base) and name[0] != "_"] == names


# ---- models that come and go ------------------------------------------------------------------------------


def put(model: str, path: Path) -> None:
    """Replace a file in one step, as a careful administrator does."""
    beside = path.with_suffix(".part")
    shutil.copyfile(demo_model(model), beside)
    os.replace(beside, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    models.mkdir()
    for name, task in {
        "stays": "classify",
        "changes": "detect",
        "goes": "classify",
        "breaks": "detect",
    }.items():
        put(task, models / f"{name}.onnx")
    return models


def upset(folder: Path) -> None:
    """A new file, a replaced one, a removed one, and one that is broken now."""
    put("pose", folder / "comes.onnx")
    put("obb", folder / "changes.onnx")
    (folder / "goes.onnx").unlink()
    (folder / "breaks.onnx").write_bytes(b"no model")


def assert_upset(server: Any) -> None:
    found = {model["id"]: model["task"] for model in server.http.get("/v1/models").json()["models"]}
    assert found == {"breaks": "detect", "changes": "obb", "comes": "pose", "stays": "classify"}
    health = server.http.get("/health").json()
    assert health["status"] == "degraded"
    assert set(health["failures"]) == {"breaks"}
    assert "breaks.onnx" in health["failures"]["breaks"]
    assert "/" not in health["failures"]["breaks"].replace("and/or", "")
    assert server.http.get("/readyz").status_code == 200
    assert server.metric("yolean_models") == 4
    assert server.metric("yolean_models_failed") == 1
    assert server.metric("yolean_model_loads_total", result="failed") == 1
    assert server.metric("yolean_model_loads_total", result="loaded") == 6
    for model, status in (("breaks", 200), ("changes", 200), ("comes", 200), ("goes", 404)):
        reply = server.http.post(f"/v1/predict/{model}", data=SHAPES, headers=JPEG)
        assert reply.status_code == status, reply.text
        if model == "changes":
            assert all("obb" in each for each in reply.json()["data"])
    line = server.wait_for_line("model breaks cannot be loaded")
    assert "the model before it stays" in line


def recovered(server: Any) -> bool:
    health = server.http.get("/health").json()
    return bool(health["status"] == "ok" and health["models"]["breaks"]["task"] == "segment")


def refreshing(seconds: float) -> tuple[str, ...]:
    """`yolean serve` that reads its folders so often."""
    code = (
        f"from yolean.serving import app_state; app_state.REFRESH_SECONDS = {seconds}; "
        "from yolean.cli.main import main; main()"
    )
    return "-c", code, "serve", "--port", "0"


@slow
def test_a_folder_is_watched(start_server: Start, folder: Path, wait_until: Until) -> None:
    server = start_server("--models", folder, command=refreshing(0.2))
    kept = server.http.get("/health").json()["models"]["stays"]["loaded_at"]
    upset(folder)
    wait_until(
        lambda: (
            server.metric("yolean_model_loads_total") == 7
            and server.http.get("/v1/models/goes").status_code == 404
        ),
        "the new state of the folder",
    )
    assert_upset(server)
    assert server.http.get("/health").json()["models"]["stays"]["loaded_at"] == kept


@slow
def test_reload_over_http(start_server: Start, folder: Path) -> None:
    server = start_server("--models", folder, env={"YOLEAN_API_KEY": KEY}, command=refreshing(1000))
    upset(folder)
    for headers in ({}, {"x-api-key": "wrong"}):
        assert server.http.post("/v1/models/reload", headers=headers).status_code == 401
    assert "goes" in server.http.get("/health").json()["models"]
    server.http.headers["x-api-key"] = KEY
    answer = server.http.post("/v1/models/reload").json()
    assert answer["changed"] is True
    assert answer["models"] == ["breaks", "changes", "comes", "stays"]
    assert set(answer["failures"]) == {"breaks"}
    assert_upset(server)
    put("segment", folder / "breaks.onnx")
    assert server.http.post("/v1/models/reload").json()["failures"] == {}
    assert recovered(server)
    assert server.http.post("/v1/models/reload").json()["changed"] is False


@slow
def test_sighup_swaps_a_model_under_load(start_server: Start, folder: Path, wait_until: Until) -> None:
    server = start_server("--models", folder, command=refreshing(1000))
    (folder / "goes.onnx").unlink()
    with Load(server.port, 4, "/v1/predict/changes") as load:
        for task, field in (("obb", "obb"), ("pose", "keypoints"), ("detect", "xcenter")):
            put(task, folder / "changes.onnx")
            server.signal(signal.SIGHUP)
            load.shapes.clear()
            wait_until(lambda f=field: f in load.shapes, f"answers with {field}")
    assert set(load.statuses) == {200}
    assert load.lost == []
    assert server.http.get("/v1/models/goes").status_code == 404


@slow
def test_two_files_with_one_name_leave_things_as_they_are(
    start_server: Start, folder: Path, tmp_path: Path, wait_until: Until
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    put("detect", other / "more.onnx")
    server = start_server("--models", folder, "--models", other, env={"YOLEAN_API_KEY": KEY})
    put("pose", other / "stays.onnx")
    server.signal(signal.SIGHUP)
    server.wait_for_line("error: .*'stays'.*rename one")
    reply = server.http.post("/v1/models/reload", headers={"x-api-key": KEY})
    assert reply.status_code == 400
    assert "'stays'" in reply.json()["message"]
    assert str(tmp_path) not in reply.json()["message"]
    assert server.http.get("/v1/models/stays").json()["task"] == "classify"


@slow
def test_sighup_while_it_starts_does_not_end_it(start_server: Start) -> None:
    server = start_server("--models", demo_model(), ready=False)
    server.signal(signal.SIGHUP)
    server.wait_until_ready()
    assert ask(server).status_code == 200


# ---- overload ---------------------------------------------------------------------------------------------


@slow
@linux
def test_more_than_may_wait_are_told_to_come_back(start_server: Start, crowd: ThreadPoolExecutor) -> None:
    server = start_server("--max-queue", 1, "--models", demo_model(), cores=1)
    replies = list(crowd.map(lambda _: ask(server), range(12)))
    statuses = Counter(reply.status_code for reply in replies)
    assert set(statuses) == {200, 503}
    assert statuses[200] >= 2  # one at work, one that waits
    for reply in replies:
        if reply.status_code == 503:
            assert 1 <= int(reply.headers["retry-after"]) <= 60
            assert reply.json()["success"] is False
            assert reply.elapsed.total_seconds() < 5
    assert server.metric("yolean_shed_total", reason="queue") == statuses[503]
    assert server.metric("yolean_requests_total", status="503") == statuses[503]
    assert ask(server, PREDICT, SHAPES).status_code == 200
    # Others are served meanwhile.
    slow = crowd.submit(ask, server)
    assert server.http.get("/livez").elapsed.total_seconds() < 2
    assert slow.result().status_code in (200, 503)


@slow
@linux
def test_who_waits_too_long_is_told_so(start_server: Start, crowd: ThreadPoolExecutor) -> None:
    server = start_server("--timeout", 0.3, "--models", demo_model(), cores=1)
    assert [ask(server, PREDICT, SHAPES).status_code for _ in range(5)] == [200] * 5
    replies = list(crowd.map(lambda _: ask(server), range(30)))
    statuses = Counter(reply.status_code for reply in replies)
    assert set(statuses) == {200, 504}
    assert statuses[200] >= 1
    for reply in replies:
        if reply.status_code == 504:
            assert "waited too long" in reply.json()["message"]
    assert server.metric("yolean_shed_total", reason="deadline") == statuses[504]
    # What slow requests took is no reason to refuse those that need not wait, for ever after.
    assert [ask(server).status_code for _ in range(3)] == [200] * 3
    assert [ask(server, PREDICT, SHAPES).status_code for _ in range(3)] == [200] * 3


@slow
@linux
def test_a_client_that_leaves_frees_its_place(start_server: Start, wait_until: Until) -> None:
    server = start_server("--models", demo_model(), cores=1)
    connections = [server.connect() for _ in range(10)]
    for connection in connections:
        connection.sendall(head_of(SLOW, len(LARGE)) + LARGE)
    wait_until(lambda: inside(server) > 5, "requests that wait")
    for connection in connections:
        connection.close()
    wait_until(lambda: inside(server) == 0, "an empty queue")
    runs = server.metric("yolean_batch_size_count", model="shapes")
    assert runs < 8  # those that waited were not run for nobody
    assert ask(server, PREDICT, SHAPES).status_code == 200


# ---- the end ----------------------------------------------------------------------------------------------


def one_and_two(start_server: Start) -> list[Any]:
    """A server of one process, and one of two."""
    servers = [start_server("--models", demo_model(), "--workers", n, ready=False) for n in (1, 2)]
    return [server.wait_until_ready() for server in servers]


@slow
def test_sigterm_under_load_loses_no_request(start_server: Start, wait_until: Until) -> None:
    servers = one_and_two(start_server)
    with Load(servers[0].port, 12) as one, Load(servers[1].port, 12) as two:
        for server, load in zip(servers, (one, two), strict=True):
            wait_until(lambda load=load: load.answered > 60, "some answers")
            server.signal(signal.SIGTERM)
        assert [server.wait() for server in servers] == [0, 0]
        for load in (one, two):
            load.join()
            assert load.lost == []
            assert set(load.statuses) <= {200, 503}
            assert load.refused == 12


@slow
@linux
def test_while_it_ends_it_is_not_ready_and_answers_what_it_has(
    start_server: Start, crowd: ThreadPoolExecutor, wait_until: Until
) -> None:
    server = start_server("--models", demo_model(), cores=1)
    with server.client() as connected, server.connect() as upload, upload.makefile("rb") as file:
        assert connected.get("/readyz").status_code == 200
        upload.sendall(head_of(PREDICT, len(SHAPES)) + SHAPES[:-1])
        running = [crowd.submit(ask, server) for _ in range(6)]
        wait_until(lambda: inside(server) == 6, "requests that wait")
        server.signal(signal.SIGTERM)
        server.wait_for_line("SIGTERM: no new requests, 7 to answer")
        for session in (connected, server.http):
            reply = session.get("/readyz")
            assert (reply.status_code, reply.json()["status"]) == (503, "draining")
        assert connected.get("/livez").status_code == 200
        refused = ask(server, PREDICT, SHAPES)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["connection"] == "close"
        # An upload that has begun may end.
        upload.sendall(SHAPES[-1:])
        assert file.readline().split()[1] == b"200"
        assert b'"success":true' in file.read()
    assert [request.result().status_code for request in running] == [200] * 6
    assert server.wait() == 0
    assert "all answered" in server.log


@slow
def test_ctrl_c_ends_an_idle_server_soon(start_server: Start) -> None:
    servers = one_and_two(start_server)
    for server in servers:
        server.http.get("/livez")  # a connection that is kept must not hold it up
    started = time.monotonic()
    for server in servers:
        for pid in children(server.process.pid):  # a terminal tells all of them
            os.kill(pid, signal.SIGINT)
        server.signal(signal.SIGINT)
    assert [server.wait() for server in servers] == [0, 0]
    assert time.monotonic() - started < 5
    assert "cut off" not in servers[0].log + servers[1].log


@slow
def test_a_request_that_never_ends_does_not_keep_it(start_server: Start) -> None:
    server = start_server("--models", demo_model(), "--drain", 1)
    with server.connect() as stuck, server.connect() as silent, server.connect() as half:
        stuck.sendall(head_of(PREDICT, 1000) + b"begun")
        half.sendall(b"GET /livez HTTP/1.1\r\nHo")
        server.http.get("/livez")
        started = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - started < 6
        assert silent.recv(1) == b""
        # Whoever is cut off may send it again elsewhere; 500 would say that it is hopeless.
        assert re.match(rb"HTTP/1.1 503 |$", stuck.recv(1000))
    server.wait_for_line("1 requests cut off by --drain")


@slow
@linux
def test_ctrl_c_twice_ends_at_once(start_server: Start, crowd: ThreadPoolExecutor, wait_until: Until) -> None:
    server = start_server("--models", demo_model(), cores=1)
    running = [crowd.submit(ask, server) for _ in range(24)]
    wait_until(lambda: inside(server) >= 20, "requests that wait")
    server.signal(signal.SIGINT)
    server.wait_for_line("SIGINT: no new requests")
    server.signal(signal.SIGINT)
    server.wait(5)
    replies = [request.result().status_code for request in running if not request.exception()]
    assert 500 not in replies
    assert replies.count(200) < 24


@slow
@pytest.mark.parametrize("seconds", [0, 0.2])
def test_sigterm_while_it_starts(start_server: Start, seconds: float) -> None:
    server = start_server(ready=False)
    time.sleep(seconds)  # into the start, of which it says nothing
    server.signal(signal.SIGTERM)
    assert server.wait(10) in (0, 128 + signal.SIGTERM)


# ---- several processes ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(start_module_server: Start) -> Any:
    """A server of two processes; whoever kills one waits for the next."""
    return start_module_server("--models", demo_model(), "--workers", 2)


def ready(server: Any) -> int:
    """How many processes have become ready so far."""
    found: int = server.log.count("ready: shapes")
    return found


@slow
@linux
def test_the_figures_of_all_processes_are_summed(pair: Any, wait_until: Until) -> None:
    wait_until(lambda: ready(pair) >= 2, "both processes")
    before = pair.metric("yolean_requests_total", status="200")
    with Load(pair.port, 8) as load:
        wait_until(lambda: load.answered >= 60, "some answers")
    assert set(load.statuses) == {200}
    total = before + load.answered
    for _ in range(8):  # whichever process answers
        pair.http.close()
        assert pair.metric("yolean_requests_total", status="200") == total
    assert pair.metric("yolean_request_seconds_count", model="shapes") == total
    assert pair.metric("yolean_models") == 1
    # A killed process takes its gauges with it, and leaves what it has counted.
    known = ready(pair)
    os.kill(children(pair.process.pid)[0], signal.SIGKILL)
    pair.http.close()
    wait_until(lambda: ready(pair) == known + 1, "a new process")
    assert pair.metric("yolean_requests_total", status="200") == total
    assert pair.metric("yolean_models") == 1
    assert pair.metric("yolean_queue_depth") == 0


@slow
@linux
@pytest.mark.parametrize("asked", [False, True], ids=["at work", "asked"])
def test_a_process_that_is_killed_comes_back(pair: Any, asked: bool, wait_until: Until) -> None:
    wait_until(lambda: ready(pair) >= 2, "both processes")
    known = ready(pair)
    first, second = children(pair.process.pid)
    if asked:  # now and then its parent asks whether it lives, and waits for its word
        os.kill(first, signal.SIGSTOP)
        time.sleep(0.7)
    os.kill(first, signal.SIGKILL)
    # Up to 5 s, where it has died before it could answer uvicorn's question whether it lives.
    wait_until(lambda: first not in children(pair.process.pid), "its end", 10)
    assert [ask(pair, PREDICT, SHAPES).status_code for _ in range(3)] == [200] * 3  # by the other
    wait_until(lambda: ready(pair) == known + 1, "a new process")
    now = children(pair.process.pid)
    assert len(now) == 2
    assert second in now
    pair.signal(signal.SIGHUP)  # reloads models, and starts no process again
    assert [ask(pair, PREDICT, SHAPES).status_code for _ in range(5)] == [200] * 5
    assert children(pair.process.pid) == now


@slow
@linux
def test_sigterm_while_a_process_dies_that_was_asked(start_server: Start) -> None:
    server = start_server("--models", demo_model(), "--workers", 2)
    first = children(server.process.pid)[0]
    os.kill(first, signal.SIGSTOP)
    time.sleep(0.7)
    server.signal(signal.SIGTERM)
    os.kill(first, signal.SIGKILL)
    assert server.wait(15) == 0


@slow
@linux
def test_processes_end_with_their_parent(start_server: Start, wait_until: Until) -> None:
    server = start_server("--models", demo_model(), "--workers", 2)
    found = children(server.process.pid)
    server.signal(signal.SIGKILL)
    server.process.wait(SECONDS)
    try:  # or they keep the port, and nobody replaces them
        wait_until(lambda: not any(is_alive(pid) for pid in found), "their end", 8)
    finally:
        for pid in filter(is_alive, found):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
