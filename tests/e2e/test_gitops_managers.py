"""Argo CD and Flux beside Spillway on a real apiserver: who has the last word on replicas, weights and notes.

Both tools are field managers here, by their own libraries (support/gitops.py); their controllers do not run. Spillway
writes by its own functions. What loses is shown, too: docs/gitops.md names the test of each row of its table.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.lua import run
from spillway.act.planes.plane import Wanted
from spillway.act.planes.registry import PLANES
from spillway.act.scale import scale_lane
from spillway.act.writes import Outcome
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.names import BASELINE_ANNOTATION, LAST_SCALE_ANNOTATION
from spillway.decide.decision import LaneDecision, Reason
from spillway.kube import DEPLOYMENTS, HTTP_ROUTES, Kube
from spillway_dev.cluster import Cluster
from spillway_dev.toolchain import Tools
from support.gitops import ArgoCD, Flux, History, Manager, ask
from support.proxies import CONFIG_MAP, proxy_objects
from support.world import World, deployment, hosted_lane, http_route, own_lane, plan, workload

AT = 1_800_000_000.0
SYNCS = 3
JSON = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples" / "gitops"
ARGO_RULES: list[JSON] = yaml.safe_load((EXAMPLES / "argocd/application.yaml").read_text())["spec"]["ignoreDifferences"]
GROUP = "spillway.dev"
FLUX_SPEC: JSON = yaml.safe_load((EXAMPLES / "flux/kustomization.yaml").read_text())["spec"]
FLUX_RULES: list[JSON] = FLUX_SPEC["ignore"]
FLUX_CHECKS: list[JSON] = FLUX_SPEC["healthCheckExprs"]
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


def route_history(cluster: Cluster, namespace: str) -> History:
    return History(cluster, f"/apis/{HTTP_ROUTES.api_version}/namespaces/{namespace}/httproutes", "chat")


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


def route_in_git(namespace: str, *, weights: bool = True, path: str = "/") -> JSON:
    """The route as Git has it, half and half, so that no decision of Spillway's looks like it."""
    made = http_route(namespace)
    (rule,) = made["spec"]["rules"]
    rule["matches"] = [{"path": {"type": "PathPrefix", "value": path}}]
    for ref in rule["backendRefs"]:
        del ref["weight"]
        if weights:
            ref["weight"] = 50
    return made


def to_have(namespace: str, **spec: Any) -> Wanted:
    """What the route should have; ``spec``: of the plan."""
    lanes = CapacityLane.parse(own_lane(namespace)), CapacityLane.parse(hosted_lane(namespace))
    bound, item = CapacityPlan.parse(plan(namespace, **spec)), WorkloadClass.parse(workload(namespace))
    return Wanted(bound, (item,), lanes, {"chat": {"gpu": 80, "hosted": 20}}, frozenset({"chat"}), at=AT)


async def wrote(kube: Kube, wanted: Wanted) -> int:
    """One tick of the plane: how many writes were due."""
    plane = PLANES[wanted.plan.spec.routing.plane]
    writes = await plane.apply(kube, plane.render(wanted, await plane.read(kube, wanted)))
    assert all(write.ok for write in writes)
    return len(writes)


class Routes:
    """The operator's writes on the route's weights: each tick brings it to 20% hosted."""

    def __init__(self, kube: Kube, cluster: Cluster, namespace: str, wanted: Wanted | None = None) -> None:
        self._kube, self._namespace = kube, namespace
        self._wanted = wanted or to_have(namespace)
        self._history = route_history(cluster, namespace)

    async def tick(self) -> int:
        """How many writes were due."""
        return await wrote(self._kube, self._wanted)

    async def rule(self) -> JSON:
        """The first rule of the route."""
        found = await self._kube.get(HTTP_ROUTES, self._namespace, "chat")
        rule: JSON = found["spec"]["rules"][0]
        return rule

    def hosted_weights(self) -> list[int]:
        """As they followed each other, each change once."""
        refs = (each["spec"]["rules"][0]["backendRefs"] for each in self._history.versions())
        return [weight for weight, _ in itertools.groupby(int(ref[1].get("weight", 1)) for ref in refs)]


def matched(rule: JSON) -> str:
    return str(rule["matches"][0]["path"]["value"])


@pytest.mark.parametrize("name", TOOLS)
async def test_weights_of_an_adopted_route_are_spillways(
    gateway_api: Cluster, namespace: str, kube: Kube, name: str
) -> None:
    git = tool(name, gateway_api, rules=True)
    git.sync(route_in_git(namespace))
    routes = Routes(kube, gateway_api, namespace)
    assert await routes.tick() == 1
    for _ in range(SYNCS):
        git.sync(route_in_git(namespace))
        assert await routes.tick() == 0, "nothing to set back"
    assert set(routes.hosted_weights()) == {20}

    # Flux copies the weights into what it applies. Argo CD takes the whole list of rules from the cluster, which is
    # atomic to it: an edit of the rule in Git does not come, without a word.
    git.sync(route_in_git(namespace, path="/v1"))
    assert matched(await routes.rule()) == ("/v1" if name == "flux" else "/")
    assert set(routes.hosted_weights()) == {20}
    assert await routes.tick() == 0


@pytest.mark.parametrize("name", TOOLS[:2])
async def test_an_edit_of_an_adopted_rule_comes_with_argo_cd_once_the_ignore_rule_is_away(
    gateway_api: Cluster, namespace: str, kube: Kube, name: str
) -> None:
    git = tool(name, gateway_api, rules=True)
    git.sync(route_in_git(namespace))
    routes = Routes(kube, gateway_api, namespace)
    await routes.tick()
    git.ignore = []
    git.sync(route_in_git(namespace, path="/v1"))
    git.ignore = ARGO_RULES
    assert matched(await routes.rule()) == "/v1"
    assert await routes.tick() == 1, "Git's weights were there until the next tick"
    git.sync(route_in_git(namespace, path="/v1"))
    assert await routes.tick() == 0
    assert routes.hosted_weights() == [20, 50, 20]


