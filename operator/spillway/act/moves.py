"""The safe order of one lane's replicas and traffic, as a state machine. Pure.

Out:  Settled -> ScalingOut -> WaitingReady -> ShiftingIn -> Settled. Hosted lanes take over first, in the same tick.
In:   Settled -> ShiftingAway -> Draining (the last replica only) -> ScalingIn -> Settled.
Held: what comes next must wait for something that takes more than time.

A state follows from what is observed in this tick, so that nothing is lost with the process that observed the last one.
The state before only says which way weights went that counters have yet to show. Weights are written by the route, not
by the lane, as one route serves several: here they are what replicas wait for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from spillway.act.planes.plane import Stage
from spillway.api.status import MoveState

SAME = 1e-6
"""Shares that differ by no more are the same."""
UNDER_WAY = ("GatewayPending", "RolloutPending", "CountersPending", "CountersMoving", "CountersDisagree")
"""Machine reasons of routes that still have to come to their weights; silent counters are no such reason."""


class May(StrEnum):
    """What a lane's state lets be written of its replicas."""

    ADD = "Add"
    REMOVE = "Remove"


ALLOWS: Mapping[MoveState, frozenset[May]] = MappingProxyType(
    {
        MoveState.SETTLED: frozenset(),
        MoveState.SCALING_OUT: frozenset({May.ADD}),
        MoveState.WAITING_READY: frozenset(),
        MoveState.SHIFTING_IN: frozenset(),
        MoveState.SHIFTING_AWAY: frozenset(),
        MoveState.DRAINING: frozenset(),
        MoveState.SCALING_IN: frozenset({May.REMOVE}),
        MoveState.HELD: frozenset(),
    }
)


@dataclass(frozen=True, slots=True)
class RouteFacts:
    """One route, as far as one lane's share of it goes. Shares are 0 to 1."""

    class_name: str
    now: float
    """By the weights in place."""
    wanted: float
    """By the weights decided on."""
    stage: Stage | None
    """How far the weights in place have come; None where nobody could look."""
    reason: str
    """Machine reason of the stage."""
    message: str
    rose: bool | None = None
    """Whether the weights in place gave the lane more than those before them; None: as much, or not known."""
    gone: bool | None = None
    """Whether counters show no more than the lane's share since that was last lowered; None where they are silent."""
    lowered_seconds: float | None = None
    """Since then; None where it was not lowered."""
    refusal: str = ""
    """Why the weights decided on are not tried for a while."""

    @property
    def falls(self) -> bool:
        """Whether some of the lane's share is still to be taken away."""
        return self.wanted < self.now - SAME

    @property
    def differs(self) -> bool:
        """Whether the lane is to have another share."""
        return abs(self.wanted - self.now) > SAME


@dataclass(frozen=True, slots=True)
class LaneFacts:
    """What was observed and decided of one lane in one tick."""

    lane: str
    current: int
    """Replicas asked for now."""
    ready: int
    wanted: int
    """Replicas to ask for."""
    routes: tuple[RouteFacts, ...]
    """Those that have a share for the lane."""
    reason: str
    """Machine reason of the decision."""
    message: str
    writable: bool = True
    """Whether the decision lets the target be scaled."""
    ordered: bool = False
    """Whether nothing but the lane's bounds asks for the count: they are obeyed even where nobody can tell."""
    draining: bool = False
    """Whether the decision waits for the last replica's traffic to end."""
    patience_seconds: float = 0.0
    """How long silent counters are waited for."""
    unwritten: str = ""
    """What of this tick's routing is not in force yet: one clause."""


@dataclass(frozen=True, slots=True)
class LaneMove:
    """Where a lane stands."""

    lane: str
    state: MoveState
    reason: str
    """Machine reason, CamelCase."""
    message: str
    """One sentence with its figures."""

    @property
    def may(self) -> frozenset[May]:
        """What may be written of its replicas now."""
        return ALLOWS[self.state]


def advance(before: MoveState | None, facts: LaneFacts) -> LaneMove:
    """Where the lane stands now. ``before``: where it stood by the plan's status, if that says so."""
    if facts.wanted != facts.current and not facts.writable:
        return LaneMove(facts.lane, MoveState.HELD, facts.reason, facts.message)
    if facts.wanted > facts.current:
        text = f"{facts.current} -> {facts.wanted} replicas; their share stays elsewhere until they are Ready"
        return LaneMove(facts.lane, MoveState.SCALING_OUT, "MoreReplicas", text)
    if facts.wanted < facts.current or facts.draining:
        return _towards_less(facts)
    if facts.ready < facts.current:
        text = f"{facts.ready} of {facts.current} replicas are Ready; the share of the others stays elsewhere"
        return LaneMove(facts.lane, MoveState.WAITING_READY, "PodsStarting", text)
    return _shifting(before, facts)


