"""Events are told on transitions only."""

from __future__ import annotations

from report.builders import NOW, conflict, decision, lane, lane_decision, snapshot
from spillway.api.status import LaneMoveStatus, MoveState
from spillway.decide.decision import Reason
from spillway.decide.snapshot import MetricsHealth, MetricsReason
from spillway.report.events import EventType, object_events, plan_events
from spillway.report.status import lane_status, plan_status


def test_a_quiet_start_tells_nothing() -> None:
    assert plan_events(None, plan_status(decision(), snapshot(), None, NOW)) == ()


def test_a_bad_start_is_a_warning_once() -> None:
    broken = plan_status(decision(findings=(conflict(),)), snapshot(), None, NOW)
    (event,) = plan_events(None, broken)
    assert (event.type, event.reason) == (EventType.WARNING, "AutoscalerConflict")
    assert plan_events(broken, broken) == ()


def test_metrics_lost_and_found_again() -> None:
    fine = plan_status(decision(), snapshot(), None, NOW)
    health = MetricsHealth(MetricsReason.ERROR, "connection refused")
    blind = plan_status(decision(), snapshot(metrics=health), fine, NOW)
    lost = plan_events(fine, blind)
    assert {(event.type, event.reason) for event in lost} == {(EventType.WARNING, "PrometheusError")}
    again = plan_events(blind, fine)
    assert {event.type for event in again} == {EventType.NORMAL}
    stale = plan_status(decision(), snapshot(metrics=MetricsHealth(MetricsReason.STALE, "old")), blind, NOW)
    assert {event.reason for event in plan_events(blind, stale)} == {"MetricsStale"}


def test_a_changed_recommendation_is_told_with_its_sentence() -> None:
    before = plan_status(decision(), snapshot(), None, NOW)
    grow = lane_decision(recommended=4, reason=Reason("ScaleUp", "demand rises to 40 requests a second"))
    after = plan_status(decision(grow), snapshot(), before, NOW)
    (event,) = plan_events(before, after)
    assert event.type is EventType.NORMAL
    assert event.reason == "ScaleUp"
    assert event.message == "lane gpu: 2 -> 4 replicas recommended: demand rises to 40 requests a second"
    assert plan_events(after, after) == ()


def test_objects_tell_their_transitions() -> None:
    fine, broken = lane_status(lane(), (), "a/b", NOW), lane_status(lane(), (conflict(),), "a/b", NOW)
    assert object_events(None, fine) == ()
    assert [event.type for event in object_events(fine, broken)] == [EventType.WARNING]
    assert [event.type for event in object_events(broken, fine)] == [EventType.NORMAL]


def test_a_lane_that_is_held_by_the_outside_world_is_told_once() -> None:
    fine = plan_status(decision(), snapshot(), None, NOW)
    moves = {"gpu": held("GatewayRefused", "the gateway refused other weights")}
    refused = plan_status(decision(), snapshot(), fine, NOW, (), moves)
    (event,) = plan_events(fine, refused)
    assert (event.type, event.reason) == (EventType.WARNING, "GatewayRefused")
    assert event.message == "lane gpu is held: the gateway refused other weights"
    assert plan_events(refused, refused) == plan_events(refused, fine) == ()
    # What the decision itself holds is a condition already.
    by_hand = lane_decision(reason=Reason("ManualOverride", "somebody set 5"))
    own = plan_status(decision(by_hand), snapshot(), fine, NOW, (), {"gpu": held("ManualOverride", "somebody set 5")})
    assert [event.reason for event in plan_events(fine, own)] == ["ReplicasSetByHand"]


def held(reason: str, message: str) -> LaneMoveStatus:
    return LaneMoveStatus(state=MoveState.HELD, since="2026-01-05T09:00:00Z", reason=reason, message=message)
