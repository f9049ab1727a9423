"""Argo CD, Flux and Helm beside Spillway on a real apiserver: who has the last word on replicas, notes and switches.

The tools are field managers here, by their own libraries (support/gitops.py); their controllers do not run. Spillway
writes by its own functions, or as the real operator. What loses is shown, too: docs/gitops.md names the test of each
row of its table.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.lua import run
from spillway.act.scale import scale_lane
from spillway.act.writes import Outcome
from spillway.api import CapacityLane
from spillway.api.names import BASELINE_ANNOTATION, LAST_SCALE_ANNOTATION, STOP_ANNOTATION
from spillway.decide.decision import LaneDecision, Reason
from spillway.kube import DEPLOYMENTS, Kube
from spillway_dev.cluster import Cluster
from spillway_dev.toolchain import Tools
from support.gitops import (
    ARGO_RULES,
    EXAMPLES,
    FLUX_SPEC,
    SYNCS,
    TOOLS,
    ArgoCD,
    History,
    ask,
    in_git,
    route_history,
    tool,
)
from support.world import World, hosted_lane, http_route, own_lane, plan, workload

AT = 1_800_000_000.0
JSON = dict[str, Any]
MANAGERS_ALONE = [{"group": "apps", "kind": "Deployment", "managedFieldsManagers": ["spillway-controller"]}]
GROUP = "spillway.dev"


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


@pytest.mark.parametrize("server_side", [True, False], ids=["server-side", "client-side"])
async def test_a_count_written_between_argo_cds_reading_and_writing(
    cluster: Cluster, namespace: str, spillway: Spillway, server_side: bool
) -> None:
    """Only with replicas in Git: the rule copies the count that was read."""
    git = ArgoCD(cluster, ARGO_RULES, server_side=server_side)
    for replicas, left in ((None, 6), (1, 5)):
        git.sync(in_git(namespace, replicas=replicas))
        await spillway.scale(5)
        targets = git.read(in_git(namespace, replicas=replicas))
        await spillway.scale(6)
        git.write(targets)
        assert await spillway.replicas() == left


@pytest.mark.parametrize(("policy", "left", "image"), [("Merge", 1, "vllm:2"), ("IfNotPresent", 5, "vllm:1")])
async def test_flux_apply_policies_are_no_ignore_rules(
    cluster: Cluster, namespace: str, spillway: Spillway, policy: str, left: int, image: str
) -> None:
    """Merge keeps what Git does not state; IfNotPresent never updates anything."""
    git = tool("flux", cluster, rules=False)
    for tag in ("vllm:1", "vllm:2"):
        made = in_git(namespace, replicas=1, image=tag)
        made["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/ssa": policy}
        git.sync(made)
        if tag == "vllm:1":
            await spillway.scale(5)
    found = await spillway.target()
    assert (found["spec"]["replicas"], found["spec"]["template"]["spec"]["containers"][0]["image"]) == (left, image)


@pytest.mark.parametrize("manager", ["kubectl-patch", "spillway-cli"])
@pytest.mark.parametrize("name", TOOLS)
def test_a_pause_by_hand(crds: Cluster, namespace: str, name: str, manager: str) -> None:
    """Flux takes back what a field manager whose name begins with kubectl has written."""
    git = tool(name, crds, rules=True)
    git.sync(plan(namespace))
    crds.kubectl(
        "patch", "capacityplan", "main", "-n", namespace, "--type=merge", f"--field-manager={manager}",
        "-p", '{"spec":{"paused":true}}',
    )  # fmt: skip
    for _ in range(SYNCS):
        git.sync(plan(namespace))
    taken_back = name == "flux" and manager.startswith("kubectl")
    assert crds.get("capacityplans", "main", namespace)["spec"]["paused"] is not taken_back


@pytest.mark.parametrize("manager", ["kubectl-annotate", "spillway-stop"])
@pytest.mark.parametrize("name", TOOLS)
def test_an_emergency_stop_by_hand(cluster: Cluster, namespace: str, name: str, manager: str) -> None:
    git = tool(name, cluster, rules=True)
    own = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {"team": "a"}}}
    git.sync(own)
    cluster.kubectl("annotate", "namespace", namespace, f"{STOP_ANNOTATION}=true", f"--field-manager={manager}")
    for _ in range(SYNCS):
        git.sync(own)
    taken_back = name == "flux" and manager.startswith("kubectl")
    annotations = cluster.get("namespace", namespace)["metadata"].get("annotations") or {}
    assert (STOP_ANNOTATION in annotations) is not taken_back


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
    seen = history(cluster, namespace)
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


def half_and_half(namespace: str) -> JSON:
    """A route whose weights no decision of Spillway's looks like."""
    made = http_route(namespace)
    for ref in made["spec"]["rules"][0]["backendRefs"]:
        ref["weight"] = 50
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_the_operator_at_work_beside(world: World, name: str) -> None:
    """Everything in Git but replicas: Deployment, route, lanes, class and plan; the operator decides meanwhile."""
    ns, cluster = world.namespace, world.cluster
    git = tool(name, cluster, rules=True)
    manifests = [in_git(ns), half_and_half(ns), own_lane(ns), hosted_lane(ns), workload(ns), plan(ns)]
    git.sync(*manifests)
    grown = world.grow()
    deployments, routes = history(cluster, ns), route_history(cluster, ns)
    for _ in range(SYNCS):
        git.sync(*manifests)
        world.wait_ticks(1)
        assert deployments.versions()
        assert routes.versions()
    world.stop_operator()
    assert min(counts(deployments)) >= min(grown, 4)
    assert all(each["spec"]["rules"][0]["backendRefs"][1]["weight"] != 50 for each in routes.versions())

    live = [cluster.get(f"{each['kind']}.{GROUP}", each["metadata"]["name"], ns) for each in manifests[2:]]
    assert [each["metadata"]["generation"] for each in live] == [1] * len(live), "nobody writes a spec"
    for obj in live:
        script = (EXAMPLES / f"argocd/health/{obj['kind']}.lua").read_text()
        assert run(script, obj)["status"] == "Healthy"
    for answer in ask(cluster.tools, "flux-wait", {"healthCheckExprs": FLUX_SPEC["healthCheckExprs"], "objects": live}):
        assert (answer["checked"]["status"], answer["kstatus"]["status"]) == ("Current", "Current")


