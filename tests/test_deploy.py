"""What deploy/ holds: valid by Kubernetes' schemas, true to the server's settings and metrics."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from yolean.ray_serve import NAME
from yolean.serving.metrics import Metrics
from yolean.serving.settings import Settings

DEPLOY = Path(__file__).parents[1] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OTHERS = ("ServiceMonitor", "Kustomization", "RayService")
"""Kinds that are not Kubernetes' own: operators bring their schemas."""


def documents() -> list[tuple[Path, dict[str, Any]]]:
    """All manifests, each with its file."""
    yaml = pytest.importorskip("yaml", reason="kubernetes-validate brings PyYAML")
    return [(path, yaml.safe_load(path.read_text())) for path in sorted(KUBERNETES.rglob("*.yaml"))]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.33", "1.35"])
def test_manifests_are_valid_by_the_official_schemas(version: str) -> None:
    import kubernetes_validate

    own = [(path, found) for path, found in documents() if found["kind"] not in OTHERS]
    assert len(own) >= 8
    for path, found in own:
        if "overlays" not in path.parts:  # patches are parts of objects
            kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.slow
def test_kustomizations_name_files_that_exist_and_all_of_them() -> None:
    for path, found in documents():
        if found["kind"] == "Kustomization":
            named = [*found["resources"], *(patch["path"] for patch in found.get("patches", ()))]
            assert all((path.parent / name).exists() for name in named), path
            beside = {file.name for file in path.parent.glob("*.yaml")} - {path.name}
            assert beside == {name for name in named if name.endswith(".yaml")}, path


@pytest.mark.slow
def test_the_deployment_is_the_server_that_it_describes() -> None:
    kinds = {found["kind"]: found for path, found in documents() if path.parent == KUBERNETES}
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    known = {f"YOLEAN_{name.upper()}" for name in Settings.__dataclass_fields__}
    assert set(variables) <= known
    sleep = int(re.findall(r"sleep\((\d+)\)", container["lifecycle"]["preStop"]["exec"]["command"][-1])[0])
    assert pod["terminationGracePeriodSeconds"] > sleep + float(variables["YOLEAN_DRAIN"])
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        kinds["Deployment"]["spec"]["selector"]["matchLabels"],
        kinds["Service"]["spec"]["selector"],
        kinds["Service"]["metadata"]["labels"],
        kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        kinds["ServiceMonitor"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    assert kinds["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]["name"] in series()


def ray() -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration of Ray Serve, and the RayService."""
    yaml = pytest.importorskip("yaml", reason="kubernetes-validate brings PyYAML")
    read = [yaml.safe_load((DEPLOY / "ray" / name).read_text()) for name in ("serve.yaml", "rayservice.yaml")]
    return read[0], read[1]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.33", "1.35"])
def test_the_pods_of_the_ray_service_are_valid_by_the_official_schemas(version: str) -> None:
    """The fields around them are KubeRay's, whose schema no package brings."""
    import kubernetes_validate

    cluster = ray()[1]["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
        kubernetes_validate.validate(pod, version, strict=True)


def test_the_ray_service_has_the_configuration_of_ray_serve() -> None:
    yaml = pytest.importorskip("yaml", reason="kubernetes-validate brings PyYAML")
    config, service = ray()
    assert yaml.safe_load(service["spec"]["serveConfigV2"]) == config
    (app,) = config["applications"]
    (deployment,) = app["deployments"]
    known = {f"YOLEAN_{name.upper()}" for name in Settings.__dataclass_fields__}
    variables = app["runtime_env"]["env_vars"]
    assert {name for name in variables if not name.startswith("RAY_")} <= known
    assert deployment["name"] == NAME
    (group,) = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    pod = group["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] > deployment["graceful_shutdown_timeout_s"]
    (container,) = pod["containers"]
    cores = int(container["resources"]["limits"]["cpu"])
    most = deployment["autoscaling_config"]["max_replicas"] * (1 + deployment["max_surge_percent"] / 100)
    assert cores * group["maxReplicas"] >= deployment["ray_actor_options"]["num_cpus"] * most
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert variables["YOLEAN_MODELS"] in mounts


def series() -> set[str]:
    """Names of the series that `/metrics` gives."""
    metrics = Metrics()
    metrics.requests.labels("m", "200").inc()
    for histogram in (metrics.seconds, metrics.batches):
        histogram.labels("m").observe(1)
    metrics.stages.labels("m", "queue").observe(1)
    metrics.objects.labels("m").inc()
    metrics.shed.labels("queue").inc()
    metrics.loads.labels("ok").inc()
    families = text_string_to_metric_families(metrics.text().decode())
    return {sample.name for family in families for sample in family.samples}


def test_the_dashboard_names_series_and_labels_that_the_server_has() -> None:
    board = json.loads((DEPLOY / "grafana" / "yolean.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [variable["query"] for variable in board["templating"]["list"]]
    named = {name for query in queries for name in re.findall(r"yolean_\w+", query)}
    assert named <= series()
    assert len(named) >= 12
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
