"""Where a lane stands, from what is observed alone, and what may be written of its replicas then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from spillway.act.moves import ALLOWS, LaneFacts, LaneMove, May, RouteFacts, advance
from spillway.act.planes.plane import Stage
from spillway.api.status import MoveState

PATIENCE = 240.0
ROUTE = RouteFacts("chat", 1.0, 1.0, Stage.CONFIRMED, "CountersAgree", "as asked")
LANE = LaneFacts("gpu", 3, 3, 3, (ROUTE,), "Steady", "3 replicas are enough", patience_seconds=PATIENCE)
TO_ZERO = replace(LANE, current=1, ready=1, wanted=1, draining=True, message="traffic has to end")


def lane(**more: Any) -> LaneFacts:
    return replace(LANE, **more)


def less(**route: Any) -> LaneFacts:
    """Two of three replicas are to stay, and 60% of the traffic, which is what weights say."""
    return lane(wanted=2, routes=(replace(ROUTE, **({"now": 0.6, "wanted": 0.6, "lowered_seconds": 30.0} | route)),))


def stands(facts: LaneFacts, before: MoveState | None = None) -> tuple[str, str]:
    move = advance(before, facts)
    assert move.lane == facts.lane
    assert move.message
    return move.state.value, move.reason


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (LANE, ("Settled", "AsDecided")),
        (lane(wanted=5), ("ScalingOut", "MoreReplicas")),
        (lane(current=5, wanted=5), ("WaitingReady", "PodsStarting")),
        (lane(routes=(replace(ROUTE, now=0.4),)), ("ShiftingIn", "WeightsDue")),
        (lane(routes=(replace(ROUTE, wanted=0.4),)), ("ShiftingAway", "WeightsDue")),
        (lane(wanted=2), ("ScalingIn", "TrafficAway")),
        (replace(TO_ZERO, routes=(replace(ROUTE, now=0.0, wanted=0.0, gone=True),)), ("Draining", "RequestsRunning")),
        (lane(wanted=2, writable=False, reason="ManualOverride"), ("Held", "ManualOverride")),
        (lane(writable=False, reason="ManualOverride"), ("Settled", "AsDecided")),
        # Where no route moves traffic the decision alone counts.
        (lane(wanted=2, routes=()), ("ScalingIn", "TrafficAway")),
    ],
)
def test_each_state_follows_from_what_is_observed(facts: LaneFacts, expected: tuple[str, str]) -> None:
    assert stands(facts) == expected


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ({"now": 0.9}, ("ShiftingAway", "WeightsDue")),
        # Written, and the gateway has said nothing: no time is enough for that.
        ({"stage": Stage.WRITTEN, "reason": "GatewayPending"}, ("ShiftingAway", "GatewayPending")),
        (
            {"stage": Stage.WRITTEN, "reason": "GatewayPending", "lowered_seconds": 9 * PATIENCE},
            ("ShiftingAway", "GatewayPending"),
        ),
        # The gateway has it, and counters are silent: a while is waited, not for ever.
        ({"stage": Stage.ACCEPTED, "reason": "CountersPending"}, ("ShiftingAway", "CountersPending")),
        (
            {"stage": Stage.ACCEPTED, "reason": "CountersMissing", "lowered_seconds": PATIENCE},
            ("ScalingIn", "TrafficAway"),
        ),
        # What counters show counts, whatever the gateway says or does not say.
        ({"gone": True}, ("ScalingIn", "TrafficAway")),
        ({"gone": True, "stage": Stage.WRITTEN, "reason": "GatewayPending"}, ("ScalingIn", "TrafficAway")),
        ({"gone": False, "stage": Stage.ACCEPTED, "reason": "CountersMoving"}, ("ShiftingAway", "CountersMoving")),
        ({"gone": False, "lowered_seconds": 9 * PATIENCE}, ("Held", "CountersDisagree")),
        # A share that never was lowered has nothing to wait for.
        ({"lowered_seconds": None, "stage": Stage.ACCEPTED, "reason": "CountersPending"}, ("ScalingIn", "TrafficAway")),
        ({"stage": None, "reason": "NotLookedAt", "lowered_seconds": None}, ("ShiftingAway", "NotLookedAt")),
        ({"stage": Stage.NOT_ACCEPTED, "reason": "GatewayRefused"}, ("Held", "GatewayRefused")),
        ({"now": 0.9, "refusal": "next try in 9 s"}, ("Held", "GatewayRefused")),
        # Weights that are refused, but give this lane more, take nothing away from it.
        ({"wanted": 0.7, "gone": True, "refusal": "next try in 9 s"}, ("ScalingIn", "TrafficAway")),
    ],
)
def test_no_replica_goes_before_its_traffic_is_seen_to_be_away(
    route: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert stands(less(**route)) == expected


def test_every_route_of_the_lane_is_waited_for_and_what_is_not_in_force() -> None:
    away = replace(ROUTE, now=0.6, wanted=0.6, lowered_seconds=30.0, gone=True)
    other = replace(away, class_name="other", gone=None, stage=Stage.ACCEPTED, reason="CountersPending")
    assert stands(lane(wanted=2, routes=(away, away))) == ("ScalingIn", "TrafficAway")
    assert stands(lane(wanted=2, routes=(away, other))) == ("ShiftingAway", "CountersPending")
    assert stands(lane(wanted=2, routes=(away,), unwritten="route x was not written")) == ("ShiftingAway", "NotInForce")


def test_replicas_that_serve_nothing_go_at_once() -> None:
    waits = replace(less(now=0.9), current=5, ready=2)
    assert stands(waits) == ("ScalingIn", "TrafficAway")
    assert stands(replace(waits, ready=3)) == ("ShiftingAway", "WeightsDue")


def test_bounds_on_a_lane_are_obeyed_even_where_nobody_can_tell() -> None:
    blind: dict[str, Any] = {"stage": Stage.WRITTEN, "reason": "GatewayPending", "lowered_seconds": PATIENCE}
    assert stands(replace(less(**blind), ordered=True)) == ("ScalingIn", "TrafficAway")
    assert stands(replace(less(**blind | {"lowered_seconds": 1.0}), ordered=True)) == ("ShiftingAway", "GatewayPending")


def test_a_refusal_stops_no_growth_and_is_told_while_weights_wait() -> None:
    refused = replace(ROUTE, wanted=0.7, refusal="next try in 9 s")
    assert stands(lane(wanted=5, routes=(refused,))) == ("ScalingOut", "MoreReplicas")
    assert stands(lane(routes=(refused,))) == ("Held", "GatewayRefused")


@pytest.mark.parametrize(
    ("rose", "before", "expected"),
    [
        (True, None, "ShiftingIn"),
        (False, MoveState.SHIFTING_IN, "ShiftingAway"),
        # After a restart nobody knows what the weights were: the state before says which way they went.
        (None, MoveState.SHIFTING_IN, "ShiftingIn"),
        (None, MoveState.SHIFTING_AWAY, "ShiftingAway"),
        (None, MoveState.WAITING_READY, "Settled"),
        (None, None, "Settled"),
    ],
)
def test_weights_in_place_are_on_their_way_until_counters_show_them(
    rose: bool | None, before: MoveState | None, expected: str
) -> None:
    pending = replace(ROUTE, now=0.6, wanted=0.6, stage=Stage.ACCEPTED, reason="CountersPending", rose=rose)
    assert stands(lane(routes=(pending,)), before)[0] == expected
    assert (
        stands(lane(routes=(replace(pending, stage=Stage.CONFIRMED, reason="CountersAgree"),)), before)[0] == "Settled"
    )
    # Counters that never come don't keep a lane on its way.
    assert stands(lane(routes=(replace(pending, reason="CountersMissing"),)), before)[0] == "Settled"


def test_replicas_are_written_in_two_states_alone() -> None:
    assert ALLOWS.keys() == set(MoveState)
    allowed = {state: LaneMove("gpu", state, "", "").may for state in MoveState}
    assert {state for state, may in allowed.items() if May.ADD in may} == {MoveState.SCALING_OUT}
    assert {state for state, may in allowed.items() if May.REMOVE in may} == {MoveState.SCALING_IN}
