"""The fleet as a process, on a real control plane: it follows pods and route weights."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway_dev.cluster import Cluster
from spillway_dev.processes import ChildProcess, free_ports, wait_until

LANE = "gpu-h100"
READY_DELAY = "pod-ready.stage.kwok.x-k8s.io/delay"


class Fleet:
    """The process and what it answers."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self.process = process
        self.port = port

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return str(answer.read().decode())

    def score(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/score")))

    def healthy(self) -> bool:
        try:
            return self.get("/healthz") == "ok\n"
        except urllib.error.URLError:
            return False

    def wait(self, condition: Any, what: str) -> dict[str, Any]:
        wait_until(lambda: condition(self.score()), what, 120)
        return self.score()


def deployment(namespace: str, replicas: int) -> dict[str, Any]:
    pod = {
        "metadata": {"labels": {"app": "vllm-coder"}, "annotations": {READY_DELAY: "1s"}},
        "spec": {"containers": [{"name": "vllm", "image": "vllm/vllm-openai:v0.32.0"}]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "vllm-coder"}}, "template": pod}
    meta = {"name": "vllm-coder", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def route(namespace: str, local: int, hosted: int) -> dict[str, Any]:
    refs = [
        {"name": "vllm-coder", "port": 8000, "weight": local},
        {"name": "egress", "port": 4000, "weight": hosted},
    ]
    meta = {"name": "chat", "namespace": namespace}
    spec = {"parentRefs": [{"name": "front"}], "rules": [{"name": "coding", "backendRefs": refs}]}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": meta, "spec": spec}


@pytest.fixture
def fleet(repository: Path, gateway_api: Cluster, namespace: str, tmp_path: Path) -> Iterator[Fleet]:
    demo = repository / "examples/demo/fleet.yaml"
    config = yaml.safe_load(demo.read_text())
    config["demand"]["trace"] = str((demo.parent / config["demand"]["trace"]).resolve())
    config["lanes"][0]["namespace"] = config["classes"][0]["route"]["namespace"] = namespace
    path = tmp_path / "fleet.yaml"
    path.write_text(yaml.safe_dump(config))
    gateway_api.apply(deployment(namespace, 2), route(namespace, 1, 0))
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "spillway_dev.fleet", "--config", str(path), "--port", str(port)]
    # The demand clock is put into the middle of the day, where there is plenty of traffic.
    command += ["--kubeconfig", str(gateway_api.kubeconfig), "--starts-at", str(time.time() - 200)]
    process = ChildProcess("fleet", command, tmp_path / "fleet.log", folder=repository / "operator")
    started = Fleet(process, port)
    process.wait_ready(started.healthy, 30)
    yield started
    process.stop()


def test_it_follows_pods_and_weights(fleet: Fleet, gateway_api: Cluster, namespace: str) -> None:
    fleet.wait(lambda s: s["lanes"][LANE]["ready"] == 2, "two pods Ready")
    fleet.wait(lambda s: s["classes"]["coding-agents"]["met"] > 5, "requests served")
    metrics = fleet.get("/metrics/vllm")
    assert metrics.count("vllm:num_requests_running{") == 2
    assert "vllm:prompt_tokens_total{" in metrics
    assert "hosted" not in fleet.get("/metrics/litellm")

    gateway_api.apply(route(namespace, 0, 1))
    fleet.wait(lambda s: s["classes"]["coding-agents"]["hosted_requests"] > 5, "requests spilled")
    assert "litellm_spend_metric_total{" in fleet.get("/metrics/litellm")

    gateway_api.apply(deployment(namespace, 1))
    fleet.wait(lambda s: s["lanes"][LANE]["pods"] == 1, "one pod left")
    assert fleet.get("/metrics/vllm").count("vllm:num_requests_running{") == 1
    assert "envoy_cluster_upstream_rq_total{" in fleet.get("/metrics/envoy")
    assert "DCGM_FI_DEV_GPU_UTIL{" in fleet.get("/metrics/dcgm")
    state = fleet.get("/metrics/kube-state-metrics")
    assert f'kube_deployment_spec_replicas{{namespace="{namespace}",deployment="vllm-coder"}} 1' in state


def test_sigterm_ends_it_cleanly(fleet: Fleet) -> None:
    fleet.process.begin_stop()
    wait_until(lambda: not fleet.process.running, "the fleet to end", 120)
    assert fleet.process.returncode == 0
    assert "Traceback" not in fleet.process.tail()


def test_a_kubeconfig_that_is_not_there_is_one_clear_line(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "spillway_dev.fleet", "--config"]
    command += [str(repository / "examples/demo/fleet.yaml"), "--kubeconfig", str(tmp_path / "none")]
    command += ["--port", "1", "--starts-at", "0"]
    process = ChildProcess("fleet", command, tmp_path / "fleet.log", folder=repository / "operator")
    wait_until(lambda: not process.running, "the fleet to end", 120)
    assert process.returncode == 1
    assert "Error: kubeconfig" in process.tail()
    assert "Traceback" not in process.tail()
