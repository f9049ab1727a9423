"""Giving a proxy's configuration back, on a real apiserver; and whose it may be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from spillway.act.planes.litellm import LiteLLM
from spillway.act.planes.plane import Wanted
from spillway.act.release import Held, held_objects, release
from spillway.act.writes import Outcome, Write
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.kube import CONFIG_MAPS, DEPLOYMENTS, Kube
from spillway_dev.cluster import Cluster
from spillway_dev.controlplane import ControlPlane
from support.proxies import CONFIG_MAP, proxy_objects
from support.world import hosted_lane, own_lane, plan, workload

AT = 1_800_000_000.0
FRONT = LiteLLM()

Object = dict[str, Any]


@pytest.fixture
async def kube(crds: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(crds.kubeconfig)) as connected:
        yield connected


@pytest.fixture
def wanted(cluster: Cluster, namespace: str) -> Wanted:
    """30% of `chat` on the hosted lane; the proxy's Deployment without pods, and its ConfigMap without data."""
    made, config_map = proxy_objects(namespace)
    made["spec"]["replicas"] = 0
    for each in (made, config_map):
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(each))
    proxy = {"configMap": CONFIG_MAP, "deployment": "litellm", "addresses": {"gpu": "http://vllm/v1"}}
    bound = CapacityPlan.parse(plan(namespace, routing={"plane": "LiteLLM", "litellm": proxy}))
    lanes = CapacityLane.parse(own_lane(namespace)), CapacityLane.parse(hosted_lane(namespace))
    chat = WorkloadClass.parse(workload(namespace, match={"model": "chat"}))
    return Wanted(bound, (chat,), lanes, {"chat": {"gpu": 70, "hosted": 30}}, frozenset({"chat"}), at=AT)


async def tick(kube: Kube, wanted: Wanted) -> list[Write]:
    """One tick's writes; its controller writes the Deployment at the same time."""
    return [*await FRONT.apply(kube, FRONT.render(wanted, await FRONT.read(kube, wanted)))]


async def written(kube: Kube, wanted: Wanted) -> Object:
    """The ConfigMap, with all that is due written."""
    for _ in range(20):
        if not await tick(kube, wanted):
            break
    return await kube.get(CONFIG_MAPS, wanted.plan.metadata.namespace, CONFIG_MAP)


async def held_maps(kube: Kube, namespace: str) -> list[Held]:
    return [held async for held in held_objects(kube, [namespace]) if held.kind == "ConfigMap"]


@pytest.mark.parametrize("restore", [True, False])
async def test_a_released_configuration_stays_and_is_never_written_again(
    kube: Kube, wanted: Wanted, namespace: str, restore: bool
) -> None:
    before = await written(kube, wanted)
    rolled = (await kube.get(DEPLOYMENTS, namespace, "litellm"))["spec"]
    (held,) = await held_maps(kube, namespace)
    assert (held.subject, held.baseline) == (f"ConfigMap/{namespace}/{CONFIG_MAP}", "")
    done = await release(kube, held, restore=restore)
    assert (done.outcome, done.detail) == (Outcome.WRITTEN, "configuration kept as it is")
    after = await kube.get(CONFIG_MAPS, namespace, CONFIG_MAP)
    # The last weights stay in force: nothing restarts.
    assert after["data"] == before["data"]
    assert (await kube.get(DEPLOYMENTS, namespace, "litellm"))["spec"] == rolled
    meta = after["metadata"]
    assert not [key for key in meta.get("annotations") or {} if key.startswith("spillway.dev/")]
    assert "app.kubernetes.io/managed-by" not in (meta.get("labels") or {})
    assert "spillway-controller" not in {entry["manager"] for entry in meta.get("managedFields") or []}
    assert await held_maps(kube, namespace) == []
    other = replace(wanted, weights={"chat": {"gpu": 10, "hosted": 90}}, at=AT + 9_999)
    (refused,) = await tick(kube, other)
    assert refused.outcome is Outcome.SUPERSEDED
    assert "holds data that somebody else wrote" in refused.error
    assert (await kube.get(CONFIG_MAPS, namespace, CONFIG_MAP))["data"] == before["data"]


