"""The real operator at work beside Argo CD and Flux; and whether both tools take the examples."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
import yaml

from gitops.lua import run
from spillway_dev.cluster import Cluster
from spillway_dev.toolchain import Tools
from support.gitops import EXAMPLES, FLUX_SPEC, SYNCS, TOOLS, ask, counts, in_git, route_history, target_history, tool
from support.world import World, hosted_lane, http_route, own_lane, plan, workload

GROUP = "spillway.dev"
JSON = dict[str, Any]


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
    deployments, routes = target_history(cluster, ns), route_history(cluster, ns)
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
    seen = target_history(cluster, ns)
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
