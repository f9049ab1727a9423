"""How many replicas each own lane should have: sized, then through the guards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from spillway.api import Mode
from spillway.decide.decision import Reason
from spillway.decide.demand import fresh
from spillway.decide.eligibility import Placement, moves_traffic
from spillway.decide.guards import (
    Step,
    binding,
    bounded,
    conflict,
    override,
    remember,
    stabilized,
    stepped,
    unsaturated,
    with_recommendation,
)
from spillway.decide.lanes import LaneView, invalid
from spillway.decide.memory import LaneMemory
from spillway.decide.plan import Sizing
from spillway.decide.reasons import Code, because, count, figure
from spillway.decide.snapshot import PlanSnapshot, PodState, RouteState


@dataclass(frozen=True, slots=True)
class Scaled:
    """One own lane's replicas, decided."""

    view: LaneView
    sizing: Sizing | None
    desired: int | None
    planned: int | None
    """Where the guards lead to; traffic is moved for this many, ahead of the replicas."""
    recommended: int | None
    """What may be written now."""
    bites: tuple[Reason, ...]
    blocked: Reason | None
    """Why the target may not be written at all."""
    holds_traffic: bool
    """Whether the weights to this lane must stay as they are, as nothing is known of it."""
    memory: LaneMemory
    pods_to_remove: tuple[str, ...] = ()
    fewest: int = 0
    """1 where it may not stand at 0, whatever its minimum."""


