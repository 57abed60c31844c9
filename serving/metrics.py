"""Prometheus metrics of a server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the folder through which several processes share their metrics."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one server; every server of a process has its own.

    Labels are statuses, stages, and ids of models that are served: nothing that a client writes becomes one.
    """

    def __init__(self) -> None:
        """Start all metrics at zero."""
        disable_created_metrics()  # type: ignore[no-untyped-call] # one more series for each metric
        own = self._registry = CollectorRegistry()
        self._shared = os.environ.get(SHARED_FOLDER)
        self.requests = Counter(
            "yolean_requests", "Prediction requests answered", ("model", "status"), registry=own
        )
        self.seconds = Histogram(
            "yolean_request_seconds",
            "From the head of a prediction request to its answer",
            ("model",),
            registry=own,
            buckets=_SECONDS,
        )
        self.stages = Histogram(
            "yolean_stage_seconds",
            "Time of a stage: fetch, decode, queue, preprocess, inference, postprocess (JSON included)",
            ("model", "stage"),
            registry=own,
            buckets=_SECONDS,
        )
        self.objects = Counter("yolean_objects", "Objects found", ("model",), registry=own)
        self.batches = Histogram(
            "yolean_batch_size", "Images a run", ("model",), registry=own, buckets=(1, 2, 4, 8, 16, 32)
        )
        self.shed = Counter(
            "yolean_shed", "Requests turned away", ("reason",), registry=own
        )  # queue, uploads, deadline, drain
        self.left = Counter("yolean_clients_left", "Clients gone before their answer", registry=own)
        self.queued = Gauge(
            "yolean_queue_depth", "Requests that wait", registry=own, multiprocess_mode="livesum"
        )
        self.running = Gauge("yolean_running", "Requests at work", registry=own, multiprocess_mode="livesum")
        self.models = Gauge("yolean_models", "Models served", registry=own, multiprocess_mode="livemin")
        self.failed_models = Gauge(
            "yolean_models_failed",
            "Model files that could not be loaded",
            registry=own,
            multiprocess_mode="livemax",
        )
        self.loads = Counter("yolean_model_loads", "Model files loaded", ("result",), registry=own)
        if self._shared:
            _remove_dead(Path(self._shared))

    def observe(self, model: str, milliseconds: Mapping[str, float]) -> None:
        """Count the stages of one request, in milliseconds by stage."""
        for stage, value in milliseconds.items():
            self.stages.labels(model, stage).observe(value / 1e3)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._collected())

    def families(self) -> list[Metric]:
        """All metrics with their samples, which can be pickled."""
        return list(self._collected().collect())

    def _collected(self) -> CollectorRegistry:
        if not self._shared:
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self._shared)  # type: ignore[no-untyped-call]
        return registry


class ReplicaMetrics:
    """The metrics of several servers as one set, each series with the label `replica`.

    Sums over the replicas are the reader's: a gauge of one of them is worth knowing by itself.
    """

    def __init__(self, replicas: Mapping[str, Iterable[Metric]]) -> None:
        """Take what `Metrics.families` gives, by name of the replica."""
        self._replicas = replicas

    def collect(self) -> Iterable[Metric]:
        """The metrics; each comes once, as Prometheus' format wants it."""
        joined: dict[str, Metric] = {}
        for replica, families in sorted(self._replicas.items()):
            for family in families:
                whole = joined.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                whole.samples += [
                    sample._replace(labels={**sample.labels, "replica": replica}) for sample in family.samples
                ]
        answered = GaugeMetricFamily("yolean_replicas", "Replicas whose series these are")
        answered.add_metric([], len(self._replicas))
        return [*joined.values(), answered]

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self)


def _remove_dead(folder: Path) -> None:
    """Remove the gauges of processes that were killed, whose queues would count for ever."""
    for file in folder.glob("gauge_live*_*.db"):
        number = re.search(r"_(\d+)\.db$", file.name)
        if number and not Path("/proc", number[1]).exists() and Path("/proc").exists():
            mark_process_dead(int(number[1]), str(folder))  # type: ignore[no-untyped-call]
