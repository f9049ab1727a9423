"""``spillway init`` on what `examples/` deploys: its manifests apply as they are, and the operator recommends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway_dev.cluster import Cluster
from spillway_dev.nodes import FAKE_LABELS, FAKE_TAINT, STARTUP_ANNOTATION
from spillway_dev.prometheus import ScrapeJob
from support.scripted_fleet import ScriptedFleet
from support.world import OperatorWorld

SERVING = ("10-serving.yaml", "20-route.yaml")
TARGET = "vllm-coder"


class ServingWorld(OperatorWorld):
    """The examples' Deployments, Services and route in a namespace of this test, with a scripted fleet's metrics."""

    def __init__(self, cluster: Cluster, namespace: str, scratch: Path) -> None:
        self.fleet = ScriptedFleet(cluster.kubeconfig, namespace, deployment=TARGET, rule="coding").start()
        self.fleet.model = "qwen3-32b"
        super().__init__(cluster, namespace, scratch, [ScrapeJob("fleet", (f"127.0.0.1:{self.fleet.port}",))])

    def close(self) -> None:
        """Stop what was started."""
        super().close()
        self.fleet.stop()

    def deploy(self, examples: Path) -> None:
        """Apply what serves, on fake nodes."""
        documents = [each for name in SERVING for each in yaml.safe_load_all((examples / name).read_text("utf-8"))]
        for document in documents:
            document["metadata"]["namespace"] = self.namespace
            if document["kind"] == "Deployment":
                template = document["spec"]["template"]
                template["metadata"]["annotations"] = {STARTUP_ANNOTATION: "1s"}
                template["spec"] |= {"nodeSelector": FAKE_LABELS, "tolerations": [FAKE_TAINT]}
        self.apply(*documents)
        self.wait(lambda: self.ready(TARGET) == 1, "the engine is Ready")

    def init(self, *arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the command, as administrator unless told otherwise."""
        return subprocess.run(
            [sys.executable, "-m", "spillway", "init", "-n", self.namespace,
             "--kubeconfig", str(kubeconfig or self.cluster.kubeconfig), *arguments],
            capture_output=True, text=True, check=False, timeout=300, cwd=self.scratch,
        )  # fmt: skip


@pytest.fixture
def serving(
    gpu_nodes: Cluster, gateway_api: object, crds: object, namespace: str, tmp_path: Path, repository: Path
) -> Iterator[ServingWorld]:
    made = ServingWorld(gpu_nodes, namespace, tmp_path)
    made.deploy(repository / "examples")
    yield made
    made.close()


def documents(folder: Path) -> dict[str, dict[str, Any]]:
    """What was written, by kind and name."""
    found = [each for path in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text("utf-8"))]
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def reader_of_everything(world: ServingWorld) -> Path:
    """Somebody who may read all, and write nothing."""
    found = world.cluster.service_account_kubeconfig(world.namespace, "viewer")
    world.cluster.grant(world.namespace, "viewer", [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}])
    group = "rbac.authorization.k8s.io/v1"
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        world.cluster_wide.append(
            {"apiVersion": group, "kind": kind, "metadata": {"name": f"{world.namespace}-viewer"}}
        )
    return found


@pytest.mark.slow
def test_the_first_manifests_apply_and_get_a_recommendation(serving: ServingWorld) -> None:
    world = serving
    viewer = reader_of_everything(world)
    world.fleet.demand_rps = 6
    world.prometheus.wait_for(f'rate(vllm:generation_tokens_total{{namespace="{world.namespace}"}}[10s]) > 0')
    world.prometheus.wait_for("rate(envoy_cluster_upstream_rq_total[10s]) > 0")
    since = world.journal.mark()

    measured = ["--prometheus-url", world.prometheus.url, "--days", "0.02", "-o", "json"]
    done = world.init(*measured, kubeconfig=viewer)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    folder = world.scratch / "spillway-manifests"
    assert [Path(name).name for name in told["files"]] == [
        f"{world.namespace}-{part}.yaml" for part in ("lanes", "classes", "plan")
    ]
    assert world.journal.writes(since=since, user=f"system:serviceaccount:{world.namespace}:viewer") == []
    found = documents(folder)
    lane = found[f"CapacityLane/{TARGET}"]["spec"]
    assert lane["models"] == ["qwen3-32b"]
    assert lane["selfHosted"]["gpu"] == {"type": "nvidia-h100-80gb-hbm3", "perReplica": 1}
    assert found["CapacityLane/hosted-qwen3-32b"]["spec"]["hosted"] == {"provider": "groq", "model": "qwen/qwen3-32b"}
    item = found["WorkloadClass/coding"]["spec"]
    assert item["match"] == {"routeRule": {"route": "chat", "rule": "coding"}}
    assert item["dataPolicy"] == "SelfHostedOnly"
    plan = found["CapacityPlan/main"]["spec"]
    assert plan["mode"] == "Recommend"
    assert plan["routing"]["bindings"][0]["backends"] == {TARGET: TARGET, "hosted-qwen3-32b": "egress"}
    # Measured: one engine without a queue.
    figures = {figure["name"]: figure["value"] for each in told["objects"] for figure in each["figures"]}
    assert item["slo"]["timeToFirstTokenMs"] == int(figures["timeToFirstTokenMs"])
    assert item["slo"]["interTokenLatencyMs"] == int(figures["interTokenLatencyMs"])

    world.cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", str(folder))
    world.fleet.demand_rps = 45
    world.start_operator()
    world.wait_condition("Ready", "True")
    world.wait_condition("RecommendationAvailable", "True")
    world.wait(lambda: (world.lane_status(TARGET).get("recommended") or 0) >= 2, "more replicas are recommended")
    assert world.replicas(TARGET) == 1
    assert world.weights() == {TARGET: 100, "egress": 0}

    again = world.init("--prometheus-url", world.prometheus.url)
    assert again.returncode == 1
    assert f"CapacityLane {TARGET} has it already" in again.stderr


