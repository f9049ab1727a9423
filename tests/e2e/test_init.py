"""``spillway init`` on what `examples/` deploys: its manifests apply as they are, and the operator recommends."""

from __future__ import annotations

import json
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


def test_the_first_manifests_apply_and_get_a_recommendation(serving: ServingWorld) -> None:
    world = serving
    world.fleet.demand_rps = 45
    world.prometheus.wait_for(f'rate(vllm:generation_tokens_total{{namespace="{world.namespace}"}}[10s]) > 0')
    world.prometheus.wait_for("rate(envoy_cluster_upstream_rq_total[10s]) > 0")
    since = world.journal.mark()

    done = world.init("--prometheus-url", world.prometheus.url, "--days", "0.02", "-o", "json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    folder = world.scratch / "spillway-manifests"
    assert [Path(name).name for name in told["files"]] == [
        f"{world.namespace}-{part}.yaml" for part in ("lanes", "classes", "plan")
    ]
    assert world.journal.writes(since=since, user=world.user) == []
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
    # Measured: 10 ms a token, and the first one after the queue.
    assert {"timeToFirstTokenMs", "interTokenLatencyMs"} <= {
        figure["name"] for each in told["objects"] for figure in each["figures"]
    }

    world.cluster.kubectl("apply", "--server-side", "--validate=strict", "-f", str(folder))
    world.start_operator()
    world.wait_condition("Ready", "True")
    world.wait_condition("RecommendationAvailable", "True")
    world.wait(lambda: (world.lane_status(TARGET).get("recommended") or 0) >= 2, "more replicas are recommended")
    assert world.replicas(TARGET) == 1
    assert world.weights() == {TARGET: 100, "egress": 0}

    again = world.init("--prometheus-url", world.prometheus.url)
    assert again.returncode == 1
    assert f"CapacityLane {TARGET} has it already" in again.stderr
