"""Since when weights count: from when they are seen, and in force."""

from __future__ import annotations

from dataclasses import replace

from spillway.api import CapacityPlan
from spillway.controller.moves import Moves
from spillway.decide.snapshot import MetricsHealth, MetricsReason, PlanSnapshot, RouteState


def snapshot(at: float, accepted: bool | None, hosted: int = 30) -> PlanSnapshot:
    plan = CapacityPlan.parse({"metadata": {"name": "main", "namespace": "ai", "uid": "u"}, "spec": {"lanes": ["gpu"]}})
    route = RouteState("chat", "chat", None, True, weights={"gpu": 100 - hosted, "hosted": hosted}, accepted=accepted)
    return replace(PlanSnapshot(at, plan, (), (), (), MetricsHealth(MetricsReason.FOUND, "")), routes=(route,))


def since(moves: Moves, *seen: PlanSnapshot) -> list[float]:
    return [moves.seen(each)[0].written_at for each in seen]


def test_weights_count_from_when_they_were_first_seen() -> None:
    found = since(Moves(), snapshot(0, True), snapshot(15, True), snapshot(30, True, 40), snapshot(45, True, 40))
    assert found == [0, 0, 30, 30]


def test_a_rollout_that_takes_minutes_is_not_late_when_it_is_complete() -> None:
    found = since(Moves(), snapshot(0, False), snapshot(300, False), snapshot(315, None), snapshot(330, True))
    assert found == [0, 300, 300, 300]


def test_a_gateway_that_says_nothing_for_a_moment_changes_nothing() -> None:
    assert since(Moves(), snapshot(0, True), snapshot(15, None), snapshot(30, True)) == [0, 0, 0]