def restricted(world: ServingWorld) -> Path:
    """Somebody who may read Deployments, pods and routes of one namespace, and nothing else."""
    name, space = "reader", world.namespace
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["httproutes"], "verbs": ["list"]},
    ]
    group = "rbac.authorization.k8s.io"
    meta = {"name": name, "namespace": space}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": space}
    world.cluster.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [subject],
        },
    )
    return world.cluster.service_account_kubeconfig(space, name)


def test_what_may_not_be_looked_at_is_said_and_the_rest_is_written(serving: ServingWorld) -> None:
    world = serving
    reader = restricted(world)
    asked = world.init("--output-dir", "out", kubeconfig=reader)
    assert asked.returncode == 1
    assert "--gpu-price unknown=USD" in asked.stderr
    assert not (world.scratch / "out").exists()

    for address in ("localhost:9090", "http://host:port", "ftp://x"):
        wrong = world.init("--prometheus-url", address)
        assert (wrong.returncode, wrong.stderr) == (
            1,
            "error: --prometheus-url: must be http://host:port or https://host:port\n",
        )
    unknown = world.init("--output-dir", "out", "--gpu-price", "1", "-o", "json", "--force", kubeconfig=reader)
    why = {gap["what"]: gap["why"] for gap in json.loads(unknown.stdout)["notLookedAt"]}["Prometheus"]
    assert why == "the operator's configuration may not be read"
    shutil.rmtree(world.scratch / "out")
    gone = ["--prometheus-url", "http://127.0.0.1:9"]
    done = world.init("--output-dir", "out", "--gpu-price", "3.85", "-o", "json", *gone, kubeconfig=reader)
    assert done.returncode == 0, done.stderr
    gaps = {gap["what"]: gap["why"] for gap in json.loads(done.stdout)["notLookedAt"]}
    assert gaps["Prometheus http://127.0.0.1:9"].endswith("connection refused")
    assert {gaps[what] for what in ("nodes", "services", "horizontalpodautoscalers", "statefulsets")} == {"forbidden"}
    found = documents(world.scratch / "out")
    assert set(found) == {f"CapacityLane/{TARGET}", "WorkloadClass/qwen3-32b", "CapacityPlan/main"}
    own = found[f"CapacityLane/{TARGET}"]["spec"]["selfHosted"]
    assert own["gpu"] == {"type": "unknown", "perReplica": 1}
    assert own["price"]["usdPerGpuHour"] == "3.85"
    assert found["WorkloadClass/qwen3-32b"]["spec"]["match"] == {"model": "qwen3-32b"}
    text = "".join(path.read_text("utf-8") for path in (world.scratch / "out").iterdir())
    assert "# Could not be looked at: nodes (forbidden)." in text

    refused = world.init("--output-dir", "out", "--gpu-price", "3.85", *gone, kubeconfig=reader)
    assert refused.returncode == 1
    assert "exists already; give --force" in refused.stderr
    assert refused.stderr.count("\n") == 1

    # Without Prometheus and with another autoscaler: still manifests that the apiserver takes, on standard output.
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "other", "namespace": world.namespace},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": TARGET}, "maxReplicas": 3},
    }
    world.apply(hpa)
    shown = world.init("--output-dir", "-")
    assert shown.returncode == 0, shown.stderr
    assert "not looked at: Prometheus" in " ".join(shown.stderr.split())
    assert "CONFLICT: HorizontalPodAutoscaler/other scales it too" in " ".join(shown.stdout.replace("#", "").split())
    world.cluster.kubectl(
        "apply", "--server-side", "--validate=strict", "--dry-run=server", "-f", "-", stdin=shown.stdout
    )


def test_the_operators_configuration_and_all_namespaces(serving: ServingWorld) -> None:
    world = serving
    world.grant("recommend")
    found = world.init(
        "-A", "--operator-namespace", world.namespace, "--gpu-price", "3.85", "--output-dir", "all", "-o", "json"
    )
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    # The address that the chart was rendered with, where nobody listens.
    gaps = {gap["what"]: gap["why"] for gap in told["notLookedAt"]}
    assert gaps["Prometheus http://127.0.0.1:1"].endswith("connection refused")
    mine = {(each["kind"], each["name"]) for each in told["objects"] if each["namespace"] == world.namespace}
    assert {("CapacityLane", TARGET), ("WorkloadClass", "coding"), ("CapacityPlan", "main")} <= mine
    lane = documents(world.scratch / "all")[f"CapacityLane/{TARGET}"]["spec"]
    # From the arguments: nothing is measured.
    assert lane["models"] == ["qwen3-32b"]