def scale_all(
    snapshot: PlanSnapshot,
    views: Mapping[str, LaneView],
    sizings: Mapping[str, Sizing],
    places: Mapping[str, Placement],
    before: Mapping[str, LaneMemory],
    blind: Reason | None,
) -> dict[str, Scaled]:
    """Take every lane through the guards, the cheapest first: what it adds is gone from its pool for the next."""
    added: dict[str | None, int] = {}
    found = {}
    for view in sorted(views.values(), key=lambda v: (v.usd_per_replica_hour, v.name)):
        gpu, room = view.spec.gpu, view.pool_replicas
        if room is not None:
            room = max(0, room - -(-added.get(gpu.pool, 0) // gpu.per_replica))
        lane = scale(snapshot, view, sizings, places, before.get(view.name), blind, room)
        if lane.recommended is not None and view.current is not None:
            more = max(0, lane.recommended - view.current) * gpu.per_replica
            added[gpu.pool] = added.get(gpu.pool, 0) + more
        found[view.name] = lane
    return {name: found[name] for name in views}


def scale(
    snapshot: PlanSnapshot,
    view: LaneView,
    sizings: Mapping[str, Sizing],
    places: Mapping[str, Placement],
    before: LaneMemory | None,
    blind: Reason | None,
    pool_replicas: int | None,
) -> Scaled:
    """Take one lane's cheapest replicas through the guards, in the order in which they outrank each other."""
    guards, now = snapshot.plan.spec.guards, snapshot.at
    memory = remember(view.lane, before, guards, now)
    since = _zero_weight_since(snapshot, view, places, memory)
    if since != memory.zero_weight_since:
        memory = replace(memory, zero_weight_since=since)
    current = view.current
    if current is None:
        return Scaled(view, None, None, None, None, (), conflict(view.lane), True, memory)
    hold = blind or _lane_blind(view) or view.problem
    sizing = sizings.get(view.name)
    if hold is None and sizing is None:
        desired: int | None = 0  # only deferrable classes: they justify no own GPU
    else:
        desired = None if hold is not None or sizing is None else sizing.replicas
    step = Step(current if desired is None else desired, () if hold is None else (hold,))
    if desired is not None:
        step = _no_guessing(snapshot, step, current, view)
        memory = with_recommendation(memory, now, step.replicas)
        step = stabilized(step, current, memory, guards, now)
    else:
        memory = with_recommendation(memory, now, current)
    step = bounded(step, view.lane, current, pool_replicas)
    if desired is not None and sizing is not None:
        step = binding(step, view.lane, sizing, pool_replicas)
    if desired is not None or current > 0:
        step = _zero_allowed(step, current, view, places)
    planned = stepped(step, current, memory, guards)
    final = planned
    if desired is not None or planned.replicas == 0:
        final = _traffic_first(snapshot, planned, current, view, memory, desired is not None, places)
    blocked = conflict(view.lane) or invalid(snapshot, view)
    if blocked is None and view.lane.target is not None:
        blocked, memory = override(view.lane.target, final.replicas, memory, guards, now)
    return Scaled(
        view=view,
        sizing=None if desired is None else sizing,
        desired=desired,
        planned=planned.replicas,
        recommended=final.replicas,
        bites=final.bites,
        blocked=blocked,
        holds_traffic=hold is not None,
        memory=memory,
        pods_to_remove=_least_loaded(snapshot, view, current - final.replicas),
        fewest=0 if _stuck(view, places) is None else 1,
    )


def _lane_blind(view: LaneView) -> Reason | None:
    if not view.blind:
        return None
    message = f"Lane {view.name} has Ready pods, but none of them reports; replicas and weights are held."
    return because(Code.LANE_BLIND, message)


def _no_guessing(snapshot: PlanSnapshot, step: Step, current: int, view: LaneView) -> Step:
    """Nothing is removed while a class of the lane is missing or its demand is not known."""
    if step.replicas >= current:
        return step
    if view.unknown_class is not None:
        return Step(current, (*step.bites, view.unknown_class))
    known = {item.resource.metadata.name for item in snapshot.classes}
    for bound in snapshot.plan.spec.routing.bindings:
        if bound.class_ not in known and view.name in bound.backends:
            message = f"Class {bound.class_} is bound to lane {view.name} but missing, so nothing is removed."
            return step.to(current, Code.CLASS_MISSING, message)
    return step


def _zero_allowed(step: Step, current: int, view: LaneView, places: Mapping[str, Placement]) -> Step:
    """Zero only where every class of the lane has a usable hosted lane and a rule that can move its traffic."""
    if step.replicas > 0 or view.spec.replicas.max == 0:
        return step
    why = _stuck(view, places)
    return step if why is None else step.to(1, Code.ZERO_NOT_ALLOWED, f"Not to 0, as {why}.")


def _stuck(view: LaneView, places: Mapping[str, Placement]) -> str | None:
    """Why the lane may not stand at 0, if it may not."""
    serving = [key for key, place in places.items() if view.name in place.own]
    if not serving:
        return "no class is known to use the lane"
    stuck = next((key for key in serving if not places[key].hosted or places[key].route is None), None)
    return None if stuck is None else f"{stuck} has no usable hosted lane"


def _routes_of(snapshot: PlanSnapshot, view: LaneView, places: Mapping[str, Placement]) -> list[RouteState]:
    """The rules that can send traffic to the lane."""
    names = {route.class_name for place in places.values() if view.name in place.own and (route := place.route)}
    return [route for route in snapshot.routes if route.class_name in names or route.weights.get(view.name, 0) > 0]


def _zero_weight_since(
    snapshot: PlanSnapshot, view: LaneView, places: Mapping[str, Placement], memory: LaneMemory
) -> float | None:
    routes = _routes_of(snapshot, view, places)
    if not routes or any(route.weights.get(view.name, 0) > 0 for route in routes):
        return None
    return snapshot.at if memory.zero_weight_since is None else memory.zero_weight_since


def _traffic_first(
    snapshot: PlanSnapshot,
    step: Step,
    current: int,
    view: LaneView,
    memory: LaneMemory,
    sizable: bool,
    places: Mapping[str, Placement],
) -> Step:
    """Replicas go only once the traffic that they serve has gone; recommended as is where we don't move traffic.

    A max of 0 is obeyed even where nobody can tell that the traffic has gone.
    """
    if step.replicas >= current or snapshot.plan.spec.mode is not Mode.APPLY:
        return step
    if step.replicas > 0:
        if view.ready == 0:
            return step
        if snapshot.actuators.in_flight_cap:
            return _fits_after(step, current, view, places)
        batch = None if view.service is None else view.service.valve.cap
        held = unsaturated(step, current, view.running, batch, view.kv_usage, view.warm)
        most = max(step.replicas, view.spec.replicas.max)
        return held if held.replicas <= most else step
    keep = max(1, view.spec.replicas.min) if view.spec.replicas.max > 0 else 1
    ordered = view.spec.replicas.max == 0 and not sizable
    if ordered or not moves_traffic(snapshot) or _drained(snapshot, view, memory):
        return step
    return step.to(min(current, keep), Code.DRAINING, "The last replica goes once its traffic has moved and ended.")


def _fits_after(step: Step, current: int, view: LaneView, places: Mapping[str, Placement]) -> Step:
    """Behind a cap nothing saturates: what is over spills, and that was priced. Work that can't spill must fit."""
    if view.service is None:
        return step
    work = sum(
        rate * view.service.request_seconds[key]
        for key, rate in view.rates.items()
        if key in view.service.request_seconds and not places[key].hosted
    )
    fits = min(current, math.ceil(work))
    message = f"Work for {figure(work)} replicas can't spill, which needs {count(fits)}."
    return step if step.replicas >= fits else step.to(fits, Code.WOULD_SATURATE, message)


def _drained(snapshot: PlanSnapshot, view: LaneView, memory: LaneMemory) -> bool:
    """Nothing runs or waits, seen after the weights were 0; no Ready pod has nothing to drain."""
    since, engine = memory.zero_weight_since, view.lane.engine
    if view.ready == 0 and view.warm == 0:
        return True
    if since is None or engine is None or engine.running is None or engine.waiting is None:
        return False
    newer = min(engine.running.at, engine.waiting.at) > since
    idle = fresh(engine.running, snapshot) == 0 and fresh(engine.waiting, snapshot) == 0
    return newer and idle


def _least_loaded(snapshot: PlanSnapshot, view: LaneView, number: int) -> tuple[str, ...]:
    """The pods that should go: not Ready ones first, then those with the least in flight, then the youngest."""
    if number <= 0 or view.lane.target is None:
        return ()

    def order(pod: PodState) -> tuple[bool, float, float, str]:
        running, waiting = fresh(pod.running, snapshot), fresh(pod.waiting, snapshot)
        flight = (running or 0.0) + (waiting or 0.0)
        return (pod.ready, flight, -pod.created_at, pod.name)

    going = sorted((pod for pod in view.lane.target.pods if not pod.deleting), key=order)
    return tuple(pod.name for pod in going[:number])
