"""Metrics: Prometheus' format, labels that no client chose, one sum over all processes."""

from __future__ import annotations

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp, Message
from yolean.models import demo_images, demo_model
from yolean.server import create_app
from yolean.serving.metrics import CONTENT_TYPE, SHARED_FOLDER, Metrics, ReplicaMetrics
from yolean.serving.settings import ModelSource, Settings


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARED_FOLDER, raising=False)


def read(text: bytes) -> dict[tuple[Any, ...], float]:
    """Samples by name and labels, as Prometheus reads them."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_the_text_is_prometheus_format_and_every_figure_is_described() -> None:
    metrics = Metrics()
    families = {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}
    families = {name: family for name, family in families.items() if not name.endswith("_created")}
    assert {name: family.type for name, family in families.items()} == {
        "yolean_requests": "counter",
        "yolean_request_seconds": "histogram",
        "yolean_stage_seconds": "histogram",
        "yolean_objects": "counter",
        "yolean_batch_size": "histogram",
        "yolean_shed": "counter",
        "yolean_clients_left": "counter",
        "yolean_queue_depth": "gauge",
        "yolean_running": "gauge",
        "yolean_models": "gauge",
        "yolean_models_failed": "gauge",
        "yolean_model_loads": "counter",
    }
    assert all(family.documentation for family in families.values())
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_what_is_counted_is_told() -> None:
    metrics = Metrics()
    metrics.requests.labels("m", 200).inc()
    metrics.requests.labels("m", 200).inc()
    metrics.requests.labels("m", 503).inc()
    metrics.shed.labels("queue").inc()
    metrics.queued.set(7)
    metrics.observe("m", {"decode": 2.0, "queue": 0.0, "inference": 20_000.0})
    found = read(metrics.text())
    assert found[("yolean_requests_total", ("model", "m"), ("status", "200"))] == 2
    assert found[("yolean_requests_total", ("model", "m"), ("status", "503"))] == 1
    assert found[("yolean_shed_total", ("reason", "queue"))] == 1
    assert found[("yolean_queue_depth",)] == 7
    assert found[("yolean_stage_seconds_sum", ("model", "m"), ("stage", "decode"))] == pytest.approx(0.002)
    buckets = {
        float(dict(labels)["le"]): value
        for (name, *labels), value in found.items()
        if name == "yolean_stage_seconds_bucket" and ("stage", "inference") in labels
    }
    assert buckets[10.0] == 0
    assert buckets[inf] == 1


def test_ids_of_models_may_hold_anything() -> None:
    metrics = Metrics()
    name = 'a "quoted" \\ back\nslash, 日本'
    metrics.requests.labels(name, 200).inc()
    assert read(metrics.text())[("yolean_requests_total", ("model", name), ("status", "200"))] == 1


def test_two_servers_in_one_process_do_not_mix_their_figures() -> None:
    one, other = Metrics(), Metrics()
    one.left.inc()
    assert read(one.text())[("yolean_clients_left_total",)] == 1
    assert read(other.text())[("yolean_clients_left_total",)] == 0


def test_the_figures_of_several_replicas_stand_side_by_side() -> None:
    one, other = Metrics(), Metrics()
    one.requests.labels("m", 200).inc(3)
    other.requests.labels("m", 200).inc()
    other.observe("m", {"decode": 2.0})
    text = ReplicaMetrics({"b": pickle.loads(pickle.dumps(other.families())), "a": one.families()}).text()
    found = read(text)
    labels = ("model", "m"), ("status", "200")
    assert found[("yolean_requests_total", labels[0], ("replica", "a"), labels[1])] == 3
    assert found[("yolean_requests_total", labels[0], ("replica", "b"), labels[1])] == 1
    assert found[("yolean_clients_left_total", ("replica", "a"))] == 0
    assert found[("yolean_stage_seconds_count", labels[0], ("replica", "b"), ("stage", "decode"))] == 1
    assert found[("yolean_replicas",)] == 2
    families = [line for line in text.decode().splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) == 13


# ---- labels -----------------------------------------------------------------------------------------------


async def request(
    app: ASGIApp,
    path: str,
    body: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    method: str = "POST",
) -> tuple[int, bytes]:
    """One request to an application; its status and its body."""
    sent: list[Message] = []
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"content-length", str(len(body)).encode()), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[None]:
    """An application between the start and the end of its life, as web servers tell it of them."""
    told: asyncio.Queue[Message] = asyncio.Queue()
    said: asyncio.Queue[Message] = asyncio.Queue()
    life = asyncio.ensure_future(app({"type": "lifespan", "state": {}}, told.get, said.put))
    for phase in ("startup", "shutdown"):
        await told.put({"type": f"lifespan.{phase}"})
        assert await said.get() == {"type": f"lifespan.{phase}.complete"}
        if phase == "startup":
            yield
    await life


def in_a_thread(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a server's loop beside the main thread: it leaves the signals of this process alone there."""
    outcome: list[Any] = []

    def go() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as exc:
            outcome.append(exc)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def test_nothing_that_a_client_writes_becomes_a_label() -> None:
    async def go() -> tuple[int, bytes]:
        app = create_app(Settings(models=(ModelSource(demo_model("classify"), "mine"),), device="cpu"))
        async with running(app):
            while (await request(app, "/readyz", method="GET"))[0] != 200:
                await asyncio.sleep(0.01)
            image = demo_images()[0].read_bytes()
            jpeg = [(b"content-type", b"image/jpeg")]
            assert (await request(app, "/v1/predict/mine", image, jpeg))[0] == 200
            for path in ("/v1/predict/EVIL", "/v1/predict/mine?EVIL=1", "/v1/predict/mine?size=EVIL",
                         "/?model=EVIL", "/?model=http://EVIL/EVIL", "/v1/models/EVIL", "/EVIL"):  # fmt: skip
                assert 400 <= (await request(app, path, image, jpeg))[0] < 500
            assert (await request(app, "/v1/predict/mine", image, [(b"content-type", b"EVIL/EVIL")]))[
                0
            ] == 415
            assert (await request(app, "/v1/predict/mine", b"EVIL", jpeg))[0] == 415
            return await request(app, "/metrics", method="GET")

    status, text = in_a_thread(go())
    assert status == 200
    assert b"EVIL" not in text
    found = read(text)
    assert found[("yolean_requests_total", ("model", "mine"), ("status", "200"))] == 1
    labels = {label for _, *labels in found for label in labels if label[0] != "le"}
    assert {value for name, value in labels if name == "model"} == {"mine", "unknown"}
    assert {value for name, value in labels if name == "status"} == {"200", "400", "404", "415"}
    stages = {"decode", "queue", "preprocess", "inference", "postprocess"}
    assert {value for name, value in labels if name == "stage"} == stages
    assert found[("yolean_models",)] == 1
    assert found[("yolean_model_loads_total", ("result", "loaded"))] == 1


