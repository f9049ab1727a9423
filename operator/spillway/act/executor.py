"""Executes one plan's Decision in the safe order, after a last look at whether it is still allowed.

Up: hosted weights are raised, then capacity is added. Down: hosted weights are lowered, then capacity is removed,
and not at all in a tick in which a route could not be written: no capacity goes before its traffic is away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from spillway.act.scale import scale_lane
from spillway.act.weights import move_weights
from spillway.act.writes import Write
from spillway.api import CapacityLane, CapacityPlan, LaneType, Mode
from spillway.decide.decision import Decision, LaneDecision, RouteDecision
from spillway.decide.snapshot import PlanSnapshot
from spillway.kube import LANES, PLANS, Kube

Stopped = Callable[[str], Awaitable[bool]]
"""Whether the emergency stop holds for a namespace now, freshly read."""


async def still_allowed(kube: Kube, plan: CapacityPlan, stopped: Stopped) -> bool:
    """Whether the plan is as it was decided on, in Apply, unpaused, and no stop holds."""
    fresh = await kube.find(PLANS, plan.metadata.namespace, plan.metadata.name)
    if fresh is None or fresh["metadata"].get("deletionTimestamp"):
        return False
    spec = fresh.get("spec") or {}
    same = fresh["metadata"].get("generation") == plan.metadata.generation
    same = same and fresh["metadata"].get("uid") == plan.metadata.uid
    acting = spec.get("mode") == Mode.APPLY and not spec.get("paused", False)
    return same and acting and not await stopped(plan.metadata.namespace)


def _hosted_percent(snapshot: PlanSnapshot, decided: RouteDecision, now: bool) -> float:
    weights = decided.current if now else decided.weights
    total = sum(weights.values())
    hosted = 0
    for name, weight in weights.items():
        lane = snapshot.lane(name)
        if lane is not None and lane.resource.spec.type is not LaneType.SELF_HOSTED:
            hosted += weight
    return 100 * hosted / total if total else 0.0


def to_write(decision: Decision, snapshot: PlanSnapshot) -> tuple[list[RouteDecision], list[LaneDecision]]:
    """What differs from what is observed and may be written."""
    routes = [r for r in decision.routes if r.writable and r.changed]
    lanes = []
    for decided in decision.lanes:
        observed = snapshot.lane(decided.name)
        target = observed.target if observed else None
        if not decided.writable or decided.recommended is None or target is None:
            continue
        if decided.recommended != decided.current or not target.owned_by_spillway:
            lanes.append(decided)
    return routes, lanes


async def execute(
    kube: Kube, snapshot: PlanSnapshot, decision: Decision, stopped: Stopped, clock: Callable[[], float]
) -> list[Write]:
    """Write what was decided. Returns what was attempted, in order. ``clock`` gives Unix time in seconds."""
    routes, lanes = to_write(decision, snapshot)
    if not routes and not lanes:
        return []
    if not await still_allowed(kube, snapshot.plan, stopped):
        return []
    rising = [r for r in routes if _hosted_percent(snapshot, r, False) >= _hosted_percent(snapshot, r, True)]
    falling = [r for r in routes if r not in rising]
    growing = [d for d in lanes if (d.recommended or 0) >= (d.current or 0)]
    shrinking = [d for d in lanes if d not in growing]
    writes: list[Write] = []
    writes += await _routes(kube, snapshot, rising)
    writes += await _lanes(kube, snapshot, growing, clock)
    writes += await _routes(kube, snapshot, falling)
    if all(write.ok for write in writes if write.kind == "route"):
        writes += await _lanes(kube, snapshot, shrinking, clock)
    return writes


async def _routes(kube: Kube, snapshot: PlanSnapshot, decided: list[RouteDecision]) -> list[Write]:
    writes = []
    bindings = {(b.class_, b.http_route, b.rule): b for b in snapshot.plan.spec.routing.bindings}
    classes = {c.resource.metadata.name: c.resource for c in snapshot.classes}
    own = [lane.name for lane in snapshot.lanes if lane.resource.spec.type is LaneType.SELF_HOSTED]
    for route in decided:
        binding = bindings.get((route.class_name, route.route, route.rule))
        resource = classes.get(route.class_name)
        if binding is not None and resource is not None:
            writes.append(await move_weights(kube, snapshot.plan, binding, resource, route, own))
    return writes


async def _unchanged(kube: Kube, lane: CapacityLane) -> bool:
    """Whether the lane's spec is as it was decided on: its bounds and its target may have been edited since."""
    fresh = await kube.find(LANES, lane.metadata.namespace, lane.metadata.name)
    meta = fresh["metadata"] if fresh else {}
    same = meta.get("uid") == lane.metadata.uid and meta.get("generation") == lane.metadata.generation
    return same and not meta.get("deletionTimestamp")


async def _lanes(
    kube: Kube, snapshot: PlanSnapshot, decided: list[LaneDecision], clock: Callable[[], float]
) -> list[Write]:
    writes: list[Write] = []
    for lane in decided:
        observed = snapshot.lane(lane.name)
        if observed is not None and observed.target is not None and await _unchanged(kube, observed.resource):
            writes += await scale_lane(kube, observed.resource, lane, observed.target.uid, clock())
    return writes
