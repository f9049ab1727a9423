"""The doctor looks at a real installation: real apiserver, real Prometheus, the chart's own permissions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from spillway.api.crd import KINDS
from support.world import World, plan

Report = list[dict[str, str]]


def doctor(world: World, *arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """``spillway doctor`` with the world's configuration, as administrator unless told otherwise."""
    path = world.scratch / "doctor.yaml"
    path.write_text(yaml.safe_dump(world.config()))
    return subprocess.run(
        [sys.executable, "-m", "spillway", "doctor", "--config", str(path), *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(world.scratch),
            "KUBECONFIG": str(kubeconfig or world.cluster.kubeconfig),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def report(done: subprocess.CompletedProcess[str]) -> Report:
    """The checks of ``-o json``."""
    assert done.stdout, done.stderr
    checks: Report = json.loads(done.stdout)["checks"]
    return checks


def found(checks: Report, area: str, verdict: str) -> list[str]:
    """Messages of one area and verdict."""
    return [check["message"] for check in checks if (check["area"], check["verdict"]) == (area, verdict)]


def running(world: World, mode: str = "Recommend") -> None:
    """Two replicas that serve 12 requests a second, seen by Prometheus."""
    world.standard(replicas=2, mode=mode)
    world.fleet.demand_rps = 12
    # Some history as well: what a request is, in tokens, is read from it.
    done = f'vllm:request_success_total{{namespace="{world.namespace}"}}'
    world.prometheus.wait_for(f"count(rate({done}[4s] offset 4s) > 0) == 2")
    world.prometheus.wait_for("rate(envoy_cluster_upstream_rq_total[4s]) > 0")


def test_a_sound_installation_passes_as_the_operator_and_as_administrator(world: World) -> None:
    running(world)
    world.grant("recommend")
    as_operator = doctor(world, "-o", "json", kubeconfig=world.kubeconfig)
    checks = report(as_operator)
    assert [check for check in checks if check["verdict"] == "fail"] == []
    assert as_operator.returncode == 0
    assert found(checks, "permissions", "pass") == [f"{world.user} may recommend"]
    assert found(checks, "engine metrics", "pass") == [f"lane {world.namespace}/gpu: 2 of 2 Ready pods report"]
    assert found(checks, "CRDs", "pass") == [f"{len(KINDS)} installed, as of this release"]
    assert any("front: 1 series of Envoy" in message for message in found(checks, "gateways", "pass"))
    assert found(checks, "prices", "pass") == ["hosted: contract"]
    recommended = [check["message"] for check in checks if check["area"] == "recommendation"]
    assert any("(Recommend): gpu 2 ->" in message for message in recommended), recommended
    assert any("of history; a rhythm of 1 d is learned in" in text for text in found(checks, "recommendation", "warn"))

    impersonated = report(doctor(world, "-o", "json", "--as", world.user))
    assert found(impersonated, "permissions", "pass") == [f"{world.user} may recommend"]


def test_apply_without_the_permission_is_named(world: World) -> None:
    running(world, mode="Apply")
    world.grant("recommend")
    done = doctor(world, "-o", "json", "--as", world.user)
    (message,) = found(report(done), "permissions", "fail")
    assert "patch deployments/scale.apps" in message
    assert f"mode Apply: {world.namespace}/main" in message
    assert done.returncode == 1


def test_the_right_on_a_proxys_config_map_is_named_with_the_value_to_set(world: World) -> None:
    world.standard(replicas=1)
    world.grant("apply")

    def looked(config_map: str) -> Report:
        made = plan(world.namespace)
        made["spec"]["routing"]["litellm"] = {"configMap": config_map, "deployment": "litellm"}
        world.apply(made)
        return report(doctor(world, "-o", "json", "--as", world.user))

    (missing,) = [check for check in looked("proxy-config") if check["area"] == "LiteLLM"]
    assert missing["verdict"] == "fail"
    assert f"{world.user} may not get ConfigMap {world.namespace}/proxy-config" in missing["message"]
    assert missing["fix"] == "helm upgrade with --set 'rbac.litellm.configMaps={proxy-config}'"
    # The one that the chart was given.
    (there,) = [check for check in looked("litellm-config") if check["area"] == "LiteLLM"]
    assert there["verdict"] == "pass"


def test_renamed_labels_are_recognised_by_their_values(world: World) -> None:
    running(world)
    world.extra_config = {
        "prometheus": world.config()["prometheus"]
        | {"labels": {"namespace": "kubernetes_namespace", "pod": "kubernetes_pod_name"}}
    }
    checks = [check for check in report(doctor(world, "-o", "json")) if check["area"] == "metric labels"]
    (check,) = checks
    assert check["verdict"] == "fail"
    assert check["fix"] == "set prometheus.labels: {namespace: namespace, pod: pod}"


def test_what_is_broken_is_said_with_a_fix(world: World) -> None:
    running(world)
    hpa: dict[str, Any] = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "vllm", "namespace": world.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
            "maxReplicas": 3,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                }
            ],
        },
    }
    world.apply(hpa)
    stop = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "spillway-emergency-stop", "namespace": world.namespace},
        "data": {"stop": "true"},
    }
    world.apply(stop)
    world.extra_config = {
        "gateways": [{"name": "lost", "type": "LiteLLM", "role": "Egress", "labels": {"job": "nowhere"}}],
        "gpuPools": [{"name": "h100", "gpus": 4096}],
    }
    done = doctor(world, "-o", "json")
    checks = report(done)
    assert any("AutoscalerConflict" in message for message in found(checks, "objects", "fail"))
    assert any("says stop" in message for message in found(checks, "emergency stop", "warn"))
    assert any("lost: no series of LiteLLM" in message for message in found(checks, "gateways", "fail"))
    assert any("pools promise 4096 GPUs" in message for message in found(checks, "GPU pools", "warn"))
    assert done.returncode == 1


def test_prometheus_out_of_reach_and_secrets_stay_out_of_the_report(world: World) -> None:
    world.standard(replicas=1, mode="Recommend")
    done = doctor(world, "--no-color", "--prometheus-url", "http://user:hunter2@127.0.0.1:9")
    assert done.returncode == 1
    assert "connection refused" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_no_installation_at_all_is_said(world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spillway", "doctor", "--operator-namespace", "nowhere", "-o", "json"],
        env={"PATH": os.environ["PATH"], "HOME": str(world.scratch), "KUBECONFIG": str(world.cluster.kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert found(report(done), "configuration", "fail") == ["the chart is not installed in namespace nowhere"]
    assert done.returncode == 1
