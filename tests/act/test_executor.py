"""What is written at all, and the last look before it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from spillway.act.executor import execute, still_allowed, to_write
from spillway.act.lane_facts import Seen
from spillway.api import CapacityLane, CapacityPlan, WorkloadClass
from spillway.api.names import ROUTING_ANNOTATION
from spillway.api.status import MoveState
from spillway.decide.decision import Costs, Decision, LaneDecision, Reason, RouteDecision
from spillway.decide.snapshot import (
    ClassSnapshot,
    LaneSnapshot,
    MetricsHealth,
    MetricsReason,
    PlanSnapshot,
    RouteState,
    TargetState,
)
from spillway.kube import LANES, PLANS, Kube
from spillway_dev.cluster import Cluster
from support.world import http_route, own_lane, plan, workload

REASON = Reason("Test", "Because.")


def snapshot(found: CapacityPlan, namespace: str, **target: Any) -> PlanSnapshot:
    state = replace(TargetState("Deployment", "vllm", namespace, "u", "1", 3, 3, (), owned_by_spillway=True), **target)
    lane = LaneSnapshot(CapacityLane.parse(own_lane(namespace)), state)
    return PlanSnapshot(0.0, found, (), (lane,), (), MetricsHealth(MetricsReason.FOUND, ""))


def decision(recommended: int | None = 3, writable: bool = True, **weights: int) -> Decision:
    lane = LaneDecision("gpu", 3, 3, recommended, recommended, REASON, writable=writable)
    route = RouteDecision("chat", "chat", "all", {"gpu": 100, "hosted": 0}, weights, REASON, writable)
    return Decision("x/main", 0.0, 0.0, (lane,), (), (route,) if weights else (), Costs(), REASON)


@pytest.mark.parametrize(
    ("decided", "owned", "lanes", "routes"),
    [
        (decision(3), True, 0, 0),
        (decision(3), False, 1, 0),  # part ownership at an unchanged count
        (decision(4), True, 1, 0),
        (decision(4, writable=False), False, 0, 0),
        (decision(None), False, 0, 0),
        (decision(3, gpu=100, hosted=0), True, 0, 0),
        (decision(3, gpu=90, hosted=10), True, 0, 1),
        (decision(3, writable=False, gpu=90, hosted=10), True, 0, 0),
    ],
)
def test_only_what_differs_and_may_be_written_is(decided: Decision, owned: bool, lanes: int, routes: int) -> None:
    found = to_write(decided, snapshot(CapacityPlan.parse(plan("x")), "x", owned_by_spillway=owned))
    assert (len(found[1]), len(found[0])) == (lanes, routes)


@pytest.fixture
async def kube(crds: Cluster) -> AsyncIterator[Kube]:
    async with await Kube.connect(str(crds.kubeconfig)) as connected:
        yield connected


async def go(_: str) -> bool:
    return False


async def halt(_: str) -> bool:
    return True


async def test_the_last_look_sees_stops_edits_and_deletion(kube: Kube, cluster: Cluster, namespace: str) -> None:
    cluster.apply(plan(namespace))
    found = CapacityPlan.parse(await kube.get(PLANS, namespace, "main"))
    assert await still_allowed(kube, found, go)
    assert not await still_allowed(kube, found, halt)
    cluster.kubectl("patch", "cplan", "main", "-n", namespace, "--type=merge", "-p", '{"spec":{"paused":true}}')
    assert not await still_allowed(kube, found, go)
    paused = CapacityPlan.parse(await kube.get(PLANS, namespace, "main"))
    assert not await still_allowed(kube, paused, go)
    cluster.kubectl("patch", "cplan", "main", "-n", namespace, "--type=merge", "-p", '{"spec":{"paused":false}}')
    # The same spec again, but another generation: it was not decided on.
    assert not await still_allowed(kube, found, go)
    cluster.kubectl("delete", "cplan", "main", "-n", namespace)
    assert not await still_allowed(kube, found, go)


async def test_no_capacity_goes_before_its_traffic_is_away(kube: Kube, cluster: Cluster, namespace: str) -> None:
    cluster.apply(plan(namespace), own_lane(namespace))
    found = CapacityPlan.parse(await kube.get(PLANS, namespace, "main"))
    seen = replace(snapshot(found, namespace), classes=(ClassSnapshot(WorkloadClass.parse(workload(namespace)), None),))
    stored = CapacityLane.parse(await kube.get(LANES, namespace, "gpu"))
    seen = replace(seen, lanes=(replace(seen.lanes[0], resource=stored),))
    # The route does not exist, so its weights can't be written, and the target is not even looked at.
    falls = replace(seen, routes=(RouteState("chat", "chat", "all", True, weights={"gpu": 100, "hosted": 0}),))
    done = await execute(kube, falls, decision(2, gpu=90, hosted=10), Seen(), go, time.time)
    assert [(write.kind, write.ok) for write in done.writes] == [("route", False)]
    assert [(move.state, move.reason) for move in done.moves] == [(MoveState.SHIFTING_AWAY, "WeightsDue")]
    # Nor where no weight of its own has to go: what else was to be written was not.
    done = await execute(kube, seen, decision(2, gpu=90, hosted=10), Seen(), go, time.time)
    assert [write.kind for write in done.writes] == ["route"]
    assert [(move.state, move.reason) for move in done.moves] == [(MoveState.SHIFTING_AWAY, "NotInForce")]
    done = await execute(kube, seen, decision(5, gpu=90, hosted=10), Seen(), go, time.time)
    assert [write.kind for write in done.writes] == ["route", "scale"]
    assert [move.state for move in done.moves] == [MoveState.SCALING_OUT]
    assert (await execute(kube, seen, decision(5), Seen(), halt, time.time)).writes == ()
    # A lane that was edited since it was decided on is looked at anew first.
    cluster.apply(own_lane(namespace, replicas={"min": 1, "max": 4}))
    assert (await execute(kube, seen, decision(5), Seen(), go, time.time)).writes == ()


async def test_weights_that_were_refused_lately_are_no_write_and_hold_the_lane(
    kube: Kube, cluster: Cluster, namespace: str
) -> None:
    route, now = http_route(namespace), time.time()
    note = {"plan": f"{namespace}/main", "good": {"gpu": 100, "hosted": 0}, "refusedAt": "2100-01-01T00:00:00+00:00"}
    route["metadata"]["annotations"] = {ROUTING_ANNOTATION: json.dumps({"all": note})}
    cluster.apply(plan(namespace), own_lane(namespace), route)
    found = CapacityPlan.parse(await kube.get(PLANS, namespace, "main"))
    state = RouteState("chat", "chat", "all", True, weights={"gpu": 100, "hosted": 0}, accepted=True)
    item = ClassSnapshot(WorkloadClass.parse(workload(namespace)), None)
    seen = replace(snapshot(found, namespace), classes=(item,), routes=(state,))
    # Replicas that these weights were to relieve stay; looked at each tick, said by the move alone.
    for _ in range(2):
        done = await execute(kube, seen, decision(2, gpu=90, hosted=10), Seen(), go, lambda: now)
        assert done.writes == ()
        (move,) = done.moves
        assert (move.state, move.reason) == (MoveState.HELD, "GatewayRefused")
        assert "next try in" in move.message
