"""Helm beside Spillway on a real apiserver: what an upgrade makes of replicas."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from spillway.kube import Kube
from spillway_dev.cluster import Cluster
from support.gitops import Spillway, counts, in_git, target_history


@pytest.fixture
async def spillway(cluster: Cluster, namespace: str) -> AsyncIterator[Spillway]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield Spillway(connected, namespace)


class Helm:
    """Helm with a chart of one Deployment, by server-side or by client-side apply."""

    def __init__(self, cluster: Cluster, namespace: str, chart: Path, server_side: bool) -> None:
        self._cluster, self._namespace, self._chart = cluster, namespace, chart
        self._how = f"--server-side={str(server_side).lower()}"

    def upgrade(self, replicas: int | None, image: str) -> str:
        """Install or upgrade; what it complains of, empty where it did not."""
        (self._chart / "templates").mkdir(parents=True, exist_ok=True)
        (self._chart / "Chart.yaml").write_text("apiVersion: v2\nname: engines\nversion: 0.1.0\n")
        made = in_git(self._namespace, replicas=replicas, image=image)
        (self._chart / "templates" / "vllm.yaml").write_text(json.dumps(made))
        done = subprocess.run(
            [self._cluster.tools.path("helm"), "upgrade", "--install", "engines", str(self._chart), self._how,
             "--namespace", self._namespace, "--kubeconfig", str(self._cluster.kubeconfig)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.stderr if done.returncode else ""


@pytest.mark.parametrize("server_side", [True, False], ids=["server-side", "client-side"])
async def test_a_chart_without_replicas(
    cluster: Cluster, namespace: str, spillway: Spillway, tmp_path: Path, server_side: bool
) -> None:
    helm = Helm(cluster, namespace, tmp_path, server_side)
    assert not helm.upgrade(None, "vllm:1")
    await spillway.scale(5)
    seen = target_history(cluster, namespace)
    assert not helm.upgrade(None, "vllm:1")
    assert not helm.upgrade(None, "vllm:2")
    assert set(counts(seen)) == {5}


async def test_a_chart_with_replicas_is_refused_or_wins(
    cluster: Cluster, namespace: str, spillway: Spillway, tmp_path: Path
) -> None:
    helm = Helm(cluster, namespace, tmp_path, server_side=True)
    assert not helm.upgrade(1, "vllm:1")
    await spillway.scale(5)
    assert 'conflict with "spillway-controller" with subresource "scale": .spec.replicas' in helm.upgrade(1, "vllm:2")
    assert await spillway.replicas() == 5
    assert not Helm(cluster, namespace, tmp_path, server_side=False).upgrade(1, "vllm:2")
    assert await spillway.replicas() == 1