@pytest.mark.slow
def test_the_operator_says_who_writes_replicas(world: World) -> None:
    """Replicas in Git without an ignore rule: each sync throws the fleet back, and the operator names the way out."""
    ns, cluster = world.namespace, world.cluster
    git = tool("argocd-server-side", cluster, rules=False)
    manifests = [in_git(ns, replicas=1), half_and_half(ns), own_lane(ns), hosted_lane(ns), workload(ns), plan(ns)]
    git.sync(*manifests)
    world.grow()
    seen = history(cluster, ns)
    for _ in range(2):
        git.sync(*manifests)
        world.wait(lambda: world.replicas() >= 3, "the operator scales up again")
    fallen = [count for count, _ in itertools.groupby(count == 1 for count in counts(seen))]
    assert fallen.count(True) == 2
    told = cluster.kubectl("get", "events.events.k8s.io", "-n", ns, "-o", "json")
    assert "argocd-controller sets the replicas of Deployment vllm too; remove spec.replicas" in told


def test_the_examples_are_what_both_apis_take(tools: Tools, cluster: Cluster, namespace: str) -> None:
    """By the tools' own CRDs, no field unknown; and argocd-cm is added to what is there."""
    cluster.apply_crds(*tools.gitops_crds())
    for path in ("argocd/application.yaml", "flux/kustomization.yaml"):
        made = yaml.safe_load((EXAMPLES / path).read_text())
        made["metadata"]["namespace"] = namespace
        cluster.kubectl("create", "--validate=strict", "-f", "-", stdin=json.dumps(made))
    cluster.kubectl(
        "create", "configmap", "argocd-cm", "-n", namespace, "--from-literal=url=https://argocd.example.com"
    )
    cluster.kubectl(
        "patch", "configmap", "argocd-cm", "-n", namespace, "--patch",
        json.dumps({"data": yaml.safe_load((EXAMPLES / "argocd/argocd-cm.yaml").read_text())["data"]}),
    )  # fmt: skip
    data = cluster.get("configmaps", "argocd-cm", namespace)["data"]
    assert data["url"] == "https://argocd.example.com"
    assert "resource.customizations.health.spillway.dev_CapacityPlan" in data
