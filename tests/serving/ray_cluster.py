"""A Ray cluster of this machine, and applications of Ray Serve on it; for tests in the environment of Ray."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_SMALL = {"object_store_memory": 80 * 2**20}


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def process_ids(title: bytes) -> list[int]:
    """The processes of this machine whose title from Ray begins so, behind `ray::`."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if line.startswith(b"ray::" + title):
                found.append(int(process.name))
    return found


class ServeCluster:
    """A head, on which Ray Serve's proxy listens, and nodes whose cores are for replicas.

    Attributes:
        address: of the cluster.
        port: of the proxy.
        nodes: the nodes beside the head.
    """

    def __init__(self, cores: Sequence[int], environment: Mapping[str, str] = {}) -> None:
        """Start it.

        Args:
            cores: for each node, how many it says that it has.
            environment: variables of its processes beside the inherited ones.
        """
        from ray.cluster_utils import Cluster

        # Sockets lie in it, whose paths may have a hundred characters.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        (self._folder / "ray").mkdir()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("YOLEAN_")},
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
            "RAY_TMPDIR": str(self._folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            **environment,
        }
        self._cluster = Cluster()
        self.nodes: list[Any] = []
        try:
            with self._own_environment():
                self._cluster.add_node(
                    num_cpus=0, include_dashboard=False, dashboard_port=free_port(), **_SMALL
                )
            for number in cores:
                self.add_node(number)
            self._start_proxy()
        except BaseException:
            self.stop()
            raise

    def _start_proxy(self) -> None:
        self.address: str = self._cluster.address
        self.port = free_port()
        self.serve(
            *("start", "--address", self.address, "--http-port", self.port),
            *("--proxy-location", "HeadOnly"),
        )

    def serve(self, *words: object, environment: Mapping[str, str] | None = None, status: int = 0) -> str:
        """Run Ray's command `serve`; what it has said.

        Args:
            words: its arguments.
            environment: variables beside those of the cluster.
            status: the expected exit status.
        """
        done = subprocess.run(
            [sys.executable, "-m", "ray.serve.scripts", *map(str, words)],
            env={**self._environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == status, f"{words}:\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def run(self, environment: Mapping[str, str], name: str = "default", prefix: str = "/") -> str:
        """Deploy `yolean.ray_serve:app` as a user does, and wait until it runs; its address."""
        self.serve(
            *("run", "--non-blocking", "--address", self.address, "--name", name),
            *("--route-prefix", prefix, "yolean.ray_serve:app"),
            environment=environment,
        )
        return f"http://127.0.0.1:{self.port}{prefix.rstrip('/')}"

    def log_lines(self) -> list[str]:
        """What the replicas have logged, in no order."""
        lines: list[str] = []
        for file in self._folder.glob("ray/session_*/logs/worker-*.err"):
            lines += file.read_text(errors="replace").splitlines(keepends=True)
        return [line for line in lines if re.match(r"\d{4}-\d\d-\d\dT|\{", line)]

    def stop(self) -> None:
        """End all of its processes."""
        self._cluster.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add_node(self, cores: int) -> None:
        """Start a node, and wait until it belongs to the cluster; Ray gives it half a minute to come up."""
        for tries_left in (2, 1, 0):
            try:
                with self._own_environment():
                    self.nodes.append(self._cluster.add_node(num_cpus=cores, **_SMALL))
                return
            except Exception as exc:  # Ray raises no other
                if "timed out during startup" not in str(exc) or not tries_left:
                    raise

    def kill_node(self) -> None:
        """Kill the node that was added last, and whatever runs there."""
        self._cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    @contextmanager
    def _own_environment(self) -> Iterator[None]:
        """What the processes of the cluster inherit."""
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(self._environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)
