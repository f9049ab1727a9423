"""Shares of each class and the weights of each rule, for the replicas that are warm and are to stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spillway.api import DataPolicy, LaneType, Mode, OverflowMode
from spillway.decide.ceilings import ceiling_usd_per_hour
from spillway.decide.curves import Curve
from spillway.decide.decision import Reason, RouteDecision
from spillway.decide.demand import ClassDemand
from spillway.decide.eligibility import Placement, binding_name
from spillway.decide.lanes import LaneView
from spillway.decide.memory import LaneMemory, Memory
from spillway.decide.overflow import Load
from spillway.decide.quantiles import quantiles
from spillway.decide.reasons import Code, because, figure
from spillway.decide.scaling import Scaled
from spillway.decide.shares import (
    DEMAND_QUANTILE,
    HOLD_TICKS,
    LOW_LOAD,
    Capacity,
    Share,
    keep_if_close,
    moved_share,
    wanted_shares,
    weights,
)
from spillway.decide.snapshot import ClassSnapshot, Confidence, PlanSnapshot, RouteState

DRAIN_TICKS = 4
CALM_QUEUE_SHARE = 0.05
CALM_KV_USAGE = 0.9


@dataclass(frozen=True, slots=True)
class ClassTraffic:
    """One class's traffic, decided."""

    key: str
    share: float | None
    """Share for hosted lanes, 0 to 1; None where nothing is known."""
    wanted: Share | None
    route: RouteDecision | None
    reason: Reason


def move_traffic(
    snapshot: PlanSnapshot,
    memory: Memory,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
    loads: Mapping[str, Load],
    scaled: Mapping[str, Scaled],
    blind: Reason | None,
) -> dict[str, ClassTraffic]:
    """The share and the weights of every class, by class key."""
    own = {key: _capacities(place, scaled, snapshot.tick_seconds) for key, place in places.items()}
    near = {key: demands[key].at(snapshot.tick_seconds) for key in loads} if blind is None else {}
    sized = [load for key, load in loads.items() if key in near and not _unsized(places[key], scaled)]
    shares = (
        wanted_shares(
            sized,
            {load.key: own[load.key] for load in sized},
            {load.key: quantiles(near[load.key], DEMAND_QUANTILE)[0] for load in sized},
            {load.key: float(near[load.key].mean()) for load in sized},
            ceiling_usd_per_hour(snapshot),
        )
        if sized
        else {}
    )
    found = {}
    for item in snapshot.classes:
        place, wanted = places[item.key], shares.get(item.key)
        hold = blind or demands[item.key].problem() or _unsized(place, scaled)
        if blind is None and demands[item.key].counted_elsewhere:
            wanted, hold = _like_its_twin(place, places, demands, shares), _unsized(place, scaled)
        calm = all(_calm_for(scaled[name], snapshot) for name in place.own if name in scaled)
        found[item.key] = _class_traffic(snapshot, memory, item, place, own.get(item.key, ()), wanted, hold, calm)
    return found


def _like_its_twin(
    place: Placement,
    places: Mapping[str, Placement],
    demands: Mapping[str, ClassDemand],
    shares: Mapping[str, Share],
) -> Share | None:
    """The share of the class on the same lanes that counts this one's traffic."""
    for key, share in shares.items():
        twin = demands[key].item.attribution is Confidence.AMBIGUOUS
        if twin and set(places[key].own) & set(place.own) and place.hosted:
            return share
    return None


def _unsized(place: Placement, scaled: Mapping[str, Scaled]) -> Reason | None:
    """Why the capacity of the class's own lanes is not known, though some of it is warm or should be."""
    for name in place.own:
        lane = scaled.get(name)
        if lane is None or not lane.holds_traffic:
            continue
        if lane.view.blind or lane.view.warm > 0:
            return lane.bites[0] if lane.bites else lane.blocked
    return None


def _capacities(place: Placement, scaled: Mapping[str, Scaled], tick: float) -> list[Capacity]:
    """The class's own lanes with the replicas that are warm and are to stay, cheapest first."""
    found = []
    for name in place.own:
        lane = scaled.get(name)
        if lane is None or lane.view.service is None:
            continue
        view, service = lane.view, lane.view.service
        fixed = lane.planned is None or lane.blocked is not None
        staying = view.warm if fixed else min(view.warm, lane.planned or 0)
        work, backlog = service.usable_work(staying), _backlog_work(view, service, tick)
        found.append(Capacity(name, service.request_seconds, view.usd_per_work, work, backlog))
    return sorted(found, key=lambda capacity: (capacity.usd_per_work, capacity.lane))