# ---- several processes ------------------------------------------------------------------------------------

PROCESS = """
import sys
from yolean.serving.metrics import Metrics
metrics = Metrics()
number = int(sys.argv[1])
metrics.requests.labels("m", 200).inc(number)
for gauge in (metrics.queued, metrics.models, metrics.failed_models):
    gauge.set(number)
print("ready", flush=True)
for line in sys.stdin:
    text = metrics.text()
    sys.stdout.buffer.write(b"%d\\n%s" % (len(text), text))
    sys.stdout.flush()
"""


class Process:
    """A process with figures of its own in a folder that is shared."""

    def __init__(self, folder: Path, number: int) -> None:
        environment = {
            **os.environ,
            SHARED_FOLDER: str(folder),
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
        }
        command = [sys.executable, "-c", PROCESS, str(number)]
        self.popen = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, env=environment, cwd=folder)

    def is_ready(self) -> bool:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline() == b"ready\n"

    def figures(self) -> tuple[float, ...]:
        """What /metrics would tell if this process were asked."""
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(b"\n")
        self.popen.stdin.flush()
        found = read(self.popen.stdout.read(int(self.popen.stdout.readline())))
        requests = found[("yolean_requests_total", ("model", "m"), ("status", "200"))]
        return requests, *(found[(f"yolean_{name}",)] for name in ("queue_depth", "models", "models_failed"))

    def end(self) -> None:
        self.popen.kill()
        self.popen.communicate()


def test_several_processes_give_one_set_of_figures_and_the_dead_leave_only_their_counts(
    tmp_path: Path,
) -> None:
    processes = [Process(tmp_path, 1), Process(tmp_path, 20)]
    try:
        assert all(process.is_ready() for process in processes)
        for process in processes:  # sums, the fewest models, the most failures, whoever is asked
            assert process.figures() == (21, 21, 1, 20)
        processes[1].end()
        processes.append(Process(tmp_path, 300))  # started in its place
        assert processes[2].is_ready()
        assert processes[2].figures() == processes[0].figures() == (321, 301, 1, 300)
    finally:
        for process in processes:
            process.end()