def _towards_less(facts: LaneFacts) -> LaneMove:
    """Replicas go, or the last one drains: not before the traffic that they serve is seen to be away."""
    if facts.wanted < facts.ready or facts.draining:
        for route in facts.routes:
            if (obstacle := _obstacle(facts, route)) is not None:
                return obstacle
        if facts.unwritten:
            return LaneMove(facts.lane, MoveState.SHIFTING_AWAY, "NotInForce", facts.unwritten)
    if facts.wanted == facts.current:
        return LaneMove(facts.lane, MoveState.DRAINING, "RequestsRunning", facts.message)
    text = f"{facts.current} -> {facts.wanted} replicas; the traffic of those that go is away"
    return LaneMove(facts.lane, MoveState.SCALING_IN, "TrafficAway", text)


def _obstacle(facts: LaneFacts, route: RouteFacts) -> LaneMove | None:
    """Why the route's traffic is not away, or None where it is.

    Where counters are silent the gateway's own word is enough after a while: it has the weights, pods that go still
    answer what they have, and the last one needs its engine's word besides. Without either, only a bound on the lane
    itself is obeyed.
    """
    waited = route.lowered_seconds is not None and route.lowered_seconds >= facts.patience_seconds
    if route.falls and route.refusal:
        return LaneMove(facts.lane, MoveState.HELD, "GatewayRefused", f"{route.class_name}: {route.refusal}")
    if route.stage is Stage.NOT_ACCEPTED and not facts.ordered:
        return LaneMove(facts.lane, MoveState.HELD, "GatewayRefused", route.message)
    if route.falls:
        return LaneMove(facts.lane, MoveState.SHIFTING_AWAY, "WeightsDue", _going(route))
    if route.stage is None and not facts.ordered:
        return LaneMove(facts.lane, MoveState.SHIFTING_AWAY, route.reason, route.message)
    if route.lowered_seconds is None or route.gone or (waited and facts.ordered):
        return None
    if route.gone is None and waited and route.stage in (Stage.ACCEPTED, Stage.CONFIRMED, Stage.NOT_CONFIRMED):
        return None
    if route.gone is False and waited:
        text = f"counters still show more of {route.class_name} than its weight; {route.message}"
        return LaneMove(facts.lane, MoveState.HELD, "CountersDisagree", text)
    return LaneMove(facts.lane, MoveState.SHIFTING_AWAY, route.reason, route.message)


def _shifting(before: MoveState | None, facts: LaneFacts) -> LaneMove:
    """Enough replicas are Ready: what is left are weights."""
    for route in facts.routes:
        if route.stage is Stage.NOT_ACCEPTED:
            return LaneMove(facts.lane, MoveState.HELD, "GatewayRefused", route.message)
        if route.differs and route.refusal:
            return LaneMove(facts.lane, MoveState.HELD, "GatewayRefused", f"{route.class_name}: {route.refusal}")
    for route in facts.routes:
        if route.differs:
            state = MoveState.SHIFTING_AWAY if route.falls else MoveState.SHIFTING_IN
            return LaneMove(facts.lane, state, "WeightsDue", _going(route))
    for route in facts.routes:
        under_way = _direction(before, route) if route.reason in UNDER_WAY else None
        if under_way is not None:
            return LaneMove(facts.lane, under_way, route.reason, route.message)
    text = f"{facts.ready} replicas are Ready, and weights are as decided"
    return LaneMove(facts.lane, MoveState.SETTLED, "AsDecided", text)


def _direction(before: MoveState | None, route: RouteFacts) -> MoveState | None:
    if route.rose is not None:
        return MoveState.SHIFTING_IN if route.rose else MoveState.SHIFTING_AWAY
    return before if before in (MoveState.SHIFTING_IN, MoveState.SHIFTING_AWAY) else None


def _going(route: RouteFacts) -> str:
    return f"the lane's share of {route.class_name} goes from {100 * route.now:.0f}% to {100 * route.wanted:.0f}%"