def _backlog_work(view: LaneView, service: Curve, tick: float) -> float:
    """Replicas that it takes to work off within a few ticks what waits or runs beyond what meets the SLO."""
    if view.waiting is None or view.running is None:
        return 0.0
    excess = view.waiting + max(0.0, view.running - service.valve.cap * view.warm)
    seconds = service.request_seconds.values()
    return excess * sum(seconds) / len(seconds) / (DRAIN_TICKS * tick)


def is_calm(snapshot: PlanSnapshot, view: LaneView, demands: Mapping[str, ClassDemand]) -> bool:
    """Whether the lane could take more: no queue, KV cache free, and its own traffic below what it serves."""
    if view.service is None or view.warm == 0:
        return False
    if view.waiting is None or view.running is None or view.waiting > CALM_QUEUE_SHARE * max(view.running, 1.0):
        return False
    if view.kv_usage is not None and view.kv_usage > CALM_KV_USAGE:
        return False
    return own_work(snapshot, view, demands) <= LOW_LOAD * view.service.usable_work(view.warm)


def own_work(snapshot: PlanSnapshot, view: LaneView, demands: Mapping[str, ClassDemand]) -> float:
    """Work in replicas that the lane gets now, by observed traffic where it is told, else all of the demand."""
    work = 0.0
    for key in view.classes:
        demand, now = demands[key].item.demand, demands[key].now
        if demand is None or now is None or view.service is None:
            continue
        by_lane = demand.requests_per_second_by_lane.get(view.name)
        rate = now.value if by_lane is None else by_lane.value
        work += rate * view.service.request_seconds[key]
    return work


def with_calm(memory: LaneMemory, calm: bool, now: float) -> LaneMemory:
    """Remember since when the lane has been calm."""
    if calm == (memory.low_saturation_since is not None):
        return memory
    return replace(memory, low_saturation_since=now if calm else None)


def _calm_for(lane: Scaled, snapshot: PlanSnapshot) -> bool:
    if lane.view.warm == 0:
        return True
    since = lane.memory.low_saturation_since
    return since is not None and snapshot.at - since >= (HOLD_TICKS - 0.5) * snapshot.tick_seconds


def _class_traffic(
    snapshot: PlanSnapshot,
    memory: Memory,
    item: ClassSnapshot,
    place: Placement,
    own: Sequence[Capacity],
    wanted: Share | None,
    hold: Reason | None,
    calm: bool,
) -> ClassTraffic:
    route = next((r for r in snapshot.routes if r.class_name == binding_name(item)), None)
    before = _share_now(snapshot, route)
    forbidden = _never_hosted(snapshot, item)
    if hold is not None or wanted is None:
        reason = hold or because(Code.DEMAND_UNKNOWN, f"Nothing is known of class {item.key}.")
        kept = None if route is None else _kept(snapshot, route, reason)
        if forbidden is not None and route is not None and before:
            kept = _decided(snapshot, route, place, _own_only(snapshot, route, own), forbidden)
        return ClassTraffic(item.key, before, wanted, kept, reason)
    if forbidden is not None:
        at_home = None
        if route is not None:
            at_home = _decided(snapshot, route, place, _own_only(snapshot, route, own), forbidden)
        return ClassTraffic(item.key, 0.0, wanted, at_home, forbidden)
    decided = memory.hosted_shares.get(item.key)
    applies = before is not None and snapshot.plan.spec.mode is Mode.APPLY
    share = moved_share(wanted.wanted, before if applies or decided is None else decided, calm)
    if wanted.capped or wanted.full:
        share = min(share, wanted.wanted)  # money that is gone, and who refuses, can't wait for calm
    capacity = {c.lane: c.work for c in own if c.work > 0}
    if not capacity and not wanted.capped and place.hosted:
        share = 1.0
    reason = _reason(item, place, share, wanted, bool(capacity), before)
    if snapshot.actuators.spill and place.hosted and capacity:
        share, reason = 0.0, because(Code.SPILLING, f"What own engines refuse of {item.key} goes to hosted lanes.")
    if route is None:
        return ClassTraffic(item.key, share, wanted, None, reason)
    if place.route is None:
        problem = because(Code.ROUTE_UNUSABLE, route.problem or f"HTTPRoute {route.route} does not exist.")
        return ClassTraffic(item.key, before, wanted, _kept(snapshot, route, problem), problem)
    split = wanted.by_lane or {lane.name: 1.0 for lane in place.hosted[:1]}
    if not capacity and not place.hosted:
        nowhere = because(Code.NO_CAPACITY, f"No lane of {item.key} has capacity now; the weights stay as they are.")
        return ClassTraffic(item.key, before, wanted, _kept(snapshot, route, nowhere), nowhere)
    new = weights(list(route.weights), share, split, capacity or (_own_as_now(snapshot, route) if share < 1 else {}))
    return ClassTraffic(item.key, share, wanted, _decided(snapshot, route, place, new, reason), reason)


