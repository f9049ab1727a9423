"""Whether counters show what was written: the share of each lane's requests against its weight. Pure.

Accepted status proves that a configuration was translated, not that anything obeys it. With host names behind every
backend, Envoy has one cluster for a whole rule, so that a lane's share is told from what engines and egress count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from spillway.act.planes.plane import Confirmation, Evidence, Move, Stage, share_of
from spillway.api import CapacityPlan, LaneType, OverflowMode, RoutingPlane
from spillway.decide.snapshot import PlanSnapshot, RouteState

COUNTER_SCRAPES = 4
"""Scrapes that rates are taken over."""
LATE_WINDOWS = 4.0
"""Counters that show something else after this many windows are taken at their word."""
TOLERANCE = 0.02
HALF_A_REQUEST = 0.5
"""Less than this within the window is none."""
SIGMAS = 3.0


def evidence(snapshot: PlanSnapshot) -> Evidence:
    """What a tick's snapshot says of the plan's routing."""
    return Evidence(
        at=snapshot.at,
        routes=snapshot.routes,
        requests={
            item.resource.metadata.name: item.demand.requests_per_second_by_lane
            for item in snapshot.classes
            if item.demand is not None
        },
        window_seconds=COUNTER_SCRAPES * snapshot.scrape_seconds,
        own=frozenset(lane.name for lane in snapshot.lanes if lane.resource.spec.type is LaneType.SELF_HOSTED),
    )


def confirmations(plan: CapacityPlan, moves: Sequence[Move], found: Evidence) -> tuple[Confirmation, ...]:
    """How far each move has come."""
    routes = {route.class_name: route for route in found.routes}
    spills = plan.spec.overflow.mode is OverflowMode.SPILL
    kind = "AIGatewayRoute" if plan.spec.routing.plane is RoutingPlane.ENVOY_AI_GATEWAY else "HTTPRoute"
    return tuple(_confirmed(move, routes.get(move.class_name), kind, found, spills) for move in moves)


def _confirmed(move: Move, route: RouteState | None, kind: str, found: Evidence, spills: bool) -> Confirmation:
    name = move.class_name
    if route is None or not route.exists:
        return Confirmation(name, Stage.WRITTEN, "RouteMissing", f"the route of {name} does not exist")
    if route.accepted is False:
        message = f"the gateway does not accept {kind} {route.route}; see its status"
        return Confirmation(name, Stage.NOT_ACCEPTED, "GatewayRefused", message)
    if route.accepted is None:
        message = f"the gateway has said nothing of {kind} {route.route} as it is now"
        return Confirmation(name, Stage.WRITTEN, "GatewayPending", message)
    return counted(move, found, spills)


def counted(move: Move, found: Evidence, spills: bool) -> Confirmation:
    """How far a move that the plane has taken over has come, by counters alone.

    ``spills``: hosted lanes get what own ones refuse, so that no share of theirs is expected while own lanes serve.
    """
    name, rates = move.class_name, found.requests.get(move.class_name, {})
    total_weight = sum(move.weights.values())
    missing = [lane for lane, weight in sorted(move.weights.items()) if weight > 0 and lane not in rates]
    if missing or total_weight <= 0:
        message = f"no counter tells how many requests of {name} lane {', '.join(missing) or '?'} gets"
        return Confirmation(name, Stage.ACCEPTED, "CountersMissing", message)
    known = {lane: rates[lane].value for lane in move.weights if lane in rates}
    total = sum(known.values())
    hosted = sum(value for lane, value in known.items() if lane not in found.own) / total if total > 0 else None
    due = move.written_at + found.window_seconds
    oldest = min((rates[lane].at for lane in known), default=found.at)
    if oldest < due:
        message = f"counters show {name} from before the weights were written"
        return Confirmation(name, Stage.ACCEPTED, "CountersPending", message, hosted)
    requests = total * found.window_seconds
    if requests < 1 or hosted is None:
        return Confirmation(name, Stage.ACCEPTED, "NoTraffic", f"no requests of {name} come, so nothing is proved")
    off = _off(move.weights, known, requests, found, spills)
    shown = _shown(known, total)
    if not off:
        return Confirmation(name, Stage.CONFIRMED, "CountersAgree", f"by counters {name} goes to {shown}", hosted)
    late = found.at >= move.written_at + LATE_WINDOWS * found.window_seconds
    stage, reason = (Stage.NOT_CONFIRMED, "CountersDisagree") if late else (Stage.ACCEPTED, "CountersMoving")
    asked = ", ".join(f"{lane} {100 * move.weights[lane] / total_weight:.0f}%" for lane in off)
    return Confirmation(name, stage, reason, f"by counters {name} goes to {shown}, but its weights say {asked}", hosted)


def _off(
    weights: Mapping[str, int], known: Mapping[str, float], requests: float, found: Evidence, spills: bool
) -> list[str]:
    """Lanes whose share is farther from their weight than chance allows."""
    own = {lane: weight for lane, weight in weights.items() if lane in found.own}
    if spills and any(own.values()):
        return [lane for lane, weight in sorted(own.items()) if (weight > 0) != (known.get(lane, 0.0) > 0)]
    total, sum_of_weights = sum(known.values()), sum(weights.values())
    off = []
    for lane, weight in sorted(weights.items()):
        target = weight / sum_of_weights
        if abs(known.get(lane, 0.0) / total - target) > _allowed(target, requests):
            off.append(lane)
    return off


def _allowed(share: float, requests: float) -> float:
    """How far from ``share`` what is counted may be by chance."""
    return TOLERANCE + SIGMAS * math.sqrt(share * (1 - share) / requests)


def gone(move: Move, lane: str, found: Evidence) -> bool | None:
    """Whether the lane gets no more than its weight, by counters from after that was last lowered.

    None where no counter tells. Says nothing of lanes that get too little, and needs no word of the gateway's.
    """
    rates, since = found.requests.get(move.class_name, {}), move.lowered_at.get(lane, move.written_at)
    if lane not in rates or rates[lane].at < since + found.window_seconds:
        return None
    mine = rates[lane].value
    if move.weights.get(lane, 0) <= 0:
        return mine * found.window_seconds < HALF_A_REQUEST
    known = {name: rates[name] for name in move.weights if name in rates}
    if any(weight > 0 and name not in known for name, weight in move.weights.items()):
        return None
    if any(reading.at < since + found.window_seconds for reading in known.values()):
        return None
    total = sum(reading.value for reading in known.values())
    if total * found.window_seconds < 1:
        return None
    share = share_of(move.weights, lane)
    return mine / total - share <= _allowed(share, total * found.window_seconds)


def _shown(known: Mapping[str, float], total: float) -> str:
    return ", ".join(f"{lane} {100 * value / total:.1f}%" for lane, value in sorted(known.items()))
