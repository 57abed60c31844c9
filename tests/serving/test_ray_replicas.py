"""The application of Ray Serve on a real cluster: a head with the proxy, and two nodes with the replicas."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from ray_cluster import ServeCluster, process_ids
from yolean.models import DEMO_MODELS, demo_images, demo_model

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # those of Ray and moto

CONFIG = Path(__file__).parents[2] / "deploy" / "ray" / "serve.yaml"
IMAGE = demo_images()[0].read_bytes()
JPEG = {"content-type": "image/jpeg"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[ServeCluster]:
    import ray

    found = ServeCluster([2, 2])
    ray.init(found.address, namespace="serve", log_to_driver=False, configure_logging=False)
    yield found
    ray.shutdown()
    found.stop()


@pytest.fixture
def deploy(cluster: ServeCluster, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Deploys the configuration that ships, with what a test changes in it; gives the address."""
    import yaml
    from ray import serve

    def deploy(replicas: int | None, models: str, env: Mapping[str, str] = {}, **options: Any) -> str:
        config = yaml.safe_load(CONFIG.read_text())
        (app,) = config["applications"]
        (deployment,) = app["deployments"]
        config["proxy_location"] = "HeadOnly"  # nodes of one machine cannot all listen on one port
        config["http_options"] |= {"host": "127.0.0.1", "port": cluster.port}
        variables = app["runtime_env"]["env_vars"]
        del variables["YOLEAN_API_KEYS"]
        # A machine with other work makes requests and uploads slow, which is not the question here.
        variables |= {"YOLEAN_TIMEOUT": "120", "YOLEAN_RATE_WINDOW": "120", "YOLEAN_MODELS": models, **env}
        if os.environ.get("RAY_SERVE_ENABLE_HA_PROXY") == "1":  # the same, once more, behind HAProxy
            variables["YOLEAN_NO_AUTH"] = "1"
        deployment["ray_actor_options"]["num_cpus"] = 1
        if replicas is not None:
            del deployment["autoscaling_config"]
            deployment["num_replicas"] = replicas
        deployment |= options
        file = tmp_path / "serve.yaml"
        file.write_text(yaml.safe_dump(config))
        cluster.serve("run", "--non-blocking", "--address", cluster.address, file)
        return f"http://127.0.0.1:{cluster.port}"

    yield deploy
    serve.delete("yolean")


def state() -> tuple[str, dict[str, int], str]:
    """Status of the application, its replicas by their state, and what Ray says of it."""
    from ray import serve

    app = serve.status().applications["yolean"]
    deployment = app.deployments.get("yolean")
    replicas = {str(name): n for name, n in deployment.replica_states.items()} if deployment else {}
    message = f"{app.message} {deployment.message if deployment else ''}"
    return app.status.value, replicas, message


def until(condition: Callable[[], Any], seconds: float = 240) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, state()
        time.sleep(0.1)


def is_running(replicas: int) -> bool:
    status, states, _ = state()
    return status == "RUNNING" and states == {"RUNNING": replicas}


def processes() -> list[int]:
    """Process ids of the replicas."""
    return process_ids(b"ServeReplica:yolean:")


def metric(url: str, name: str, **labels: str) -> dict[str, float]:
    """Values of a series that has these labels, summed up by replica."""
    text = requests.get(f"{url}/metrics", timeout=30).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                replica = sample.labels.get("replica", "")
                found[replica] = found.get(replica, 0) + sample.value
    return found


class Done(NamedTuple):
    """One request: when it began and ended, its status (0: no answer), and the answer."""

    began: float
    ended: float
    status: int
    text: str


class Load:
    """Clients that send one request after the other."""

    def __init__(self, url: str, clients: int) -> None:
        self.done: list[Done] = []
        self._url, self._stop = url, threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    reply = session.post(self._url, data=IMAGE, headers=JPEG, timeout=60)
                    status, text = reply.status_code, reply.text
                except requests.RequestException as exc:
                    status, text = 0, repr(exc)
                self.done.append(Done(began, time.monotonic(), status, text))

    def stop(self) -> list[Done]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        return self.done


@contextmanager
def load(url: str, clients: int) -> Iterator[Load]:
    found = Load(url, clients)
    try:
        yield found
    finally:
        found.stop()