async def test_labels_and_data_of_others_stay(kube: Kube, cluster: Cluster, wanted: Wanted, namespace: str) -> None:
    await written(kube, wanted)
    cluster.kubectl("label", "configmap", CONFIG_MAP, "-n", namespace, "team=search")
    cluster.kubectl("annotate", "configmap", CONFIG_MAP, "-n", namespace, "note=ours")
    (held,) = await held_maps(kube, namespace)
    assert (await release(kube, held, restore=True)).ok
    meta = (await kube.get(CONFIG_MAPS, namespace, CONFIG_MAP))["metadata"]
    assert (meta["labels"], meta["annotations"]) == ({"team": "search"}, {"note": "ours"})


async def test_one_that_is_gone_is_told(kube: Kube, wanted: Wanted, namespace: str) -> None:
    await written(kube, wanted)
    (held,) = await held_maps(kube, namespace)
    await kube.request("DELETE", CONFIG_MAPS.path(namespace, CONFIG_MAP))
    done = await release(kube, held, restore=True)
    assert (done.outcome, done.detail) == (Outcome.FAILED, "not released")
    assert "not found" in done.error


async def test_data_that_another_manager_applies_is_left_to_it(
    kube: Kube, cluster: Cluster, wanted: Wanted, namespace: str
) -> None:
    await written(kube, wanted)
    manifest = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP, "namespace": namespace},
        "data": {"config.yaml": "model_list: []\n"},
    }  # fmt: skip
    cluster.apply(manifest, field_manager="flux")
    (refused,) = await tick(kube, replace(wanted, at=AT + 9_999))
    assert (refused.outcome, refused.kind) == (Outcome.SUPERSEDED, "route")
    assert refused.error == (
        f"ConfigMap {namespace}/{CONFIG_MAP}: flux applies its data, too: take data out of that manifest"
    )
    assert (await kube.get(CONFIG_MAPS, namespace, CONFIG_MAP))["data"]["config.yaml"] == "model_list: []\n"
    # Out of the manifest it is nobody's but Spillway's again.
    cluster.apply({**manifest, "data": {}}, field_manager="flux")
    assert "chat" in (await written(kube, replace(wanted, at=AT + 9_999)))["data"]["config.yaml"]


async def test_a_rollout_that_is_refused_is_done_when_it_may_be(
    kube: Kube, control_plane: ControlPlane, wanted: Wanted, namespace: str
) -> None:
    """Content goes first, and its rollout is made up for later, without writing the content again."""
    rules = [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    ]
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "narrow")
    control_plane.grant(namespace, "narrow", rules=rules)
    async with await Kube.connect(str(kubeconfig)) as narrow:
        content, rollout = await tick(narrow, wanted)
    assert (content.kind, content.outcome) == ("config", Outcome.WRITTEN)
    assert (rollout.kind, rollout.outcome) == ("rollout", Outcome.FAILED)
    assert "cannot patch resource" in rollout.error
    stands = await kube.get(CONFIG_MAPS, namespace, CONFIG_MAP)
    writes = await tick(kube, replace(wanted, at=AT + 15))
    while any(each.outcome is Outcome.SUPERSEDED for each in writes):
        writes = await tick(kube, replace(wanted, at=AT + 15))
    assert [(each.kind, each.outcome) for each in writes] == [("rollout", Outcome.WRITTEN)]
    assert await kube.get(CONFIG_MAPS, namespace, CONFIG_MAP) == stands


async def test_an_edit_by_hand_is_undone(kube: Kube, cluster: Cluster, wanted: Wanted, namespace: str) -> None:
    before = await written(kube, wanted)
    hands_on = {"data": {"config.yaml": before["data"]["config.yaml"].replace("weight: 30", "weight: 90")}}
    cluster.kubectl("patch", "configmap", CONFIG_MAP, "-n", namespace, "--type=merge", "-p", json.dumps(hands_on))
    after = await written(kube, replace(wanted, at=AT + 61))
    assert "weight: 30" in after["data"]["config.yaml"]
    template = (await kube.get(DEPLOYMENTS, namespace, "litellm"))["spec"]["template"]["metadata"]["annotations"]
    now, then = (item["metadata"]["annotations"]["spillway.dev/litellm-config"] for item in (after, before))
    assert template["spillway.dev/litellm-config"] == now != then
