"""What each own lane's move is told from: the snapshot, the decision, and how far weights have come. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from spillway.act.moves import LaneFacts, LaneMove, RouteFacts, advance
from spillway.act.planes.confirming import LATE_WINDOWS, evidence, gone
from spillway.act.planes.plane import Confirmation, Evidence, Move, share_of
from spillway.api import Mode, RoutingPlane
from spillway.decide.decision import Decision, LaneDecision
from spillway.decide.reasons import Code
from spillway.decide.snapshot import PlanSnapshot, RouteState


@dataclass(frozen=True, slots=True)
class Seen:
    """How far the weights in place have come, by class name."""

    moves: Mapping[str, Move] = field(default_factory=dict)
    found: Mapping[str, Confirmation] = field(default_factory=dict)
    """Empty where nobody could look."""


@dataclass(frozen=True, slots=True)
class Told:
    """What this tick's look at the routes, and its writes, have told."""

    refused: Mapping[str, str] = field(default_factory=dict)
    """Class name to why its weights are not tried for a while."""
    unwritten: str = ""
    """What is not in force: one clause."""


def lane_moves(snapshot: PlanSnapshot, decision: Decision, seen: Seen, told: Told) -> tuple[LaneMove, ...]:
    """Where each own lane stands; nothing where nothing is moved."""
    if snapshot.plan.spec.mode is not Mode.APPLY:
        return ()
    status = snapshot.plan.status
    before = {lane.name: lane.move.state for lane in (status.lanes if status else ()) if lane.move is not None}
    found = evidence(snapshot)
    moves = []
    for decided in decision.lanes:
        facts = _facts(snapshot, decision, decided, seen, told, found)
        if facts is not None:
            moves.append(advance(before.get(decided.name), facts))
    return tuple(moves)


def _facts(
    snapshot: PlanSnapshot, decision: Decision, decided: LaneDecision, seen: Seen, told: Told, found: Evidence
) -> LaneFacts | None:
    if decided.current is None or decided.recommended is None:
        return None
    wanted = {route.class_name: route.weights for route in decision.routes}
    routes = tuple(
        _route(snapshot, route, wanted.get(route.class_name, route.weights), decided.name, seen, told, found)
        for route in snapshot.routes
        if route.exists and decided.name in route.weights
    )
    return LaneFacts(
        lane=decided.name,
        current=decided.current,
        ready=decided.ready or 0,
        wanted=decided.recommended,
        routes=routes,
        reason=decided.reason.code,
        message=decided.reason.message,
        writable=decided.writable,
        ordered=decided.bounds_only,
        draining=any(guard.code == Code.DRAINING.value for guard in decided.guards),
        patience_seconds=LATE_WINDOWS * found.window_seconds,
        unwritten=told.unwritten,
    )


def _route(
    snapshot: PlanSnapshot,
    route: RouteState,
    wanted: Mapping[str, int],
    lane: str,
    seen: Seen,
    told: Told,
    found: Evidence,
) -> RouteFacts:
    name, now = route.class_name, share_of(route.weights, lane)
    move, confirmation = seen.moves.get(name), seen.found.get(name)
    lowered = None if move is None else move.lowered_at.get(lane)
    # A proxy's configuration differs by less than it is written for: it says itself whether anything is due.
    asked = now if snapshot.plan.spec.routing.plane is RoutingPlane.LITELLM else share_of(wanted, lane)
    before = None if move is None or move.before is None else share_of(move.before, lane)
    return RouteFacts(
        class_name=name,
        now=now,
        wanted=asked,
        stage=None if confirmation is None else confirmation.stage,
        reason="NotLookedAt" if confirmation is None else confirmation.reason,
        message=f"nobody could look at {name}" if confirmation is None else confirmation.message,
        rose=None if before is None or before == now else now > before,
        gone=None if move is None else gone(move, lane, found),
        lowered_seconds=None if lowered is None else snapshot.at - lowered,
        refusal=told.refused.get(name, ""),
    )
