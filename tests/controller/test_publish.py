"""Statuses and Events on a real apiserver: a transition at once, else nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from spillway.api import CapacityLane, CapacityPlan
from spillway.controller.loop import Decided
from spillway.controller.publish import Publisher
from spillway.decide.decision import Costs, Decision, Reason
from spillway.decide.snapshot import Finding, LaneSnapshot, MetricsHealth, MetricsReason, PlanSnapshot, Severity
from spillway.kube import LANES, PLANS, Kube
from spillway.observe.scope import ClusterView
from spillway.report.metrics import OperatorMetrics
from spillway_dev.controlplane import ControlPlane
from support.world import own_lane, plan

NOW = 1_800_000_000.0
FOUND = MetricsHealth(MetricsReason.FOUND, "12 series", NOW)


@pytest.fixture
async def kube(control_plane: ControlPlane, crds: object) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(control_plane.kubeconfig)) as connected:
        yield connected


@pytest.fixture
def made(control_plane: ControlPlane, crds: object, namespace: str) -> str:
    manifests = [own_lane(namespace), plan(namespace, lanes=["gpu"], routing={"plane": "None"})]
    document = {"apiVersion": "v1", "kind": "List", "items": manifests}
    control_plane.kubectl("create", "-f", "-", stdin=json.dumps(document))
    return namespace


async def observed(kube: Kube, namespace: str) -> tuple[CapacityPlan, CapacityLane]:
    found = CapacityPlan.parse(await kube.get(PLANS, namespace, "main"))
    return found, CapacityLane.parse(await kube.get(LANES, namespace, "gpu"))


async def tick(kube: Kube, publisher: Publisher, namespace: str, now: float, *findings: Finding) -> None:
    """One publication of what the apiserver has now."""
    found, lane = await observed(kube, namespace)
    snapshot = PlanSnapshot(now, found, (), (LaneSnapshot(lane),), (), FOUND)
    decision = Decision(
        found.metadata.key, now, now + 3, (), (), (), Costs(), Reason("Steady", "Nothing to do."), findings
    )
    view = ClusterView(at=now, plans=(), lanes=(lane,), object_plans={f"CapacityLane/{lane.metadata.key}": "x/main"})
    await publisher.publish(view, [Decided(snapshot, decision)], now)


def writes(cluster: ControlPlane, namespace: str, since: Any) -> list[str]:
    return [f"{e.resource}/{e.subresource}" for e in cluster.audit.writes(since=since, namespace=namespace)]


def events(cluster: ControlPlane, namespace: str) -> list[tuple[str, str, str]]:
    items = json.loads(cluster.kubectl("get", "events.events.k8s.io", "-n", namespace, "-o", "json"))["items"]
    return sorted((item["regarding"]["kind"], item["type"], item["reason"]) for item in items)


def conflict(namespace: str, message: str = "lane gpu: Deployment x/vllm is scaled by an HPA") -> Finding:
    return Finding(Severity.ERROR, "AutoscalerConflict", message, f"CapacityLane/{namespace}/gpu")


async def test_first_sight_is_written_and_then_nothing(kube: Kube, control_plane: ControlPlane, made: str) -> None:
    publisher, mark = Publisher(kube, OperatorMetrics()), control_plane.audit.mark()
    await tick(kube, publisher, made, NOW)
    for seconds in (1, 15, 70, 299):
        await tick(kube, publisher, made, NOW + seconds)
    control_plane.audit.wait_for(
        lambda entry: entry.namespace == made and entry.resource == "capacitylanes", since=mark
    )
    assert writes(control_plane, made, mark) == ["capacityplans/status", "capacitylanes/status"]
    assert events(control_plane, made) == []
    # Renewed now and then, so that a reader can tell a live operator from a dead one.
    await tick(kube, publisher, made, NOW + 301)
    assert writes(control_plane, made, mark)[2:] == ["capacityplans/status"]


async def test_a_finding_turns_plan_and_lane_and_is_told_once(
    kube: Kube, control_plane: ControlPlane, made: str
) -> None:
    publisher = Publisher(kube, OperatorMetrics())
    await tick(kube, publisher, made, NOW)
    for seconds in (1, 2, 3):
        await tick(kube, publisher, made, NOW + seconds, conflict(made))
    found, lane = await observed(kube, made)
    for status in (found.status, lane.status):
        assert status is not None
        ready = next(each for each in status.conditions if each.type == "Ready")
        assert (ready.status.value, ready.reason) == ("False", "AutoscalerConflict")
    told = events(control_plane, made)
    assert told == [
        ("CapacityLane", "Warning", "AutoscalerConflict"),
        ("CapacityPlan", "Warning", "AutoscalerConflict"),
    ]
    # A new operator finds the status as it is and says nothing again.
    await tick(kube, Publisher(kube, OperatorMetrics()), made, NOW + 4, conflict(made))
    assert events(control_plane, made) == told


async def test_who_else_writes_replicas_is_told_each_time_that_it_happens(
    kube: Kube, control_plane: ControlPlane, made: str
) -> None:
    publisher = Publisher(kube, OperatorMetrics())
    about = f"CapacityLane/{made}/gpu"
    contested = Finding(Severity.WARNING, "ReplicasContested", "argocd-controller sets the replicas too", about)
    other = Finding(Severity.WARNING, "TokenMixUnknown", "not measured yet", about)
    for seconds, findings in enumerate([(), (contested, other), (contested,), (other,), (contested,)]):
        await tick(kube, publisher, made, NOW + seconds, *findings)
    assert events(control_plane, made) == [("CapacityLane", "Warning", "ReplicasContested")] * 2
    _, lane = await observed(kube, made)
    assert lane.status is not None
    assert lane.status.conditions[0].status.value == "True"


async def test_a_plan_that_is_gone_or_another_one_is_not_written(
    kube: Kube, control_plane: ControlPlane, made: str
) -> None:
    found, lane = await observed(kube, made)
    control_plane.kubectl("delete", "capacityplan", "main", "-n", made)
    again = plan(made, lanes=["gpu"], routing={"plane": "None"})
    control_plane.kubectl("create", "-f", "-", stdin=json.dumps(again))
    publisher = Publisher(kube, OperatorMetrics())
    decision = Decision(found.metadata.key, NOW, NOW, (), (), (), Costs(), Reason("Steady", "Nothing to do."))
    old = PlanSnapshot(NOW, found, (), (LaneSnapshot(lane),), (), FOUND)
    await publisher.publish(ClusterView(at=NOW, plans=()), [Decided(old, decision)], NOW)
    assert (await observed(kube, made))[0].status is None
    assert events(control_plane, made) == []