@pytest.mark.parametrize("replicas", [1, 2])
def test_replicas_answer_as_the_server(deploy: Callable[..., str], server: Any, replicas: int) -> None:
    models = "".join(f"{demo_model(task)}\n" for task in DEMO_MODELS)
    url = deploy(replicas, models)
    until(lambda: is_running(replicas))
    assert requests.get(f"{url}/readyz", timeout=30).json() == {"status": "ok"}
    total = 0
    for name in ("shapes", "shapes-seg", "shapes-pose", "shapes-obb", "shapes-cls"):
        for image in demo_images():
            sent: dict[str, Any] = {"data": image.read_bytes(), "headers": JPEG}
            expected = server.http.post(f"/v1/predict/{name}?confidence=0.3", **sent)
            for _ in range(2):
                found = requests.post(f"{url}/v1/predict/{name}?confidence=0.3", timeout=30, **sent)
                assert (found.status_code, found.content) == (200, expected.content)
                assert found.headers["x-request-id"].count(",") == 0
                total += 1
    counted = metric(url, "yolean_requests_total", status="200")
    assert (len(counted), sum(counted.values())) == (replicas, total)
    assert metric(url, "yolean_replicas") == {"": replicas}
    assert metric(url, "yolean_models") == dict.fromkeys(counted, len(DEMO_MODELS))
    assert requests.get(f"{url}/health", timeout=30).json()["cores"] == 1


def test_a_replica_that_is_killed_loses_only_what_was_in_it(deploy: Callable[..., str]) -> None:
    url = deploy(2, str(demo_model()))
    until(lambda: is_running(2))
    with load(f"{url}/v1/predict/shapes", 8) as clients:
        until(lambda: len(clients.done) > 100)
        killed_at = time.monotonic()
        os.kill(processes()[0], signal.SIGKILL)
        until(lambda: not is_running(2))
        until(lambda: is_running(2))
        done = clients.stop()
    lost = [each for each in done if each.status != 200]
    assert all(each.began <= killed_at <= each.ended for each in lost), lost
    assert len(lost) <= 8
    assert sum(each.began > killed_at for each in done) > 100
    print(f"{len(lost)} of {len(done)} requests lost")


def test_a_new_model_replaces_the_old_one_without_a_failed_request(
    deploy: Callable[..., str], tmp_path: Path
) -> None:
    for name, model in (("old", "detect"), ("new", "obb")):
        (tmp_path / name).mkdir()
        shutil.copy(demo_model(model), tmp_path / name / "model.onnx")
    url = deploy(2, str(tmp_path / "old"))
    until(lambda: is_running(2))
    before = set(processes())
    with load(f"{url}/v1/predict/model", 4) as clients:
        until(lambda: len(clients.done) > 20)
        deploy(2, str(tmp_path / "new"))
        until(lambda: is_running(2) and not before & set(processes()))
        replaced_at = time.monotonic()
        time.sleep(1)
        done = clients.stop()
    assert {each.status for each in done} == {200}
    assert "obb" not in done[0].text
    assert {"obb" in each.text for each in done if each.began > replaced_at} == {True}


def test_a_model_that_cannot_be_loaded_replaces_nothing(deploy: Callable[..., str], tmp_path: Path) -> None:
    url = deploy(1, str(demo_model()))
    until(lambda: is_running(1))
    broken = tmp_path / "shapes.onnx"
    broken.write_bytes(b"no model")
    with load(f"{url}/v1/predict/shapes", 2) as clients:
        deploy(1, str(broken))
        until(lambda: "shapes.onnx" in state()[2])
        time.sleep(2)
        done = clients.stop()
    assert {each.status for each in done} == {200}
    assert len(done) > 20
    assert "ModelError" in state()[2]
    missing = tmp_path / "nothing"
    missing.mkdir()
    deploy(1, str(missing))
    until(lambda: "there is no model" in state()[2])
    assert requests.post(f"{url}/v1/predict/shapes", data=IMAGE, headers=JPEG, timeout=30).ok


