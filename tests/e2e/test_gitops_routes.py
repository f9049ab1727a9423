"""Argo CD and Flux beside Spillway on a real apiserver: routes and proxies.

The tools are field managers here, by their own libraries (support/gitops.py); their controllers do not run. What loses
is shown, too: docs/gitops.md names the test of each row of its table.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from spillway.act.planes.plane import Wanted
from spillway.act.planes.registry import PLANES
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.kube import HTTP_ROUTES, Kube
from spillway_dev.cluster import Cluster
from support.gitops import ARGO_RULES, SYNCS, TOOLS, History, in_git, route_history, tool
from support.proxies import CONFIG_MAP, proxy_objects
from support.world import hosted_lane, http_route, own_lane, plan, workload

AT = 1_800_000_000.0
JSON = dict[str, Any]


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(cluster.kubeconfig)) as connected:
        yield connected


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
