"""The safe order over any sequence of events, on a model of a gateway, its counters and pods that take their time.

What the operator keeps in memory is dropped at any step of a tick: nothing may go that still has traffic, and the end
is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from spillway.act.lane_facts import Seen, Told, lane_moves
from spillway.act.moves import LaneMove, May
from spillway.act.planes.confirming import confirmations, evidence
from spillway.api import CapacityLane, CapacityPlan, LaneStatus, WorkloadClass
from spillway.api.status import CapacityPlanStatus, MoveState
from spillway.controller.moves import SMALL, Moves, move_statuses
from spillway.decide.decision import Costs, Decision, LaneDecision, Reason, RouteDecision
from spillway.decide.snapshot import (
    ClassSnapshot,
    Demand,
    DemandSource,
    LaneSnapshot,
    MetricsHealth,
    MetricsReason,
    PlanSnapshot,
    Reading,
    RouteState,
)
from support.world import hosted_lane, own_lane, plan, workload

TICK = 15.0
WINDOW_TICKS = 4
MOST_TICKS_TO_LOAD = 6
REPLICA_RPS = 10.0
PLAN = plan("ai")
LANES = tuple(CapacityLane.parse(made) for made in (own_lane("ai"), hosted_lane("ai")))
CLASS = WorkloadClass.parse(workload("ai"))
Weights = dict[str, int]


@dataclass
class Outside:
    """The cluster and its traffic: all that outlives the operator."""

    demand: float = 25.0
    goal: int = 3
    """Replicas that the decision comes to."""
    replicas: int = 3
    starting: list[int] = field(default_factory=list)
    """Ticks that each replica that is not Ready needs yet."""
    written: Weights = field(default_factory=lambda: {"gpu": 100, "hosted": 0})
    accepted: bool | None = True
    loaded: Weights = field(default_factory=lambda: {"gpu": 100, "hosted": 0})
    lag: int = 0
    """Ticks until the gateway has said something of what is written."""
    unloaded: int = 0
    """Ticks since it has accepted that."""
    refuses: bool = False
    silent: bool = False
    """Whether no counter tells anything."""
    arrived: list[Weights] = field(default_factory=list)
    """By which weights traffic went in each tick so far."""
    status: CapacityPlanStatus | None = None

    @property
    def ready(self) -> int:
        return self.replicas - len(self.starting)

    def share(self) -> float:
        """Of the demand that goes to own replicas now."""
        return self.loaded["gpu"] / 100

    def pass_time(self, slow: int) -> None:
        """One tick: pods start, and the gateway takes what is written where it does not refuse it."""
        self.arrived.append(dict(self.loaded))
        self.starting = [left - 1 for left in self.starting if left > 1]
        if self.accepted is None:
            self.lag -= 1
            if self.lag <= 0:
                self.accepted = not (self.refuses and self.written["hosted"] > 0)
        elif self.accepted and self.loaded != self.written:
            # Accepted, and Envoy has yet to load it, which takes far less than what silent counters are waited for.
            self.unloaded += 1
            if slow == 0 or self.unloaded >= MOST_TICKS_TO_LOAD:
                self.loaded = dict(self.written)

    def write_weights(self, weights: Weights, lag: int) -> None:
        self.written, self.accepted, self.lag, self.unloaded = dict(weights), None, lag, 0

    def write_replicas(self, count: int, startup: int) -> None:
        more = count - self.replicas
        self.starting = self.starting[: max(0, len(self.starting) + min(0, more))] + [startup] * max(0, more)
        self.replicas = count


class SafeOrder(RuleBasedStateMachine):
    """Ticks with whatever happens between them."""

    def __init__(self) -> None:
        super().__init__()
        self.outside, self.memory, self.at = Outside(), Moves(), 1_800_000_000.0
        self.removed = 0
        self.order: list[MoveState] = []

    @initialize(silent=st.booleans())
    def begin(self, silent: bool) -> None:
        self.outside.silent = silent

    @rule(demand=st.sampled_from([0.0, 2.0, 15.0, 25.0, 60.0]), goal=st.integers(0, 4))
    def traffic_changes(self, demand: float, goal: int) -> None:
        self.outside.demand, self.outside.goal = demand, goal

    @rule(refuses=st.booleans())
    def gateway_minds(self, refuses: bool) -> None:
        self.outside.refuses = refuses

    @rule()
    def operator_is_killed(self) -> None:
        self.memory = Moves()

    @rule(
        slow=st.integers(0, 3),
        lag=st.integers(1, 4),
        startup=st.integers(1, 3),
        crash_after=st.sampled_from([None, None, None, "weights", "replicas"]),
    )
    def tick(self, slow: int, lag: int, startup: int, crash_after: str | None) -> None:
        self._tick(slow, lag, startup, crash_after)

    @precondition(lambda self: self.outside.accepted is not None)
    @rule(ticks=st.integers(2, 6))
    def some_quiet_ticks(self, ticks: int) -> None:
        for _ in range(ticks):
            self._tick(0, 1, 1, None)

    def teardown(self) -> None:
        """Left alone, it comes to the same end, whatever was dropped on the way."""
        self.outside.refuses = False
        for _ in range(6 * 4 * WINDOW_TICKS):
            self._tick(0, 1, 1, None)
        outside = self.outside
        assert outside.replicas == outside.ready == outside.goal, (outside, self.order[-20:])
        assert outside.loaded == outside.written == self._weights(outside.goal)
        assert self.order[-1] is MoveState.SETTLED, self.order[-20:]

    def _tick(self, slow: int, lag: int, startup: int, crash_after: str | None) -> None:
        outside = self.outside
        self.at += TICK
        snapshot = self._snapshot()
        decision = self._decision(snapshot)
        route = decision.routes[0]
        moves = {each.class_name: each for each in self.memory.seen(snapshot)}
        found = confirmations(snapshot.plan, list(moves.values()), evidence(snapshot))
        self.memory.confirmed(snapshot, found)
        seen = Seen(moves, {each.class_name: each for each in found})
        backing_off = outside.refuses and route.weights["hosted"] > 0 and route.changed
        told = Told({"chat": "the gateway refused these"} if backing_off else {})
        (move,) = lane_moves(snapshot, decision, seen, told)
        if outside.accepted is False:
            outside.write_weights(dict(outside.loaded), lag)
        elif route.changed and not backing_off:
            outside.write_weights(dict(route.weights), lag)
        if crash_after == "weights":
            self.memory = Moves()
        else:
            self._scale(move, decision.lanes[0], dict(route.weights), startup)
            if crash_after == "replicas":
                self.memory = Moves()
            else:
                self.order.append(move.state)
                shown = move_statuses([move], outside.status, self.at)
                outside.status = CapacityPlanStatus(lanes=(LaneStatus(name="gpu", move=shown["gpu"]),))
        outside.pass_time(slow)

    def _scale(self, move: LaneMove, decided: LaneDecision, weights: Weights, startup: int) -> None:
        """What the executor does with a move."""
        outside, wanted = self.outside, decided.recommended
        assert wanted is not None
        if wanted > outside.replicas and May.ADD in move.may:
            outside.write_replicas(wanted, startup)
        if wanted < outside.replicas and May.REMOVE in move.may:
            if wanted < outside.ready:
                # What is really sent, not what anybody says of it.
                small = 0 if weights["gpu"] == 0 else 100 * SMALL
                assert outside.loaded["gpu"] <= weights["gpu"] + small, (move, outside)
            outside.write_replicas(wanted, startup)
            self.removed += 1

    def _weights(self, staying: int) -> Weights:
        demand = self.outside.demand
        if staying == 0:
            return {"gpu": 0, "hosted": 100}
        own = 100 if demand <= 0 else min(100, math.floor(100 * REPLICA_RPS * staying / demand))
        return {"gpu": own, "hosted": 100 - own}

    def _decision(self, snapshot: PlanSnapshot) -> Decision:
        """As the real one goes: traffic is moved for the goal, the last replica goes when it is seen to be idle."""
        outside, route = self.outside, snapshot.routes[0]
        weights = self._weights(min(outside.ready, outside.goal))
        wanted, guards = outside.goal, tuple[Reason, ...]()
        if outside.goal == 0 and outside.ready > 0 and not self._idle():
            wanted, guards = min(outside.replicas, 1), (Reason("Draining", "Its traffic has to end."),)
        why = Reason("Test", "Because.")
        lane = LaneDecision(
            "gpu", outside.replicas, outside.ready, outside.goal, wanted, why, guards=guards, writable=True
        )
        decided = RouteDecision("chat", "chat", "all", route.weights, weights, why, True)
        return Decision("ai/main", self.at, self.at, (lane,), (), (decided,), Costs(), why)

    def _idle(self) -> bool:
        """By the engines' gauges, which are as old as the last scrape."""
        last = self.outside.arrived[-2:]
        return len(last) == 2 and all(weights["gpu"] == 0 or self.outside.demand == 0 for weights in last)

    def _snapshot(self) -> PlanSnapshot:
        outside = self.outside
        state = RouteState("chat", "chat", "all", True, weights=dict(outside.written), accepted=outside.accepted)
        found = CapacityPlan.parse(PLAN).model_copy(update={"status": outside.status})
        lanes = tuple(LaneSnapshot(lane) for lane in LANES)
        item = ClassSnapshot(CLASS, None if outside.silent else self._demand())
        health = MetricsHealth(MetricsReason.FOUND, "")
        return PlanSnapshot(self.at, found, (item,), lanes, (state,), health, scrape_seconds=TICK, tick_seconds=TICK)

    def _demand(self) -> Demand:
        counted = self.outside.arrived[-WINDOW_TICKS:] or [self.outside.loaded]
        shares = {lane: sum(each[lane] for each in counted) / 100 / len(counted) for lane in ("gpu", "hosted")}
        rates = {lane: Reading(self.outside.demand * share, self.at) for lane, share in shares.items()}
        return Demand(DemandSource.GATEWAY, Reading(self.outside.demand, self.at), None, None, None, rates, ())


TestSafeOrder: Callable[..., object] = SafeOrder.TestCase
TestSafeOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)  # type: ignore[attr-defined]
