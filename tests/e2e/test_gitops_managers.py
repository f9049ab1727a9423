"""Argo CD and Flux beside Spillway on a real apiserver: who has the last word on replicas, weights and notes.

Both tools are field managers here, by their own libraries (support/gitops.py); their controllers do not run. Spillway
writes by its own functions. What loses is shown, too: docs/gitops.md names the test of each row of its table.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from spillway.act.scale import scale_lane
from spillway.act.writes import Outcome
from spillway.api import CapacityLane
from spillway.api.names import BASELINE_ANNOTATION, LAST_SCALE_ANNOTATION
from spillway.decide.decision import LaneDecision, Reason
from spillway.kube import DEPLOYMENTS, Kube
from spillway_dev.cluster import Cluster
from support.gitops import ArgoCD, Flux, History, Manager
from support.world import deployment, own_lane

AT = 1_800_000_000.0
SYNCS = 3
JSON = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples" / "gitops"
ARGO_RULES: list[JSON] = yaml.safe_load((EXAMPLES / "argocd/application.yaml").read_text())["spec"]["ignoreDifferences"]
FLUX_RULES: list[JSON] = yaml.safe_load((EXAMPLES / "flux/kustomization.yaml").read_text())["spec"]["ignore"]
MANAGERS_ALONE = [{"group": "apps", "kind": "Deployment", "managedFieldsManagers": ["spillway-controller"]}]
TOOLS = ("argocd-server-side", "argocd-client-side", "flux")


def tool(name: str, cluster: Cluster, *, rules: bool) -> Manager:
    """One of TOOLS, with the examples' ignore rules or with none."""
    if name == "flux":
        return Flux(cluster, FLUX_RULES if rules else ())
    return ArgoCD(cluster, ARGO_RULES if rules else (), server_side=name == "argocd-server-side")


def in_git(namespace: str, *, replicas: int | None = None, image: str = "vllm:1") -> JSON:
    """The Deployment as Git has it."""
    made = deployment(namespace)
    made["spec"]["template"]["spec"]["containers"][0]["image"] = image
    del made["spec"]["replicas"]
    if replicas is not None:
        made["spec"]["replicas"] = replicas
    return made


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield connected


class Spillway:
    """The operator's writes on the Deployment's replicas."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace
        self._lane = CapacityLane.parse(own_lane(namespace))

    async def scale(self, to: int) -> None:
        """Bring it to ``to``. A controller that writes status at the same time is waited for."""
        for _ in range(20):
            now = await self.target()
            before = int(now["spec"]["replicas"])
            decided = LaneDecision("gpu", before, before, to, to, Reason("Test", "Because."), writable=True)
            writes = await scale_lane(self._kube, self._lane, decided, now["metadata"]["uid"], AT)
            if writes[-1].outcome is Outcome.WRITTEN:
                return
        raise AssertionError(f"not scaled to {to}: {writes[-1].error}")

    async def target(self) -> JSON:
        """The Deployment."""
        return await self._kube.get(DEPLOYMENTS, self._namespace, "vllm")

    async def replicas(self) -> int:
        """Its spec.replicas."""
        return int((await self.target())["spec"]["replicas"])


@pytest.fixture
def spillway(kube: Kube, namespace: str) -> Spillway:
    return Spillway(kube, namespace)


def history(cluster: Cluster, namespace: str) -> History:
    return History(cluster, f"/apis/apps/v1/namespaces/{namespace}/deployments", "vllm")


def counts(seen: History) -> list[int]:
    return [int(each["spec"]["replicas"]) for each in seen.versions()]


@pytest.mark.parametrize("replicas", [None, 1], ids=["none-in-git", "in-git"])
@pytest.mark.parametrize("name", TOOLS)
async def test_replicas_are_spillways(
    cluster: Cluster, namespace: str, spillway: Spillway, name: str, replicas: int | None
) -> None:
    git = tool(name, cluster, rules=replicas is not None)
    git.sync(in_git(namespace, replicas=replicas))
    await spillway.scale(5)
    seen = history(cluster, namespace)
    for _ in range(SYNCS):
        git.sync(in_git(namespace, replicas=replicas))
        await spillway.scale(5)
    git.sync(in_git(namespace, replicas=replicas, image="vllm:2"))
    assert set(counts(seen)) == {5}, "at no time anything else"

    later = history(cluster, namespace)
    await spillway.scale(6)
    git.sync(in_git(namespace, replicas=replicas, image="vllm:2"))
    assert set(counts(later)) == {5, 6}
    assert counts(later) == sorted(counts(later)), "never back"
    found = await spillway.target()
    assert found["spec"]["replicas"] == 6
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "vllm:2", "what Git is for still comes"
    notes = found["metadata"]["annotations"]
    assert notes[BASELINE_ANNOTATION] == "1"
    assert json.loads(notes[LAST_SCALE_ANNOTATION])["to"] == 6


@pytest.mark.parametrize("name", TOOLS)
async def test_replicas_in_git_win_without_an_ignore_rule(
    cluster: Cluster, namespace: str, spillway: Spillway, name: str
) -> None:
    git = tool(name, cluster, rules=False)
    git.sync(in_git(namespace, replicas=1))
    for count in (5, 6):
        await spillway.scale(count)
        git.sync(in_git(namespace, replicas=1))
        assert await spillway.replicas() == 1


@pytest.mark.parametrize(
    ("name", "rules", "left"),
    [
        ("argocd-server-side", (), 5),
        ("argocd-client-side", (), 1),
        ("argocd-client-side", MANAGERS_ALONE, 1),
        ("argocd-client-side", ARGO_RULES, 5),
        ("flux", (), 5),
    ],
    ids=["argocd-server-side", "argocd-client-side", "argocd-client-side-managers", "argocd-client-side-rules", "flux"],
)
async def test_replicas_leave_git(
    cluster: Cluster, namespace: str, spillway: Spillway, name: str, rules: list[JSON], left: int
) -> None:
    """Client-side apply takes the missing field for a deletion, and managedFieldsManagers does not see it."""
    git = tool(name, cluster, rules=False)
    git.sync(in_git(namespace, replicas=1))
    await spillway.scale(5)
    git.ignore = list(rules)
    git.sync(in_git(namespace))
    assert await spillway.replicas() == left
    assert (await spillway.target())["metadata"]["annotations"][BASELINE_ANNOTATION] == "1"