@pytest.mark.parametrize(
    ("name", "rules", "weights"),
    [
        *((name, False, weights) for name in TOOLS for weights in (True, False)),
        # Argo CD puts live values into fields that Git has, and rules without weights do not differ.
        *((name, True, False) for name in TOOLS[:2]),
    ],
)
async def test_weights_are_fought_over(
    gateway_api: Cluster, namespace: str, kube: Kube, name: str, rules: bool, weights: bool
) -> None:
    git = tool(name, gateway_api, rules=rules)
    git.sync(route_in_git(namespace, weights=weights))
    routes = Routes(kube, gateway_api, namespace)
    for _ in range(SYNCS):
        assert await routes.tick() == 1
        git.sync(route_in_git(namespace, weights=weights))
    assert routes.hosted_weights() == [20, 50 if weights else 1] * SYNCS


async def test_flux_needs_no_weights_in_git(gateway_api: Cluster, namespace: str, kube: Kube) -> None:
    git = tool("flux", gateway_api, rules=True)
    git.sync(route_in_git(namespace, weights=False))
    routes = Routes(kube, gateway_api, namespace)
    await routes.tick()
    for _ in range(SYNCS):
        git.sync(route_in_git(namespace, weights=False))
        assert await routes.tick() == 0
    assert routes.hosted_weights() == [20]


MANAGED = {
    "plane": "GatewayAPI",
    "bindings": [
        {
            "class": "chat", "ownership": "Managed", "httpRoute": "chat", "gateway": {"name": "gateway"},
            "backends": {"gpu": "vllm:8000", "hosted": "egress:4000"},
        }
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TOOLS)
async def test_a_managed_route_is_none_of_gits(gateway_api: Cluster, namespace: str, kube: Kube, name: str) -> None:
    """It carries no tracking label or annotation: neither tool takes it for an object of its own, to prune."""
    git = tool(name, gateway_api, rules=True)
    git.sync(in_git(namespace))
    wanted = to_have(namespace, routing=MANAGED, overflow={"mode": "Split"})
    assert await wrote(kube, wanted) == 1
    routes = Routes(kube, gateway_api, namespace, wanted)
    for _ in range(SYNCS):
        git.sync(in_git(namespace))
        assert await routes.tick() == 0
    assert routes.hosted_weights() == [20]
    made = await kube.get(HTTP_ROUTES, namespace, "chat")
    keys = {*made["metadata"]["labels"], *made["metadata"]["annotations"]}
    assert {key for key in keys if "spillway" not in key} == {"app.kubernetes.io/managed-by"}


PROXY = {"configMap": CONFIG_MAP, "deployment": "litellm", "addresses": {"gpu": "http://vllm/v1"}}


@pytest.mark.parametrize("name", TOOLS)
async def test_a_proxys_configuration_is_spillways(crds: Cluster, namespace: str, kube: Kube, name: str) -> None:
    """Git has the proxy's Deployment, and its ConfigMap without data."""
    made, config_map = proxy_objects(namespace)
    made["spec"]["replicas"] = 0
    git = tool(name, crds, rules=True)
    git.sync(made, config_map)
    chat = WorkloadClass.parse(workload(namespace, match={"model": "chat"}))
    wanted = replace(to_have(namespace, routing={"plane": "LiteLLM", "litellm": PROXY}), classes=(chat,))
    while await wrote(kube, wanted):
        pass
    seen = [
        History(crds, f"/api/v1/namespaces/{namespace}/configmaps", CONFIG_MAP),
        History(crds, f"/apis/apps/v1/namespaces/{namespace}/deployments", "litellm"),
    ]
    before = [each.versions()[-1] for each in seen]
    for _ in range(SYNCS):
        git.sync(made, config_map)
        assert await wrote(kube, wanted) == 0, "nothing to set back"
    maps, proxies = (each.versions() for each in seen)
    assert before[0]["data"]
    assert all(each["data"] == before[0]["data"] for each in maps)
    template = before[1]["spec"]["template"]["metadata"]["annotations"]
    assert any("spillway.dev" in key for key in template)
    assert all(each["spec"]["template"]["metadata"]["annotations"] == template for each in proxies)


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_the_operator_at_work_beside(world: World, name: str) -> None:
    """Everything in Git but replicas: Deployment, route, lanes, class and plan; the operator decides meanwhile."""
    ns, cluster = world.namespace, world.cluster
    git = tool(name, cluster, rules=True)
    manifests = [in_git(ns), route_in_git(ns), own_lane(ns), hosted_lane(ns), workload(ns), plan(ns)]
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
    for answer in ask(cluster.tools, "flux-wait", {"healthCheckExprs": FLUX_CHECKS, "objects": live}):
        assert (answer["checked"]["status"], answer["kstatus"]["status"]) == ("Current", "Current")


@pytest.mark.slow
def test_the_operator_says_who_writes_replicas(world: World) -> None:
    """Replicas in Git without an ignore rule: each sync throws the fleet back, and the operator names the way out."""
    ns, cluster = world.namespace, world.cluster
    git = tool("argocd-server-side", cluster, rules=False)
    manifests = [in_git(ns, replicas=1), route_in_git(ns), own_lane(ns), hosted_lane(ns), workload(ns), plan(ns)]
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
