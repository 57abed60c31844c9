"""Runs the parts of a job on a Ray cluster: Ray Data hands them to actors, each with a model of its own.

A part is the unit of work: an actor writes it whole or not at all, so that one that is done twice, because
its node was lost, is the same file again.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2

from .._install_advice import install_command
from ..engine.errors import DeviceError, InputError, YoleanError
from ..engine.loading import load
from ..engine.runtime.cpu import usable_cores
from .job import Job
from .listing import list_entries
from .parts import FinishedPart, Part, pending_parts
from .running import run_here

_SETTINGS = 4  # type of the first frame that a server of HTTP/2 sends
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])
"""What a client of HTTP/2 sends first, with a frame of no settings (RFC 9113, 3.4)."""


@dataclass(frozen=True, slots=True)
class ClusterModel:
    """What an actor loads.

    Attributes:
        data: bytes of the .onnx file, which travel through the object store.
        arguments: of `load`, without `threads`.
    """

    data: bytes
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Workers:
    """Actors of a job.

    Attributes:
        least: how many are there from the beginning.
        most: how many there are when all have work.
    """

    least: int
    most: int


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to a cluster, or a cluster on this machine for the duration.

    Args:
        address: `local` starts one here, `auto` takes the one that this machine belongs to; otherwise
            HOST:PORT.

    Raises:
        InputError: there is none, or it has another version of Ray or Python.
    """
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"num_cpus": usable_cores(), "include_dashboard": False}
    try:
        ray.init(address, **options)
    except Exception as exc:  # Ray raises ConnectionError, RuntimeError, ValueError and its own
        said = " ".join(str(exc).split())[:300]
        is_other = "ersion mismatch" in said
        how = "the cluster has other versions" if is_other else "no Ray cluster answers there"
        if not is_other and address != "local" and "RAY_AUTH_MODE" not in os.environ:
            said += "; one with tokens needs RAY_AUTH_MODE=token"
        raise InputError(f"--ray {address}: {how} ({said})") from exc
    try:
        yield
    finally:
        ray.shutdown()


def check_cluster(address: str) -> None:
    """Refuse what can be refused without connecting: before there is a folder of the output.

    Ray itself would take minutes to find that nothing answers at HOST:PORT.

    Raises:
        InputError: Ray is not installed, nothing answers there, or something else, or it is for Ray's client.
    """
    try:
        import ray
        import ray.data  # noqa: F401
    except ModuleNotFoundError as exc:
        raise InputError(f"--ray needs {exc.name}: {install_command('ray')}") from exc
    if address.startswith("ray://"):
        raise InputError(
            f"--ray {address}: Ray Data does not run through Ray's client; name the head, HOST:6379"
        )
    host, found, port = address.rpartition(":")
    if not found:
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), 5) as connection:
            if os.environ.get("RAY_USE_TLS") != "1":
                _check_is_grpc(connection)
    except (OSError, ValueError, OverflowError) as exc:
        raise InputError(f"--ray {address}: no Ray cluster answers there ({exc})") from exc


def _check_is_grpc(connection: socket.socket) -> None:
    """Raise `OSError` where what answers does not begin as gRPC does: Ray would wait for minutes."""
    connection.sendall(_HTTP2)
    head = connection.recv(9, socket.MSG_WAITALL)
    if len(head) < 9 or head[3] != _SETTINGS:
        raise OSError("something else answers")


def run_on_ray(
    model: ClusterModel,
    finished: Mapping[int, FinishedPart],
    part_size: int,
    options: Mapping[str, Any],
    job: Job,
    workers: Workers | None,
) -> Iterator[FinishedPart]:
    """Predict the parts of a job that are still to do, on the connected cluster, and yield each when written.

    Args:
        model: what the actors load.
        finished: parts that are done, by start.
        part_size: most images of a part.
        options: arguments of `Engine.stream`.
        job: what writes the parts; the actors write into its folder.
        workers: how many actors; default: from one to as many as there are cores, or GPUs.

    Raises:
        InputError: a source cannot be listed, the output cannot be written, or the cluster fails.
        ModelError: the model fails.
    """
    import ray
    import ray.data
    from ray.exceptions import RayError

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a part a block: it is passed on as soon as it is listed
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    share, most = _share(workers, on_gpu=model.arguments["device"].partition(":")[0] in ("cuda", "tensorrt"))
    parts = ray.data.from_items([{"job": 0}]).flat_map(
        partial(_list_parts, job, dict(finished), part_size), num_cpus=0
    )
    written = parts.map_batches(
        _PartActor,
        fn_constructor_args=(model, dict(options), job),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=workers.least if workers else 1, max_size=most),
        **share,
    )
    try:
        for row in written.iter_rows():
            yield _checked(row)
    except RayError as exc:
        said = " ".join(str(exc).split())
        raise InputError(f"the cluster failed: {said[-300:]}; --resume continues this job") from exc


def _share(workers: Workers | None, *, on_gpu: bool) -> tuple[dict[str, float], int]:
    """What an actor needs of a node, and the most actors."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    kind = "GPU" if on_gpu else "CPU"
    total = sum(int(node.get(kind, 0)) for node in nodes)
    if not total:
        raise DeviceError(f"the cluster has no {kind}: name another --device, or add nodes")
    most = workers.most if workers else total
    if on_gpu:
        return {"num_gpus": 1, "num_cpus": 1}, most
    largest = max(int(node.get("CPU", 0)) for node in nodes)
    return {"num_cpus": max(1, min(largest, total // most))}, most


def _list_parts(
    job: Job, finished: dict[int, FinishedPart], size: int, _row: Any
) -> Iterator[dict[str, Any]]:
    """The parts to do, as rows of a dataset; runs on the cluster, so that the driver holds none of them."""
    settings = job.settings
    try:
        for part in pending_parts(list_entries(settings.sources, settings.column), finished, size):
            yield {"part": pickle.dumps(part), "error": b""}
    except YoleanError as error:
        yield {"part": b"", "error": pickle.dumps(error)}


class _PartActor:
    """Predicts parts and writes them, on its share of a node."""

    def __init__(self, model: ClusterModel, options: Mapping[str, Any], job: Job) -> None:
        import ray

        share = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
        cores = max(1, int(share))
        cv2.setNumThreads(cores)  # OpenCV would use all of the node, beside the other actors on it
        self._engine = load(model.data, threads=cores, **model.arguments)
        self._options, self._job = options, job

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        row: dict[str, Any] = {"start": 0, "count": 0, "failed": 0, "digest": "", "error": batch["error"][0]}
        if not row["error"]:
            part: Part = pickle.loads(batch["part"][0])
            try:
                (done,) = run_here(self._engine, [part], self._options, self._job)
                row |= {
                    "start": done.start,
                    "count": done.count,
                    "failed": done.failed,
                    "digest": done.digest,
                }
            except YoleanError as error:
                row["error"] = pickle.dumps(error)
        return {name: [value] for name, value in row.items()}


def _checked(row: dict[str, Any]) -> FinishedPart:
    """The part of a row; raises the error that came in place of it."""
    error = row.pop("error")
    if error:
        raise pickle.loads(error)
    return FinishedPart(**row)
