"""Giving back, on a real apiserver: from the annotations alone, values kept or restored, no entry of Spillway left."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from spillway.act.planes.gateway_api_rules import adopted_patch
from spillway.act.release import Held, held_objects, release
from spillway.act.scale import scale_lane
from spillway.api import CapacityLane, CapacityPlan
from spillway.decide.decision import LaneDecision, Reason
from spillway.kube import DEPLOYMENTS, HTTP_ROUTES, Kube
from spillway_dev.cluster import Cluster
from support.world import deployment, http_route, own_lane, plan


@pytest.fixture
async def kube(crds: Cluster, gateway_api: Cluster) -> AsyncIterator[Kube]:
    assert crds is gateway_api
    async with await Kube.connect(str(crds.kubeconfig)) as connected:
        yield connected


@pytest.fixture
async def taken(kube: Kube, cluster: Cluster, namespace: str) -> dict[str, Held]:
    """A Deployment scaled from 1 to 3 and a route moved to 40/60; plan and lane exist no more."""
    for manifest in (deployment(namespace), http_route(namespace)):
        cluster.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    decided = LaneDecision("gpu", 1, 1, 3, 3, Reason("Test", "Because."), writable=True)
    for _ in range(20):  # the deployment controller writes too: then the step is for the next tick
        target = await kube.get(DEPLOYMENTS, namespace, "vllm")
        if target["spec"]["replicas"] == 3:
            break
        await scale_lane(kube, CapacityLane.parse(own_lane(namespace)), decided, target["metadata"]["uid"], 0.0)
    (binding,) = CapacityPlan.parse(plan(namespace)).spec.routing.bindings
    route = await kube.get(HTTP_ROUTES, namespace, "chat")
    await kube.json_patch(HTTP_ROUTES, namespace, "chat", adopted_patch(route, binding, {"gpu": 40, "hosted": 60}))
    return {held.kind: held async for held in held_objects(kube, [namespace])}


async def state(kube: Kube, namespace: str) -> tuple[int, dict[str, int]]:
    target = await kube.get(DEPLOYMENTS, namespace, "vllm")
    route = await kube.get(HTTP_ROUTES, namespace, "chat")
    return target["spec"]["replicas"], {r["name"]: r["weight"] for r in route["spec"]["rules"][0]["backendRefs"]}


def traces(found: dict[str, Any]) -> list[str]:
    meta = found["metadata"]
    managers = [entry["manager"] for entry in meta["managedFields"] if entry["manager"] == "spillway-controller"]
    return managers + [key for key in meta.get("annotations") or {} if key.startswith("spillway.dev/")]


async def test_orphans_are_found_with_their_baselines(taken: dict[str, Held], namespace: str) -> None:
    assert taken["Deployment"].baseline == "1"
    assert taken["Deployment"].subject == f"Deployment/{namespace}/vllm"
    assert json.loads(taken["HTTPRoute"].baseline) == {"all": {"egress": 0, "vllm": 100}}


@pytest.mark.parametrize(
    ("restore", "expected"), [(False, (3, {"vllm": 40, "egress": 60})), (True, (1, {"vllm": 100, "egress": 0}))]
)
async def test_released_objects_carry_no_trace_and_the_right_values(
    kube: Kube, taken: dict[str, Held], namespace: str, restore: bool, expected: tuple[int, dict[str, int]]
) -> None:
    assert [write.ok for held in taken.values() for write in [await release(kube, held, restore=restore)]] == [True] * 2
    assert await state(kube, namespace) == expected
    assert traces(await kube.get(DEPLOYMENTS, namespace, "vllm")) == []
    assert traces(await kube.get(HTTP_ROUTES, namespace, "chat")) == []
    assert [held async for held in held_objects(kube, [namespace])] == []


@pytest.mark.parametrize("text", ["many", "-1", ""])
async def test_a_note_that_is_no_number_is_told_and_nothing_is_changed(
    kube: Kube, taken: dict[str, Held], namespace: str, text: str
) -> None:
    known = taken["Deployment"]
    broken = Held(known.resource, known.kind, known.namespace, known.name, text)
    write = await release(kube, broken, restore=True)
    assert not write.ok
    assert "no number of replicas" in write.error
    assert (await state(kube, namespace))[0] == 3


@pytest.mark.parametrize("text", ["{", "[1]", '{"all": 5}'])
async def test_noted_weights_that_are_none_are_told_and_nothing_is_changed(
    kube: Kube, taken: dict[str, Held], namespace: str, text: str
) -> None:
    known = taken["HTTPRoute"]
    write = await release(kube, Held(known.resource, known.kind, known.namespace, known.name, text), restore=True)
    assert not write.ok
    assert "release without --restore" in write.error
    assert (await state(kube, namespace))[1] == {"vllm": 40, "egress": 60}


async def test_an_object_that_is_gone_meanwhile_is_told(kube: Kube, namespace: str) -> None:
    write = await release(kube, Held(DEPLOYMENTS, "Deployment", namespace, "gone", "1"), restore=False)
    assert not write.ok
    assert "not found" in write.error