def test_a_replica_that_goes_first_answers_what_it_has(deploy: Callable[..., str]) -> None:
    url = deploy(2, str(demo_model()))
    until(lambda: is_running(2))
    host, port = url.removeprefix("http://").split(":")
    head = "POST /v1/predict/shapes HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\n"
    head += f"content-length: {len(IMAGE)}\r\n\r\n"
    connections = [socket.create_connection((host, int(port)), 30) for _ in range(6)]
    for connection in connections:
        connection.sendall(head.encode() + IMAGE[:5000])
    until(lambda: len(metric(url, "yolean_running")) == 2)
    deploy(1, str(demo_model()))
    until(lambda: state()[1].get("STOPPING", 0) == 1)
    for part in range(5000, len(IMAGE), 5000):
        for connection in connections:
            connection.sendall(IMAGE[part : part + 5000])
        time.sleep(0.2)
    for connection in connections:
        with connection, connection.makefile("rb") as answer:
            assert b" 200 " in answer.readline()
    until(lambda: is_running(1))
    assert len(processes()) == 1


def test_replicas_come_and_go_with_the_load(deploy: Callable[..., str]) -> None:
    scaling = {
        "min_replicas": 1,
        "max_replicas": 2,
        "target_ongoing_requests": 1,
        "upscale_delay_s": 1,
        "downscale_delay_s": 2,
        "look_back_period_s": 2,
        "metrics_interval_s": 0.5,
    }
    url = deploy(None, str(demo_model()), autoscaling_config=scaling)
    until(lambda: is_running(1))
    with load(f"{url}/v1/predict/shapes", 6) as clients:
        until(lambda: is_running(2))
        done = clients.stop()
    until(lambda: is_running(1))
    assert {each.status for each in done} == {200}


def test_what_is_wrong_is_said_in_one_line(cluster: ServeCluster, tmp_path: Path) -> None:
    app = "yolean.ray_serve:app"
    for variables, words in (
        ({"YOLEAN_MAX_QUEUE": "none"}, ("--max-queue", "'none'")),
        ({"YOLEAN_MODELS": "nothing.onnx"}, ("'nothing.onnx' does not exist",)),
    ):
        said = cluster.serve("run", "--address", cluster.address, app, environment=variables, status=1)
        (line,) = [line for line in said.splitlines() if line.startswith("Error: ")]
        assert all(word in line for word in words), line
        assert "Traceback" not in said


def test_models_from_a_store(deploy: Callable[..., str]) -> None:
    import s3fs
    from moto.server import ThreadedMotoServer

    store = ThreadedMotoServer(port=0)
    store.start()
    host, port = store.get_host_and_port()
    keys = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": host,
        "no_proxy": host,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keys.items():
            patch.setenv(name, value)
        fs = s3fs.S3FileSystem()
        fs.mkdir("served")
        for task in ("detect", "obb"):
            fs.put(str(demo_model(task)), f"served/models/{demo_model(task).name}")
    url = deploy(1, "s3://served/models\ndoors=s3://served/models/shapes.onnx", keys)
    until(lambda: is_running(1))
    models = requests.get(f"{url}/v1/models", timeout=30).json()["models"]
    assert {model["id"] for model in models} == {"shapes", "shapes-obb", "doors"}
    deploy(1, "s3://served/nothing", keys)
    until(lambda: re.search(r"s3://served/nothing: expected an \.onnx file", state()[2]))
    store.stop()


def test_a_node_that_is_killed_loses_requests_only_until_ray_has_noticed(
    cluster: ServeCluster, deploy: Callable[..., str]
) -> None:
    url = deploy(2, str(demo_model()), max_replicas_per_node=1)
    until(lambda: is_running(2))
    with load(f"{url}/v1/predict/shapes", 8) as clients:
        until(lambda: len(clients.done) > 100)
        killed_at = time.monotonic()
        cluster.kill_node()
        until(lambda: state()[1].get("RUNNING") == 1)
        noticed_at = time.monotonic()
        begun = len(clients.done)
        until(lambda: len(clients.done) > begun + 100)
        done = clients.stop()
    lost = [each for each in done if each.status != 200]
    assert all(each.began <= noticed_at and killed_at <= each.ended for each in lost), lost
    print(f"{len(lost)} of {len(done)} requests lost in {noticed_at - killed_at:.1f} s")
    cluster.add_node(2)
