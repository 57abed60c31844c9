"""`yolean batch --ray`: the same rows as here, whatever is killed; and object stores.

Clusters are real: a head and nodes as processes of this machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from ray_cluster import process_ids
from yolean.models import demo_images

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]  # those of Ray and moto

ACTOR = b"MapWorker(MapBatches(_PartActor))"
IMAGES = 240


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, of which one cannot be read."""
    folder = tmp_path_factory.mktemp("batch") / "photos"
    folder.mkdir()
    for n in range(IMAGES):
        shutil.copy(demo_images()[n % 3], folder / f"{n:03}.jpg")
    (folder / "050.jpg").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def whole(photos: Path) -> list[dict[str, Any]]:
    """The rows that one machine gives."""
    output = photos.parent / "whole"
    ended(batch(photos, output))
    return rows(output)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head without cores, and two nodes of one core."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=1)
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def batch(
    source: object, output: object, *options: object, start: tuple[str, ...] = ("-m", "yolean")
) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    words = ["batch", source, "-m", "shapes", "-o", output, "--part-size", 10, "--threads", 1, *options]
    command = [sys.executable, *start, *map(str, words)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, text=True, stderr=subprocess.PIPE, env=env)


def rows(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("part-*.parquet")):
        found += pq.read_table(path).to_pylist()
    return found


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 180) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < limit
        time.sleep(0.02)


def parts(folder: Path) -> int:
    return len(list(folder.glob("part-*")))


def actors() -> list[int]:
    """Process ids of the actors that predict."""
    return process_ids(ACTOR)


def ended(process: subprocess.Popen[str]) -> str:
    """What a job that ended with errors of images has said."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 1, said
    return said


def refused(process: subprocess.Popen[str]) -> str:
    """The one line of a refusal."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2, said
    (line,) = said.splitlines()
    return line


def test_a_cluster_on_this_machine(photos: Path, whole: list[dict[str, Any]]) -> None:
    output = photos.parent / "local"
    said = ended(batch(photos, output, "--ray", "local", "--workers", "1,2"))
    assert rows(output) == whole
    summary = said.splitlines()[-1]
    assert summary.startswith(f"{IMAGES} images in ")


def test_a_node_and_an_actor_are_killed(cluster: Any, photos: Path, whole: list[dict[str, Any]]) -> None:
    output = photos.parent / "killed"
    process = batch(photos, output, "--ray", cluster.address, "--workers", "2,2")
    wait_until(lambda: parts(output) >= 2 and len(actors()) == 2, process)
    os.kill(actors()[0], signal.SIGKILL)
    wait_until(lambda: parts(output) >= 5, process)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    ended(process)
    assert rows(output) == whole


def test_the_driver_is_killed_and_its_job_resumed(
    cluster: Any, photos: Path, whole: list[dict[str, Any]]
) -> None:
    output = photos.parent / "resumed"
    process = batch(photos, output, "--ray", cluster.address)
    wait_until(lambda: parts(output) >= 3, process)
    process.kill()
    process.communicate()
    assert 0 < len(rows(output)) < IMAGES
    said = ended(batch(photos, output, "--ray", cluster.address, "--resume"))
    assert "of them from before" in said
    assert rows(output) == whole


def test_errors_of_the_actors_and_of_the_address(photos: Path) -> None:
    output = photos.parent / "full"
    (photos.parent / "shard.tar").write_text("no tar" * 200)
    process = batch(photos.parent / "shard.tar", output, "--ray", "local")
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2
    assert said.splitlines()[-1].endswith("expected a tar archive (invalid header)")
    assert "a job is there" in refused(batch(photos, output, "--ray", "local"))
    new = photos.parent / "new"
    said = refused(batch(photos, new, "--ray", "127.0.0.1:9"))
    assert "--ray 127.0.0.1:9: no Ray cluster answers there" in said
    said = refused(batch(photos, new, "--ray", "ray://127.0.0.1:9"))
    assert "--ray ray://127.0.0.1:9: Ray Data does not run through Ray's client" in said
    assert not new.exists()


def test_a_cluster_of_another_version_is_named(cluster: Any, photos: Path) -> None:
    """Ray itself compares: the driver says that it has another version."""
    code = "import ray; ray.__version__ = '2.1.0'; from yolean.cli.main import main; main()"
    output = photos.parent / "other-version"
    said = refused(batch(photos, output, "--ray", cluster.address, start=("-c", code)))
    assert f"--ray {cluster.address}: the cluster has other versions (Version mismatch: " in said
    assert "2.1.0" in said


def test_what_is_no_ray_cluster_is_refused(photos: Path) -> None:
    """A port at which something else answers."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        said = refused(batch(photos, photos.parent / "no-ray", "--ray", address))
        assert f"--ray {address}: no Ray cluster answers there (something else answers)" in said
        server.shutdown()


def test_actors_become_as_many_as_the_work_asks_for(photos: Path) -> None:
    """From one to four on a node of four, and the rows are those of one machine."""
    from ray.cluster_utils import Cluster

    slower = ("--imgsz", "1280")
    ended(batch(photos, photos.parent / "whole-1280", *slower))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        cluster.add_node(num_cpus=4)
        cluster.wait_for_nodes()
        output, seen = photos.parent / "scaled", list[int]()
        process = batch(photos, output, *slower, "--ray", cluster.address, "--workers", "1,4")

        def is_over() -> bool:
            count = len(actors())
            if count and (not seen or seen[-1] != count):
                seen.append(count)
            return process.poll() is not None

        limit = time.monotonic() + 300
        while not is_over():
            assert time.monotonic() < limit
            time.sleep(0.05)
        ended(process)
    finally:
        cluster.shutdown()
    assert (seen[0], max(seen)) == (1, 4)
    assert rows(output) == rows(photos.parent / "whole-1280")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": host,
        "no_proxy": host,
    }.items():
        monkeypatch.setenv(name, value)
    yield "s3://bucket"
    server.stop()


def test_from_a_store_into_a_store(store: str, photos: Path, whole: list[dict[str, Any]]) -> None:
    import s3fs

    fs = s3fs.S3FileSystem()
    fs.mkdir("bucket")
    fs.put(str(photos), "bucket/photos", recursive=True)
    output = f"{store}/found"
    ended(batch(f"{store}/photos", output))
    found: list[dict[str, Any]] = []
    for name in sorted(fs.glob("bucket/found/part-*.parquet")):
        with fs.open(name) as file:
            found += pq.read_table(file).to_pylist()
    names = [f"{store}/photos/{n:03}.jpg" for n in range(IMAGES)]
    assert [row["source"] for row in found] == names
    assert [row["objects"] for row in found] == [row["objects"] for row in whole]
    said = ended(batch(f"{store}/photos", output, "--resume"))
    assert f"{IMAGES} of them from before" in said
    for source, target, words in (
        ("s3://missing/photos", output, "it does not exist"),
        (f"{store}/nothing", output, "found nothing there"),
        (f"{store}/photos", "s3://missing/found", "cannot write"),
    ):
        process = batch(source, target)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 2
        assert words in said
        assert len(said.splitlines()) == 1