def _share_now(snapshot: PlanSnapshot, route: RouteState | None) -> float | None:
    """The share of hosted lanes by the weights as they are."""
    if route is None or not route.exists or sum(route.weights.values()) <= 0:
        return None
    hosted = sum(weight for name, weight in route.weights.items() if not _is_own(snapshot, name))
    return hosted / sum(route.weights.values())


def _is_own(snapshot: PlanSnapshot, name: str) -> bool:
    lane = snapshot.lane(name)
    return lane is not None and lane.resource.spec.type is LaneType.SELF_HOSTED


def _never_hosted(snapshot: PlanSnapshot, item: ClassSnapshot) -> Reason | None:
    if item.resource.spec.data_policy is DataPolicy.SELF_HOSTED_ONLY:
        return because(Code.DATA_POLICY, f"Class {item.key} is SelfHostedOnly: nothing goes to hosted lanes.")
    if snapshot.plan.spec.overflow.mode is OverflowMode.NEVER:
        return because(Code.OVERFLOW_NEVER, "overflow.mode is Never: nothing goes to hosted lanes.")
    return None


def _own_as_now(snapshot: PlanSnapshot, route: RouteState) -> dict[str, float]:
    """The own lanes of a rule in their present proportion, evenly where all are at 0."""
    own = {name: float(weight) for name, weight in route.weights.items() if _is_own(snapshot, name)}
    return own if sum(own.values()) > 0 else dict.fromkeys(own, 1.0)


def _own_only(snapshot: PlanSnapshot, route: RouteState, own: Sequence[Capacity]) -> dict[str, int]:
    capacity = {c.lane: c.work for c in own if c.work > 0 and c.lane in route.weights}
    return weights(list(route.weights), 0.0, {}, capacity or _own_as_now(snapshot, route))


def _kept(snapshot: PlanSnapshot, route: RouteState, reason: Reason) -> RouteDecision:
    return RouteDecision(route.class_name, route.route, route.rule, route.weights, dict(route.weights), reason)


def _decided(
    snapshot: PlanSnapshot, route: RouteState, place: Placement, new: Mapping[str, int], reason: Reason
) -> RouteDecision:
    """The weights to write; a lane that is gone freezes the rule as it is."""
    gone = [name for name, weight in route.weights.items() if weight > 0 and snapshot.lane(name) is None]
    if gone or sum(new.values()) != 100:
        frozen = because(Code.LANE_INVALID, f"Lane {', '.join(gone) or '?'} is gone; the rule stays as it is.")
        return _kept(snapshot, route, frozen)
    chosen = keep_if_close(route.weights, new)
    writable = snapshot.plan.spec.mode is Mode.APPLY and place.route is not None
    return RouteDecision(route.class_name, route.route, route.rule, route.weights, chosen, reason, writable)


def _reason(
    item: ClassSnapshot, place: Placement, share: float, wanted: Share, capacity: bool, before: float | None
) -> Reason:
    percent = f"{figure(100 * share)}%"
    if wanted.capped:
        message = f"{percent} of {item.key} goes to hosted lanes, all that the ceiling allows; the rest queues."
        return because(Code.CEILING_REACHED, message)
    if wanted.full and 0.0 < share < 1.0:
        message = f"{percent} of {item.key} goes to hosted lanes, all that these take by their limits; the rest queues."
        return because(Code.PROVIDERS_FULL, message)
    if not place.hosted:
        return because(Code.OWN_ONLY, f"Class {item.key} has no usable hosted lane; own GPUs take all of it.")
    if share >= 1.0:
        why = "hosted lanes cost less" if capacity else "no own replica is warm"
        return because(Code.HOSTED_ONLY, f"All of {item.key} goes to hosted lanes, as {why}.")
    if share <= 0.0:
        return because(Code.OWN_ONLY, f"Own GPUs take all of {item.key} within its SLO.")
    if before is not None and share < before:
        return because(Code.RETURNING, f"{percent} of {item.key} goes to hosted lanes, down from {100 * before:.0f}%.")
    return because(Code.SPILLING, f"{percent} of {item.key} goes to hosted lanes, which own warm replicas can't take.")
